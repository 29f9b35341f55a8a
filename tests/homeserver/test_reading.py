"""What of the remote side is read, and what a client's memory saves."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.clients import TOKEN, any_client, nio_client
from tests.homeserver.remembering import (
    ALICE,
    BOB,
    CAROL,
    PLAIN,
    Bot,
    Rows,
    load_remote_of,
    rooms_in,
    states,
)
from tests.worlds import BOT, CONVENTION, STRANGER, Sides, readable_worlds
from toolkit.database.chat_manager import ChatManager
from toolkit.database.store import InMemoryStore
from toolkit.errors import HomeserverError, RemoteIncomplete, ToolkitError
from toolkit.homeserver.reading import load_remote, load_unsettled
from toolkit.model import Code, Plan, Reason, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.reconcile import reconcile_matrix_state
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver, Fault, Hang
from toolkit.testing import Status as Answer

pytestmark = pytest.mark.usefixtures("brief")


# -- what a bot's start-up costs ------------------------------------------------------------------


@pytest.mark.parametrize("users", [(ALICE,), (ALICE, BOB, CAROL)])
async def test_a_bot_in_sync_pays_one_request(users: tuple[str, ...]) -> None:
    asked, plan = await Bot(*users).reads()
    assert asked == ["joined_rooms"]
    assert plan.units == () and len(plan.in_sync_rooms) == 2 * len(users)


async def test_only_the_rooms_of_a_drifting_user_are_read() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    del bot.rows[room_key("!bob1")]
    asked, plan = await bot.reads()
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2")
    assert sorted(asked)[:2] == ["account/whoami", "joined_rooms"]
    assert [unit.id for unit in plan.units] == ["!bob1"]


async def test_a_lost_user_row_reads_that_users_rooms_only() -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[user_key(BOB)]
    asked, plan = await bot.reads()
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2")
    assert [unit.id for unit in plan.units] == [BOB]


async def test_a_strangers_room_is_read_alone() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.room("!lounge", creator=STRANGER, name="Lounge", members=[ALICE])
    asked, plan = await bot.reads()
    assert rooms_in(asked) == states("!lounge")
    assert [(s.room_id, s.reason) for s in plan.skipped if s.room_id == "!lounge"] == [
        ("!lounge", Reason.NOT_CREATED_BY_BOT)
    ]


async def test_a_strangers_look_alike_costs_its_victim_no_more() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.chat("!fake", "!alice", "Чат 2", creator=STRANGER, owner=ALICE, link="parent")
    asked, plan = await bot.reads()
    assert rooms_in(asked) == states("!fake")
    assert plan.units == ()


async def test_a_strangers_space_around_our_chats_changes_nothing() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.space("!trap", creator=STRANGER, members=[ALICE, STRANGER])
    bot.world.link("!trap", "!alice1", sender=STRANGER)
    asked, plan = await bot.reads()
    assert "rooms/!trap/state" in asked and not set(states("!bob", "!bob1")) & set(asked)
    assert plan.units == ()


async def test_the_reason_no_space_is_proven_by_all_spaces() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.room("!office", name="Office", members=[STRANGER])
    asked, _ = await bot.reads()
    assert rooms_in(asked) == states("!office", "!alice", "!bob")


async def test_a_space_in_a_space_is_proven_by_both() -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[user_key(ALICE)]
    bot.world.parent("!alice", "!bob", content={"via": []})  # a link for nio alone
    asked, plan = await bot.reads()
    assert {*states("!alice", "!bob")} <= {*asked}
    assert [unit.id for unit in plan.units] == [ALICE]


async def test_a_second_space_of_a_user_is_proven() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.space("!alice-too", members={ALICE: "join", CAROL: "leave"})  # nio forgets who left
    asked, plan = await bot.reads()
    assert rooms_in(asked)[:2] == states("!alice", "!alice-too")
    assert not plan.unit("!bob1") and "rooms/!bob/state" not in asked


async def test_a_link_that_nio_refuses_is_found() -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[room_key("!bob1")]
    bot.world.link("!bob", "!bob1", content={"via": ["hs"], "order": 5})
    bot.world.rooms["!bob1"] = [e for e in bot.world.rooms["!bob1"] if "parent" not in e["type"]]
    _, plan = await bot.reads()
    assert [unit.id for unit in plan.units] == ["!bob1"]
    assert plan.units[0].change


async def test_a_tombstoned_room_is_read_alone_and_its_upgrade_with_what_it_needs() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.upgrade("!bob2", "!bob2new")
    asked, plan = await bot.reads()
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2", "!bob2new")
    assert [unit.id for unit in plan.units] == ["!bob2new"]


async def test_a_room_that_a_wrong_surface_ref_names_is_proven_too() -> None:
    bot = Bot(ALICE, BOB)
    bot.rows[chat_key(ALICE, "C1")]["surface_ref"] = "!bob1"
    asked, _ = await bot.reads()
    assert "rooms/!bob1/state" in asked


async def test_a_client_that_never_synced_reads_everything() -> None:
    bot = Bot(ALICE, BOB)
    asked, plan = await bot.reads(sync=False)
    assert rooms_in(asked) == states("!alice", "!alice1", "!alice2", "!bob", "!bob1", "!bob2")
    assert plan.units == ()


async def test_a_single_room_costs_its_users_rooms() -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[room_key("!bob1")], bot.rows[room_key("!alice1")]
    asked, plan = await bot.meets("!bob1", BOB)
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2")
    assert plan.unit("!bob1")
    asked, _ = await bot.meets("!elsewhere", BOB)
    assert asked == ["joined_rooms"]
    bot.rows = Bot(ALICE, BOB).rows
    asked, plan = await bot.meets("!bob1", BOB)
    assert rooms_in(asked) == states("!bob", "!bob1")  # memory doesn't prove who made them
    assert "!bob1" in plan.in_sync_rooms


async def test_a_stand_in_without_a_name_is_an_error_and_not_the_owner_of_everything() -> None:
    with pytest.raises(HomeserverError, match="user_id"):
        await load_remote_of(SimpleNamespace(rooms={"!a": SimpleNamespace(users=[BOT])}))


async def test_the_memory_of_another_account_is_worth_nothing() -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[room_key("!bob1")]
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, "@other:example.org") as client,
    ):
        await client.sync(full_state=True)
        remote = (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]
    assert remote.account == BOT
    assert all(room.verified for room in remote.rooms.values())


async def test_a_client_that_does_not_know_its_name_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = Bot(ALICE)
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, "") as client,
    ):
        await client.sync(full_state=True)
        remote = (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]
    assert remote.account == BOT and bot.plan_of()(remote).units == ()


async def test_one_unreadable_room_does_not_stop_a_bot_that_is_in_sync_otherwise() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.room("!lounge", creator=STRANGER, name="Lounge")
    plan_of = bot.plan_of()
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
    ):
        await client.sync(full_state=True)
        server.fault(Fault("!lounge/state$", Answer(502)))
        remote = (await load_unsettled(client, PLAIN, plan_of, local_rows=True))[0]
    assert remote.unreadable == {"!lounge": "the homeserver answered 502"}
    (unit,) = plan_of(remote).units
    assert {finding.code for finding in unit.findings} == {Code.ROOM_UNREADABLE}


@pytest.mark.usefixtures("transport")
async def test_a_list_that_is_empty_all_at_once_decides_nothing() -> None:
    bot = Bot(ALICE)
    async with FakeHomeserver({}, BOT, TOKEN) as server, any_client(server.url, BOT) as client:
        with pytest.raises(RemoteIncomplete):
            (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]


async def test_a_room_that_lingers_in_memory_is_not_joined() -> None:
    bot = Bot(ALICE, BOB)
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
    ):
        await client.sync(full_state=True)
        bot.world.leave("!bob1")
        remote = (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]
        assert "!bob1" in client.rooms
    assert not remote.joined("!bob1")
    assert room_key("!bob1") in bot.plan_of()(remote).orphans


# -- a law: memory never changes what is said or written ------------------------------------------


@settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "40")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(readable_worlds())
def test_what_is_not_in_sync_is_planned_as_if_nothing_were_remembered(sides: Sides) -> None:
    asyncio.run(_compare_roads(sides))


async def _compare_roads(sides: Sides) -> None:
    local = sides.local()

    def plan_of(remote: RemoteState) -> Plan:
        return plan_repairs(remote, local, CONVENTION)

    options: dict[str, Any] = {"local_rows": True, "allow_empty": True}
    async with (
        FakeHomeserver(sides.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
    ):
        await client.sync(full_state=True)
        truth = plan_of(await load_remote(client, CONVENTION, **options))
        remote = (await load_unsettled(client, CONVENTION, plan_of, **options))[0]
    plan = plan_of(remote)
    trusted = {room_id for room_id, room in remote.rooms.items() if not room.verified}
    spaces = {local.users[user].space_id for user in plan.in_sync_users}
    fine = {*plan.in_sync_users, *(trusted & {*plan.in_sync_rooms, *spaces})}
    assert plan.units == tuple(unit for unit in truth.units if unit.id not in fine)
    assert not trusted & {room_id for unit in plan.units for room_id in unit.room_ids}
    assert (plan.joined, plan.orphans) == (truth.joined, truth.orphans)


# -- nothing is written when the remote side is not whole -----------------------------------------


@pytest.mark.usefixtures("transport")
@pytest.mark.parametrize(
    "fault",
    [
        Fault("/joined_rooms$", Answer(401, {"errcode": "M_UNKNOWN_TOKEN"})),
        Fault("/joined_rooms$", Answer(502)),
        Fault("/whoami$", Answer(404)),
        Fault("/state$", Answer(403, {"errcode": "M_FORBIDDEN"})),
        Fault("/state$", Answer(401), after=3),
        Fault("/state$", Hang()),
    ],
    ids=lambda fault: f"{fault.path} {fault.kind}",
)
async def test_nothing_is_written_and_nothing_called_gone(fault: Fault) -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[room_key("!bob1")], bot.rows[user_key(ALICE)]
    store = await bot.store()
    before = await rows_of(store)
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        any_client(server.url, BOT) as client,
    ):
        server.fault(fault)
        with pytest.raises(ToolkitError):
            await reconcile_matrix_state(client, store, ChatManager(store), deadline=1.0)
    assert await rows_of(store) == before


async def rows_of(store: InMemoryStore) -> Rows:
    return {key: await store.get(key) or {} for key in await store.keys("")}


@pytest.mark.usefixtures("transport")
async def test_an_unreadable_room_is_a_conflict_and_its_user_waits() -> None:
    bot = Bot(ALICE, BOB)
    del bot.rows[room_key("!bob1")], bot.rows[room_key("!alice1")], bot.rows[user_key(BOB)]
    store = await bot.store()
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        any_client(server.url, BOT) as client,
    ):
        server.fault(Fault("!bob1/state$", Answer(500)))
        report = await reconcile_matrix_state(client, store, ChatManager(store))
    assert report["restored_room_meta"] == ["!alice1"]
    assert {c["code"] for c in report["conflicts"]} == {"room_unreadable"}
    assert report["orphaned_rows"] == [] and report["restored_user_meta"] == []
