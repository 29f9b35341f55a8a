"""What the review costs: `python -m toolkit.benchmark.board`, at 5,000 and at 50,000 units adrift.

Bytes that a view's first lines take, and CPU seconds of this process, medians of several: from a view that
is there to its lines being sent, and from a click to what every view is told of it. `after all` is a click
when every unit is approved: then the file of decisions, which is written whole, has a line for each. Whatever
grows with the number of units shows in the ratio of both sizes.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator
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
    """One thing that was measured, in bytes or seconds."""

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
        """CPU seconds that an answer takes; `bytes` has its size."""
        self.bytes = 0
        begun = time.process_time()
        self.table._on_message(None, {"do": do, "view": "one", **rest}, [])
        return time.process_time() - begun

    def click(self, vote: str, place: int) -> float:
        """Decide about a unit."""
        item = self.table.model.items()[place]
        return self.ask("decide", unit=item.unit, vote=vote, change=item.change)


def open_session(chats: int, folder: Path) -> Session:
    """A session on a world of that many chats, each of which has lost its room row."""
    database = folder / "bot.db"
    database.touch()  # the file of decisions beside it is no wider open
    sides = find_sides(homeserver="http://127.0.0.1:1", access_token="none", database=database)
    session = Session(Repairs(sides), folder / "decisions.json")
    rows = {key: row for key, row in scale_rows(chats) if not key.startswith(ROOM)}
    rooms = {room_id: decode_room(room_id, body) for room_id, body in scale_rooms(chats)}
    session.see(rows, RemoteState(BOT, rooms))
    return session


def measure_board(chats: int) -> Iterator[Figure]:
    """First lines, clicks, and clicks when all is approved."""
    with tempfile.TemporaryDirectory() as folder:
        session = open_session(chats, Path(folder))
        view = View(ReviewTable(find_model(session)))
        taken = view.ask("ready")
        yield Figure(chats, "first lines, bytes", view.bytes)
        yield Figure(chats, "first lines, CPU s", taken)
        view.table.model.items()  # all of them, aside: `click` looks its unit up there
        yield Figure(chats, "click, CPU s", _median(view, "approve"))
        yield Figure(chats, "click, bytes", view.bytes)
        yield Figure(chats, "scroll, CPU s", view.ask("window", start=chats // 2))
        yield Figure(chats, "sort, CPU s", view.ask("window", sort="owner"))
        view.ask("window")
        batch = view.table.model.would_approve()
        yield Figure(
            chats, "approve all, CPU s", view.ask("approve_all", plan=fingerprint_of(batch.changes))
        )
        yield Figure(chats, "click after all, CPU s", _median(view, "defer"))


def _median(view: View, vote: str) -> float:
    return statistics.median(view.click(vote, place) for place in range(CLICKS))


def render_figures(figures: list[Figure]) -> Table:
    """A line for each thing, with both sizes and their ratio."""
    sizes = list(dict.fromkeys(figure.units for figure in figures))
    table = Table("what", *(f"{size:,} units" for size in sizes), "ratio")
    values: dict[str, list[float]] = {}
    for figure in figures:
        values.setdefault(figure.what, []).append(figure.value)
    for what, found in values.items():
        told = [f"{value:,.0f}" if "bytes" in what else f"{value:.4f}" for value in found]
        table.add_row(what, *told, f"{found[-1] / found[0]:.2f}" if found[0] else "")
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
