"""Taking a run back: rows as they were, to the byte, and nothing that was written since."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.bench import ALICE, B1, Bench, small_rows, states
from toolkit import SQLiteStore, StoreError
from toolkit.database.journal import Run, RunJournal
from toolkit.model import Choices, Status
from toolkit.records import NULL, Raw, chat_key, room_key, user_key
from toolkit.writing.undo import history, plan_undo, undo

A1, C1 = room_key("!a1"), chat_key(ALICE, "C1")
CLEAN = {k: v for k, v in small_rows().items() if k not in (A1, user_key(ALICE))}
BROKEN = CLEAN | {C1: '{"surface_ref":"!gone",  "mine": 1e400}', room_key("!b1"): b"\xff{"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path / "bot.db")
    found.fill(BROKEN)
    return found


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore(bench.path) as found:
        yield found


async def repaired(bench: Bench, store: SQLiteStore) -> str:
    """Repair everything; the run's name."""
    result = await bench.run(store, choices={"!b1": Choices(overwrite=True)})
    assert set(states(result).values()) == {"applied"}
    assert result.run
    return result.run


async def test_undo_puts_every_row_back_to_the_byte(bench: Bench, store: SQLiteStore) -> None:
    before = bench.bytes()
    run = await repaired(bench, store)
    assert bench.bytes() != before
    plan, result = await undo(store, run, by="eva")
    assert set(states(result).values()) == {"applied"}
    assert [unit.id for unit in plan.units] == ["!a1", "!b1", ALICE]
    assert bench.bytes() == before


READABLE = json.dumps(small_rows()[C1] | {"surface_ref": "!gone", "mine": 1})
STORED: list[Raw] = [
    *(NULL, "", "NULL", "{", "caf\udce9", "nul\0nul", b"", b"{", b"\xff\x00", 7, 1.5, float("inf")),
    *(READABLE, READABLE.encode()),
]


@pytest.mark.parametrize("column", ["value TEXT", "value BLOB", "value", "value JSON"])
@pytest.mark.parametrize("stored", STORED, ids=map(ascii, range(len(STORED))))
async def test_whatever_stood_in_a_row_undo_puts_back_with_its_type(
    tmp_path: Path, column: str, stored: Raw
) -> None:
    """Also what stands in a column of another type: a BLOB in one of TEXT, or NULL."""
    bench = Bench(tmp_path / "bot.db")
    bench.sql(f"CREATE TABLE kv (key TEXT PRIMARY KEY, {column})")
    bench.put(small_rows())
    bench.put({C1: "" if stored is NULL else stored})
    if stored is NULL:
        bench.sql(f"UPDATE kv SET value = NULL WHERE key = '{C1}'")
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store, choices={"!a1": Choices(overwrite=True)})
        assert states(result) == {"!a1": "applied"} and result.run
        after = bench.bytes()
        assert after[C1][0] == ("blob" if before[C1][0] == "blob" else "text")
        assert bench.row(C1)["surface_ref"] == "!a1"
        assert after | {C1: before[C1]} == before
        _, back = await undo(store, result.run)
        assert states(back) == {"!a1": "applied"} and bench.bytes() == before
        assert back.run
        await undo(store, back.run)
        assert bench.bytes() == after


async def test_a_row_that_somebody_made_null_since_stays(bench: Bench, store: SQLiteStore) -> None:
    """It is neither as the run left it, nor as it was before: no row."""
    run = await repaired(bench, store)
    bench.sql(f"UPDATE kv SET value = NULL WHERE key = '{A1}'")
    plan, result = await undo(store, run)
    assert "!a1" not in result.outcomes and bench.bytes()[A1][0] == "null"
    [left] = [unit for unit in plan.units if unit.change is None]
    assert [finding.cause for finding in left.findings] == [
        "the row was written again after the run; undoing it would lose that, so it stays as it is"
    ]


async def test_looking_at_an_undo_writes_nothing(bench: Bench, store: SQLiteStore) -> None:
    run = await repaired(bench, store)
    before = bench.bytes()
    plan = await plan_undo(store, run)
    assert [unit.status for unit in plan.units] == [Status.MISMATCHED] * 3
    assert bench.bytes() == before


async def test_an_undo_is_a_run_with_backup_and_journal(bench: Bench, store: SQLiteStore) -> None:
    run = await repaired(bench, store)
    _, result = await undo(store, run, by="eva", backup_dir=bench.path.parent)
    first, second = await history(store)
    assert (first.id, first.undoes, second.undoes, second.action) == (run, None, run, "undo")
    assert {entry.by for entry in second.entries} == {"eva"}
    assert len(bench.backups()) == 2
    assert second.backup == str(result.backup)


