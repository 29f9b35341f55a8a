"""A bot goes on writing while its rows are repaired: none of its updates is lost, none fails."""

import asyncio
import json
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from itertools import count, cycle
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.bench import ALICE, BOB, Bench, small_rows, text
from tests.scenario import right_rows
from toolkit import ChatManager, SQLiteStore
from toolkit.records import chat_key, room_key, user_key

CHATS = 24
ROOT = Path(__file__).parent.parent.parent


def big_bench(path: Path) -> Bench:
    """Alice has many chats."""
    bench = Bench(path)
    for number in range(3, CHATS + 1):
        bench.world.chat(f"!a{number}", "!alice", f"Чат {number}", owner=ALICE)
    return bench


def big_rows() -> dict[str, Any]:
    chats = {f"C{number}": f"!a{number}" for number in range(1, CHATS + 1)}
    rows = small_rows() | right_rows(ALICE, "!alice", chats)
    return {key: {**row, "bot": 0} for key, row in rows.items()}


def hammer(database: str, seconds: float) -> None:
    """The bot: reads a row, counts up, spoils a field, writes it back; prints what it committed.

    It ends after so long, or before that if its input does.
    """
    done, failed = Counter[str](), 0
    keys = [chat_key(ALICE, f"C{n}") for n in range(1, CHATS + 1)]
    keys += [room_key(f"!a{n}") for n in range(1, CHATS + 1)] + [user_key(BOB)]
    turns = zip(count(), cycle((0.001, 0.001, 0.001, 0.003, 0.01)), strict=False)
    spoil: dict[str, dict[str, Any]] = {
        "c": {"surface_ref": "!gone"},
        "r": {"display_name": 7},
        "u": {"next_chat_index": 1},
    }
    end = time.monotonic() + seconds
    enough = Thread(target=sys.stdin.read, daemon=True)
    enough.start()
    with closing(sqlite3.connect(database, timeout=5, isolation_level=None)) as connection:
        while time.monotonic() < end and enough.is_alive():
            turn, pause = next(turns)
            key = keys[turn // 4 * 17 % len(keys)]  # the same row a few times in a row
            try:
                connection.execute("BEGIN IMMEDIATE")
                query = "SELECT value FROM kv WHERE key = ?"
                row = json.loads(connection.execute(query, (key,)).fetchone()[0])
                row |= {"bot": row["bot"] + 1} | spoil[key[0] if key[0] != "m" else key[7]]
                connection.execute("UPDATE kv SET value = ? WHERE key = ?", (text(row), key))
                connection.execute("COMMIT")
                done[key] += 1
            except sqlite3.OperationalError:
                failed += 1
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            time.sleep(pause)
    sys.stdout.write(json.dumps({"failed": failed, "done": done}))


def wait_for_go() -> None:
    """Say that this process is up, and wait until all are."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()


async def in_process(module: str, call: str) -> asyncio.subprocess.Process:
    """Start a function of the tests in a process of its own."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"import {module} as m; m.{call}",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )


async def at_once(module: str, *calls: str) -> list[Any]:
    """What the functions print, each in a process of its own, which all go on from `wait_for_go` at once."""
    processes = [await in_process(module, call) for call in calls]
    for process in processes:
        assert process.stdout and await process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin
        process.stdin.write(b"go\n")
    return [json.loads((await process.communicate())[0]) for process in processes]


async def repair_beside_the_bot(
    path: Path, mode: str, seconds: float, enough: Callable[[Counter[str]], bool] = lambda _: False
) -> Counter[str]:
    """Repair over and over while the bot writes, so long or until it is enough; how many units ended how."""
    bench = big_bench(path)
    bench.fill(big_rows(), mode)
    bot = await in_process("tests.promises.test_live_bot", f"hammer({str(path)!r}, {seconds})")
    assert bot.stdin and bot.stdout
    told = asyncio.create_task(bot.stdout.read())
    states = Counter[str]()
    async with SQLiteStore(path) as store:
        while not told.done():
            result = await bench.run(store, ChatManager(store))
            states.update(outcome.state for outcome in result.outcomes.values())
            if enough(states):
                bot.stdin.close()
            await asyncio.sleep(0.005)
        await bench.run(store, ChatManager(store))
    said = json.loads(await told)
    assert await bot.wait() == 0
    assert said["failed"] == 0
    assert {key: bench.row(key)["bot"] for key in said["done"]} == said["done"]
    right = {key: {**row, "bot": said["done"].get(key, 0)} for key, row in big_rows().items()}
    assert {key: bench.row(key) for key in right} == right
    return states


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_no_update_of_a_live_bot_is_lost_and_none_fails(tmp_path: Path, mode: str) -> None:
    states = await repair_beside_the_bot(tmp_path / "bot.db", mode, 1.5)
    assert states["applied"] > 0
    assert states.keys() <= {"applied", "stale"}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_in_a_long_time_there_are_both_repairs_and_stale_plans(
    tmp_path: Path, mode: str
) -> None:
    def enough(states: Counter[str]) -> bool:
        return states["applied"] > 20 and states["stale"] > 0

    assert enough(await repair_beside_the_bot(tmp_path / "bot.db", mode, 60, enough))


def repair(database: str) -> None:
    """One of several processes that repair the same file as soon as all are there."""
    path = Path(database)
    wait_for_go()

    async def run() -> None:
        async with SQLiteStore(path) as store:
            result = await big_bench(path).run(store, ChatManager(store))
        states = Counter(outcome.state for outcome in result.outcomes.values())
        sys.stdout.write(json.dumps(states))

    asyncio.run(run())


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_two_processes_on_one_file_both_finish_and_nothing_is_lost(
    tmp_path: Path, mode: str
) -> None:
    bench = big_bench(tmp_path / "bot.db")
    bench.fill({}, mode)
    call = f"repair({str(bench.path)!r})"
    said = await at_once("tests.promises.test_live_bot", call, call)
    assert sum(states.get("applied", 0) for states in said) == CHATS + 3
    assert {s for states in said for s in states} <= {"applied", "stale"}
    right = {k: {f: v for f, v in row.items() if f != "bot"} for k, row in big_rows().items()}
    assert {key: bench.row(key) for key in bench.bytes()} == right
