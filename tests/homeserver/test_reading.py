"""What of the remote side is read, and from whom: real clients, wrappers, stand-ins, mocks."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import nio
import pytest
from hypothesis import HealthCheck, given, settings

from tests.clients import TOKEN, any_client, is_one_sentence, nio_client
from tests.worlds import BOT, CONVENTION, STRANGER, Sides, readable_worlds
from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManager
from toolkit.database.store import InMemoryStore
from toolkit.errors import HomeserverError, RemoteIncomplete, ToolkitError
from toolkit.homeserver import retries as patience
from toolkit.homeserver import server as matrix
from toolkit.homeserver.client_memory import UNVERIFIED
from toolkit.homeserver.reading import load_remote, load_unsettled
from toolkit.model import Code, Plan, Reason, RemoteState, Status
from toolkit.planning.plan import plan_repairs
from toolkit.reconcile import reconcile_matrix_state, reconcile_single_room
from toolkit.records import Raw, chat_key, load_records, room_key, user_key
from toolkit.testing import FakeHomeserver, Fault, Hang, World
from toolkit.testing import Status as Answer

ALICE, BOB, CAROL = "@alice:example.org", "@bob:example.org", "@carol:example.org"
PLAIN = Convention()
Rows = dict[str, dict[str, Any]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.005)
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 2.0)


class Bot:
    """Users with two chats each, and the rows that a bot has that never failed."""

    def __init__(self, *users: str) -> None:
        self.world = World(BOT)
        self.rows: Rows = {}
        for user in users:
            self.add_user(user)

    def add_user(self, user: str) -> None:
        name = user[1:].partition(":")[0]
        space = self.world.space(f"!{name}", owner=user)
        self.rows[user_key(user)] = {"space_id": space, "next_chat_index": 3}
        for number in (1, 2):
            self.add_chat(user, f"!{name}{number}", f"C{number}", space)

    def add_chat(self, user: str, room_id: str, chat_id: str, space: str) -> None:
        title = f"Чат {chat_id[1:]}"
        self.world.chat(room_id, space, title, owner=user)
        self.rows[room_key(room_id)] = {
            "room_type": "chat",
            "chat_id": chat_id,
            "display_name": title,
            "matrix_user_id": user,
            "space_id": space,
        }
        self.rows[chat_key(user, chat_id)] = {
            "user_id": user,
            "chat_id": chat_id,
            "platform": "matrix",
            "surface_ref": room_id,
            "name": "mine",
        }

    async def store(self) -> InMemoryStore:
        store = InMemoryStore()
        for key, row in self.rows.items():
            await store.set(key, row)
        return store

    def plan_of(self) -> Callable[[RemoteState], Plan]:
        rows: dict[str, Raw] = {
            key: json.dumps(row, ensure_ascii=False) for key, row in self.rows.items()
        }
        local = load_records(rows.items())
        return lambda remote: plan_repairs(remote, local, PLAIN)

    async def reads(self, *, only: str | None = None, sync: bool = True) -> tuple[list[str], Plan]:
        """What a start-up of a synced bot asks the homeserver for, and what comes of it."""
        plan_of = self.plan_of()
        async with (
            FakeHomeserver(self.world.rooms, BOT, TOKEN) as server,
            nio_client(server.url, BOT) as client,
        ):
            if sync:
                await client.sync(full_state=True)
            server.requests.clear()
            remote = await load_unsettled(client, PLAIN, plan_of, local_rows=True, only=only)
            asked = [request.path for request in server.requests]
            truth = plan_of(await load_remote(client, PLAIN, local_rows=True))
        plan = plan_of(remote)
        if only is None:
            assert (plan.units, plan.skipped, plan.notes) == (
                truth.units,
                truth.skipped,
                truth.notes,
            )
        assert plan.unit(only or "") == truth.unit(only or "")
        return [path.removeprefix("/_matrix/client/v3/") for path in asked], plan


def _named(value: object) -> str:
    """The name of a test's case, the same in each process."""
    return re.sub(r" (at 0x|id=)\S+?>", ">", str(value))


def states(*room_ids: str) -> list[str]:
    return sorted(f"rooms/{room_id}/state" for room_id in room_ids)


def rooms_in(asked: list[str]) -> list[str]:
    return sorted(path for path in asked if path.endswith("/state"))


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
    asked, plan = await bot.reads(only="!bob1")
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2")
    assert plan.unit("!bob1")
    asked, _ = await bot.reads(only="!elsewhere")
    assert asked == ["joined_rooms"]
    del bot.rows[chat_key(ALICE, "C2")]
    bot.rows = Bot(ALICE, BOB).rows
    asked, plan = await bot.reads(only="!bob1")
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
        remote = await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)
    assert remote.account == BOT
    assert all(room.verified for room in remote.rooms.values())


