"""Which backups stay: what a person may go back to isn't pushed out by runs that are worth less."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, A2, CB, Bench, Mine, SyncManager, small_rows, states
from toolkit import SQLiteStore, StoreError
from toolkit.database.backup import remove_older
from toolkit.database.journal import Run, RunJournal
from toolkit.database.look import load_look
from toolkit.database.transaction import Transaction
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import new_job
from toolkit.writing.undo import history

HOLDS = {"a writer": "BEGIN IMMEDIATE", "a reader": "BEGIN; SELECT * FROM kv LIMIT 1"}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({key: row for key, row in small_rows().items() if key != A1})
    return bench


async def run_as(bench: Bench, action: str, number: int, folder: Path | None = None) -> Path | None:
    """One run that has a row to bring back."""
    bench.put({A1: None})
    async with SQLiteStore(bench.path, busy_timeout=0.05) as store:
        look = await load_look(store)
        plan = bench.plan(look)
        now = NOW.replace(minute=number)
        job = new_job(plan, plan.units, look, action, now, backup_dir=folder)
        return (await apply_changes(job, store, None)).backup


NOW = datetime(2026, 11, 22, 22, tzinfo=UTC)


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
@pytest.mark.parametrize("held", HOLDS)
async def test_runs_against_a_locked_database_leave_nothing_and_push_nothing_out(
    tmp_path: Path, mode: str, held: str
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({key: row for key, row in small_rows().items() if key != A1}, mode)
    good = await run_as(bench, "approved", 0)
    bench.put({A1: None})
    if mode == "WAL":
        held = "a writer"  # nobody waits for a reader there
    for number in range(1, 7):
        with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
            for statement in HOLDS[held].split("; "):
                other.execute(statement).fetchone()
            async with SQLiteStore(bench.path, busy_timeout=0.05) as store:
                look = await load_look(store)
                plan = bench.plan(look)
                now = NOW.replace(minute=number)
                with pytest.raises(StoreError, match="lock"):
                    await apply_changes(
                        new_job(plan, plan.units, look, "approved", now), store, None
                    )
                assert [run.backup for run in await history(store)] == [str(good)]
        assert bench.backups() == [good]


@pytest.mark.parametrize("action", ["start-up", "single room"])
async def test_what_the_bot_does_by_itself_pushes_out_only_its_own(
    bench: Bench, action: str
) -> None:
    people = [await run_as(bench, word, n) for n, word in enumerate(["approved", "undo", "shadow"])]
    bots = [await run_as(bench, action, number) for number in range(10, 18)]
    assert bench.backups() == sorted(path for path in (*people, *bots[-5:]) if path)
    more = [await run_as(bench, "approved", number) for number in range(20, 24)]
    assert bench.backups() == sorted(p for p in (people[-1], *more, *bots[-5:]) if p)


async def test_names_that_another_account_planted_push_nothing_out(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    real = [await run_as(bench, "approved", number, folder) for number in range(3)]
    prefix = real[0].name.split(".2026")[0] if real[0] else ""
    planted = [folder / f"{prefix}.2099010{n}T000000Z-aaaa.backup" for n in range(1, 9)]
    for path in planted:
        path.touch()
    if os.geteuid() == 0:
        for path in planted:
            os.chown(path, 12345, 12345)
    else:
        lstat = Path.lstat

        def foreign(path: Path) -> Any:
            found = list(lstat(path))
            found[4] = 12345 if path in planted else found[4]
            return os.stat_result(found)

        monkeypatch.setattr(Path, "lstat", foreign)
    newest = await run_as(bench, "approved", 9, folder)
    assert sorted(folder.iterdir()) == sorted([*planted, *(p for p in (*real, newest) if p)])


def test_one_that_another_process_has_just_removed_stops_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [bench.path.with_name(f"bot.db.2026010{n}T000000Z-aa.backup") for n in range(1, 8)]
    for path in names:
        path.touch()
    iterdir = Path.iterdir

    def late(folder: Path) -> Any:
        found = list(iterdir(folder))
        names[0].unlink()
        return iter(found)

    monkeypatch.setattr(Path, "iterdir", late)
    remove_older(bench.path, names[-1])
    assert [path.exists() for path in names] == [False, False, True, True, True, True, True]


class TestARunThatWroteNothing:
    async def test_all_stale_by_the_time_of_writing(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = RunJournal.begin

        async def meanwhile(self: RunJournal, run: Run) -> None:
            bench.put({A1: {"other": 1}})
            await begin(self, run)

        monkeypatch.setattr(RunJournal, "begin", meanwhile)
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
            assert states(result) == {"!a1": "stale"}
            assert (result.run, result.backup, bench.backups()) == (None, None, [])
            assert await history(store) == []

    @pytest.mark.parametrize("mine", [False, True])
    async def test_each_unit_failed(self, bench: Bench, mine: bool) -> None:
        bench.sql("CREATE TRIGGER no BEFORE INSERT ON kv BEGIN SELECT RAISE(ABORT, 'no'); END")
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Mine(store) if mine else None)
            assert states(result) == {"!a1": "failed"}
            assert (result.run, bench.backups(), await history(store)) == (None, [], [])
        assert b'"failed"' in bench.journal.read_bytes()

    async def test_the_journal_could_not_be_begun(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.journal.mkdir()
        async with SQLiteStore(bench.path) as store:
            with pytest.raises(StoreError, match="journal"):
                await bench.run(store)
        assert bench.backups() == []

    async def test_it_was_cancelled_before_its_first_row(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = Transaction.begin

        async def cancelled(self: Transaction) -> None:
            task.cancel()
            await begin(self)

        monkeypatch.setattr(Transaction, "begin", cancelled)
        async with SQLiteStore(bench.path) as store:
            task = asyncio.create_task(bench.run(store))
            with suppress(asyncio.CancelledError):
                await task
            assert task.cancelled() and bench.backups() == []
            assert await history(store) == []


async def test_where_only_the_bots_manager_wrote_the_backup_stays(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.put({CB: None, A1: small_rows()[A1]})

    async def broken(self: Transaction) -> None:
        raise StoreError("broken")

    monkeypatch.setattr(Transaction, "begin", broken)
    async with SQLiteStore(bench.path) as store:
        with pytest.raises(StoreError, match="broken"):
            await bench.run(store, SyncManager(bench.path))
        assert bench.row(CB) and len(bench.backups()) == 1
        [run] = await history(store)
    assert run.backup == str(bench.backups()[0])


async def test_what_cannot_be_looked_at_afterwards_keeps_its_backup(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def gone(*_: object) -> None:
        bench.path.rename(bench.path.with_name("moved.db"))
        raise StoreError("gone")

    bench.put({A2: {"x": 1}})
    monkeypatch.setattr(Transaction, "has_triggers", gone)
    async with SQLiteStore(bench.path) as store:
        with pytest.raises(StoreError, match="gone"):
            await bench.run(store, only=["!a1"])
    assert len(bench.backups()) == 1
