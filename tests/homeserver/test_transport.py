"""Two transports, one behaviour: what is read, where it connects to, and what is left behind."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from hypothesis import HealthCheck, given, settings

from tests.bench import Bench
from tests.clients import TOKEN, TRANSPORTS, any_client, assert_discreet
from tests.worlds import BOT, CONVENTION, readable_worlds
from tests.worlds import Sides as Worlds
from toolkit.convention import Convention
from toolkit.demo.world import DemoWorld
from toolkit.errors import HomeserverError, RefusedCall, RemoteIncomplete, ToolkitError
from toolkit.homeserver import retries as patience
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.readonly import read_only
from toolkit.homeserver.transport import PlainClient, open_nio
from toolkit.model import RemoteState
from toolkit.sources.sides import Sides
from toolkit.testing import Cut, FakeHomeserver, Fault, Garbage, Hang, Hook, Reset, Status, World

JOINED = "/_matrix/client/v3/joined_rooms"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.005)


@pytest.fixture
async def homeserver() -> AsyncIterator[FakeHomeserver]:
    world = World(BOT)
    for number in range(10):
        world.room(f"!room{number}")
    async with FakeHomeserver(world.rooms, BOT, TOKEN) as server:
        yield server


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[aiohttp.ClientSession]:
    """Every session of aiohttp that is opened, by whichever transport."""
    found: list[aiohttp.ClientSession] = []
    make = aiohttp.ClientSession.__init__

    def watch(session: aiohttp.ClientSession, *args: Any, **named: Any) -> None:
        make(session, *args, **named)
        found.append(session)

    monkeypatch.setattr(aiohttp.ClientSession, "__init__", watch)
    return found


async def look(client: Any) -> RemoteState:
    return await load_remote(client, CONVENTION, local_rows=False)


# -- what is read ---------------------------------------------------------------------------------


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(readable_worlds())
def test_both_roads_read_the_same(sides: Worlds) -> None:
    async def compare() -> None:
        async with FakeHomeserver(sides.rooms, BOT, TOKEN) as server:
            told = []
            for client_of in TRANSPORTS.values():
                async with client_of(server.url) as client:
                    told.append(await look(client))
            asked = [
                (r.method, r.path, r.query, r.headers["Authorization"]) for r in server.requests
            ]
        assert told[0] == told[1]
        half = len(asked) // 2
        assert sorted(map(str, asked[:half])) == sorted(map(str, asked[half:]))

    asyncio.run(compare())


async def test_both_roads_read_the_same_of_a_real_homeserver(demo_template: DemoWorld) -> None:
    bodies: list[dict[str, Any]] = []
    told = []
    for client_of in TRANSPORTS.values():
        bodies.append({})
        async with client_of(demo_template.url, token=demo_template.account.access_token) as client:
            seen = bodies[-1].__setitem__
            told.append(await load_remote(client, Convention(), local_rows=True, seen=seen))
    assert told[0] == told[1] and told[0].account == demo_template.account.user_id
    assert len(told[0].rooms) > 20
    first, second = ({room: _ageless(body) for room, body in each.items()} for each in bodies)
    assert first == second


def _ageless(body: bytes) -> list[Any]:
    """Synapse says with each answer how old an event is by then."""
    events = json.loads(body)
    for event in events:
        event.pop("age", None)
        event.get("unsigned", {}).pop("age", None)
    return sorted(events, key=str)


async def test_a_dead_token_is_the_same_sentence_on_both_roads_of_a_real_homeserver(
    demo_template: DemoWorld,
) -> None:
    said = set()
    for client_of in TRANSPORTS.values():
        async with client_of(demo_template.url, token=TOKEN) as client:
            with pytest.raises(HomeserverError, match="401 M_UNKNOWN_TOKEN") as caught:
                await look(client)
        said.add(str(caught.value))
    assert len(said) == 1


# -- where it connects to -------------------------------------------------------------------------


async def test_a_proxy_of_the_environment_is_not_used(
    transport: str, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    async with any_client(homeserver.url) as client:
        assert len((await look(client)).rooms) == 10


async def test_netrc_is_not_read(
    transport: str, homeserver: FakeHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bot password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with any_client(homeserver.url) as client:
        assert len((await look(client)).rooms) == 10
    assert {request.headers["Authorization"] for request in homeserver.requests} == {"Bearer ***"}


async def test_certificates_are_checked_as_nio_checks_them(
    homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything else about a connection is a default of aiohttp's, which both leave as it is."""
    asked: list[dict[str, Any]] = []
    request = aiohttp.ClientSession._request

    async def watch(session: Any, *args: Any, **named: Any) -> Any:
        made = {"trust_env": session.trust_env, "cookies": type(session.cookie_jar)}
        asked.append(made | {name: value for name, value in named.items() if value is not None})
        return await request(session, *args, **named)

    monkeypatch.setattr(aiohttp.ClientSession, "_request", watch)
    for client_of in TRANSPORTS.values():
        async with client_of(homeserver.url) as client:
            await read_only(client).send("GET", JOINED, timeout=aiohttp.ClientTimeout(total=5))
    assert asked[0] == asked[1]
    assert ssl.create_default_context().verify_mode is ssl.CERT_REQUIRED and "ssl" not in asked[1]


