"""Beside a live bot, and beside another toolkit: nobody waits long, nothing is done twice or by halves."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.bench import ALICE, BOT, Bench, small_rows
from tests.clients import TOKEN, nio_client
from tests.promises.test_live_bot import at_once, in_process, wait_for_go
from tests.scenario import right_rows
from toolkit import (
    ChatManager,
    Session,
    SQLiteStore,
    reconcile_matrix_state,
    reconcile_single_room,
)
from toolkit.database.journal import Journal
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver
from toolkit.writing.report import Report

A1, C1, UA = room_key("!a1"), chat_key(ALICE, "C1"), user_key(ALICE)
MODES = pytest.mark.parametrize("mode", ["DELETE", "WAL"])
FULL = bool(os.environ.get("MATRIX_DRIFT_SOAK"))
BUSY_TIMEOUT = 5.0
"""Python's own default, which a bot has that never thought of it."""


def many(path: Path, users: int, mode: str) -> Bench:
    """So many users with five chats each, a fifth of whose room rows are gone."""
    bench = Bench(path)
    rows: dict[str, Any] = {}
    for number in range(users):
        user, space = f"@user{number}:hs", f"!s{number}"
        bench.world.space(space, owner=user)
        chats = {f"C{n}": f"!c{number}-{n}" for n in range(1, 6)}
        for chat_id, room_id in chats.items():
            bench.world.chat(room_id, space, f"Чат {chat_id[1:]}", owner=user)
        rows |= right_rows(user, space, chats)
        del rows[room_key(f"!c{number}-1")]
    bench.fill(rows, mode)
    return bench


# -- the longest stall of the bot -----------------------------------------------------------------


def write_on(database: str) -> None:
    """A bot that writes all the time, until a file says stop; prints its longest write in seconds."""
    longest, writes = 0.0, 0
    stop = Path(f"{database}.stop")
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("INSERT OR REPLACE INTO kv VALUES ('mine', '0')")
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while not stop.exists():
            started = time.monotonic()
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("UPDATE kv SET value = value + 1 WHERE key = 'mine'")
            connection.execute("COMMIT")
            longest = max(longest, time.monotonic() - started)
            writes += 1
            time.sleep(0.002)
    sys.stdout.write(json.dumps([longest, writes]))


@pytest.mark.slow
@MODES
async def test_a_bot_that_writes_all_the_time_waits_less_than_its_busy_timeout(
    tmp_path: Path, mode: str, record_property: Any
) -> None:
    """2,500 chats, or 25,000 with MATRIX_DRIFT_SOAK=1; the longest wait is told on stderr."""
    bench = many(tmp_path / "bot.db", 5_000 if FULL else 500, mode)
    bot = await in_process("tests.promises.test_live", f"write_on({str(bench.path)!r})")
    assert bot.stdout
    assert await bot.stdout.readline() == b"ready\n"
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store, ChatManager(store))
    Path(f"{bench.path}.stop").touch()
    longest, writes = json.loads((await bot.communicate())[0])
    assert {outcome.state for outcome in result.outcomes.values()} == {"applied"}
    assert bench.sql("SELECT value FROM kv WHERE key = 'mine'") == [(str(writes),)]
    record_property("longest_stall", longest)
    sys.stderr.write(f"{mode}: the bot waited {longest:.3f} s at most, in {writes} writes\n")
    assert longest < BUSY_TIMEOUT / 2


# -- two toolkits at once -------------------------------------------------------------------------


def start_up(database: str, url: str) -> None:
    """A bot's start-up in a process of its own, as soon as the others are there; prints its report."""
    path = Path(database)
    wait_for_go()

    async def run() -> Report:
        async with nio_client(url, BOT) as client, SQLiteStore(path) as store:
            return await reconcile_matrix_state(client, store, ChatManager(store))

    sys.stdout.write(json.dumps(asyncio.run(run())))


def meet(database: str, url: str) -> None:
    """The same for one room that the bot meets."""
    path = Path(database)
    wait_for_go()

    async def run() -> Report:
        async with nio_client(url, BOT) as client, SQLiteStore(path) as store:
            return await reconcile_single_room(client, store, ChatManager(store), "!a1", ALICE)

    sys.stdout.write(json.dumps(asyncio.run(run())))


