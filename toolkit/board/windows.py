"""The lines of a review in the order that a view wants, of which it is told a window at a time. Pure.

An order is made once for what is looked for, and then follows line by line what moves.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from toolkit.board.folding import Heading, Section
from toolkit.board.in_sync import Quiet
from toolkit.board.items import Item
from toolkit.text.collation import natural_key

Column: TypeAlias = Literal["", "status", "owner", "chat", "name", "cause", "action", "vote"]
Line: TypeAlias = Item | Quiet | Heading

PAGE = 100
"""Lines of a first window."""
MOST = 100
"""Lines of the largest window that a view may ask for: less than a megabyte, whatever they say."""
_BITS = 32
_PLACE = (1 << _BITS) - 1


@dataclass(frozen=True, slots=True)
class Query:
    """Which lines, and in which order; "" is all, and as planned. `quiet` has what is in sync or skipped too.

    `result` has the lines of the last run, finished ones among them, which are left out else. `grouped`
    has lines stand in groups of what is the matter, where all or all of a status are looked at.
    """

    status: str = ""
    vote: str = ""
    result: str = ""
    text: str = ""
    quiet: bool = False
    sort: Column = ""
    down: bool = False
    grouped: bool = False

    @property
    def folds(self) -> bool:
        """Whether lines stand in groups: who looks for something wants to see it."""
        return self.grouped and not (self.vote or self.result or self.text)


@dataclass(frozen=True, slots=True)
class Kept:
    """A line that a view holds on to wherever its window is, and its place; -1: the query leaves it out."""

    at: int
    line: Line


@dataclass(frozen=True, slots=True)
class Window:
    """Some of `total` lines, from `start` on; `ready` of all could be approved together.

    `edition` is the same object for as long as there are the same units.
    """

    edition: object
    start: int
    total: int
    ready: int
    lines: tuple[Line, ...]
    kept: tuple[Kept, ...]


class Pool(Protocol):
    """All lines that there are, by their places as planned."""

    def places(self, query: Query) -> Iterable[int]:
        """Places that may hold what is looked for, ascending."""

    def matches(self, place: int, query: Query) -> bool:
        """Whether this one does."""

    def is_ready(self, place: int) -> bool:
        """Whether it could be approved together with others."""

    def value(self, place: int, column: Column) -> str:
        """What stands in a column."""

    def is_open(self, place: int) -> bool:
        """Whether nobody has decided about it yet."""

    def group(self, place: int) -> int:
        """The group that it stands in."""


class Unranked(LookupError):
    """A line has come to hold a value that the order has no rank for: make another one."""


class Order:
    """The places that a query finds, in its order; equal values stay as planned, in either direction."""

    def __init__(self, pool: Pool, query: Query) -> None:
        self._pool, self._query = pool, query
        places = [place for place in pool.places(query) if pool.matches(place, query)]
        self._ranks = _rank({pool.value(place, query.sort) for place in places})
        self._keys = {place: self._key(place) for place in places}
        self._order = sorted(self._keys.values())
        self._ready = {place for place in places if pool.is_ready(place)}
        self._open = [key for key in self._order if pool.is_open(key & _PLACE)]
        self._sizes, self._ready_in = Counter[int](), Counter[int]()
        if query.folds:
            self._sizes.update(map(_group, self._order))
            self._ready_in.update(_group(self._keys[place]) for place in self._ready)

    def __len__(self) -> int:
        return len(self._order)

    @property
    def ready(self) -> int:
        """How many could be approved together."""
        return len(self._ready)

    def window(self, start: int, count: int) -> list[int]:
        """The places of some lines."""
        return [key & _PLACE for key in self._order[start : start + count]]

    def find(self, place: int) -> int:
        """Where in the order a place stands; -1 for none."""
        return bisect_left(self._order, self._keys[place]) if place in self._keys else -1

    def sections(self, unfolded: frozenset[int]) -> list[Section]:
        """The groups one below the other, of which some show their lines."""
        found, at = [], 0
        for group in sorted(self._sizes):
            begin, end = group << 2 * _BITS, (group + 1) << 2 * _BITS
            first, size = bisect_left(self._order, begin), self._sizes[group]
            undecided = bisect_left(self._open, end) - bisect_left(self._open, begin)
            ready, shown = self._ready_in[group], group in unfolded
            found.append(Section(group, at, first, size, ready, undecided, shown))
            at += found[-1].height
        return found

    def key(self, place: int) -> int:
        """What a place is sorted by here; -1 where it isn't in the list."""
        return self._keys.get(place, -1)

    def next_open(self, key: int) -> int:
        """The place of the first line after this key that nobody has decided about, or before it; -1 for none."""
        if not self._open:
            return -1
        return self._open[bisect_left(self._open, key + 1) % len(self._open)] & _PLACE

    def touch(self, place: int) -> None:
        """This line is another one. Raises `Unranked`, and then the order is of no use."""
        if place in self._keys:
            self._drop(place)
        if self._pool.matches(place, self._query):
            key = self._keys[place] = self._key(place)
            insort(self._order, key)
            self._sizes[_group(key)] += 1
            if self._pool.is_open(place):
                insort(self._open, key)
            if self._pool.is_ready(place):
                self._ready.add(place)
                self._ready_in[_group(key)] += 1

    def _drop(self, place: int) -> None:
        key = self._keys[place]
        del self._order[self.find(place)], self._keys[place]
        at, group = bisect_left(self._open, key), _group(key)
        if self._open[at : at + 1] == [key]:
            del self._open[at]
        if place in self._ready:
            self._ready.discard(place)
            self._ready_in[group] -= 1
        self._sizes[group] -= 1
        self._sizes += Counter()  # a group without lines isn't there

    def _key(self, place: int) -> int:
        rank = self._ranks.get(self._pool.value(place, self._query.sort))
        if rank is None:
            raise Unranked
        rank = len(self._ranks) - rank if self._query.down else rank
        group = self._pool.group(place) if self._query.folds else 0
        return (((group << _BITS) + rank) << _BITS) + place


def _group(key: int) -> int:
    return key >> 2 * _BITS


def _rank(values: Iterable[str]) -> dict[str, int]:
    keys = {value: natural_key(value) for value in values}
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys.values())))}
    return {value: ranks[key] for value, key in keys.items()}