@contextlib.asynccontextmanager
async def redirecting(target: str) -> AsyncIterator[str]:
    """A server that sends everybody on; without a target, to another path of its own."""

    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/elsewhere":
            authorised = request.headers.get("Authorization") == f"Bearer {TOKEN}"
            return web.json_response({"user_id": BOT} if authorised else {})
        return web.Response(status=307, headers={"Location": target or "/elsewhere"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def test_a_redirect_takes_the_token_to_the_same_server_alone(
    transport: str, homeserver: FakeHomeserver
) -> None:
    async with (
        redirecting("") as url,
        any_client(url) as client,
        await read_only(client).send("GET", JOINED) as answer,
    ):
        assert await answer.json() == {"user_id": BOT}
    async with redirecting(f"{homeserver.url}{JOINED}") as url, any_client(url) as client:
        with pytest.raises(HomeserverError):
            await look(client)
    assert homeserver.requests
    assert not any("Authorization" in request.headers for request in homeserver.requests)


async def test_redirects_without_end_are_given_up(transport: str) -> None:
    async with redirecting("/_matrix/again") as url, any_client(url) as client:
        with pytest.raises(
            HomeserverError, match=r"broke the connection \(TooManyRedirects\)"
        ) as e:
            await look(client)
    assert_discreet(e.value)


# -- what is told ---------------------------------------------------------------------------------


ECHOES = {
    "refused": Status(403, {"errcode": "M_UNKNOWN", "error": f"{TOKEN} may not"}),
    "dead": Status(401, {"errcode": TOKEN, "error": TOKEN}),
    "broken": Status(502, TOKEN, {"X-Echo": TOKEN}),
    "limited": Status(
        429, {"errcode": "M_LIMIT_EXCEEDED", "error": TOKEN, "retry_after_ms": 10**9}
    ),
    "no json": Status(200, f"<html>{TOKEN}</html>"),
    "no list": Garbage(json.dumps({"error": TOKEN}).encode()),
    "failed": Status(500, {"errcode": TOKEN, "error": TOKEN}, {"X-Echo": TOKEN}),
    "no UTF-8": Garbage(b'[{"type":"' + TOKEN.encode() + b'\xff"},'),
    "half a pair": Garbage(b'[{"type":"' + TOKEN.encode() + b'\\ud800"}]'),
    "cut short": Garbage(f'[{{"type":"{TOKEN}"'.encode()),
    "much too deep": Garbage(f'["{TOKEN}",'.encode() + b"[" * 100_000),
    "another type": Garbage(json.dumps([{"type": [TOKEN], "sender": TOKEN}]).encode()),
    "sent on": Status(302, TOKEN, {"Location": f"/{TOKEN}?access_token={TOKEN}"}),
    "sent nowhere": Status(302, TOKEN, {"Location": f"http://[{TOKEN}"}),
    "sent to mail": Status(302, TOKEN, {"Location": f"mailto:{TOKEN}"}),
    "cut": Cut(),
    "reset": Reset(),
}


@pytest.mark.parametrize("path", ["/joined_rooms$", "/whoami$", "/state$"])
@pytest.mark.parametrize("echo", list(ECHOES))
async def test_no_error_holds_the_token_nor_does_what_it_came_from(
    transport: str, homeserver: FakeHomeserver, echo: str, path: str
) -> None:
    homeserver.fault(Fault(path, ECHOES[echo]))
    async with any_client(homeserver.url) as client:
        with pytest.raises(ToolkitError) as caught:
            await look(client)
    assert_discreet(caught.value)


def test_the_search_finds_what_hides_behind_an_error() -> None:
    hiding = HomeserverError("No JSON.")
    assert_discreet(hiding)
    hiding.__context__ = json.JSONDecodeError("Expecting value", f"<{TOKEN}>", 0)
    with pytest.raises(AssertionError):
        assert_discreet(hiding)
    hiding.__context__ = None
    hiding.__cause__ = ExceptionGroup("", [ValueError(), UnicodeError(f"\xff{TOKEN}".encode())])
    with pytest.raises(AssertionError):
        assert_discreet(hiding)


async def test_a_plain_client_shows_no_token_and_only_reads(homeserver: FakeHomeserver) -> None:
    async with PlainClient(homeserver.url, TOKEN) as client:
        guarded = read_only(client)
        assert TOKEN not in repr(client) + repr(guarded) + guarded.access_token
        with pytest.raises(RefusedCall):
            await guarded.send("PUT", JOINED)
        with pytest.raises(RefusedCall):
            await guarded.send("GET", "/_matrix/client/v3/sync?since=s1")
    assert homeserver.requests == []


# -- what is left behind --------------------------------------------------------------------------


async def test_a_client_that_asked_nothing_has_nothing_to_close(
    sessions: list[aiohttp.ClientSession],
) -> None:
    client = PlainClient("http://127.0.0.1:1", TOKEN)
    await client.close()
    await client.close()
    assert sessions == []


ENDS: dict[str, tuple[Fault | None, float | None, type[BaseException] | None]] = {
    "well": (None, None, None),
    "a dead token": (Fault("/whoami$", Status(401)), None, HomeserverError),
    "in the middle": (Fault("/state$", Status(401), after=3), None, RemoteIncomplete),
    "past the deadline": (Fault("/state$", Hang(), after=3), 0.3, RemoteIncomplete),
}


def sides_of(bench: Bench, server: FakeHomeserver, deadline: float | None) -> Sides:
    return Sides(CONVENTION, server.url, TOKEN, bench.path, allow_empty=True, deadline=deadline)


@pytest.mark.parametrize("end", list(ENDS))
async def test_a_look_leaves_no_connection_however_it_ends(
    homeserver: FakeHomeserver, bench: Bench, sessions: list[aiohttp.ClientSession], end: str
) -> None:
    fault, deadline, error = ENDS[end]
    if fault:
        homeserver.fault(fault)
    with pytest.raises(error) if error else contextlib.nullcontext():
        await sides_of(bench, homeserver, deadline).look()
    assert [session.closed for session in sessions] == [True]


async def test_a_cancelled_look_leaves_no_connection(
    homeserver: FakeHomeserver, bench: Bench, sessions: list[aiohttp.ClientSession]
) -> None:
    begun = asyncio.Event()
    homeserver.fault(Fault("/state$", Hook(begun.set)), Fault("/state$", Hang()))
    task = asyncio.create_task(sides_of(bench, homeserver, None).look())
    await begun.wait()
    assert [session.closed for session in sessions] == [False]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [session.closed for session in sessions] == [True]


async def test_a_client_for_a_bots_function_is_nios_own_and_closed(
    homeserver: FakeHomeserver, sessions: list[aiohttp.ClientSession]
) -> None:
    import nio

    async with open_nio(f"{homeserver.url}/", TOKEN) as client:
        answer = await client.whoami()
        assert isinstance(answer, nio.WhoamiResponse) and answer.user_id == BOT
    assert [session.closed for session in sessions] == [True]
