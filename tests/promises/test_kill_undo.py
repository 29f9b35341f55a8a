"""kill -9 at every step of taking a run back: rows as they were or as they should be, and known as such."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.bench import ALICE, BOB, Bench, small_rows, states
from tests.killed import arm
from toolkit import SQLiteStore
from toolkit.records import chat_key, room_key, user_key
from toolkit.writing.undo import history, plan_undo, undo

A1, C1, CB = room_key("!a1"), chat_key(ALICE, "C1"), chat_key(BOB, "C1")
BROKEN = {k: v for k, v in small_rows().items() if k not in (A1, C1, user_key(ALICE))}
BROKEN |= {CB: '{"surface_ref":"!gone",  "mine": 1e400}'}


class Killed(Protocol):
    def __call__(self, bench: Bench, step: str, run: str) -> int: ...


def serve() -> None:
    """Read orders, and answer each with the exit code of the fork that took the run back."""
    for line in sys.stdin:
        database, step, run = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                arm(step, 1)
                asyncio.run(take_back(Path(database), run))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


async def take_back(database: Path, run: str) -> None:
    async with SQLiteStore(database) as store:
        await undo(store, run)


@pytest.fixture(scope="module")
def killed() -> Iterator[Killed]:
    command = [sys.executable, "-c", "from tests.promises.test_kill_undo import serve; serve()"]
    root = Path(__file__).parent.parent.parent
    with subprocess.Popen(
        command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as helper:
        assert helper.stdin and helper.stdout

        def order(bench: Bench, step: str, run: str) -> int:
            assert helper.stdin and helper.stdout
            helper.stdin.write(json.dumps([str(bench.path), step, run]) + "\n")
            helper.stdin.flush()
            return int(helper.stdout.readline())

        yield order
        helper.stdin.close()


STEPS = {
    f"{when} {step}": told
    for step, befores in {
        "backup": (None, None),
        "begin": (None, "not applied"),
        "write": ("not applied", "not applied"),
        "commit": ("not applied", "applied"),
        "finish": ("applied", "applied"),
    }.items()
    for when, told in zip(("before", "after"), befores, strict=True)
}


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("step", STEPS)
async def test_after_a_kill_rows_are_whole_and_the_undo_can_be_finished_or_taken_back(
    killed: Killed, tmp_path: Path, mode: str, step: str
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(BROKEN, mode)
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        run = (await bench.run(store)).run
    assert run
    applied = bench.bytes()

    assert killed(bench, step, run) == -9

    assert bench.sql("PRAGMA integrity_check") == [("ok",)]
    told = STEPS[step]
    assert bench.bytes() == (before if told == "applied" else applied)
    async with SQLiteStore(bench.path) as store:
        runs = await history(store)
        assert runs[0].id == run and {e.outcome for e in runs[0].entries} == {"applied"}
        outcomes = {entry.outcome for entry in runs[-1].entries} if len(runs) > 1 else {None}
        assert outcomes == {told}
        if told == "applied":
            assert not [unit for unit in (await plan_undo(store, run)).units if unit.change]
            await undo(store, runs[-1].id)
            assert bench.bytes() == applied
        else:
            _, result = await undo(store, run)
            assert set(states(result).values()) == {"applied"}
            assert bench.bytes() == before


def test_without_a_kill_the_helper_ends_well(killed: Killed, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(BROKEN)
    before = bench.bytes()

    async def repair() -> str | None:
        async with SQLiteStore(bench.path) as store:
            return (await bench.run(store)).run

    run = asyncio.run(repair())
    assert run and killed(bench, "never", run) == 0
    assert bench.bytes() == before
