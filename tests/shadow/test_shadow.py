"""A shadow run: any function on a copy of the rows; nothing is written, and all of it is shown."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nio
import pytest

import toolkit.cli
from tests.bench import ALICE, BOB, BOT, Bench, Mine, SyncManager, small_rows
from tests.clients import TOKEN, nio_client
from toolkit import (
    ChatManager,
    InMemoryStore,
    SQLiteStore,
    StoreError,
    ToolkitError,
    reconcile_matrix_state,
    shadow_run,
)
from toolkit.database.look import load_look
from toolkit.database.sql import RowChange
from toolkit.model import Plan, Status, UnitKind
from toolkit.records import chat_key, room_key, user_key
from toolkit.shadow import ShadowRun
from toolkit.testing import FakeHomeserver
from toolkit.writing.journal import Journal
from toolkit.writing.undo import undo

A1, C1, USER = room_key("!a1"), chat_key(ALICE, "C1"), user_key(ALICE)
Function = Callable[[Any, Any, Any], Any]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's user row and a room row of hers are gone, Bob's room row is poisoned."""
    found = Bench(tmp_path / "bot.db")
    rows = {key: row for key, row in small_rows().items() if key not in (A1, USER)}
    found.fill(rows | {room_key("!b1"): "{", "config:bot": {"colour": "red"}, "junk:1": b"\xff"})
    return found


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[SQLiteStore]:
    """Opened for writing: the shadow doesn't rely on the database to refuse."""
    async with SQLiteStore(bench.path) as found:
        yield found


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, user_id=BOT, access_token=TOKEN) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    async with nio_client(server.url, BOT) as found:
        yield found


@pytest.fixture(autouse=True)
def nothing_but_reads_reached_the_homeserver(server: FakeHomeserver) -> Iterator[None]:
    yield
    assert {each.method for each in server.requests} <= {"GET"}


def files(store: Any) -> dict[Path, bytes]:
    """The database and whatever lies beside it, to the byte."""
    path = getattr(store, "path", None)
    return {each: each.read_bytes() for each in path.parent.iterdir()} if path else {}


async def run(fn: Function, client: Any, store: Any, chat_mgr: Any = None) -> ShadowRun:
    """A shadow run that writes nothing, and never tells the token."""
    before = files(store)
    found = await shadow_run(fn, client, store, chat_mgr)
    assert files(store) == before
    assert TOKEN not in repr(found) + found._repr_html_()
    return found


def written(plan: Plan) -> dict[str, Any]:
    """Key -> what would stand there."""
    writes = [write for unit in plan.units if unit.change for write in unit.change.writes]
    return {write.key: json.loads(str(write.after)) for write in writes}


def user_row(space_id: str = "!alice") -> dict[str, Any]:
    return {"space_id": space_id, "next_chat_index": 3}


# Functions that a bot may have


async def repair(client: Any, store: Any, chat_mgr: Any) -> int:
    """A right one."""
    await store.set(USER, user_row())
    rows = [await store.get(chat_key(ALICE, "C2")), await store.get(USER)]
    room = {"chat_id": "C1", "matrix_user_id": ALICE, "space_id": "!alice"}
    await store.set(A1, room)
    return len(rows)


async def rebuild(client: Any, store: Any, chat_mgr: Any) -> None:
    """A wrong one: it takes rooms whose rows are gone for rooms that don't exist."""
    await store.set("config:bot", {"colour": "blue"})
    for room_id in (await client.joined_rooms()).rooms:
        if room_id.startswith("!a") and not await store.get(room_key(room_id)):
            made = await client.room_create(name="Чат 1", invite=[ALICE])
            await store.set(room_key(made.room_id), {"chat_id": "C1"})


# What it would have written


