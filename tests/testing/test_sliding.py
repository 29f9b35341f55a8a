"""The fake homeserver's sliding sync: what it sends once, what it counts, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from toolkit.testing import Alter, FakeHomeserver, Fault, World

PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
ROOMS = [f"!r{n}" for n in range(5)]
ALL = {"ranges": [[0, 9]], "required_state": [["*", "*"]], "timeline_limit": 0}


@pytest.fixture
def world() -> World:
    world = World()
    for room_id in ROOMS:
        world.room(room_id, name=room_id)
    return world


@pytest.fixture
async def server(world: World) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(world.rooms, sliding_sync=True) as server:
        yield server


async def post(
    server: FakeHomeserver, lists: Any, query: str = "", conn_id: str = "a", token: str = ""
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token or server.access_token}"}
    body = json.dumps({"conn_id": conn_id, "lists": lists})
    async with (
        aiohttp.ClientSession(server.url, headers=headers) as http,
        http.post(PATH + query, data=body) as answer,
    ):
        return answer.status, await answer.json()


async def test_all_rooms_come_with_all_their_state(server: FakeHomeserver, world: World) -> None:
    status, answer = await post(server, {"x": ALL})
    assert status == 200 and answer["lists"] == {"x": {"count": 5}}
    assert {r: room["required_state"] for r, room in answer["rooms"].items()} == world.rooms
    assert all(room["initial"] for room in answer["rooms"].values())


async def test_a_growing_range_brings_only_what_is_new(server: FakeHomeserver) -> None:
    _, first = await post(server, {"x": ALL | {"ranges": [[0, 1]]}})
    _, second = await post(server, {"x": ALL | {"ranges": [[0, 3]]}}, f"?pos={first['pos']}")
    assert [*first["rooms"]] == ROOMS[:2] and [*second["rooms"]] == ROOMS[2:4]
    _, anew = await post(server, {"x": ALL})
    assert [*anew["rooms"]] == ROOMS


async def test_who_begins_anew_ends_the_connection_of_that_name_alone(
    server: FakeHomeserver,
) -> None:
    _, mine = await post(server, {"x": ALL}, conn_id="mine")
    _, first = await post(server, {"x": ALL})
    await post(server, {"x": ALL})
    status, lost = await post(server, {"x": ALL}, f"?pos={first['pos']}")
    assert (status, lost["errcode"]) == (400, "M_UNKNOWN_POS")
    status, kept = await post(server, {"x": ALL}, f"?pos={mine['pos']}", conn_id="mine")
    assert (status, kept["rooms"]) == (200, {})


async def test_without_ranges_it_counts_and_without_timeline_limit_it_refuses(
    server: FakeHomeserver,
) -> None:
    _, answer = await post(server, {"x": {"required_state": [], "timeline_limit": 0}})
    assert (answer["lists"]["x"]["count"], answer["rooms"]) == (5, {})
    status, answer = await post(server, {"x": {"required_state": [], "ranges": [[0, 9]]}})
    assert (status, answer["errcode"]) == (400, "M_BAD_JSON")


async def test_state_may_be_asked_for_by_type_and_bytes_come_as_they_are(
    server: FakeHomeserver, world: World
) -> None:
    names = ALL | {"required_state": [["m.room.name", ""], ["m.room.member", "*"]]}
    state: dict[str, Any] = dict(world.rooms)
    state["!r0"] = b'[ {"type": "m.room.name",  "state_key": "", "content": []} ]'
    server.rooms = state
    _, answer = await post(server, {"x": names})
    kinds = {event["type"] for room in answer["rooms"].values() for event in room["required_state"]}
    assert kinds == {"m.room.name", "m.room.member"}
    _, answer = await post(server, {"x": ALL}, conn_id="b")
    assert answer["rooms"]["!r0"]["required_state"] == json.loads(state["!r0"])


async def test_it_wants_the_token_and_is_there_only_if_it_is_offered(
    server: FakeHomeserver,
) -> None:
    assert (await post(server, {"x": ALL}, token="other"))[0] == 401
    server.sliding_sync = False
    status, answer = await post(server, {"x": ALL})
    assert (status, answer["errcode"]) == (404, "M_UNRECOGNIZED")
    async with aiohttp.ClientSession(server.url) as http:
        features = []
        for server.sliding_sync in (False, True):
            async with http.get("/_matrix/client/versions") as versions:
                features.append((await versions.json())["unstable_features"])
    assert features[0] == {} and features[1]["org.matrix.simplified_msc3575"] is True


async def test_a_true_answer_can_be_altered(server: FakeHomeserver) -> None:
    server.fault(Fault("/sync$", Alter(lambda answer: answer | {"rooms": {}}), times=1))
    assert (await post(server, {"x": ALL}))[1]["rooms"] == {}
    assert (await post(server, {"x": ALL}))[1]["rooms"]
