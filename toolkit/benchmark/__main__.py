"""What people and bots wait for, and where it goes: `python -m toolkit.benchmark`.

Three tables: the waits, with the network; the stages between network and disk, beside the least that any
program would have to do; and how each stage grows. The numbers are looked at, never asserted.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from toolkit.benchmark.board import measure_board
from toolkit.benchmark.commands import measure_check
from toolkit.benchmark.event_loop import measure_event_loop
from toolkit.benchmark.lines import Line, growth_table, lines_table
from toolkit.benchmark.loads import measure_loads
from toolkit.benchmark.memory import measure_memory
from toolkit.benchmark.naive_bot import measure_start
from toolkit.benchmark.one_room import measure_one_room
from toolkit.benchmark.servers import measure_servers
from toolkit.benchmark.stages import fill, measure
from toolkit.testing.synapse import Synapse

SIZES = (1_000, 3_000, 10_000, 30_000, 100_000)
ROOMS_996 = 830
"""So many chats, in 166 Spaces."""


def waits(most: int, rounds: int) -> Iterator[Line]:
    """Each at the size that it was asked for, up to so many chats."""
    for chats in (100, 1_000, 10_000):
        yield from measure_one_room(chats)
    yield from measure_loads(ROOMS_996, rounds)
    yield from measure_check(50, rounds)
    if Synapse.available():
        yield from measure_start(200)
    for chats, bound in ((10_000, 50.0), (100_000, 150.0)):
        if chats <= most:
            yield from measure_event_loop(chats, bound)
    for chats in (10_000, 30_000):
        if chats <= most:
            yield from measure_servers(chats, rounds)
    for units in (5_000, 50_000):
        if units <= most:
            yield from _board(units)
    if most >= SIZES[-1]:
        yield _memory(SIZES[-1])


def _board(units: int) -> Iterator[Line]:
    bounds = {"first lines, bytes": 1_000_000.0, "click, ms": 10.0, "click after all, ms": 10.0}
    for figure in measure_board(units):
        if bound := bounds.get(figure.what):
            what, _, unit = figure.what.partition(", ")
            yield Line(units, f"review, {what}", figure.value, bound=bound, unit=unit)


def _memory(chats: int) -> Line:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bot.db"
        fill(database, chats)
        most = measure_memory(chats, database)
    return Line(chats, "memory at the peak of a look and its plan", most, bound=300, unit="MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=SIZES[-1], help="chats, of the largest world")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    console = Console(width=120)
    console.print(lines_table(waits(options.most, options.rounds)))
    sizes = [size for size in SIZES if size <= options.most]
    lines = [line for chats in sizes for line in measure(chats, options.rounds)]
    console.print(lines_table(lines), growth_table(lines))


if __name__ == "__main__":
    main()
