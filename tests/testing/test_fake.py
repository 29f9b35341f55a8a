"""The fake homeserver: a real nio client reads it, and each fault shows as itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import nio
import pytest
import pytest_asyncio

from toolkit.testing import (
    Cut,
    Delay,
    Drip,
    FakeHomeserver,
    Fault,
    Garbage,
    Hang,
    Hook,
    RecordingProxy,
    Reset,
    Status,
    World,
)

ALICE = "@alice:example.org"
SPACE, CHAT = "!space:example.org", "!chat_v12"
TOKEN = {"Authorization": "Bearer fake-token"}
API = "/_matrix/client/v3"


@pytest.fixture
def world() -> World:
    world = World()
    world.space(SPACE, owner=ALICE)
    world.chat(CHAT, SPACE, "Чат 1", owner=ALICE)
    return world


@pytest_asyncio.fixture
async def server(world: World) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(world.rooms) as server:
        yield server


@pytest_asyncio.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    client = nio.AsyncClient(server.url, server.user_id)
    client.restore_login(server.user_id, server.device_id, server.access_token)
    yield client
    await client.close()


@pytest_asyncio.fixture
async def http(server: FakeHomeserver) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.url, headers=TOKEN) as session:
        yield session


async def get(http: aiohttp.ClientSession, path: str) -> tuple[int, Any]:
    async with http.get(path) as answer:
        return answer.status, await answer.json()


# What nio reads


async def test_nio_lists_the_joined_rooms(client: nio.AsyncClient) -> None:
    answer = await client.joined_rooms()
    assert isinstance(answer, nio.JoinedRoomsResponse)
    assert answer.rooms == [SPACE, CHAT]


@pytest.mark.parametrize("room_id", [SPACE, CHAT])
async def test_nio_reads_raw_state(client: nio.AsyncClient, world: World, room_id: str) -> None:
    answer = await client.room_get_state(room_id)
    assert isinstance(answer, nio.RoomGetStateResponse)
    assert answer.events == world.rooms[room_id]


async def test_nio_syncs_the_whole_world(client: nio.AsyncClient) -> None:
    answer = await client.sync(full_state=True)
    assert isinstance(answer, nio.SyncResponse)
    assert list(client.rooms) == [SPACE, CHAT]
    assert client.rooms[CHAT].name == "Чат 1"
    assert client.rooms[SPACE].room_type == "m.space"
    assert client.rooms[SPACE].children == {CHAT}
    assert set(client.rooms[CHAT].users) == {"@bot:example.org", ALICE}


async def test_nio_survives_a_redacted_name(client: nio.AsyncClient, world: World) -> None:
    world.redact(CHAT, "m.room.name")
    assert isinstance(await client.sync(full_state=True), nio.SyncResponse)
    assert client.rooms[CHAT].name is None


async def test_a_sync_with_since_brings_no_rooms(client: nio.AsyncClient) -> None:
    answer = await client.sync(since="s0")
    assert isinstance(answer, nio.SyncResponse)
    assert answer.rooms.join == {}


async def test_nio_reads_single_events(client: nio.AsyncClient) -> None:
    name = await client.room_get_state_event(CHAT, "m.room.name")
    child = await client.room_get_state_event(SPACE, "m.space.child", CHAT)
    topic = await client.room_get_state_event(CHAT, "m.room.topic")
    assert name.content == {"name": "Чат 1"}
    assert child.content == {"via": ["example.org"]}
    assert isinstance(topic, nio.RoomGetStateEventError)


async def test_nio_logs_in_and_asks_who_it_is(server: FakeHomeserver) -> None:
    client = nio.AsyncClient(server.url, server.user_id)
    assert isinstance(await client.login("any"), nio.LoginResponse)
    answer = await client.whoami()
    await client.close()
    assert isinstance(answer, nio.WhoamiResponse)
    assert (answer.user_id, answer.device_id) == (server.user_id, server.device_id)


# The protocol


async def test_a_whole_event_is_given_on_request(http: aiohttp.ClientSession, world: World) -> None:
    path = f"{API}/rooms/%21chat_v12/state/m.room.create/?format=event"
    assert await get(http, path) == (200, world.rooms[CHAT][0])


async def test_recorded_bytes_are_served_as_they_are(http: aiohttp.ClientSession) -> None:
    body = b'[ {"type": "m.room.name",  "state_key": "", "content": {"name": "\\u0427"}} ]'
    async with FakeHomeserver({CHAT: body}) as server:
        async with http.get(f"{server.url}{API}/rooms/{CHAT}/state") as answer:
            assert await answer.read() == body
        url = f"{server.url}{API}/rooms/{CHAT}/state/m.room.name"
        assert await get(http, url) == (200, {"name": "Ч"})


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        (f"{API}/rooms/!other/state", 403, "M_FORBIDDEN"),
        (f"{API}/rooms/!other/state/m.room.name", 403, "M_FORBIDDEN"),
        (f"{API}/rooms/{CHAT}/state/m.room.topic", 404, "M_NOT_FOUND"),
        (f"{API}/rooms/{CHAT}/messages", 404, "M_UNRECOGNIZED"),
        ("/", 404, "M_UNRECOGNIZED"),
    ],
)
async def test_refusals_are_those_of_matrix(
    http: aiohttp.ClientSession, path: str, status: int, code: str
) -> None:
    answer = await get(http, path)
    assert (answer[0], answer[1]["errcode"]) == (status, code)


async def test_writes_are_unrecognized_and_recorded(
    client: nio.AsyncClient, server: FakeHomeserver
) -> None:
    assert isinstance(await client.room_create(name="new"), nio.RoomCreateError)
    assert (server.requests[0].method, server.requests[0].path) == ("POST", f"{API}/createRoom")
    assert b"new" in server.requests[0].body


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer other"}])
async def test_a_wrong_token_is_unknown(server: FakeHomeserver, headers: dict[str, str]) -> None:
    async with aiohttp.ClientSession(server.url, headers=headers) as http:
        status, body = await get(http, f"{API}/joined_rooms")
        assert (status, body["errcode"]) == (401, "M_UNKNOWN_TOKEN")
        assert (await get(http, "/_matrix/client/versions"))[0] == 200


async def test_requests_are_recorded_decoded_and_without_the_token(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    await get(http, f"{API}/rooms/%21space%3Aexample.org/state?a=%D0%A7&access_token=fake-token")
    (request,) = server.requests
    assert request.path == f"{API}/rooms/{SPACE}/state"
    assert request.query == {"a": "Ч", "access_token": "***"}
    assert request.headers["Authorization"] == "Bearer ***"
    assert "fake-token" not in repr([request, request.headers])


async def test_the_world_may_change_while_it_is_served(
    client: nio.AsyncClient, world: World, server: FakeHomeserver
) -> None:
    world.leave(SPACE)
    server.rooms["!more"] = []
    assert (await client.joined_rooms()).rooms == [CHAT, "!more"]


async def test_the_old_api_version_answers_too(http: aiohttp.ClientSession) -> None:
    answer = await get(http, "/_matrix/client/r0/joined_rooms")
    assert answer == (200, {"joined_rooms": [SPACE, CHAT]})


# Faults


async def test_a_status_comes_with_body_and_headers(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    limited = Status(429, {"errcode": "M_LIMIT_EXCEEDED"}, {"Retry-After": "1"})
    server.fault(Fault("joined", kind=limited, times=1), Fault("joined", Status(502, "<h1>")))
    async with http.get(f"{API}/joined_rooms") as first:
        assert (first.status, first.headers["Retry-After"]) == (429, "1")
        assert await first.json() == {"errcode": "M_LIMIT_EXCEEDED"}
    async with http.get(f"{API}/joined_rooms") as second:
        assert (second.status, second.content_type) == (502, "text/html")
        assert await second.text() == "<h1>"


async def test_a_fault_lets_some_pass_hits_some_and_ends(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    server.fault(Fault(f"/rooms/{CHAT}/state$", Status(500, {}), times=2, after=1))
    path = f"{API}/rooms/%21chat_v12/state"
    statuses = [(await get(http, path))[0] for _ in range(5)]
    assert statuses == [200, 500, 500, 200, 200]
    assert (await get(http, f"{API}/joined_rooms"))[0] == 200


async def test_cleared_faults_are_gone(http: aiohttp.ClientSession, server: FakeHomeserver) -> None:
    server.fault(Fault(".", Status(500)))
    server.clear_faults()
    assert (await get(http, f"{API}/joined_rooms"))[0] == 200


async def test_a_hung_request_never_ends(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    server.fault(Fault("joined", Hang()))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(get(http, f"{API}/joined_rooms"), 0.1)


async def test_closing_ends_hung_requests_at_once_and_leaves_no_task() -> None:
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession(headers=TOKEN) as http:
        async with FakeHomeserver({CHAT: []}) as server:
            server.fault(Fault("joined", Hang()), Fault("state", Drip(1)), Fault("who", Delay(60)))
            paths = (
                "joined_rooms",
                f"rooms/{CHAT}/state",
                "account/whoami",
                "sync?since=s&timeout=9000",
            )
            urls = [f"{server.url}{API}/{path}" for path in paths]
            asked = [asyncio.create_task(get(http, url)) for url in urls]
            await asyncio.sleep(0.1)
            assert len(server.requests) == len(paths)
            started = time.monotonic()
        assert time.monotonic() - started < 0.5
        answers = await asyncio.gather(*asked, return_exceptions=True)
        assert all(isinstance(answer, aiohttp.ClientError) for answer in answers)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


async def test_a_delayed_answer_is_late_but_true(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    server.fault(Fault("joined", Delay(0.1)))
    started = time.monotonic()
    assert (await get(http, f"{API}/joined_rooms"))[0] == 200
    assert time.monotonic() - started >= 0.1


async def test_a_cut_answer_is_shorter_than_promised(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    server.fault(Fault("state$", Cut(), times=1))
    path = f"{API}/rooms/{CHAT}/state"
    with pytest.raises(aiohttp.ClientPayloadError):
        await get(http, path)
    assert (await get(http, path))[0] == 200


async def test_a_dripping_answer_is_slow_and_whole(
    http: aiohttp.ClientSession, server: FakeHomeserver, world: World
) -> None:
    size = len(world.state(CHAT))
    server.fault(Fault("state$", Drip(size * 5)))
    started = time.monotonic()
    assert await get(http, f"{API}/rooms/{CHAT}/state") == (200, world.rooms[CHAT])
    assert time.monotonic() - started >= 0.15


async def test_a_reset_connection_gives_no_answer(
    http: aiohttp.ClientSession, server: FakeHomeserver
) -> None:
    # aiohttp repeats a GET once when a kept connection turns out closed.
    server.fault(Fault("joined", Reset()))
    with pytest.raises((aiohttp.ServerDisconnectedError, ConnectionResetError)):
        await get(http, f"{API}/joined_rooms")


async def test_garbage_is_200_without_json(client: nio.AsyncClient, server: FakeHomeserver) -> None:
    server.fault(Fault("joined", Garbage()))
    answer = await client.joined_rooms()
    assert isinstance(answer, nio.JoinedRoomsError)
    assert answer.transport_response.status == 200


async def test_a_hook_changes_the_world_before_the_answer(
    client: nio.AsyncClient, server: FakeHomeserver, world: World
) -> None:
    async def leave() -> None:
        world.leave(SPACE)

    server.fault(Fault("joined", Hook(leave), times=1))
    server.fault(Fault("joined", Hook(lambda: world.room("!new")), times=1))
    assert (await client.joined_rooms()).rooms == [CHAT, "!new"]
    assert (await client.joined_rooms()).rooms == [CHAT, "!new"]


# The proxy


async def test_the_proxy_passes_everything_and_tells_what(
    server: FakeHomeserver, world: World
) -> None:
    async with RecordingProxy(server.url) as proxy:
        client = nio.AsyncClient(proxy.url, server.user_id)
        await client.login("secret")
        assert (await client.room_get_state(SPACE)).events == world.rooms[SPACE]
        assert isinstance(await client.room_get_state("!other"), nio.RoomGetStateError)
        await client.close()
    assert [(r.method, r.path) for r in proxy.requests] == [
        ("POST", f"{API}/login"),
        ("GET", f"{API}/rooms/{SPACE}/state"),
        ("GET", f"{API}/rooms/!other/state"),
    ]
    assert b"secret" in proxy.requests[0].body
    assert [r.path for r in server.requests] == [r.path for r in proxy.requests]


async def test_the_proxy_keeps_status_type_and_bytes(server: FakeHomeserver) -> None:
    server.fault(Fault(".", Status(502, "<h1>Bad</h1>", {"Retry-After": "2"})))
    async with (
        RecordingProxy(server.url) as proxy,
        aiohttp.ClientSession(proxy.url) as http,
        http.get("/x%2Fy?q=%26") as answer,
    ):
        assert (answer.status, answer.content_type) == (502, "text/html")
        assert answer.headers["Retry-After"] == "2"
        assert await answer.read() == b"<h1>Bad</h1>"
    assert proxy.requests[0].query == server.requests[0].query == {"q": "&"}