async def test_a_client_that_does_not_know_its_name_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    bot = Bot(ALICE)
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, "") as client,
    ):
        await client.sync(full_state=True)
        remote = await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)
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
        remote = await load_unsettled(client, PLAIN, plan_of, local_rows=True)
    assert remote.unreadable == {"!lounge": "the homeserver answered 502"}
    (unit,) = plan_of(remote).units
    assert {finding.code for finding in unit.findings} == {Code.ROOM_UNREADABLE}


@pytest.mark.usefixtures("transport")
async def test_a_list_that_is_empty_all_at_once_decides_nothing() -> None:
    bot = Bot(ALICE)
    async with FakeHomeserver({}, BOT, TOKEN) as server, any_client(server.url, BOT) as client:
        with pytest.raises(RemoteIncomplete):
            await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)


async def test_a_room_that_lingers_in_memory_is_not_joined() -> None:
    bot = Bot(ALICE, BOB)
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
    ):
        await client.sync(full_state=True)
        bot.world.leave("!bob1")
        remote = await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)
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
        remote = await load_unsettled(client, CONVENTION, plan_of, **options)
    plan = plan_of(remote)
    trusted = {room_id for room_id, room in remote.rooms.items() if not room.verified}
    spaces = {local.users[user].space_id for user in plan.in_sync_users}
    fine = {*plan.in_sync_users, *(trusted & {*plan.in_sync_rooms, *spaces})}
    assert plan.units == tuple(unit for unit in truth.units if unit.id not in fine)
    assert not trusted & {room_id for unit in plan.units for room_id in unit.room_ids}
    assert (plan.joined, plan.orphans) == (truth.joined, truth.orphans)


# -- wrappers: anything with nio's two methods ----------------------------------------------------


class Wrapper:
    """A bot's own client object, that hands on to nio's answers."""

    user_id = BOT

    def __init__(self, rooms: Mapping[str, list[dict[str, Any]]], rooms_held: Any = None) -> None:
        self.state, self.rooms = rooms, rooms_held or {}

    async def joined_rooms(self) -> Any:
        return nio.JoinedRoomsResponse(list(self.state))

    async def room_get_state(self, room_id: str) -> Any:
        return nio.RoomGetStateResponse(self.state[room_id], room_id)


async def test_an_object_with_two_methods_is_enough() -> None:
    bot = Bot(ALICE)
    client = Wrapper(bot.world.rooms)
    remote = await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)
    assert remote == await load_remote(client, PLAIN, local_rows=True)
    assert all(room.verified for room in remote.rooms.values())
    assert bot.plan_of()(remote).units == ()


async def test_a_wrappers_words_about_progress() -> None:
    words: list[tuple[int, int, str]] = []
    client = Wrapper(Bot(ALICE).world.rooms)
    await load_remote(client, PLAIN, local_rows=True, progress=lambda *word: words.append(word))
    assert words[-1] == (3, 3, "")


@pytest.mark.parametrize(
    "answer",
    [
        nio.RoomGetStateError(f"No, {TOKEN}", "M_FORBIDDEN"),
        nio.RoomGetStateError("unknown error"),
        nio.ErrorResponse("<html>"),
        None,
        SimpleNamespace(events={"not": "a list"}),
        SimpleNamespace(events=[object()]),
        SimpleNamespace(events=[{"type": "\udcff"}]),
        SimpleNamespace(events=[]),
        SimpleNamespace(events=["not an event"]),
        MagicMock(),
    ],
    ids=_named,
)
async def test_an_error_response_is_an_unreadable_room(answer: Any) -> None:
    bot = Bot(ALICE)

    class Partial(Wrapper):
        async def room_get_state(self, room_id: str) -> Any:
            return answer if room_id == "!alice1" else await super().room_get_state(room_id)

    remote = await load_remote(Partial(bot.world.rooms), PLAIN, local_rows=True)
    assert list(remote.unreadable) == ["!alice1"]
    assert is_one_sentence(remote.unreadable["!alice1"] + ".")


