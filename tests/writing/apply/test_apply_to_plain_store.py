"""The writer on a store without transactions: an order that leaves no half unit unseen."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from tests.bench import A1, A2, ALICE, B1, BOB, C1, C2, CB, NOW, Bench, small_rows, states
from tests.writing.apply.runs import without
from toolkit import ChatManager, InMemoryStore, StoreError
from toolkit.database.look import load_look
from toolkit.records import user_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import new_job


class Stopping(InMemoryStore):
    """A plain store whose process dies at the given write."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], at: int) -> None:
        super().__init__(rows)
        self.left = at
        self.order: list[str] = []

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        self.order.append(key)
        await super().set(key, value)


async def rows_of(store: InMemoryStore) -> dict[str, Any]:
    return {key: await store.get(key) for key in await store.keys("")}


class TestPlainStore:
    """A store with nothing but get, set and keys."""

    @pytest.mark.parametrize("managed", [True, False])
    async def test_the_room_row_is_written_last(self, bench: Bench, managed: bool) -> None:
        store = Stopping({}, 99)
        result = await bench.run(store, ChatManager(store) if managed else None)
        assert set(states(result).values()) == {"applied"}
        assert (result.run, result.backup) == (None, None)
        assert store.order == [user_key(ALICE), user_key(BOB), C1, A1, C2, A2, CB, B1]
        assert await rows_of(store) == small_rows()
        assert (await bench.run(store)).outcomes == {}

    @pytest.mark.parametrize("at", range(8))
    async def test_the_next_run_finishes_what_was_interrupted(self, bench: Bench, at: int) -> None:
        store = Stopping({}, at)
        with pytest.raises(asyncio.CancelledError):
            await bench.run(store, ChatManager(store))
        assert len(await rows_of(store)) == at
        store.left = 99
        await bench.run(store, ChatManager(store))
        assert await rows_of(store) == small_rows()

    async def test_a_row_that_moved_since_the_look_is_left(self, bench: Bench) -> None:
        store = InMemoryStore(without(small_rows(), A1, CB))
        look = await load_look(store)
        plan = bench.plan(look)
        await store.set(CB, {"surface_ref": "!x"})
        result = await apply_changes(new_job(plan, plan.units, look, "t", NOW), store, None)
        assert states(result) == {"!a1": "applied", "!b1": "stale"}
        assert await store.get(CB) == {"surface_ref": "!x"}

    async def test_a_row_that_moved_during_the_run_is_left(self, bench: Bench) -> None:
        class Busy(InMemoryStore):
            async def set(self, key: str, value: Mapping[str, Any]) -> None:
                await super().set(key, value)
                await super().set(CB, {"surface_ref": "!x"})

        store = Busy(without(small_rows(), A1, CB))
        assert states(await bench.run(store)) == {"!a1": "applied", "!b1": "stale"}
        assert await store.get(CB) == {"surface_ref": "!x"}

    async def test_a_failing_write_is_recorded_and_the_next_unit_goes_on(
        self, bench: Bench
    ) -> None:
        class Failing(InMemoryStore):
            async def set(self, key: str, value: Mapping[str, Any]) -> None:
                if key == A1:
                    raise OSError("a secret")
                await super().set(key, value)

        store = Failing(without(small_rows(), A1, CB))
        result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == "the bot's store raised OSError"

    @pytest.mark.parametrize("before", [None, {**small_rows()[A1], "display_name": "old"}])
    async def test_a_row_that_the_store_does_not_take_fails_its_unit(
        self, bench: Bench, before: Any
    ) -> None:
        class Ignoring(InMemoryStore):
            async def set(self, key: str, value: Mapping[str, Any]) -> None:
                if key != A1:
                    await super().set(key, value)

        store = Ignoring(without(small_rows(), A1, CB) | ({A1: before} if before else {}))
        result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == f"the bot's store did not take the row {A1}"

    async def test_a_manager_is_called_and_its_row_read_back(self, bench: Bench) -> None:
        rows = without(small_rows(), A1, C1, B1)

        class Manager:
            def __init__(self, does: Callable[[], None]) -> None:
                self.does = does

            def get_or_create(self, *args: str, name: str) -> None:
                self.does()

        def raise_it() -> None:
            raise RuntimeError

        nothing = await bench.run(InMemoryStore(rows), Manager(lambda: None))
        assert states(nothing) == {"!a1": "stale", "!b1": "applied"}
        raised = await bench.run(InMemoryStore(rows), Manager(raise_it))
        assert states(raised) == {"!a1": "failed", "!b1": "applied"}

    async def test_past_the_deadline_no_further_unit_is_begun(self, bench: Bench) -> None:
        store = InMemoryStore(without(small_rows(), A1, CB))
        result = await bench.run(store, until=time.monotonic() - 1)
        assert states(result) == {"!a1": "stale", "!b1": "stale"}

    async def test_rows_that_it_cannot_read_show_as_unreadable(self, bench: Bench) -> None:
        class Poisoned(InMemoryStore):
            async def get(self, key: str) -> dict[str, Any] | None:
                if key == A1:
                    raise json.JSONDecodeError("no", "{", 0)
                if key == B1:
                    raise StoreError("Can't read it.")
                return await super().get(key)

        store = Poisoned(small_rows())
        look = await load_look(store)
        assert bench.plan(look).unit("!a1") is not None
        assert {key for key, raw in look.rows.items() if str(raw).startswith("unreadable")} == {
            A1,
            B1,
        }

    async def test_a_store_that_cannot_be_asked_is_a_store_error(self) -> None:
        class Gone(InMemoryStore):
            async def keys(self, prefix: str) -> list[str]:
                raise ConnectionError("a secret")

        with pytest.raises(StoreError, match="ConnectionError"):
            await load_look(Gone())
