"""The writer when nobody says whether the rows were committed, and on a journal that is committed with them."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.bench import A1, Bench, small_rows, states
from tests.writing.apply.runs import outcomes
from toolkit import SQLiteStore
from toolkit.database.journal import Journal
from toolkit.database.journal_file import JournalFile
from toolkit.database.transaction import Transaction
from toolkit.errors import OutcomeUnknown, StoreError
from toolkit.writing.undo import history


@pytest.fixture
def losing(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    """The connection is lost just after the commit, or just before it."""
    commit = Transaction.commit

    def lose(committed: bool) -> None:
        async def lost(self: Transaction) -> None:
            await (commit if committed else Transaction.roll_back)(self)
            raise OutcomeUnknown("The answer to COMMIT was lost.")

        monkeypatch.setattr(Transaction, "commit", lost)

    return lose


class TestALostAnswer:
    async def test_if_it_was_committed_the_run_is_like_any_other(
        self, bench: Bench, store: SQLiteStore, losing: Callable[[bool], None]
    ) -> None:
        losing(True)
        result = await bench.run(store)
        assert set(states(result).values()) == {"applied"} == set(outcomes(bench).values())
        assert bench.row(A1) == small_rows()[A1] and bench.backups() == [result.backup]
        assert Journal(bench.path).runs()[-1].finished

    async def test_if_it_was_not_nothing_is_left_of_it(
        self, bench: Bench, store: SQLiteStore, losing: Callable[[bool], None]
    ) -> None:
        losing(False)
        with pytest.raises(OutcomeUnknown):
            await bench.run(store)
        assert bench.row(A1) is None and bench.backups() == []
        assert await history(store) == []

    async def test_if_nobody_can_be_asked_the_rows_tell_later(
        self,
        bench: Bench,
        store: SQLiteStore,
        losing: Callable[[bool], None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        async def unreachable(self: Transaction) -> bool:
            raise StoreError("The server doesn't answer.", concerns_all=True)

        losing(True)
        monkeypatch.setattr(Transaction, "committed", unreachable)
        with pytest.raises(StoreError, match="doesn't answer"):
            await bench.run(store)
        [run] = await history(store)
        assert not run.finished and {entry.outcome for entry in run.entries} == {"applied"}
        assert len(bench.backups()) == 1

    async def test_cancelled_while_a_commit_fails_it_is_not_told_as_written(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def failing(self: Transaction, database: Any) -> None:
            task.cancel()
            await asyncio.sleep(0.01)
            raise StoreError("The disk is full.", concerns_all=True)

        monkeypatch.setattr(Transaction, "_commit", failing)
        task = asyncio.create_task(bench.run(store))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.row(A1) is None and bench.backups() == [] == await history(store)


class TestAJournalInTheDatabase:
    @pytest.fixture
    async def told(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The runs whose outcome was part of their transaction."""
        runs: list[str] = []

        async def note(self: Transaction, run: str, outcome: Callable[[], str]) -> bool:
            assert self._open
            JournalFile(bench.path).append(outcome())
            runs.append(run)
            return True

        monkeypatch.setattr(Transaction, "note", note)
        return runs

    async def test_the_outcome_is_told_once_and_before_the_commit(
        self, bench: Bench, store: SQLiteStore, told: list[str]
    ) -> None:
        result = await bench.run(store)
        assert told == [result.run] and set(outcomes(bench).values()) == {"applied"}
        assert [line[:10] for line in JournalFile(bench.path).lines()] == [
            '{"intent":',
            '{"outcome"',
        ]
        assert Journal(bench.path).runs() == [result.record]

    async def test_a_run_that_wrote_nothing_is_told_to_have_no_backup(
        self, bench: Bench, store: SQLiteStore, told: list[str]
    ) -> None:
        result = await bench.run(store, only=[A1], meanwhile=lambda: None)
        assert result.outcomes == {}
        bench.sql("CREATE TRIGGER no BEFORE INSERT ON kv BEGIN SELECT RAISE(ABORT, 'no'); END")
        result = await bench.run(store)
        assert set(states(result).values()) == {"failed"} and len(told) == 1
        assert await history(store) == [] == bench.backups()

    async def test_cancelled_while_it_is_noted_the_units_are_written(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def note(self: Transaction, run: str, outcome: Callable[[], str]) -> bool:
            task.cancel()
            await asyncio.sleep(0.01)
            return False

        monkeypatch.setattr(Transaction, "note", note)
        task = asyncio.create_task(bench.run(store))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert bench.row(A1) == small_rows()[A1]
        assert Journal(bench.path).runs()[-1].finished
