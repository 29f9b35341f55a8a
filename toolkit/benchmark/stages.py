"""What the toolkit's own work costs, as ratios: `python -m toolkit.benchmark.stages`.

CPU seconds of this process, medians of several rounds; no network on either side. Each line compares
with the least that any program would have to do for the same bytes. Seconds depend on the machine and
its neighbours, ratios hardly.
"""

import argparse
import asyncio
import gc
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from toolkit.benchmark.naive_bot import run_naively, sync_body
from toolkit.benchmark.served import ServedClient
from toolkit.benchmark.worlds import BOT, DRIFT_EVERY, chat_ids, scale_rooms, scale_rows
from toolkit.database.chat_manager import ChatManager
from toolkit.database.look import load_look
from toolkit.database.sql import RowChange
from toolkit.database.store import SQLiteStore
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Plan, RemoteState, RoomState, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.reconcile import reconcile_single_room
from toolkit.records import LocalState, load_records
from toolkit.writing.apply import _Writer, apply_changes
from toolkit.writing.job import new_job
from toolkit.writing.journal import Journal, entries_of

P = ParamSpec("P")
T = TypeVar("T")

SIZES = (1_000, 10_000, 100_000)
UNITS = 500
NAIVE_AT = 10_000


class Line(NamedTuple):
    """One comparison, in CPU seconds, and the ratio that we want to stay below."""

    chats: int
    what: str
    ours: float
    base: float
    bound: float | None

    @property
    def ratio(self) -> float:
        return self.ours / self.base if self.base else float("nan")


def measure(chats: int, rounds: int) -> Iterator[Line]:
    """Local read, decode, plan and apply at one size; the read first, while the heap is small."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bot.db"
        _fill(database, chats)
        yield _read_line(chats, database, rounds)
        bodies = list(scale_rooms(chats))
        yield _one_room_line(chats, database, dict(bodies), rounds)
        yield _decode_line(chats, bodies, rounds)
        remote = RemoteState(BOT, {r: decode_room(r, body) for r, body in bodies})
        local = load_records(_raw_rows(database))
        yield _plan_line(chats, remote, local, rounds)
        plan = plan_repairs(remote, local)
        if len(plan.units) >= UNITS:
            yield from _apply_lines(chats, database, plan, rounds)


def _decode_line(chats: int, bodies: list[tuple[str, bytes]], rounds: int) -> Line:
    return _compare(
        chats,
        "decode against json.loads",
        lambda: [decode_room(room_id, body) for room_id, body in bodies],
        lambda: [json.loads(body) for _, body in bodies],
        rounds,
        0.5,
    )


def _one_room_line(chats: int, database: Path, rooms: dict[str, bytes], rounds: int) -> Line:
    """`reconcile_single_room` of a chat without its room row, against parsing the same answers and one
    look through all rows for the room."""
    met, _, owner = chat_ids(DRIFT_EVERY)
    asked: list[bytes] = []

    async def meet() -> None:
        client: Any = ServedClient(rooms)
        await reconcile_single_room(client, store, ChatManager(store), met, owner, dry_run=True)
        asked[:] = client.answers

    def base() -> list[object]:
        with _connected(database) as connection:
            rows = connection.execute("SELECT * FROM kv WHERE instr(value, ?)", (met,)).fetchall()
        return [*map(json.loads, asked), rows]

    store = SQLiteStore(database)
    with asyncio.Runner() as runner:
        runner.run(store.open())
        runner.run(meet())
        what = f"one room, {len(asked)} requests, against the same"
        line = _compare(chats, what, lambda: runner.run(meet()), base, rounds, None)
        runner.run(store.close())
    return line


def _plan_line(chats: int, remote: RemoteState, local: LocalState, rounds: int) -> Line:
    parsed = {key: json.loads(value) for key, value in local.rows.items() if isinstance(value, str)}
    return _compare(
        chats,
        "plan against comparing dicts",
        lambda: plan_repairs(remote, local),
        lambda: _compare_dicts(remote, parsed),
        rounds,
        3.0,
    )


def _compare(
    chats: int,
    what: str,
    ours: Callable[[], object],
    base: Callable[[], object],
    rounds: int,
    bound: float | None,
) -> Line:
    """Both in turn, so that a busy neighbour hits both; the medians."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for taken, run in zip(times, (ours, base), strict=True):
            taken.append(_cpu(run))
    return Line(chats, what, statistics.median(times[0]), statistics.median(times[1]), bound)


