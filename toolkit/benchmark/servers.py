"""What rows on a PostgreSQL server cost the client beside the same rows in SQLite, and beside the least.

The server's own work isn't in the CPU; in the seconds on the clock it is.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from toolkit.benchmark.lines import Line
from toolkit.benchmark.stages import UNITS, fill
from toolkit.benchmark.worlds import BOT, scale_rooms, scale_rows
from toolkit.database.look import load_look
from toolkit.database.postgres.store import PostgresStore
from toolkit.database.sql import RowChange
from toolkit.database.store import SQLiteStore
from toolkit.homeserver.room_state import decode_room
from toolkit.model import RemoteState, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.records import Raw, load_records
from toolkit.testing.postgres import Postgres
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import new_job

Load = Callable[[], Awaitable[list[tuple[str, Raw]]]]
Taken = tuple[float, float]
"""Seconds of CPU, and on the clock."""


def measure_servers(chats: int, rounds: int) -> Iterator[Line]:
    """Bulk read and apply; nothing where no server is installed."""
    if Postgres.programs() is None:
        return
    with Postgres.start() as server, tempfile.TemporaryDirectory() as folder:
        yield from asyncio.run(_measure(chats, rounds, server.new_database(), Path(folder)))


async def _measure(chats: int, rounds: int, dsn: str, folder: Path) -> list[Line]:
    database = folder / "bot.db"
    fill(database, chats)
    _fill_server(dsn, chats)
    store = PostgresStore(dsn, beside=folder / "server")
    unsaved = _Unsaved(dsn, beside=folder / "server")
    async with store, unsaved, SQLiteStore(database, read_only=True) as file:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(await _read(store.load_rows))
            theirs.append(await _read(file.load_rows))
        units, rows = await _repairs(chats, store)
        saved, bare = await _compare(rounds, store, units, rows, folder / "copy")
        alone, barest = await _compare(rounds, unsaved, units, rows, None)
    what = f"apply {UNITS} units on PostgreSQL"
    full, less = f"{what} against COPY and executemany", f"{what}, no backup, against executemany"
    return [
        _line(chats, "rows from PostgreSQL against SQLite", ours, theirs, 0, 1.2),
        _line(chats, f"{full}, CPU", saved, bare, 0, 2.0),
        _line(chats, f"{full}, wall", saved, bare, 1, 2.0),
        _line(chats, f"{less}, CPU", alone, barest, 0, 2.0),
        _line(chats, f"{less}, wall", alone, barest, 1, 2.0),
    ]


class _Unsaved(PostgresStore):
    """Makes no backup, which half of a run's time goes into."""

    async def backup(
        self, directory: Path | None = None, *, name: str, by_bot: bool = False
    ) -> Path:
        return self.beside.with_name(name)


async def _compare(
    rounds: int, store: PostgresStore, units: list[Unit], rows: list[RowChange], copy: Path | None
) -> tuple[list[Taken], list[Taken]]:
    """The writer and the least, by turns."""
    applied, bare = [], []
    for _ in range(rounds):
        applied.append(await _apply(store, units))
        _reset(store.address, rows)
        bare.append(_bare(store.address, rows, copy))
        _reset(store.address, rows)
    return applied, bare


def _line(
    chats: int, what: str, ours: list[Taken], base: list[Taken], which: int, bound: float
) -> Line:
    medians = [statistics.median(taken[which] for taken in times) for times in (ours, base)]
    return Line(chats, what, medians[0], medians[1], bound)


async def _read(load: Load) -> Taken:
    begun = time.process_time(), time.perf_counter()
    rows = await load()
    taken = time.process_time() - begun[0], time.perf_counter() - begun[1]
    del rows
    return taken


async def _repairs(chats: int, store: PostgresStore) -> tuple[list[Unit], list[RowChange]]:
    """Some units that lack their rows."""
    remote = RemoteState(BOT, {r: decode_room(r, body) for r, body in scale_rooms(chats)})
    plan = plan_repairs(remote, load_records(await store.load_rows()))
    units = [unit for unit in plan.units if unit.writes][:UNITS]
    return units, [RowChange(w.key, w.before, w.after) for u in units for w in u.writes]


async def _apply(store: PostgresStore, units: list[Unit]) -> Taken:
    """The writer with its backup, its journal and its locks, on a connection that has read the table."""
    look = await load_look(store)
    plan = plan_repairs(RemoteState(BOT, {}), load_records({}))
    job = new_job(plan, units, look, "benchmark", datetime.now(UTC))
    begun = time.process_time(), time.perf_counter()
    result = await apply_changes(job, store, None)
    taken = time.process_time() - begun[0], time.perf_counter() - begun[1]
    assert all(outcome.applied for outcome in result.outcomes.values())
    return taken


def _bare(dsn: str, rows: list[RowChange], copy: Path | None) -> Taken:
    """One `executemany`, perhaps after a copy of the table on disk."""
    with psycopg.connect(dsn) as connection:
        connection.execute("SELECT 1")
        begun = time.process_time(), time.perf_counter()
        with connection.cursor() as cursor:
            if copy:
                with copy.open("wb") as file, cursor.copy("COPY kv TO STDOUT") as pieces:
                    for piece in pieces:
                        file.write(piece)
            cursor.executemany(
                "INSERT INTO kv VALUES (%s, %s) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
                [(row.key, row.after) for row in rows],
            )
        connection.commit()
        return time.process_time() - begun[0], time.perf_counter() - begun[1]


def _reset(dsn: str, rows: list[RowChange]) -> None:
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        new = [(row.key,) for row in rows if row.before is None]
        cursor.executemany("DELETE FROM kv WHERE key = %s", new)
        old = [(row.before, row.key) for row in rows if row.before is not None]
        cursor.executemany("UPDATE kv SET value = %s WHERE key = %s", old)


def _fill_server(dsn: str, chats: int) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("CREATE TABLE kv (key text PRIMARY KEY, value text)")
        with connection.cursor().copy("COPY kv FROM STDIN") as copy:
            for row in scale_rows(chats):
                copy.write_row(row)
        connection.execute("ANALYZE kv")