@pytest.mark.parametrize("error", [OSError(TOKEN), KeyError("x"), TimeoutError(), RuntimeError()])
async def test_a_wrapper_that_raises_is_an_unreadable_room_or_no_list(error: Exception) -> None:
    bot = Bot(ALICE)

    class Raising(Wrapper):
        async def room_get_state(self, room_id: str) -> Any:
            if room_id == "!alice1":
                raise error
            return await super().room_get_state(room_id)

    class Deaf(Wrapper):
        async def joined_rooms(self) -> Any:
            raise error

    remote = await load_remote(Raising(bot.world.rooms), PLAIN, local_rows=True)
    assert remote.unreadable == {
        "!alice1": f"the client's room_get_state raised {type(error).__name__}"
    }
    with pytest.raises(HomeserverError, match=type(error).__name__) as caught:
        await load_remote(Deaf(bot.world.rooms), PLAIN, local_rows=True)
    assert is_one_sentence(str(caught.value))


async def test_a_toolkit_error_of_a_wrapper_goes_through() -> None:
    class Own(Wrapper):
        async def joined_rooms(self) -> Any:
            raise RemoteIncomplete("The bot's own proxy is not ready.")

    with pytest.raises(RemoteIncomplete, match="own proxy"):
        await load_remote(Own({}), PLAIN, local_rows=True)


async def test_a_wrapper_that_hangs_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 0.05)

    class Hanging(Wrapper):
        async def room_get_state(self, room_id: str) -> Any:
            await asyncio.sleep(60)

    with pytest.raises(RemoteIncomplete, match="TimeoutError"):
        await load_remote(Hanging(Bot(ALICE).world.rooms), PLAIN, local_rows=True)


async def test_a_wrapper_is_asked_for_eight_rooms_at_once() -> None:
    at_once: list[int] = [0]

    class Counting(Wrapper):
        async def room_get_state(self, room_id: str) -> Any:
            at_once.append(at_once[-1] + 1)
            await asyncio.sleep(0.001)
            at_once.append(at_once[-1] - 1)
            return await super().room_get_state(room_id)

    bot = Bot(*(f"@user{n}:example.org" for n in range(9)))
    await load_remote(Counting(bot.world.rooms), PLAIN, local_rows=True)
    assert max(at_once) == 8


async def test_methods_that_are_not_async_will_do() -> None:
    bot = Bot(ALICE)
    client = SimpleNamespace(
        user_id=BOT,
        joined_rooms=lambda: SimpleNamespace(rooms=tuple(bot.world.rooms)),
        room_get_state=lambda room_id: SimpleNamespace(events=bot.world.rooms[room_id]),
    )
    remote = await load_remote(client, PLAIN, local_rows=True)
    assert bot.plan_of()(remote).units == ()


@pytest.mark.parametrize(
    "answer",
    [
        nio.JoinedRoomsError(f"No, {TOKEN}", "M_UNKNOWN_TOKEN"),
        nio.JoinedRoomsError("unknown error"),
        SimpleNamespace(rooms={"!r": 1}),
        SimpleNamespace(rooms=["!r", None]),
        None,
        MagicMock(),
    ],
    ids=_named,
)
async def test_no_list_from_a_wrapper_is_one_sentence(answer: Any) -> None:
    client = SimpleNamespace(user_id=BOT, joined_rooms=lambda: answer, room_get_state=None)
    with pytest.raises(HomeserverError) as caught:
        await load_remote(client, PLAIN, local_rows=True)
    assert is_one_sentence(str(caught.value))


# -- light stand-ins ------------------------------------------------------------------------------


def unasked(remote: RemoteState) -> Plan:
    raise AssertionError("a stand-in is taken at its word: no plan is needed to read it")


def stand_in(**more: Any) -> SimpleNamespace:
    """What a bot's unit test holds in place of a client."""
    space = SimpleNamespace(
        room_type="m.space",
        name="Чаты",
        children={"!chat"},
        parents=set(),
        users={ALICE: None, BOT: None},
    )
    chat = SimpleNamespace(display_name="Чат 4", parents={"!space"}, users=[BOT, ALICE])
    return SimpleNamespace(user_id=BOT, rooms={"!space": space, "!chat": chat}, **more)


async def test_a_light_stand_in_is_taken_at_its_word() -> None:
    plan = plan_repairs(
        await load_unsettled(stand_in(), PLAIN, unasked, local_rows=False),
        load_records([]),
        PLAIN,
    )
    assert [(u.id, u.status, u.chat_id) for u in plan.units] == [
        (ALICE, Status.MISSING, None),
        ("!chat", Status.MISSING, "C4"),
    ]
    assert {event for unit in plan.units for event in unit.evidence.events} == {UNVERIFIED}
    assert UNVERIFIED == "unverified"


