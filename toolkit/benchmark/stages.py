"""What the toolkit's own work costs between the network and the disk, as ratios.

Each line compares with the least that any program would have to do for the same bytes.
"""

import asyncio
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from toolkit.benchmark.lines import Line, compare
from toolkit.benchmark.worlds import BOT, DRIFT_EVERY, scale_rooms, scale_rows
from toolkit.database.chat_manager import ChatManager
from toolkit.database.look import load_look
from toolkit.database.sql import RowChange
from toolkit.database.store import SQLiteStore
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Plan, RemoteState, RoomState, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.records import LocalState, load_records
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import new_job

UNITS = 500


def measure(chats: int, rounds: int) -> Iterator[Line]:
    """Local read, decode, plan and apply at one size; the read first, while the heap is small."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bot.db"
        fill(database, chats)
        yield _read_line(chats, database, rounds)
        bodies = list(scale_rooms(chats))
        yield _decode_line(chats, bodies, rounds)
        remote = RemoteState(BOT, {r: decode_room(r, body) for r, body in bodies})
        local = load_records(_raw_rows(database))
        yield _plan_line(chats, remote, local, rounds)
        plan = plan_repairs(remote, local)
        if len(plan.units) >= UNITS:
            yield _apply_line(chats, database, plan, rounds)


def _decode_line(chats: int, bodies: list[tuple[str, bytes]], rounds: int) -> Line:
    known: dict[str, str] = {}

    def parse() -> None:
        for _, body in bodies:
            json.loads(body)  # and forgotten at once

    return compare(
        chats,
        "decode against json.loads of one room at a time",
        lambda: [decode_room(room_id, body, None, known) for room_id, body in bodies],
        parse,
        rounds,
        0.5,
    )


def _plan_line(chats: int, remote: RemoteState, local: LocalState, rounds: int) -> Line:
    parsed = {key: json.loads(value) for key, value in local.rows.items() if isinstance(value, str)}
    return compare(
        chats,
        "plan against comparing dicts",
        lambda: plan_repairs(remote, local),
        lambda: _compare_dicts(remote, parsed),
        rounds,
        3.0,
    )


def _read_line(chats: int, database: Path, rounds: int) -> Line:
    def ours() -> list[LocalState]:
        found: list[LocalState] = []  # asyncio.run formats what a coroutine returns, all of it

        async def read() -> None:
            async with SQLiteStore(database, read_only=True) as store:
                found.append(load_records(await store.load_rows()))

        asyncio.run(read())
        return found

    return compare(
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


def _apply_line(chats: int, database: Path, plan: Plan, rounds: int) -> Line:
    """500 units through the writer, its backup and journal included, against the least with a backup.

    Both on the same terms: begun on an open connection that has read the whole table, which is what
    a plan comes from; ended when it is closed, since closing moves the write-ahead log into the file.
    """
    units = [unit for unit in plan.units if unit.writes][:UNITS]
    rows = [RowChange(w.key, w.before, w.after) for u in units for w in u.writes]
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        times[0].append(asyncio.run(_apply_ours(database, plan, units)))
        _reset(database, rows)
        times[1].append(_apply_bare(database, rows))
        _reset(database, rows)
    ours, base = map(statistics.median, times)
    return Line(chats, f"apply {UNITS} units against backup and executemany", ours, base, 2.0)


async def _apply_ours(database: Path, plan: Plan, units: list[Unit]) -> float:
    async with SQLiteStore(database) as store:
        job = new_job(plan, units, await load_look(store), "benchmark", datetime.now(UTC))
        begun = time.process_time()
        result = await apply_changes(job, store, ChatManager(store))
        await store.close()
        taken = time.process_time() - begun
    assert all(outcome.applied for outcome in result.outcomes.values())
    return taken


def _apply_bare(database: Path, rows: list[RowChange]) -> float:
    copy = database.with_suffix(".copy")
    with _connected(database) as connection, _connected(copy) as backup:
        look = dict(connection.execute("SELECT key, value FROM kv"))
        begun = time.process_time()
        connection.backup(backup)
        connection.executemany(
            "INSERT INTO kv VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value",
            [(row.key, row.after) for row in rows],
        )
        connection.commit()
        connection.close()
        taken = time.process_time() - begun
    del look
    copy.unlink()
    return taken


def _reset(database: Path, rows: list[RowChange]) -> None:
    with _connected(database) as connection:
        for row in rows:
            if row.before is None:
                connection.execute("DELETE FROM kv WHERE key = ?", (row.key,))
            else:
                connection.execute("UPDATE kv SET value = ? WHERE key = ?", (row.before, row.key))
        connection.commit()


def fill(database: Path, chats: int, *, drift_every: int = DRIFT_EVERY) -> None:
    """Make the bot's database of that world."""
    with _connected(database) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        connection.executemany(
            "INSERT INTO kv VALUES (?, ?)", scale_rows(chats, drift_every=drift_every)
        )
        connection.commit()


def _connected(database: Path) -> closing[sqlite3.Connection]:
    return closing(sqlite3.connect(database))
