"""The writer when it is cancelled, and several writers at once."""

import asyncio
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, ALICE, BOB, C1, CB, Bench, Mine, small_rows, states
from tests.writing.apply.runs import outcomes
from toolkit import ChatManager, InMemoryStore, SQLiteStore
from toolkit.database.chat_manager import ChatContext
from toolkit.database.journal import Journal, Run, RunJournal
from toolkit.database.look import load_look
from toolkit.database.transaction import Transaction
from toolkit.records import room_key, user_key
from toolkit.writing.job import Job
from toolkit.writing.turns import one_at_a_time


class TestCancellation:
    async def test_finished_units_are_committed_and_journaled(self, bench: Bench) -> None:
        bench.fill({})
        calls = 0

        class Cancelling(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                nonlocal calls
                calls += 1
                if calls == 2:
                    task.cancel()
                return await super().get_or_create(*args, **named)

        async with SQLiteStore(bench.path) as store:
            task = asyncio.create_task(bench.run(store, Cancelling(store)))
            with pytest.raises(asyncio.CancelledError):
                await task
            applied = {unit for unit, state in outcomes(bench).items() if state == "applied"}
            assert applied == {ALICE, BOB, "!a1"}
            assert outcomes(bench)["!b1"] == "not reached"
            assert bench.bytes().keys() == {user_key(ALICE), user_key(BOB), A1, C1}
            await bench.run(store)
        assert bench.row(CB) == small_rows()[CB]

    @pytest.mark.parametrize("steps", range(1, 40, 2))
    async def test_whenever_it_comes_the_journal_says_what_was_written(
        self, bench: Bench, steps: int
    ) -> None:
        bench.fill({})
        async with SQLiteStore(bench.path) as store:
            task = asyncio.create_task(bench.run(store, Mine(store)))
            for _ in range(steps * 4):
                await asyncio.sleep(0)
                if task.done():
                    break
            else:
                await asyncio.sleep(steps / 2000)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            rows = (await load_look(store)).rows
            for run in Journal(bench.path).runs(rows):
                for entry in run.entries:
                    written = [rows.get(write.key) == write.after for write in entry.writes]
                    assert set(written) == {entry.outcome == "applied"}, (entry, run.finished)
            await bench.run(store, Mine(store))
        assert {k: bench.row(k) for k in small_rows()} == small_rows()

    @pytest.mark.parametrize("triggered", [False, True])
    async def test_a_unit_whose_last_step_was_cancelled_is_known_as_finished(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch, triggered: bool
    ) -> None:
        """The savepoint was released, and we were cancelled before we heard of it."""
        if triggered:
            bench.sql(
                """CREATE TRIGGER seen AFTER INSERT ON kv BEGIN UPDATE kv
                SET value = json_set(value, '$.seen', 1) WHERE key = NEW.key; END"""
            )
        savepoint = Transaction.savepoint

        def cancelled_after(self: Transaction) -> Any:
            inner = savepoint(self)

            class Around:
                async def __aenter__(self) -> None:
                    await inner.__aenter__()

                async def __aexit__(self, *error: Any) -> None:
                    await inner.__aexit__(*error)
                    raise asyncio.CancelledError

            return Around()

        monkeypatch.setattr(Transaction, "savepoint", cancelled_after)
        with pytest.raises(asyncio.CancelledError):
            await bench.run(store)
        assert bench.row(A1) is not None
        assert outcomes(bench) == {"!a1": "applied", "!b1": "applied"}

    async def test_cancelled_before_the_commit_nothing_is_called_applied(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def cancelled(*_: Any) -> Any:
            raise asyncio.CancelledError

        before = bench.bytes()
        monkeypatch.setattr(Transaction, "load_rows", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await bench.run(store, Mine(store))
        assert bench.bytes() == before
        assert Journal(bench.path).runs((await load_look(store)).rows) == []

    async def test_cancelled_while_committing_it_is_journaled_all_the_same(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = Transaction.commit

        async def cancelled(self: Transaction) -> None:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await commit(self)

        monkeypatch.setattr(Transaction, "commit", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(bench.run(store))
        assert bench.row(A1) is not None
        assert outcomes(bench) == {"!a1": "applied", "!b1": "applied"}
        assert Journal(bench.path).runs()[-1].finished

    async def test_cancelled_while_the_journal_is_told_of_a_managers_rows_they_are_written(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin, begun = RunJournal.begin, list[Run]()

        async def cancelled(self: RunJournal, run: Run) -> None:
            await begin(self, run)
            begun.append(run)
            if len(begun) == 2:
                task.cancel()
                await asyncio.sleep(0.05)  # it comes while we are still at it

        monkeypatch.setattr(RunJournal, "begin", cancelled)
        task = asyncio.create_task(bench.run(store, Mine(store)))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert {key: bench.row(key) for key in (A1, CB)} == {k: small_rows()[k] for k in (A1, CB)}
        assert outcomes(bench) == {"!a1": "applied", "!b1": "applied"}
        assert Journal(bench.path).runs()[-1].finished

    async def test_cancelled_while_waiting_for_the_lock_nothing_is_written(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        before = bench.bytes()
        with closing(sqlite3.connect(bench.path)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(bench.run(store))
            await asyncio.sleep(0.1)
            task.cancel()
            other.rollback()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert bench.bytes() == before

    async def test_many_units_are_written_in_few_savepoints_and_late_ones_not_at_all(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(3, 700):
            bench.world.chat(f"!a{number}", "!alice", f"Чат {number}", owner=ALICE)
        bench.fill({})
        seen = [0]
        monkeypatch.setattr(Job, "late", property(lambda job: seen[-1] > 256))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, progress=lambda done, total, word: seen.append(done))
        late = [unit for unit, state in states(result).items() if state == "stale"]
        assert seen[:3] == [0, 256, 512]
        assert len(late) == 702 - 512
        assert all(bench.row(room_key(unit)) is None for unit in late)


class TestSeveralWriters:
    async def test_two_runs_in_one_process_go_one_after_the_other(self, bench: Bench) -> None:
        bench.fill({})
        inside, most = 0, 0

        async def one() -> None:
            nonlocal inside, most
            async with SQLiteStore(bench.path) as store, one_at_a_time(store):
                inside += 1
                most = max(most, inside)
                await bench.run(store)
                inside -= 1

        await asyncio.gather(one(), one(), one())
        assert most == 1
        assert len(Journal(bench.path).runs()) == 1
        assert {key: bench.row(key) for key in small_rows()} == small_rows()

    async def test_two_stores_at_once_both_finish_and_nothing_is_lost(
        self, bench: Bench, mode: str
    ) -> None:
        bench.fill({}, mode)
        async with SQLiteStore(bench.path) as one, SQLiteStore(bench.path) as other:
            results = await asyncio.gather(bench.run(one), bench.run(other))
        found = [states(result) for result in results]
        for unit in (ALICE, BOB, "!a1", "!a2", "!b1"):
            assert sorted(state[unit] for state in found) == ["applied", "stale"]
        assert {key: bench.row(key) for key in small_rows()} == small_rows()

    async def test_another_database_does_not_wait(self, tmp_path: Path) -> None:
        one, other = InMemoryStore(), InMemoryStore()
        async with asyncio.timeout(1), one_at_a_time(one), one_at_a_time(other):
            pass
