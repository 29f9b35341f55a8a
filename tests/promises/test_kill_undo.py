"""kill -9 at every step of taking a run back: rows as they were or as they should be, and known as such."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import ALICE, BOB, Bench, small_rows, states
from tests.killed import Order, killing, serve
from toolkit import SQLiteStore
from toolkit.records import chat_key, room_key, user_key
from toolkit.writing.undo import history, plan_undo, undo

A1, C1, CB = room_key("!a1"), chat_key(ALICE, "C1"), chat_key(BOB, "C1")
BROKEN = {k: v for k, v in small_rows().items() if k not in (A1, C1, user_key(ALICE))}
BROKEN |= {CB: '{"surface_ref":"!gone",  "mine": 1e400}'}


async def take_back(database: str, run: str) -> None:
    async with SQLiteStore(database) as store:
        await undo(store, run)


@pytest.fixture(scope="module")
def killed() -> Iterator[Order]:
    with killing("tests.promises.test_kill_undo") as order:
        yield order


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
    killed: Order, tmp_path: Path, mode: str, step: str
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(BROKEN, mode)
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        run = (await bench.run(store)).run
    assert run
    applied = bench.bytes()

    assert killed(step, 1, str(bench.path), run) == -9

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


def test_without_a_kill_the_helper_ends_well(killed: Order, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(BROKEN)
    before = bench.bytes()

    async def repair() -> str | None:
        async with SQLiteStore(bench.path) as store:
            return (await bench.run(store)).run

    run = asyncio.run(repair())
    assert run and killed("never", 1, str(bench.path), run) == 0
    assert bench.bytes() == before


if __name__ == "__main__":
    serve(take_back)