def _cpu(run: Callable[[], object]) -> float:
    with _without_others():
        begun = time.process_time()
        kept = run()  # freeing it is the caller's affair in both cases
        taken = time.process_time() - begun
    del kept
    return taken


@contextmanager
def _without_others() -> Iterator[None]:
    """The collector leaves alone what was there before: the benchmark's own data of both sides."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def _read_line(chats: int, database: Path, rounds: int) -> Line:
    def ours() -> list[LocalState]:
        found: list[LocalState] = []  # asyncio.run formats what a coroutine returns, all of it

        async def read() -> None:
            async with SQLiteStore(database, read_only=True) as store:
                found.append(load_records(await store.load_rows()))

        asyncio.run(read())
        return found

    return _compare(
        chats, "local read against fetchall", ours, lambda: _raw_rows(database), rounds, 5.0
    )


def _raw_rows(database: Path) -> list[tuple[str, str]]:
    with _connected(database) as connection:
        return connection.execute("SELECT key, value FROM kv").fetchall()


def _compare_dicts(remote: RemoteState, rows: dict[str, dict[str, Any]]) -> list[object]:
    """The naive diff: build the rows that should be, compare with those that are, both ways."""
    expected: dict[str, dict[str, Any]] = {}
    for room in remote.rooms.values():
        if not room.is_space:
            _expect(room, expected)
    found: list[object] = []
    for key, fields in expected.items():
        row = rows.get(key)
        if row is None:
            found.append(("missing", key))
        elif any(row.get(field) != value for field, value in fields.items()):
            found.append(("different", key))
    found += [("extra", key) for key in rows if key not in expected]
    return found


def _expect(room: RoomState, expected: dict[str, dict[str, Any]]) -> None:
    owner = next(member.user_id for member in room.members if member.user_id != BOT)
    space_id, number = room.parents[0].target, int((room.name or "").rpartition(" ")[2])
    chat_id = f"C{number}"
    expected[f"matrix_room:{room.room_id}"] = {
        "room_type": "chat",
        "chat_id": chat_id,
        "display_name": room.name,
        "matrix_user_id": owner,
        "space_id": space_id,
    }
    expected[f"chat:{owner}:{chat_id}"] = {
        "user_id": owner,
        "chat_id": chat_id,
        "platform": "matrix",
        "surface_ref": room.room_id,
    }
    user = expected.setdefault(f"matrix_user:{owner}", {"space_id": space_id, "next_chat_index": 1})
    user["next_chat_index"] = max(user["next_chat_index"], number + 1)


def _apply_lines(chats: int, database: Path, plan: Plan, rounds: int) -> Iterator[Line]:
    """500 units through the writer against one executemany of the same rows.

    Both on the same terms: begun on an open connection that has read the whole table, which is what
    a plan comes from; ended when it is closed, since closing moves the write-ahead log into the file.
    """
    units = [unit for unit in plan.units if unit.change][:UNITS]
    rows = [RowChange(w.key, w.before, w.after) for u in units for w in u.writes]
    times: dict[str, list[float]] = {"ours": [], "aside": [], "base": []}
    for _ in range(rounds):
        ours, aside = asyncio.run(_apply_ours(database, plan, units))
        _reset(database, rows)
        times["ours"].append(ours - aside)
        times["aside"].append(aside)
        times["base"].append(_apply_bare(database, rows))
        _reset(database, rows)
    ours, aside, base = (statistics.median(times[name]) for name in ("ours", "aside", "base"))
    yield Line(chats, f"apply {UNITS} units against executemany", ours, base, 2.0)
    yield Line(chats, "  its backup and journal, against the same", aside, base, None)


class _Aside:
    """CPU seconds spent in backup and journal, which the bare write has nothing of."""

    def __init__(self) -> None:
        self.seconds = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        begun = time.process_time()
        yield
        self.seconds += time.process_time() - begun

    def counting(self, function: Callable[P, T]) -> Callable[P, T]:
        """The same function, its time counted; as a plain one, so that it can stand for a method."""

        def counted(*args: P.args, **options: P.kwargs) -> T:
            with self.counted():
                return function(*args, **options)

        return counted


async def _apply_ours(database: Path, plan: Plan, units: list[Unit]) -> tuple[float, float]:
    aside = _Aside()

    class TimedStore(SQLiteStore):
        async def backup(self, directory: Path | None = None, *, keep: int = 5, name: str) -> Path:
            with aside.counted():
                return await super().backup(directory, keep=keep, name=name)

    async with TimedStore(database) as store:
        job = new_job(plan, units, await load_look(store), "benchmark", datetime.now(UTC))
        with (
            patch("toolkit.writing.apply.entries_of", aside.counting(entries_of)),
            patch("toolkit.writing.apply.Journal.begin", aside.counting(Journal.begin)),
            patch("toolkit.writing.apply._Writer._finish", aside.counting(_Writer._finish)),
            _without_others(),
        ):
            begun = time.process_time()
            result = await apply_changes(job, store, ChatManager(store))
            await store.close()
            taken = time.process_time() - begun
    assert all(outcome.applied for outcome in result.outcomes.values())
    return taken, aside.seconds


def _apply_bare(database: Path, rows: list[RowChange]) -> float:
    with _connected(database) as connection:
        look = dict(connection.execute("SELECT key, value FROM kv"))
        with _without_others():
            begun = time.process_time()
            connection.executemany(
                "INSERT INTO kv VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
                [(row.key, row.after) for row in rows],
            )
            connection.commit()
            connection.close()
            taken = time.process_time() - begun
    del look
    return taken


def _reset(database: Path, rows: list[RowChange]) -> None:
    with _connected(database) as connection:
        for row in rows:
            if row.before is None:
                connection.execute("DELETE FROM kv WHERE key = ?", (row.key,))
            else:
                connection.execute("UPDATE kv SET value = ? WHERE key = ?", (row.before, row.key))
        connection.commit()


def measure_whole(chats: int) -> Iterator[Line]:
    """All of a start-up, from the bytes that came in to the rows written, against naive bot code."""
    bodies = list(scale_rooms(chats))
    sync = sync_body(bodies)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = Path(folder) / "ours.db", Path(folder) / "naive.db"
        _fill(ours, chats)
        _fill(theirs, chats)
        taken = _cpu(lambda: asyncio.run(_whole(bodies, ours)))
        naive = _cpu(lambda: asyncio.run(run_naively(sync, theirs)))
        repaired = [dict(_raw_rows(database)).keys() for database in (ours, theirs)]
        assert repaired[0] == repaired[1], "both must bring back the same rows"
        yield Line(chats, "the whole against naive bot code", taken, naive, 0.05)


async def _whole(bodies: list[tuple[str, bytes]], database: Path) -> None:
    async with SQLiteStore(database) as store:
        look = await load_look(store)
        remote = RemoteState(BOT, {room_id: decode_room(room_id, body) for room_id, body in bodies})
        plan = plan_repairs(remote, load_records(look.rows.items()), lower_counters=True)
        units = [unit for unit in plan.units if unit.certain]
        job = new_job(plan, units, look, "benchmark", datetime.now(UTC))
        await apply_changes(job, store, ChatManager(store))


def _fill(database: Path, chats: int) -> None:
    with _connected(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        connection.executemany("INSERT INTO kv VALUES (?, ?)", scale_rows(chats))
        connection.commit()


def _connected(database: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(database))


def render_lines(lines: list[Line]) -> Table:
    """The table that goes into the README and the closing notes."""
    table = Table("chats", "what", "ours, CPU s", "base, CPU s", "ratio", "wanted")
    for line in lines:
        wanted = "" if line.bound is None else f"≤ {line.bound:g}"
        table.add_row(
            f"{line.chats:,}",
            line.what,
            f"{line.ours:.3f}",
            f"{line.base:.3f}",
            f"{line.ratio:.3f}",
            wanted,
        )
    return table


def main() -> None:
    """Measure and print; the numbers are looked at, never asserted."""
    parser = argparse.ArgumentParser(description="What the toolkit's own work costs, as ratios.")
    parser.add_argument("--chats", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-naive", action="store_true", help="leave out the slow comparison")
    options = parser.parse_args()
    lines: list[Line] = []
    for chats in options.chats:
        lines += measure(chats, options.rounds)
    if not options.no_naive:
        lines += measure_whole(NAIVE_AT)
    Console(width=110).print(render_lines(lines))


if __name__ == "__main__":
    main()
