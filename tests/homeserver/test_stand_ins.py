"""From whom the remote side is read: wrappers, light stand-ins, mocks."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock, MagicMock, Mock

import nio
import pytest

from tests.clients import TOKEN, is_one_sentence
from tests.homeserver.remembering import ALICE, PLAIN, Bot, load_remote_of, plan_without_rows
from tests.worlds import BOT
from toolkit.database.chat_manager import ChatManager
from toolkit.database.store import InMemoryStore
from toolkit.errors import HomeserverError, RemoteIncomplete, ToolkitError
from toolkit.homeserver import server as matrix
from toolkit.homeserver.client_memory import UNVERIFIED
from toolkit.homeserver.reading import load_remote, load_unsettled
from toolkit.model import Status
from toolkit.planning.plan import plan_repairs
from toolkit.reconcile import reconcile_matrix_state, reconcile_single_room
from toolkit.records import load_records

pytestmark = pytest.mark.usefixtures("brief")


def _named(value: object) -> str:
    """The name of a test's case, the same in each process."""
    return re.sub(r" (at 0x|id=)\S+?>", ">", str(value))


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
    remote = (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]
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
        (await load_unsettled(stand_in(), PLAIN, plan_without_rows, local_rows=False))[0],
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
    remote = (await load_unsettled(client, PLAIN, plan_without_rows, local_rows=True))[0]
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
    remote = (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]
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
            (await load_unsettled(client, PLAIN, plan_without_rows, local_rows=True))[0]


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
        (await load_unsettled(client, PLAIN, plan_without_rows, local_rows=True))[0]


async def test_a_mock_that_was_told_is_read() -> None:
    bot = Bot(ALICE)
    client = AsyncMock(spec=nio.AsyncClient)
    client.user_id, client.access_token, client.homeserver = BOT, TOKEN, "https://hs"
    client.joined_rooms.return_value = nio.JoinedRoomsResponse(list(bot.world.rooms))
    client.room_get_state.side_effect = lambda room_id: nio.RoomGetStateResponse(
        bot.world.rooms[room_id], room_id
    )
    remote = (await load_unsettled(client, PLAIN, bot.plan_of(), local_rows=True))[0]
    assert bot.plan_of()(remote).units == ()
    assert {call[0] for call in client.method_calls} == {"joined_rooms", "room_get_state"}
