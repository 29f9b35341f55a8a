"""What each view of a table was told last, and what it has to be told when something moves. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from toolkit.board.windows import PAGE, Line, Query, Window

VIEWS = 32
"""Views that are told by themselves; of a page that was closed nobody hears any more."""


KEPT = 3
"""Units that a view holds on to: the one with the focus, one that is open, and one that it has just decided."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a view asks for. `number` counts its asking: an answer to an earlier one is none.

    `unfolded` names the groups whose lines it shows.
    """

    query: Query = field(default_factory=Query)
    start: int = 0
    count: int = PAGE
    keep: tuple[str, ...] = ()
    number: int = 0
    unfolded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class News:
    """What is new for a view: lines alone, or with `moved` the window as a whole; `anew` of other units."""

    window: Window
    changed: tuple[Line, ...]
    moved: bool
    anew: bool


class Views:
    """By their names, the one that asked last at the end."""

    def __init__(self) -> None:
        self._told: dict[str, tuple[Wanted, Window]] = {}
        self._forgotten = False

    def tell(self, view: str, wanted: Wanted, window: Window) -> None:
        """A view has got this."""
        self._told.pop(view, None)
        self._told[view] = wanted, window
        if len(self._told) > VIEWS:
            self.leave(next(iter(self._told)))
            self._forgotten = True

    def leave(self, view: str) -> None:
        """Nobody is there any more."""
        self._told.pop(view, None)

    def __len__(self) -> int:
        return len(self._told)

    def hold(self, view: str, unit: str) -> None:
        """A view is busy with a unit: wherever that comes to stand, the view is told."""
        if unit and view in self._told:
            wanted, window = self._told[view]
            keep = dict.fromkeys((unit, *wanted.keep))
            self._told[view] = replace(wanted, keep=tuple(keep)[:KEPT]), window

    def wanted(self) -> Iterator[tuple[str, Wanted]]:
        """Who wants what."""
        yield from [(view, wanted) for view, (wanted, _) in self._told.items()]

    def wanted_by(self, view: str) -> Wanted | None:
        """What one of them wants; None for one that nobody knows."""
        return self._told[view][0] if view in self._told else None

    def update(self, view: str, window: Window) -> News | None:
        """What a view has to be told, if anything; afterwards it has got that."""
        wanted, before = self._told[view]
        self._told[view] = wanted, window
        return _compare(before, window)

    def take_forgotten(self) -> list[str] | None:
        """If views were forgotten, those that weren't: all others have to ask again."""
        forgotten, self._forgotten = self._forgotten, False
        return list(self._told) if forgotten else None


def _compare(before: Window, now: Window) -> News | None:
    known = _lines(before)
    lines = _lines(now)
    changed = tuple(line for unit, line in lines.items() if _differs(known.get(unit), line))
    anew = now.edition is not before.edition
    moved = anew or _places(before) != _places(now)
    if not moved and not changed and _numbers(before) == _numbers(now):
        return None
    return News(now, changed, moved, anew)


def _lines(window: Window) -> dict[str, Line]:
    lines = {line.unit: line for line in window.lines}
    return lines | {kept.line.unit: kept.line for kept in window.kept}


def _differs(known: Line | None, line: Line) -> bool:
    return known is not None and known is not line and known != line


def _places(window: Window) -> tuple[list[str], list[tuple[str, int]]]:
    units = [line.unit for line in window.lines]
    elsewhere = ((kept.line.unit, kept.at) for kept in window.kept)
    return units, [(unit, at) for unit, at in elsewhere if unit not in units]


def _numbers(window: Window) -> tuple[int, int]:
    return window.total, window.ready
