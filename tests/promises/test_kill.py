"""kill -9 at every step of the writer: rows as they were or as they should be (design.md)."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import ALICE, Bench, Mine, SyncManager, small_rows
from tests.killed import Order, killing
from toolkit import SQLiteStore
from toolkit.records import chat_key, room_key, user_key
from toolkit.writing.undo import history, undo

A1, C1, U = room_key("!a1"), chat_key(ALICE, "C1"), user_key(ALICE)
BROKEN = {k: v for k, v in small_rows().items() if k not in (A1, C1, U)}
BROKEN |= {chat_key(ALICE, "C2"): '{"surface_ref":"!gone",  "mine": 1e400}'}
RIGHT = {key: row for key, row in small_rows().items() if key != chat_key(ALICE, "C2")}


@pytest.fixture(scope="module")
def killed() -> Iterator[Order]:
    """Run the writer until it is killed; its exit code."""
    with killing("tests.killed") as order:
        yield order


NOTHING: set[str] = set()
NOT = {"not applied"}
ALL = {"applied"}
HALF = {"not applied", "unfinished"}
CASES = [
    # manager, step, how often it is passed before, what the history tells afterwards
    *[
        (manager, step, 1, told)
        for manager in ("none", "own", "foreign")
        for step, told in (
            ("before backup", NOTHING),
            ("after backup", NOTHING),
            ("before begin", NOTHING),
            ("after begin", NOT),
            ("after commit", ALL),
            ("before finish", ALL),
            ("after finish", ALL),
        )
    ],
    *[
        (manager, step, 1, told)
        for manager, told in (("none", NOT), ("own", NOT), ("foreign", HALF))
        for step in ("before write", "after write", "before commit")
    ],
    *[
        (manager, f"{when} write", 2, told)
        for manager, told in (("own", NOT), ("foreign", HALF))
        for when in ("before", "after")
    ],
    ("own", "before own", 1, NOT),
    ("own", "after own", 1, NOT),
    ("own", "before begin", 2, NOT),
    ("own", "after begin", 2, NOT),
    ("foreign", "before foreign", 1, NOT),
    ("foreign", "after foreign", 1, HALF),
    ("foreign", "before begin", 2, HALF),
    ("foreign", "after begin", 2, HALF),
]


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize(("manager", "step", "calls", "told"), CASES)
async def test_after_a_kill_rows_are_whole_history_knows_and_the_next_run_finishes(
    killed: Order, tmp_path: Path, mode: str, manager: str, step: str, calls: int, told: set[str]
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(BROKEN, mode)
    before = bench.bytes()

    assert killed(step, calls, str(bench.path), manager) == -9

    assert bench.sql("PRAGMA integrity_check") == [("ok",)]
    after = bench.bytes()
    if told == ALL:
        assert all(bench.row(key).items() >= row.items() for key, row in RIGHT.items())
    else:
        extra = {C1} if told == HALF else set()
        assert {key: value for key, value in after.items() if key not in extra} == before
        assert extra <= after.keys()

    async with SQLiteStore(bench.path) as store:
        runs = await history(store)
        assert {entry.outcome for run in runs for entry in run.entries} == told
        managers = {"none": None, "own": Mine(store), "foreign": SyncManager(bench.path)}
        await bench.run(store, managers[manager])
        for key, row in RIGHT.items():
            assert bench.row(key).items() >= row.items()
        assert (await bench.run(store, managers[manager])).outcomes == {}
        again = await history(store)
        assert [r.entries for r in again[: len(runs)]] == [r.entries for r in runs]

        if told == ALL:
            await undo(store, runs[0].id)
            left = {k: v for k, v in bench.bytes().items() if not k.startswith("audit:")}
            assert left == before


async def test_without_a_kill_the_writer_ends_well(killed: Order, tmp_path: Path) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(BROKEN)
    assert killed("never", 0, str(bench.path), "foreign") == 0
    assert bench.row(A1) == small_rows()[A1]
