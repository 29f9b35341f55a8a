"""Chat rows through a chat manager, one that joins the transaction and one that can't."""

import asyncio
import sqlite3
import time
from contextlib import closing
from typing import Any

import pytest

from tests.bench import A1, B1, C1, CB, Bench, Mine, SyncManager, small_rows, states
from tests.writing.apply.runs import without
from toolkit import ChatManager, SQLiteStore, StoreError
from toolkit.database.chat_manager import ChatContext
from toolkit.database.journal import Journal
from toolkit.records import chat_key
from toolkit.writing.chat_rows import LEFT_WRONG
from toolkit.writing.job import Job


class AsyncManager(SyncManager):
    async def get_or_create(self, *args: Any, **named: Any) -> None:  # type: ignore[override]
        await asyncio.to_thread(super().get_or_create, *args, **named)


class Raising(SyncManager):
    def get_or_create(self, *args: Any, **named: Any) -> None:
        raise RuntimeError("a secret")


class Idle(SyncManager):
    def get_or_create(self, *args: Any, **named: Any) -> None:
        pass


class TestForeignManager:
    """A manager with its own connection to the same file."""

    @pytest.mark.parametrize("kind", [SyncManager, AsyncManager])
    async def test_it_finishes_without_locking_and_its_text_stays(
        self, bench: Bench, mode: str, kind: type[SyncManager]
    ) -> None:
        bench.fill(without(small_rows(), A1, C1, CB), mode)
        manager = kind(bench.path)
        started = time.monotonic()
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager)
        assert time.monotonic() - started < 1
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert manager.called == ["!a1", "!b1"]
        assert bench.row(C1) == {"mine": 1.0} | small_rows()[C1]
        assert bench.row(A1) == small_rows()[A1]

    async def test_the_journal_holds_the_text_that_it_wrote(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), CB))
        async with SQLiteStore(bench.path) as store:
            await bench.run(store, SyncManager(bench.path))
        [entry] = Journal(bench.path).runs()[-1].entries
        assert [str(write.after).encode() for write in entry.writes] == [bench.bytes()[CB][1]]
        assert entry.made == CB

    async def test_a_wrong_row_stops_its_unit_and_stays(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, B1))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, SyncManager(bench.path, surface_ref="!elsewhere"))
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert "chat manager" in result.outcomes["!a1"].detail
        assert bench.row(C1)["surface_ref"] == "!elsewhere"
        assert bench.row(A1) is None

    async def test_no_row_at_all_stops_its_unit(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, B1))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Idle(bench.path))
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert bench.row(A1) is None

    async def test_what_it_raises_is_named_but_not_quoted(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, B1))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Raising(bench.path))
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == "the bot's chat manager raised RuntimeError"

    async def test_it_is_not_called_for_a_stale_unit(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))
        manager = SyncManager(bench.path)
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager, meanwhile=lambda: bench.put({A1: {}}))
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert manager.called == ["!b1"]

    async def test_it_is_called_also_behind_a_unit_that_needs_no_chat_row(
        self, bench: Bench
    ) -> None:
        bench.fill(without(small_rows(), A1, CB))
        manager = SyncManager(bench.path)
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager)
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert manager.called == ["!b1"]

    async def test_the_same_manager_class_on_another_store_is_foreign(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), C1))
        async with SQLiteStore(bench.path) as store, SQLiteStore(bench.path) as other:
            result = await bench.run(store, ChatManager(other))
        assert states(result) == {"!a1": "applied"}
        assert bench.row(C1) == small_rows()[C1]

    async def test_a_deadline_is_looked_at_before_each_call(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.fill(without(small_rows(), C1, CB))
        manager = SyncManager(bench.path)
        monkeypatch.setattr(Job, "late", property(lambda job: bool(manager.called)))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager)
        assert manager.called == ["!a1"]
        assert states(result) == {"!a1": "stale", "!b1": "stale"}


class TestJoinedManager:
    """A manager on the very store that is written."""

    async def test_an_own_subclass_is_called_and_joins_the_transaction(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Mine(store))
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert bench.row(C1) == small_rows()[C1]
        assert bench.row("audit:C1") == {"room": "!b1"}
        entries = Journal(bench.path).runs()[-1].entries
        after = {w.key: str(w.after).encode() for e in entries for w in e.writes}
        assert after == {key: bench.bytes()[key][1] for key in (A1, C1, CB)}
        assert {entry.made for entry in entries} == {""}

    async def test_what_it_writes_is_undone_with_its_unit(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))

        class Half(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                context = await super().get_or_create(*args, **named)
                if context.surface_ref == "!a1":
                    raise RuntimeError("half way")
                return context

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Half(store))
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert (bench.row(A1), bench.row(C1)) == (None, None)

    @pytest.mark.parametrize("writes", [True, False])
    async def test_a_row_that_points_elsewhere_is_rolled_back(
        self, bench: Bench, writes: bool
    ) -> None:
        bench.fill(without(small_rows(), A1, C1))

        class Wrong:
            def __init__(self, store: SQLiteStore) -> None:
                self.database = store  # under a name of its own

            async def get_or_create(
                self, user_id: str, chat_id: str, *rest: str, name: str
            ) -> None:
                if writes:
                    await self.database.set(chat_key(user_id, chat_id), {"surface_ref": "!x"})

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Wrong(store))
        assert states(result) == {"!a1": "stale"}
        assert result.outcomes["!a1"].detail == LEFT_WRONG
        assert (bench.row(A1), bench.row(C1)) == (None, None)

    async def test_one_that_locks_itself_out_stops_only_its_units(self, bench: Bench) -> None:
        """It holds our store, but writes on a connection of its own: we can't know that before."""
        bench.fill(without(small_rows(), A1, C1, B1))

        class Both(SyncManager):
            store: SQLiteStore

            def get_or_create(self, *args: Any, **named: Any) -> None:
                with closing(sqlite3.connect(self.path, timeout=0)) as database:
                    database.execute("BEGIN IMMEDIATE")

        async with SQLiteStore(bench.path) as store:
            manager = Both(bench.path)
            manager.store = store
            result = await bench.run(store, manager)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert "OperationalError" in result.outcomes["!a1"].detail

    async def test_a_store_error_of_the_manager_is_told(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), C1))

        class Refusing(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                raise StoreError("The quota is full.")

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Refusing(store))
        assert result.outcomes["!a1"].detail == "The quota is full."
