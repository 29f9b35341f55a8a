"""The store and the chat manager that a function meets in the shadow."""

from __future__ import annotations

import asyncio
import functools
import sqlite3
from collections.abc import Mapping
from typing import Any

import nio
import pytest

from tests.bench import ALICE, Bench, Mine, SyncManager
from tests.shadow.functions import A1, C1, USER, run, user_row, written
from toolkit import ChatManager, InMemoryStore, SQLiteStore, StoreError, ToolkitError, shadow_run
from toolkit.database.sql import RowChange
from toolkit.model import Status
from toolkit.records import chat_key, room_key

pytestmark = pytest.mark.usefixtures("nothing_but_reads_reached_the_homeserver")


async def test_deletions_count_in_the_shadow_and_are_refused(bench: Bench) -> None:
    class Deleting(SQLiteStore):
        async def delete(self, key: str) -> None:
            raise AssertionError("the real store was reached")

    async def prune(client: Any, store: Any, chat_mgr: Any) -> Any:
        await store.delete(C1)
        assert await store.get(C1) is None
        assert C1 not in await store.keys("chat:")
        await store.delete("config:bot")
        await store.set("config:bot", {"colour": "red", "new": True})
        return "config:bot" in await store.keys("")

    async with Deleting(bench.path) as store:
        found = await run(prune, None, store)
    assert found.refused == (f"store.delete('{C1}')", "store.delete('config:bot')")
    assert list(written(found.value)) == ["config:bot"]
    assert (found.raised, found.returned) == (None, "True")


async def test_a_function_sees_its_own_writes_and_all_other_rows(
    store: SQLiteStore, bench: Bench
) -> None:
    async def look(client: Any, store: Any, chat_mgr: Any) -> Any:
        before = await store.version(), dict(await store.load_rows())
        await store.set("chat:new", {"a": 1})
        await store.set("other:new", {"a": 2})
        assert await store.version() != before[0]
        assert dict(await store.load_rows()) == before[1] | {"chat:new": '{"a":1}'}
        row = await store.get("chat:new")
        row["a"] = 99
        assert await store.get("chat:new") == {"a": 1}
        assert await store.get("nowhere") is None
        assert await store.get("matrix_room:nowhere") is None
        return await store.keys("")

    found = await run(look, None, store)
    assert found.raised is None
    assert found.returned == repr(sorted([*bench.bytes(), "chat:new", "other:new"]))


async def test_poisoned_rows_fail_as_on_the_real_store_and_can_be_overwritten(
    store: SQLiteStore,
) -> None:
    said = []

    async def mend(client: Any, store: Any, chat_mgr: Any) -> None:
        for key in (room_key("!b1"), "junk:1"):
            try:
                await store.get(key)
            except StoreError as error:
                said.append(str(error))
            await store.set(key, {"mended": True})

    found = await run(mend, None, store)
    assert len(said) == 2
    by_id = {unit.id: unit for unit in found.value.units}
    assert {unit.status for unit in by_id.values()} == {Status.CONFLICT}
    assert by_id.keys() == {"!b1", "junk:1"}


async def test_junk_is_refused_like_on_the_real_store_or_shown(store: SQLiteStore) -> None:
    async def junk(client: Any, store: Any, chat_mgr: Any) -> None:
        for key, value in (("a", {"x": object()}), ("\ud800", {})):
            with pytest.raises(StoreError):
                await store.set(key, value)
        await store.set(room_key("!a2"), ["no", "object"])
        with pytest.raises(StoreError):
            await store.get(room_key("!a2"))

    found = await run(junk, None, store)
    assert found.raised is None
    [unit] = found.value.units
    assert (unit.id, unit.status) == ("!a2", Status.MISMATCHED)
    with pytest.raises(ToolkitError, match="no JSON object"):
        await found.apply("!a2")


async def test_a_transaction_counts_whole_or_not_at_all(store: SQLiteStore) -> None:
    async def fail(store: Any) -> None:
        async with store.transaction() as transaction, transaction.savepoint():
            await store.set("chat:undone", {})
            raise ZeroDivisionError

    async def transact(client: Any, store: Any, chat_mgr: Any) -> None:
        with pytest.raises(ZeroDivisionError):
            await fail(store)
        async with store.transaction() as transaction:
            await store.set("chat:kept", {})
            with pytest.raises(ZeroDivisionError):
                await fail(store)
            assert await transaction.write([RowChange("chat:raw", None, '{"a":1}')])
            assert not await transaction.write([RowChange("chat:raw", None, "{}")])
            assert "chat:kept" in dict(await transaction.load_rows())
            assert await transaction.version() == await store.version()
            assert await transaction.write([RowChange("chat:raw", '{"a":1}', None)])

    found = await run(transact, None, store)
    assert found.raised is None
    assert list(written(found.value)) == ["chat:kept"]
    assert found.refused == ("store.delete('chat:raw')",)


async def test_many_tasks_may_write_at_once(store: SQLiteStore) -> None:
    async def count(client: Any, store: Any, chat_mgr: Any) -> None:
        async def add(number: int) -> None:
            async with store.transaction():
                row = await store.get("chat:count") or {"n": 0}
                await asyncio.sleep(0)
                await store.set("chat:count", {"n": row["n"] + 1})
            await store.set(f"chat:{number}", {"n": number})

        await asyncio.gather(*map(add, range(20)))

    found = await run(count, None, store)
    assert written(found.value)["chat:count"] == {"n": 20}
    assert len(found.value.units) == 21


