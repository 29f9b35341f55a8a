"""One measured comparison, how it is taken, and the table of many.

CPU seconds of this process, medians of several rounds, both sides in turn, so that a busy neighbour hits
both; the garbage collector runs as it does in any process. Seconds depend on the machine, ratios hardly.
"""

import gc
import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from rich.table import Table


class Line(NamedTuple):
    """What ours took and what the base did, in `unit`; the bound is one of the ratio.

    Without a base it is one of ours.
    """

    chats: int
    what: str
    ours: float
    base: float | None = None
    bound: float | None = None
    unit: str = "s"

    @property
    def ratio(self) -> float | None:
        return self.ours / self.base if self.base else None


def compare(
    chats: int,
    what: str,
    ours: Callable[[], object],
    base: Callable[[], object],
    rounds: int,
    bound: float | None,
) -> Line:
    """Both in turn; the medians."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for taken, run in zip(times, (ours, base), strict=True):
            taken.append(cpu(run))
    return Line(chats, what, statistics.median(times[0]), statistics.median(times[1]), bound)


def cpu(run: Callable[[], object]) -> float:
    """CPU seconds of one call, what it returns being freed afterwards."""
    gc.collect()
    begun = time.process_time()
    kept = run()
    taken = time.process_time() - begun
    del kept
    return taken


def cpu_of(pid: int) -> float:
    """CPU seconds of another process so far, user's and system's, which Linux has a clock for."""
    return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it


def growth(lines: Iterable[Line]) -> Iterator[tuple[str, float]]:
    """How each comparison's own time grows with the chats: 1 is a line, 2 a square.

    The slope of the fitted line through the logarithms, over at least three sizes.
    """
    ordered = sorted(lines, key=lambda line: line.what)
    for what, group in groupby(ordered, key=lambda line: line.what):
        sizes = [(math.log(line.chats), math.log(line.ours)) for line in group if line.ours > 0]
        if len(sizes) >= 3:
            yield what, statistics.linear_regression(*zip(*sizes, strict=True)).slope


def lines_table(lines: Iterable[Line]) -> Table:
    """As it stands in the docs."""
    table = Table("chats", "what", "ours", "base", "ratio", "wanted")
    for line in lines:
        table.add_row(
            f"{line.chats:,}",
            line.what,
            _amount(line.ours, line.unit),
            "" if line.base is None else _amount(line.base, line.unit),
            "" if line.ratio is None else f"{line.ratio:.2f}",
            ""
            if line.bound is None
            else f"≤ {line.bound:,.10g}" + ("" if line.base else f" {line.unit}"),
        )
    return table


def growth_table(lines: Iterable[Line]) -> Table:
    """What grows how, and the most that is wanted."""
    table = Table("what", "grows as chats to the power of", "wanted")
    for what, exponent in growth(lines):
        table.add_row(what, f"{exponent:.2f}", "≤ 1.1")
    return table


def _amount(value: float, unit: str) -> str:
    return f"{value:.3f} {unit}" if unit == "s" else f"{value:,.0f} {unit}"
