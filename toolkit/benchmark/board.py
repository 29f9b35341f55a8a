"""What the review costs: `python -m toolkit.benchmark.board`, at 5,000 and at 50,000 units adrift.

Bytes that a view's groups and first lines take, and CPU milliseconds of this process: from a view that is there
to its lines being sent, and from a click to what every view is told of it, medians of several clicks. `click after
all` is one when every unit is approved: then the file of decisions, which is written whole, has a line for
each. Whatever grows with the number of units shows in the ratio of both sizes.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from toolkit.benchmark.worlds import BOT, scale_rooms, scale_rows
from toolkit.board import find_model
from toolkit.board.items import fingerprint_of
from toolkit.board.table import ReviewTable
from toolkit.homeserver.room_state import decode_room
from toolkit.model import RemoteState
from toolkit.records import ROOM
from toolkit.repairs import Repairs
from toolkit.session.session import Session
from toolkit.sources.sides import find_sides

SIZES = (5_000, 50_000)
CLICKS = 11


class Figure(NamedTuple):
    """One thing that was measured, in bytes or milliseconds."""

    units: int
    what: str
    value: float


class View:
    """A table's other end, which only counts what arrives there."""

    def __init__(self, table: ReviewTable) -> None:
        self.table, self.bytes = table, 0
        table.widget.send = self._hear

    def _hear(self, content: Any, buffers: Any = None) -> None:
        self.bytes += len(json.dumps(content, ensure_ascii=False).encode())

    def ask(self, do: str, **rest: Any) -> float:
        """CPU milliseconds that an answer takes; `bytes` has its size."""
        self.bytes = 0
        begun = time.process_time()
        self.table._on_message(None, {"do": do, "view": "one", **rest}, [])
        return 1000 * (time.process_time() - begun)

    def click(self, vote: str, unit: str) -> float:
        """Decide about a unit as it is on display."""
        item = self.table.model.item(unit)
        assert item is not None
        return self.ask("decide", unit=unit, vote=vote, change=item.change)

    def clicks(self, vote: str, units: Iterable[str]) -> float:
        """Decide about one after the other: what a decision takes."""
        return statistics.median(self.click(vote, unit) for unit in units)


def open_session(chats: int, folder: Path) -> Session:
    """A session on a world of that many chats, each of which has lost its room row."""
    database = folder / "bot.db"
    database.touch()  # the file of decisions beside it is no wider open
    sides = find_sides(homeserver="http://127.0.0.1:1", access_token="none", database=database)
    session = Session(Repairs(sides), folder / "decisions.json")
    rows = {key: row for key, row in scale_rows(chats) if not key.startswith(ROOM)}
    rooms = {room_id: decode_room(room_id, body) for room_id, body in scale_rooms(chats)}
    session.see(rows, session.state.past, RemoteState(BOT, rooms))
    return session


def measure_board(chats: int) -> Iterator[Figure]:
    """First lines, clicks, a pick, and clicks when all is approved."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(chats, Path(folder))
        view = View(ReviewTable(find_model(session)))
        *clicked, other = [unit.id for unit in session.state.plan.units[: CLICKS + 1]]
        taken = view.ask("ready")
        yield Figure(chats, "groups, bytes", view.bytes)
        yield Figure(chats, "groups, ms", taken)
        taken = view.ask("window")
        yield Figure(chats, "first lines, bytes", view.bytes)
        yield Figure(chats, "first lines, ms", taken)
        yield Figure(chats, "click, ms", view.clicks("approve", clicked))
        yield Figure(chats, "click, bytes", view.bytes)
        yield Figure(chats, "scroll, ms", view.ask("window", start=chats // 2))
        yield Figure(chats, "sort, ms", view.ask("window", sort="owner"))
        view.ask("window")
        picked = view.ask("pick", unit=other, choices={"chat_id": "C7"})
        yield Figure(chats, "pick, ms", picked)
        yield Figure(chats, "approve with the pick, ms", view.click("approve", other))
        batch = view.table.model.would_approve()
        taken = view.ask("approve_all", plan=fingerprint_of(batch.changes))
        yield Figure(chats, "approve all, ms", taken)
        yield Figure(chats, "click after all, ms", view.clicks("defer", clicked))


def render_figures(figures: list[Figure]) -> Table:
    """A line for each thing, with both sizes and their ratio."""
    sizes = list(dict.fromkeys(figure.units for figure in figures))
    table = Table("what, CPU", *(f"{size:,} units" for size in sizes), "ratio")
    values: dict[str, list[float]] = {}
    for figure in figures:
        values.setdefault(figure.what, []).append(figure.value)
    for what, found in values.items():
        told = [f"{value:,.0f}" if "bytes" in what else f"{value:,.1f}" for value in found]
        table.add_row(what, *told, f"{found[-1] / found[0]:.1f}")
    return table


def main() -> None:
    """Measure and print; the numbers are looked at, never asserted."""
    parser = argparse.ArgumentParser(description="What the review costs, at several sizes.")
    parser.add_argument("--units", type=int, nargs="+", default=list(SIZES))
    options = parser.parse_args()
    figures = [figure for units in options.units for figure in measure_board(units)]
    Console(width=110).print(render_figures(figures))


if __name__ == "__main__":
    main()
