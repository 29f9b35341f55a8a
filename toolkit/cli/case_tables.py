"""The facts of conflicts as tables for a terminal: rooms side by side, two at a time."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.padding import Padding
from rich.style import Style
from rich.table import Table
from rich.text import Text

from toolkit.decisions.case import Case, Casebook, Side
from toolkit.model import Unit
from toolkit.text.visible import visible

LONG = 1_000
"""Longest text shown of one value; a row holds what its bot and strangers put there."""

_ABREAST = 2


class CaseTables:
    """The tables of one listing, which shows the same rooms once."""

    def __init__(self, cases: Casebook | None, *, offered: bool = True) -> None:
        self._cases, self._offered = cases, offered
        self._shown: dict[frozenset[str], str] = {}

    def of(self, unit: Unit) -> Iterator[RenderableType]:
        """What is known of a unit in conflict; nothing for any other."""
        case = self._cases.open(unit) if self._cases else None
        if case is None:
            return
        rooms = frozenset(side.room_id for side in case.sides)
        if above := self._shown.get(rooms):
            yield Padding(Text(f"the same rooms as of {visible(above)} above"), (0, 0, 0, 2))
        else:
            self._shown[rooms] = unit.id
            yield from _sides(case)
        if case.offered and self._offered:
            ids = (
                visible(id_) + (f" ({visible(why)})" if why else "") for id_, why in case.offered
            )
            told = f"{case.offers.noun}s offered: {', '.join(ids)}"
            yield Padding(Text(told), (0, 0, 0, 2))


def _sides(case: Case) -> Iterator[RenderableType]:
    sides = case.sides
    for start in range(0, len(sides), _ABREAST):
        yield Padding(_table(sides[start : start + _ABREAST]), (0, 0, 0, 2))
    for side in sides:
        yield Padding(_link(side), (0, 0, 0, 2))
    if case.more:
        yield Padding(Text(case.more), (0, 0, 0, 2))


def _link(side: Side) -> Text:
    """One that a terminal opens whole, also where it is broken over two lines."""
    text = Text(f"{side.title}: ", overflow="fold")
    return text.append(side.link, Style(link=side.link))


def _table(sides: tuple[Side, ...]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("")
    for side in sides:
        table.add_column(side.title, overflow="fold")
    table.add_row("room", *(Text(visible(side.room_id)) for side in sides))
    for place, (label, _) in enumerate(sides[0].facts):
        table.add_row(label, *(Text(visible(side.facts[place][1], LONG)) for side in sides))
    return table