async def test_a_light_stand_in_gets_its_rows_through_the_bots_function() -> None:
    store = InMemoryStore()
    first = await reconcile_matrix_state(stand_in(), store, ChatManager(store))
    assert first["restored_room_meta"] == ["!chat"]
    again = await reconcile_matrix_state(stand_in(), store, ChatManager(store))
    assert again["unchanged_rooms"] == ["!chat"] and not again["conflicts"]
    one = await reconcile_single_room(stand_in(), store, ChatManager(store), "!chat", ALICE)
    assert one["unchanged_rooms"] == ["!chat"]


async def test_a_stand_in_that_lists_rooms_is_believed_about_that() -> None:
    client = stand_in(joined_rooms=AsyncMock(return_value=nio.JoinedRoomsResponse(["!space"])))
    remote = await load_remote(client, PLAIN, local_rows=True)
    assert list(remote.rooms) == ["!space"]
    listed = nio.JoinedRoomsResponse(["!space", "!chat", "!unknown"])
    client.joined_rooms = AsyncMock(return_value=listed)
    remote = await load_unsettled(client, PLAIN, unasked, local_rows=True)
    assert remote.unreadable == {"!unknown": "the client doesn't hold it"}


async def test_a_stand_in_without_a_list_but_with_state_is_read() -> None:
    bot = Bot(ALICE)
    client = SimpleNamespace(
        user=BOT,
        rooms=dict.fromkeys(bot.world.rooms),
        room_get_state=AsyncMock(
            side_effect=lambda room_id: nio.RoomGetStateResponse(bot.world.rooms[room_id], room_id)
        ),
    )
    remote = await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)
    assert bot.plan_of()(remote).units == ()
    assert all(room.verified for room in remote.rooms.values())


async def test_a_stand_in_with_no_rooms_is_an_empty_remote_side() -> None:
    for client in (
        SimpleNamespace(user_id=BOT),
        SimpleNamespace(user_id=BOT, rooms=None),
        SimpleNamespace(user_id=BOT, rooms=[]),
    ):
        assert (await load_remote_of(client)).rooms == {}
        with pytest.raises(RemoteIncomplete):
            await load_unsettled(client, PLAIN, unasked, local_rows=True)


async def load_remote_of(client: Any) -> RemoteState:
    return await load_unsettled(client, PLAIN, unasked, local_rows=False)


async def test_odd_rooms_of_a_stand_in_are_no_error() -> None:
    odd = SimpleNamespace(
        room_type=7, name=b"x", users=5, children="!abc", parents=[None, 3, "!s"], creator=Mock()
    )
    rooms = {"!odd": odd, "!mock": MagicMock(), "!plain": Mock(), "!none": None, 7: odd}
    remote = await load_remote_of(SimpleNamespace(user_id=BOT, rooms=rooms))
    assert sorted(remote.rooms) == ["!mock", "!none", "!odd", "!plain"]
    assert all(room.creator == BOT and room.name is None for room in remote.rooms.values())
    assert [link.target for link in remote.rooms["!odd"].parents] == ["!s"]
    assert plan_repairs(remote, load_records([]), PLAIN).units == ()


@pytest.mark.parametrize(
    "client",
    [
        MagicMock(),
        AsyncMock(),
        MagicMock(spec=nio.AsyncClient),
        AsyncMock(spec=nio.AsyncClient),
        MagicMock(user_id=BOT, access_token=TOKEN, homeserver="https://hs"),
        AsyncMock(user_id=BOT, access_token=TOKEN, homeserver="https://hs"),
    ],
    ids=["magic", "async", "magic of nio", "async of nio", "magic with token", "async with token"],
)
async def test_a_mock_that_was_not_told_what_to_say_is_one_sentence(client: Any) -> None:
    with pytest.raises(ToolkitError) as caught:
        await load_remote(client, PLAIN, local_rows=True)
    assert is_one_sentence(str(caught.value)), str(caught.value)
    with pytest.raises(ToolkitError):
        await load_unsettled(client, PLAIN, unasked, local_rows=True)


async def test_a_mock_that_was_told_is_read() -> None:
    bot = Bot(ALICE)
    client = AsyncMock(spec=nio.AsyncClient)
    client.user_id, client.access_token, client.homeserver = BOT, TOKEN, "https://hs"
    client.joined_rooms.return_value = nio.JoinedRoomsResponse(list(bot.world.rooms))
    client.room_get_state.side_effect = lambda room_id: nio.RoomGetStateResponse(
        bot.world.rooms[room_id], room_id
    )
    remote = await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True)
    assert bot.plan_of()(remote).units == ()
    assert {call[0] for call in client.method_calls} == {"joined_rooms", "room_get_state"}


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