async def test_what_a_function_would_write_is_a_plan(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    found = await run(repair, client, store)
    assert [(unit.id, unit.kind) for unit in found.value.units] == [
        (ALICE, UnitKind.USER),
        ("!a1", UnitKind.ROOM),
    ]
    assert {unit.status for unit in found.value.units} == {Status.MISSING}
    assert all(unit.needs_human for unit in found.value.units)
    assert written(found.value)[USER] == user_row()
    assert (found.refused, found.raised, found.returned, found.warning) == ((), None, "2", "")
    assert not found.quiet


async def test_reconciling_in_the_shadow_writes_what_the_planner_plans(
    client: nio.AsyncClient, store: SQLiteStore, bench: Bench
) -> None:
    bench.put(
        {
            chat_key(ALICE, "C2"): None,
            room_key("!a2"): small_rows()[room_key("!a2")] | {"space_id": "!x"},
        }
    )
    bench_bytes = bench.bytes()
    plan = bench.plan(await load_look(store))
    certain = [unit for unit in plan.units if unit.change and not unit.needs_human]
    for manager in (None, ChatManager(store)):
        found = await run(reconcile_matrix_state, client, store, manager)
        assert {unit.id for unit in found.value.units} == {unit.id for unit in certain}
        assert written(found.value) == {
            write.key: json.loads(str(write.after))
            for unit in certain
            if unit.change
            for write in unit.change.writes
        }
        assert found.raised is None
    assert bench.bytes() == bench_bytes


async def test_a_second_reconcile_in_the_same_shadow_changes_nothing(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    reports = []

    async def twice(client: Any, store: Any, chat_mgr: Any) -> None:
        reports.append(await reconcile_matrix_state(client, store, chat_mgr))
        reports.append(await reconcile_matrix_state(client, store, chat_mgr))

    await run(twice, client, store, ChatManager(store))
    assert reports[0]["restored_room_meta"] == ["!a1"]
    assert not any(reports[1][key] for key in reports[1] if key.startswith(("rest", "rep")))


async def test_options_are_given_with_a_partial(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    found = await run(functools.partial(reconcile_matrix_state, dry_run=True), client, store)
    assert found.quiet
    assert found.function == "reconcile_matrix_state"


async def test_a_room_takes_its_chat_rows_along(store: SQLiteStore) -> None:
    async def write(client: Any, store: Any, chat_mgr: Any) -> None:
        await store.set(C1, {"surface_ref": "!new"})
        await store.set(
            room_key("!new"), {"chat_id": "C1", "matrix_user_id": ALICE, "space_id": "!s"}
        )
        await store.set(chat_key(ALICE, "unregistered:!x"), {"surface_ref": "!x"})
        await store.set(chat_key(ALICE, "C9"), {"name": "points nowhere"})
        await store.set("matrix_room:junk", {"a": 1})

    found = await run(write, None, store)
    units = {unit.id: unit for unit in found.value.units}
    assert units.keys() == {
        "!new",
        "chat:@alice:hs:C9",
        "chat:@alice:hs:unregistered:!x",
        "matrix_room:junk",
    }
    new = units["!new"]
    assert new.change is not None
    assert [each.key for each in new.change.writes] == [room_key("!new"), C1]
    assert (new.owner, new.chat_id, new.space_id) == (ALICE, "C1", "!s")


async def test_rows_of_other_families_are_shown_by_their_key(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    found = await run(rebuild, client, store)
    plan = found.plan
    assert [unit.id for unit in found.value.units] == ["config:bot"]
    assert plan.rows("config:bot") == {
        "config:bot": {"before": {"colour": "red"}, "after": {"colour": "blue"}}
    }
    assert list(plan.changes()["field"]) == ["colour"]
    assert plan.findings()["room_id"].isna().all()
    with pytest.raises(ToolkitError, match="none of the rows"):
        await found.apply("config:bot")


async def test_a_row_written_with_its_own_content_is_no_change(store: SQLiteStore) -> None:
    async def touch(client: Any, store: Any, chat_mgr: Any) -> None:
        for key in await store.keys("matrix_user:"):
            row = await store.get(key)
            await store.set(key, dict(reversed(row.items())))

    found = await run(touch, None, store)
    assert (found.quiet, found.rewritten) == (True, 1)


async def test_true_isnt_one(store: SQLiteStore) -> None:
    async def write(client: Any, store: Any, chat_mgr: Any) -> None:
        row = await store.get(user_key(BOB))
        await store.set(user_key(BOB), row | {"next_chat_index": True, "vip": None})

    row = small_rows()[user_key(BOB)]
    found = await run(write, None, InMemoryStore({user_key(BOB): row | {"next_chat_index": 1}}))
    [finding, _] = found.value.units[0].findings
    assert (finding.field, finding.local, finding.remote) == ("next_chat_index", 1, True)


# What it would have done to the homeserver


async def test_a_function_that_would_create_rooms_is_stopped_and_told(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    found = await run(rebuild, client, store)
    assert found.refused == ("room_create(name='Чат 1', invite=['@alice:hs'])",)
    assert found.raised is not None
    assert "room_create" in found.raised
    assert list(written(found.value)) == ["config:bot"]


async def test_every_refused_call_is_listed_if_the_function_goes_on(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    async def clean_up(client: Any, store: Any, chat_mgr: Any) -> None:
        wanted = [client.room_leave("!a1"), client.room_forget("!a1"), client.room_kick("!a2", BOB)]
        wanted += [client.sync(full_state=True), client.room_send("!a1", "m.x", {"token": TOKEN})]
        await asyncio.gather(*wanted, return_exceptions=True)
        await store.set(USER, user_row())

    found = await run(clean_up, client, store)
    assert [call.partition("(")[0] for call in found.refused] == [
        "room_leave",
        "room_forget",
        "room_kick",
        "sync",
        "room_send",
    ]
    assert found.raised is None
    assert [unit.id for unit in found.value.units] == [ALICE]


async def test_an_exception_hides_nothing_of_what_came_before(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    async def fail(client: Any, store: Any, chat_mgr: Any) -> None:
        await store.set(USER, user_row())
        raise SystemExit(f"no luck with {TOKEN}")

    found = await run(fail, client, store)
    assert found.raised == "SystemExit: no luck with ***"
    assert [unit.id for unit in found.value.units] == [ALICE]


async def test_a_cancelled_shadow_run_is_cancelled(store: SQLiteStore) -> None:
    async def wait(client: Any, store: Any, chat_mgr: Any) -> None:
        await asyncio.sleep(60)

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run(wait, None, store), 0.01)


# The store that it meets


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


# Showing and applying


async def test_it_is_shown_in_words(client: nio.AsyncClient, store: SQLiteStore) -> None:
    found = await run(rebuild, client, store)
    assert repr(found).splitlines()[:4] == [
        "Nothing was written; rebuild would have written 1 row in 1 unit.",
        "  config:bot (change row)",
        "Refused: 1 call:",
        "  room_create(name='Чат 1', invite=['@alice:hs'])",
    ]
    assert repr(found.plan) == repr(found)


async def test_it_is_shown_as_a_table_in_which_nothing_acts(store: SQLiteStore) -> None:
    async def nasty(client: Any, store: Any, chat_mgr: Any) -> None:
        for number in range(60):
            await store.set(f"chat:<b>{number}", {"<script>": "$x$\x1b"})
        raise ValueError("<img>")

    found = await run(nasty, None, store)
    html = found._repr_html_()
    assert "<td" in html
    assert not any(mark in html for mark in ("<b>", "<script", "<img", "\x1b"))
    assert "run.plan.changes()" in html
    assert found.plan._repr_html_() == html


async def test_words_of_a_run_are_made_visible_once_in_text_and_table(
    client: nio.AsyncClient, store: SQLiteStore
) -> None:
    async def fails(client: Any, store: Any, chat_mgr: Any) -> None:
        raise ValueError("a\u202eb  c ")

    found = await run(fails, client, store)
    for shown in (repr(found), found._repr_html_().replace("<span>\\</span>", "\\")):
        assert "It raised ValueError: a\\u{202e}b \\u{20}c\\u{20}" in shown


async def test_units_are_applied_one_by_one_with_backup_and_journal(
    client: nio.AsyncClient, store: SQLiteStore, bench: Bench
) -> None:
    found = await run(repair, client, store)
    done = await found.apply("!a1", by="eva")
    assert (done.rows, done.stale) == (1, {})
    assert bench.row(USER) is None
    assert (await found.apply(ALICE)).rows == 1
    assert bench.row(USER) == user_row()
    assert "look again" in (await found.apply(ALICE)).stale[ALICE]
    first, *_ = Journal(bench.path).runs()
    assert (first.action, first.entries[0].by, first.id) == ("shadow", "eva", done.run)
    assert done.run is not None
    await undo(store, done.run)
    assert bench.row(A1) is None


async def test_a_unit_whose_rows_moved_is_not_applied(
    client: nio.AsyncClient, store: SQLiteStore, bench: Bench
) -> None:
    found = await run(repair, client, store)
    bench.put({A1: {"chat_id": "C8"}})
    done = await found.apply("!a1")
    assert (done.rows, list(done.stale)) == (0, ["!a1"])
    assert bench.row(A1) == {"chat_id": "C8"}


async def test_nothing_is_applied_that_nobody_named_or_knows(store: SQLiteStore) -> None:
    found = await run(repair, None, store)
    for wrong in ([], ["!nowhere"], ["!a1", "!nowhere"]):
        with pytest.raises(ToolkitError):
            await found.apply(*wrong)


async def test_a_plain_store_is_applied_to_as_well() -> None:
    rows = {key: row for key, row in small_rows().items() if key not in (A1, USER)}
    plain = InMemoryStore(rows)
    found = await run(repair, None, plain)
    assert await plain.get(USER) is None
    assert (await found.apply(ALICE)).rows == 1
    assert await plain.get(USER) == user_row()


# The command line

BOT_MODULE = """
print("hello from the bot")

async def repair(client, store, chat_mgr):
    print("repairing", client.user_id)
    await store.set("matrix_user:@alice:hs", {"space_id": "!alice", "next_chat_index": 3})
    await store.set("config:bot", {"colour": "blue"})
    await client.room_create(name="Чат 1")

async def look(client, store, chat_mgr):
    return await store.keys("")

async def fail(client, store, chat_mgr):
    raise ValueError("no luck")

class Parts:
    repair = staticmethod(look)

nothing = 1
"""


@dataclass
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str


Md = Callable[..., Awaitable[Done]]


@pytest.fixture
async def md(
    bench: Bench,
    server: FakeHomeserver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Md:
    """`plan --shadow` in a folder with a bot's module; it writes nothing, whatever it is given."""
    folder = tmp_path / "bot"
    folder.mkdir()
    (folder / "shadowed_bot.py").write_text(BOT_MODULE)
    (folder / "broken_bot.py").write_text("import nowhere_at_all")
    (folder / "ending_bot.py").write_text("raise SystemExit('no\\nconfiguration')")
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    monkeypatch.delenv("COLUMNS", raising=False)

    async def plan(named: str, *more: str) -> Done:
        sys.modules.pop("shadowed_bot", None)
        before = bench.path.read_bytes()
        code = await asyncio.to_thread(toolkit.cli.run, ["plan", "--shadow", named, *more])
        captured = capsys.readouterr()
        assert bench.path.read_bytes() == before
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    return plan


async def test_the_command_line_shows_what_a_function_would_do_and_ends_with_2(md: Md) -> None:
    done = await md("shadowed_bot:repair")
    assert done.code == 2
    assert done.out.startswith("Nothing was written; repair would have written 2 rows in 2 units.")
    for words in ("insert user row", "Shown only: config:bot", "room_create(name='Чат 1')"):
        assert words in done.out
    assert done.err == f"hello from the bot\nrepairing {BOT}\n"


async def test_a_function_that_does_nothing_ends_with_0_and_one_that_fails_with_1(md: Md) -> None:
    done = await md("shadowed_bot:Parts.repair")
    assert (done.code, "would have written nothing" in done.out) == (0, True)
    done = await md("shadowed_bot:fail")
    assert (done.code, "It raised ValueError: no luck" in done.out) == (1, True)


async def test_the_command_line_gives_it_as_json(md: Md) -> None:
    done = await md("shadowed_bot:repair", "--json")
    told = json.loads(done.out)
    assert [unit["unit"] for unit in told["units"]] == [ALICE, "config:bot"]
    assert told["refused"] == ["room_create(name='Чат 1')"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("shadowed_bot", "names no function"),
        (":repair", "names no function"),
        ("shadowed_bot:absent", "has no function 'absent'"),
        ("shadowed_bot:nothing", "has no function 'nothing'"),
        ("nowhere_at_all:repair", "Can't import nowhere_at_all: ModuleNotFoundError"),
        ("broken_bot:repair", "No module named 'nowhere_at_all'"),
        ("ending_bot:repair", "Can't import ending_bot: SystemExit: no configuration."),
    ],
)
async def test_a_function_that_isnt_there_is_one_sentence(md: Md, named: str, words: str) -> None:
    done = await md(named)
    assert (done.code, done.out) == (1, "")
    [sentence] = [line for line in done.err.splitlines() if line != "hello from the bot"]
    assert words in sentence


async def test_a_shadow_run_is_of_the_two_sides(md: Md) -> None:
    for more in (("--out", "d.json"), ("--snapshot", "s.json")):
        done = await md("shadowed_bot:repair", *more)
        assert (done.code, "leave out" in done.err) == (1, True)


def test_the_command_line_shows_it_without_pandas() -> None:
    code = "import toolkit.cli.shadow, toolkit.shadow, sys; print(*{'pandas'} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