async def twice_at_once(bench: Bench, server: FakeHomeserver, what: str) -> list[Any]:
    call = f"{what}({str(bench.path)!r}, {server.url!r})"
    return await at_once("tests.promises.test_live", call, call)


@MODES
async def test_two_toolkits_at_once_write_every_row_once_and_the_journal_knows_who(
    tmp_path: Path, mode: str
) -> None:
    bench = many(tmp_path / "bot.db", 20, mode)
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        reports = await twice_at_once(bench, server, "start_up")
        async with nio_client(server.url, BOT) as client, SQLiteStore(bench.path) as store:
            again = await reconcile_matrix_state(client, store, ChatManager(store))
    restored = [room for report in reports for room in report["restored_room_meta"]]
    lost = [f"!c{number}-1" for number in range(20)] + ["!a1", "!a2", "!b1"]
    assert sorted(restored) == sorted(lost)
    assert {c["code"] for report in reports for c in report["conflicts"]} <= {"stale_plan"}
    assert again["restored_room_meta"] == [] == again["conflicts"]
    runs = Journal(bench.path).runs()
    applied = [entry.unit for run in runs for entry in run.applied]
    assert len(applied) == len(set(applied)) and set(lost) <= set(applied)
    assert all(run.finished and run.backup and Path(run.backup).exists() for run in runs)


@MODES
async def test_two_processes_that_meet_one_room_restore_it_once(tmp_path: Path, mode: str) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({k: v for k, v in small_rows().items() if k not in (A1, C1, UA)}, mode)
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        reports = await twice_at_once(bench, server, "meet")
    assert [r for report in reports for r in report["restored_room_meta"]] == ["!a1"]
    assert bench.row(A1) == small_rows()[A1] and bench.row(C1) == small_rows()[C1]
    assert {c["code"] for report in reports for c in report["conflicts"]} <= {"stale_plan"}


@pytest.mark.parametrize("rooms", [("!a1", "!a1"), ("!a1", "!a2"), ("!a1",) * 5])
async def test_calls_for_single_rooms_at_once_go_one_after_the_other(
    tmp_path: Path, rooms: tuple[str, ...]
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({k: v for k, v in small_rows().items() if ALICE not in str(v) and k != UA})
    async with (
        FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
        SQLiteStore(bench.path) as store,
    ):
        calls = [
            reconcile_single_room(client, store, ChatManager(store), room_id, ALICE)
            for room_id in rooms
        ]
        reports = await asyncio.gather(*calls)
    restored = [room for report in reports for room in report["restored_room_meta"]]
    assert sorted(restored) == sorted(set(rooms))
    assert [r["restored_user_meta"] for r in reports] == [[ALICE], *[[]] * (len(rooms) - 1)]
    assert not any(report["conflicts"] for report in reports)
    assert bench.row(UA) == {"space_id": "!alice", "next_chat_index": 3}


# -- some of many ---------------------------------------------------------------------------------


async def test_of_five_rooms_of_one_user_the_two_approved_are_written(tmp_path: Path) -> None:
    """And the user row that they need, whose counter knows the rooms that were left alone."""
    bench = Bench(tmp_path / "bot.db")
    for number in range(3, 6):
        bench.world.chat(f"!a{number}", "!alice", f"Чат {number}", owner=ALICE)
    bench.fill({k: v for k, v in small_rows().items() if ALICE not in str(v) and k != UA})
    before = bench.bytes()
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        session = await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
        session.approve(["!a2", "!a4"])
        session.reject("!a5")
        done = await session.apply()
        written = bench.bytes().keys() - before.keys()
        keys = {room_key("!a2"), room_key("!a4"), chat_key(ALICE, "C2"), chat_key(ALICE, "C4"), UA}
        assert written == keys and not done.stale
        assert bench.row(UA)["next_chat_index"] == 6
        frame = session.plan.to_frame()
        assert set(frame.index) == {"!a1", "!a3", "!a5"}
        await session.undo()
    assert bench.bytes() == before
