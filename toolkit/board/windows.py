"""The lines of a review in the order that a view wants, of which it is told a window at a time. Pure.

An order is made once for what is looked for, and then follows line by line what moves.
"""

from bisect import bisect_left, insort
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias

from toolkit.board.in_sync import Quiet
from toolkit.board.items import Item
from toolkit.text.collation import natural_key

Column: TypeAlias = Literal["", "status", "owner", "chat", "name", "cause", "action", "vote"]
Line: TypeAlias = Item | Quiet

PAGE = 100
"""Lines of a first window."""
MOST = 100
"""Lines of the largest window that a view may ask for: less than a megabyte, whatever they say."""
_PLACE = (1 << 32) - 1


@dataclass(frozen=True, slots=True)
class Query:
    """Which lines, and in which order; "" is all, and as planned. `quiet` has what is in sync or skipped too.

    `result` has the lines of the last run, finished ones among them, which are left out else.
    """

    status: str = ""
    vote: str = ""
    result: str = ""
    text: str = ""
    quiet: bool = False
    sort: Column = ""
    down: bool = False


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

    def touch(self, place: int) -> None:
        """This line is another one. Raises `Unranked`, and then the order is of no use."""
        if place in self._keys:
            del self._order[self.find(place)], self._keys[place]
        self._ready.discard(place)
        if self._pool.matches(place, self._query):
            key = self._keys[place] = self._key(place)
            insort(self._order, key)
            if self._pool.is_ready(place):
                self._ready.add(place)

    def _key(self, place: int) -> int:
        rank = self._ranks.get(self._pool.value(place, self._query.sort))
        if rank is None:
            raise Unranked
        return ((-rank if self._query.down else rank) << 32) + place


def _rank(values: Iterable[str]) -> dict[str, int]:
    keys = {value: natural_key(value) for value in values}
    ranks = {key: rank for rank, key in enumerate(sorted(set(keys.values())))}
    return {value: ranks[key] for value, key in keys.items()}
