"""Rooms that are decoded elsewhere: what comes of them is what a look would have decoded itself."""

import pytest

from tests.bench import BOT, TOKEN, small_world
from toolkit import Convention
from toolkit.homeserver import server
from toolkit.homeserver.gathering import Doubtful, Gathered
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.transport import PlainClient
from toolkit.layout import Layout
from toolkit.model import RemoteState
from toolkit.testing import FakeHomeserver, World

CONVENTION = Convention(state_event_type="org.example.chat")


async def both(world: World) -> tuple[RemoteState, RemoteState]:
    """As a look decodes it, and as gathered."""
    async with (
        FakeHomeserver(world.rooms, BOT, TOKEN) as homeserver,
        PlainClient(homeserver.url, TOKEN) as client,
    ):
        remote = await load_remote(client, CONVENTION, local_rows=True)
        gathered = await Gathered.load(client, CONVENTION, Layout(), may_be_empty=False)
    return remote, gathered.decode(CONVENTION, Layout())


async def test_rooms_are_the_same_as_by_a_look() -> None:
    world = small_world()
    world.event("!a1", "org.example.chat", {"chat_id": "C1"})
    world.upgrade("!b1", "!b2")
    remote, gathered = await both(world)
    assert gathered == remote and len(gathered.rooms) == 6


async def test_of_a_strangers_crowded_room_the_head_is_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = small_world()
    world.room(
        "!crowd", members=[BOT, *(f"@user{number}:hs" for number in range(40))], creator="@eve:hs"
    )
    monkeypatch.setattr(server, "BIG_ROOM_BYTES", len(world.state("!crowd")) - 1)
    remote, gathered = await both(world)
    assert gathered == remote and not gathered.rooms["!crowd"].members


async def test_what_is_no_state_of_a_joined_room_is_doubtful() -> None:
    world = small_world()
    world.member("!b1", BOT, "leave")
    with pytest.raises(Doubtful, match="isn't in the room any more"):
        await both(world)