async def test_there_is_no_second_way_to_the_database(store: SQLiteStore) -> None:
    async def around(client: Any, store: Any, chat_mgr: Any) -> None:
        for name in ("path", "_database", "_lock_", "_table"):
            assert not hasattr(store, name)
        for name in ("backup", "close", "open"):
            with pytest.raises(ToolkitError, match=f"store.{name}"):
                getattr(store, name)()

    found = await run(around, None, store)
    assert found.raised is None
    assert found.refused == ("store.backup()", "store.close()", "store.open()")


async def test_a_bots_own_store_is_kept_from_writes_too() -> None:
    class Own:
        """Hands out the very dicts that it holds, and raises as it likes."""

        def __init__(self) -> None:
            self.rows: dict[str, Any] = {USER: user_row(), "other": {"a": [1]}, A1: "poison"}

        async def get(self, key: str) -> Any:
            if self.rows.get(key) == "poison":
                raise ValueError("poison")
            return self.rows.get(key)

        async def set(self, key: str, value: Mapping[str, Any]) -> None:
            raise AssertionError("the real store was reached")

        async def keys(self, prefix: str) -> list[str]:
            return [key for key in self.rows if key.startswith(prefix)]

    async def spoil(client: Any, store: Any, chat_mgr: Any) -> None:
        for key in (USER, "other"):
            (await store.get(key)).clear()
        (await store.get("other"))["a"].append(2)
        with pytest.raises(ValueError, match="poison"):
            await store.get(A1)
        await store.set("other", {"a": [3]})

    own = Own()
    found = await run(spoil, None, own)
    assert found.raised is None
    assert own.rows == {USER: user_row(), "other": {"a": [1]}, A1: "poison"}
    assert found.plan.rows("other")["other"] == {"before": {"a": [1]}, "after": {"a": [3]}}


async def test_rows_that_change_while_it_runs_are_told(store: SQLiteStore, bench: Bench) -> None:
    async def past(client: Any, store: Any, chat_mgr: Any) -> None:
        bench.put({C1: None})

    found = await shadow_run(past, None, store, None)
    assert "past its arguments" in found.warning
    assert found.warning in repr(found)


# The chat manager that it meets


async def chat(client: Any, store: Any, chat_mgr: Any) -> None:
    await chat_mgr.get_or_create(ALICE, "C7", "matrix", "!a7", name="Чат 7")


@pytest.mark.parametrize("kind", [ChatManager, Mine])
async def test_a_manager_on_this_store_writes_into_the_shadow(
    kind: type[ChatManager], store: SQLiteStore
) -> None:
    manager = kind(store)
    found = await run(chat, None, store, manager)
    assert found.raised is None
    assert manager.store is store
    assert written(found.value)[chat_key(ALICE, "C7")]["surface_ref"] == "!a7"
    assert (kind is Mine) == any(unit.id == "audit:C7" for unit in found.value.units)


async def test_what_a_manager_remembers_stays_as_it_was(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    class Caching(Mine):
        def __init__(self, store: Any, client: Any) -> None:
            super().__init__(store)
            self.client, self.cache = client, dict[str, Any]()

        async def get_or_create(self, *args: Any, **named: Any) -> Any:
            self.cache[args[1]] = context = await super().get_or_create(*args, **named)
            await self.client.room_invite("!a7", ALICE)
            return context

    manager = Caching(store, client)
    found = await run(chat, client, store, manager)
    assert manager.cache == {}
    assert found.refused == ("room_invite(room_id='!a7', user_id='@alice:hs')",)


async def test_a_manager_that_cant_be_kept_from_writing_is_refused(
    store: SQLiteStore, bench: Bench
) -> None:
    class Connected(ChatManager):
        def __init__(self, store: Any) -> None:
            super().__init__(store)
            self.connection = sqlite3.connect(bench.path)

    class Hiding:
        def __init__(self, store: Any) -> None:
            self.inner = [store]

    connected = Connected(store)
    for manager in (
        SyncManager(bench.path),
        Hiding(store),
        connected,
        ChatManager(InMemoryStore()),
    ):
        with pytest.raises(ToolkitError, match="chat manager"):
            await run(chat, None, store, manager)
    connected.connection.close()


async def test_a_function_that_brings_the_real_objects_is_refused(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    class Bot:
        def __init__(self) -> None:
            self.store = store

        async def repair(self, client: Any, store: Any, chat_mgr: Any) -> None:
            await self.store.set(USER, user_row())

    async def closed(client: Any, given: Any, chat_mgr: Any) -> None:
        await store.set(USER, user_row())

    async def more(client: Any, store: Any, chat_mgr: Any, real: Any) -> None: ...

    async def early(client: Any, store: Any, chat_mgr: Any) -> Any:
        return later

    assert "NameError" in str((await run(early, client, store)).raised)
    later = None
    for fn in (Bot().repair, closed, functools.partial(more, real=client)):
        with pytest.raises(ToolkitError, match="three arguments"):
            await run(fn, client, store)
    with pytest.raises(ToolkitError, match="can't be called"):
        await run("bot:repair", client, store)  # type: ignore[arg-type]