async def test_an_undo_says_how_far_it_is_and_puts_its_backup_where_it_is_told(
    bench: Bench, store: SQLiteStore
) -> None:
    run, seen = await repaired(bench, store), list[tuple[int, int]]()
    folder = bench.path.with_name("elsewhere")
    folder.mkdir()
    _, result = await undo(
        store, run, backup_dir=folder, progress=lambda done, total, word: seen.append((done, total))
    )
    assert result.record and result.backup and result.backup.parent == folder
    assert seen[-1] == (3, 3) and result.record.finished
    assert result.record.time.endswith("+00:00")
    assert {entry.by for entry in result.record.entries} == {""}


async def test_an_undo_can_be_undone(bench: Bench, store: SQLiteStore) -> None:
    run = await repaired(bench, store)
    after = bench.bytes()
    _, result = await undo(store, run)
    assert result.run
    await undo(store, result.run)
    assert bench.bytes() == after


async def test_a_second_undo_finds_nothing_as_the_run_left_it(
    bench: Bench, store: SQLiteStore
) -> None:
    run = await repaired(bench, store)
    await undo(store, run)
    before, files = bench.bytes(), bench.backups()
    plan, result = await undo(store, run)
    assert result.outcomes == {}
    assert {unit.status for unit in plan.units} == {Status.CONFLICT}
    causes = {finding.cause for unit in plan.units for finding in unit.findings}
    assert causes == {"the row is already as it was before the run; there is nothing to take back"}
    assert (bench.bytes(), bench.backups()) == (before, files)


@pytest.mark.parametrize("wrote", [None, '{"space_id":"!alice","next_chat_index":4}'])
async def test_a_row_that_was_written_since_stays_and_is_named(
    bench: Bench, store: SQLiteStore, wrote: Any
) -> None:
    run = await repaired(bench, store)
    bench.put({user_key(ALICE): wrote})
    since = bench.bytes().get(user_key(ALICE))
    plan, result = await undo(store, run)
    assert states(result) == {"!a1": "applied", "!b1": "applied"}
    [left] = [unit for unit in plan.units if unit.change is None]
    assert [finding.key for finding in left.findings] == [user_key(ALICE)]
    assert bench.bytes().get(user_key(ALICE)) == since
    assert bench.row(A1) is None


async def test_a_unit_is_taken_back_whole_or_not_at_all(bench: Bench, store: SQLiteStore) -> None:
    run = await repaired(bench, store)
    bench.put({A1: {"mine": 1}})
    chat = bench.bytes()[C1]
    await undo(store, run)
    assert bench.row(A1) == {"mine": 1}
    assert bench.bytes()[C1] == chat


async def test_only_rows_of_the_run_matter_to_an_undo(
    bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A live bot writes other rows of the user while the undo is running."""
    run = await repaired(bench, store)
    begin = RunJournal.begin

    async def meanwhile(self: RunJournal, intent: Run) -> None:
        bench.put({chat_key(ALICE, "C9"): {"surface_ref": "!a1"}, room_key("!new"): "{"})
        await begin(self, intent)

    monkeypatch.setattr(RunJournal, "begin", meanwhile)
    _, result = await undo(store, run)
    assert set(states(result).values()) == {"applied"}


async def test_only_applied_units_are_taken_back(
    bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = RunJournal.begin

    async def meanwhile(self: RunJournal, intent: Run) -> None:
        bench.put({A1: {"mine": 1}})
        await begin(self, intent)

    bench.put({B1: None})
    with monkeypatch.context() as patch:
        patch.setattr(RunJournal, "begin", meanwhile)
        result = await bench.run(store)
    assert states(result) == {ALICE: "stale", "!a1": "stale", "!b1": "applied"}
    assert result.run
    assert [unit.id for unit in (await plan_undo(store, result.run)).units] == ["!b1"]


async def test_an_interrupted_run_is_taken_back_as_far_as_it_went(
    bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = bench.bytes()
    with monkeypatch.context() as patch:
        patch.setattr(RunJournal, "finish", AsyncMock())
        run = await repaired(bench, store)
    [told] = await history(store)
    assert not told.finished
    assert {unit.status for unit in (await plan_undo(store, run)).units} == {Status.MISMATCHED}
    assert {entry.outcome for entry in told.entries} == {"applied"}
    await undo(store, run)
    assert bench.bytes() == before
    first, second = await history(store)
    assert {entry.outcome for entry in (*first.entries, *second.entries)} == {"applied"}


async def test_an_unknown_run_is_an_error_that_names_the_latest(
    bench: Bench, store: SQLiteStore
) -> None:
    with pytest.raises(StoreError, match="no run nope in the journal; the latest are: none"):
        await undo(store, "nope")
    for number in range(6):
        await store.journal.begin(Run(f"r{number}", "", "test", ()))
    with pytest.raises(StoreError, match=r"are: r1, r2, r3, r4, r5\."):
        await plan_undo(store, "nope")
