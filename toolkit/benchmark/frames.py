"""What the frames cost: `python -m toolkit.benchmark.frames --chats 100000`.

CPU seconds of this process, medians of several rounds, against pandas given the same values in columns
that lie ready: `pd.DataFrame` is `pd.DataFrame(columns).astype(dtypes)` with the index set, which is what
one would write, and `pd.array` is the least that pandas needs: an array per column, made with its dtype.
`at 5 %` and `all` say how many of the rooms have lost their row. `first look` is at a plan that was just
made: each finding's id and each change's fingerprint is hashed once, when it is first asked for.
`asked again` is what a session does from the second time on: it hands out a copy of what it has built.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pandas as pd
from rich.console import Console

from toolkit.benchmark.lines import Line, compare, cpu, lines_table
from toolkit.benchmark.worlds import BOT, scale_rooms, scale_rows
from toolkit.database.journal import Run, entries_of
from toolkit.frames import (
    COLUMNS,
    Shelf,
    changes_frame,
    drift_frame,
    history_frame,
    plan_frame,
    rooms_frame,
    rows_frame,
)
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Plan, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import ROOM, LocalState, load_records, parse_key

Build = Callable[[], pd.DataFrame]
_BOUND = 2.0


def measure_frames(chats: int, rounds: int) -> Iterator[Line]:
    """Each frame of an ordinary world, all of them together, then those of one without room rows."""
    rooms = {room_id: decode_room(room_id, body) for room_id, body in scale_rooms(chats)}
    remote = RemoteState(BOT, dict(sorted(rooms.items())))  # both in order, as a look gives them
    rows = dict(sorted(scale_rows(chats)))
    local = load_records(rows)
    plan = plan_repairs(remote, local)
    runs = _runs(plan)
    frames: dict[str, Build] = {
        "rooms": lambda: rooms_frame(remote, plan, local),
        "rows": lambda: rows_frame(local, plan),
        **_of_plan(plan),
        "history": lambda: history_frame(runs),
    }
    yield from _lines(chats, frames, rounds, "at 5 %")
    yield from _first_looks(chats, remote, local, rounds, "at 5 %")
    kept = load_records((key, row) for key, row in rows.items() if parse_key(key).family != ROOM)
    yield from _lines(chats, _of_plan(plan_repairs(remote, kept)), rounds, "all")
    yield from _first_looks(chats, remote, kept, rounds, "all")


def _first_looks(
    chats: int, remote: RemoteState, local: LocalState, rounds: int, drift: str
) -> Iterator[Line]:
    """Drift and plan of a plan that is made anew in each round, aside."""
    for name in ("drift", "plan"):
        base = _literal(name, _of_plan(plan_repairs(remote, local))[name]())
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            times[0].append(cpu(_of_plan(plan_repairs(remote, local))[name]))
            times[1].append(cpu(base))
        ours, theirs = map(statistics.median, times)
        yield Line(chats, f"{name} ({drift}), first look: pd.DataFrame", ours, theirs, None)


def _of_plan(plan: Plan) -> dict[str, Build]:
    return {
        "drift": lambda: drift_frame(plan),
        "plan": lambda: plan_frame(plan),
        "changes": lambda: changes_frame(plan),
    }


def _runs(plan: Plan) -> list[Run]:
    entries = entries_of(plan.units, {}, {})
    time = datetime(2026, 1, 1, tzinfo=UTC).isoformat()
    return [Run("run", time, "benchmark", entries, finished=True)]


def _lines(chats: int, frames: dict[str, Build], rounds: int, drift: str) -> Iterator[Line]:
    for words, base_of in (("pd.DataFrame", _literal), ("pd.array", _strict)):
        bases = {name: base_of(name, build()) for name, build in frames.items()}
        for name, build in frames.items():
            yield compare(chats, f"{name} ({drift}): {words}", build, bases[name], rounds, _BOUND)
        shelf = Shelf()
        yield compare(
            chats,
            f"these together ({drift}), asked again: {words}",
            lambda shelf=shelf: [shelf.take(build) for build in frames.values()],  # type: ignore[misc]
            lambda bases=bases: [base() for base in bases.values()],  # type: ignore[misc]
            rounds,
            _BOUND,
        )
        yield compare(
            chats,
            f"these together ({drift}): {words}",
            lambda: [build() for build in frames.values()],
            lambda bases=bases: [base() for base in bases.values()],  # type: ignore[misc]
            rounds,
            _BOUND,
        )


def _literal(name: str, frame: pd.DataFrame) -> Build:
    """The same frame as one would write it, out of columns that lie ready."""
    columns = {column: _ready(column, frame) for column in COLUMNS[name]}
    dtypes: Any = {column: field.dtype for column, field in COLUMNS[name].items()}
    first = next(iter(columns))

    def build() -> pd.DataFrame:
        return pd.DataFrame(columns).astype(dtypes).set_index(first)

    return _checked(build, frame)


def _strict(name: str, frame: pd.DataFrame) -> Build:
    """The same frame by as little as pandas needs, out of columns that lie ready."""
    columns = {column: _ready(column, frame) for column in COLUMNS[name]}
    dtypes = {column: field.dtype for column, field in COLUMNS[name].items()}
    first = next(iter(columns))

    def build() -> pd.DataFrame:
        index = pd.Index(columns[first], dtype=dtypes[first], name=first)
        data = {
            column: pd.array(values, dtype=dtypes[column])
            for column, values in columns.items()
            if column != first
        }
        return pd.DataFrame(data, index=index, copy=False)

    return _checked(build, frame)


def _checked(build: Build, frame: pd.DataFrame) -> Build:
    pd.testing.assert_frame_equal(pd.DataFrame(frame), build())
    return build


def _ready(column: str, frame: pd.DataFrame) -> Any:
    """A list of Python values; times as pandas takes them fastest, as an array of its own."""
    values: Any = frame.index if column == frame.index.name else frame[column]
    if isinstance(values.dtype, pd.DatetimeTZDtype):
        return values.array
    return values.to_numpy(dtype=object, na_value=None).tolist()


def main() -> None:
    """Measure and print; the numbers are looked at, never asserted."""
    parser = argparse.ArgumentParser(description="What the frames cost, as ratios.")
    parser.add_argument("--chats", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    lines = list(measure_frames(options.chats, options.rounds))
    Console(width=110).print(lines_table(lines))


if __name__ == "__main__":
    main()
