"""A shadow run: any function on a copy of the rows; nothing is written, and all of it is shown."""

from __future__ import annotations

import asyncio
import functools
import json
from typing import Any

import nio
import pytest

from tests.bench import ALICE, BOB, Bench, small_rows
from tests.clients import TOKEN
from tests.shadow.functions import A1, C1, USER, rebuild, repair, run, user_row, written
from toolkit import ChatManager, InMemoryStore, SQLiteStore, ToolkitError, reconcile_matrix_state
from toolkit.database.journal import Journal
from toolkit.database.look import load_look
from toolkit.model import Status, UnitKind
from toolkit.records import chat_key, room_key, user_key
from toolkit.writing.undo import undo

pytestmark = pytest.mark.usefixtures("nothing_but_reads_reached_the_homeserver")


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
    assert not any(found for key, found in reports[1].items() if key.startswith(("rest", "rep")))


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
