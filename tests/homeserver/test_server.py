"""Reading a homeserver that is ill: each trouble has its promised outcome (rules 2.9, 5)."""

from __future__ import annotations

import asyncio
import email.utils
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clients import TOKEN, any_client, is_one_sentence
from tests.homeserver.illness import (
    ALICE,
    BOT,
    BROKEN,
    CHATS,
    JOINED,
    LIMITED,
    ROOMS,
    SPACE,
    STATE,
    STRANGER,
    WHOAMI,
    Words,
    asked,
    failure,
    look,
)
from toolkit.deadline import within
from toolkit.errors import HomeserverError, RemoteIncomplete
from toolkit.homeserver import retries as patience
from toolkit.homeserver import server as matrix
from toolkit.homeserver.retries import asked_to_wait
from toolkit.homeserver.server import Homeserver
from toolkit.model import RoomState
from toolkit.testing import (
    Cut,
    Drip,
    FakeHomeserver,
    Fault,
    Garbage,
    Hang,
    Hook,
    Reset,
    Status,
    World,
)

pytestmark = pytest.mark.usefixtures("transport", "quick", "impatient", "discreet")


async def test_a_healthy_server_is_read_completely_and_only_with_get(
    server: FakeHomeserver,
) -> None:
    words: Words = []
    remote = await look(server.url, words)
    assert (remote.account, sorted(remote.rooms), remote.unreadable) == (BOT, ROOMS, {})
    assert {request.method for request in server.requests} == {"GET"}
    assert len(server.requests) == 2 + len(ROOMS)
    assert all(not request.query for request in server.requests)
    assert words[-1] == (len(ROOMS), len(ROOMS), "")


# -- too many requests ----------------------------------------------------------------------------


def limits(hint: str) -> Status:
    soon = datetime.now(UTC) + timedelta(seconds=1.5)
    return {
        "retry_after_ms": Status(429, {**LIMITED, "retry_after_ms": 20}),
        "Retry-After": Status(429, LIMITED, {"Retry-After": "0"}),
        "a date": Status(429, "", {"Retry-After": email.utils.format_datetime(soon, usegmt=True)}),
        "none": Status(429, LIMITED),
        "an empty body": Status(429),
        "html": Status(429, "<html>Slow down</html>"),
        "nonsense": Status(429, {"retry_after_ms": "soon"}, {"Retry-After": "after lunch"}),
    }[hint]


@pytest.mark.parametrize(
    "hint", ["retry_after_ms", "Retry-After", "none", "an empty body", "html", "nonsense"]
)
@pytest.mark.parametrize("path", [JOINED, WHOAMI, STATE])
async def test_a_throttled_request_is_asked_again(
    server: FakeHomeserver, hint: str, path: str
) -> None:
    server.fault(Fault(path, limits(hint), times=7))  # more often than anything else is tried
    remote = await look(server.url)
    assert sorted(remote.rooms) == ROOMS and not remote.unreadable


async def test_it_waits_as_long_as_the_server_asks(server: FakeHomeserver) -> None:
    server.fault(Fault(JOINED, Status(429, {**LIMITED, "retry_after_ms": 300}), times=1))
    started = time.monotonic()
    await look(server.url)
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("hint", ["seconds", "a date"])
async def test_retry_after_is_honoured_in_seconds_and_as_a_date_with_a_visible_word(
    server: FakeHomeserver, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 5.0)
    soon = datetime.now(UTC) + timedelta(seconds=2)
    header = "1" if hint == "seconds" else email.utils.format_datetime(soon, usegmt=True)
    server.fault(Fault(JOINED, Status(429, LIMITED, {"Retry-After": header}), times=1))
    words: Words = []
    started = time.monotonic()
    await look(server.url, words)
    assert 0.9 < time.monotonic() - started < 4
    said = [word for _, _, word in words if word]
    assert len(said) == 1 and "too many requests; asking again in " in said[0]
    assert server.url in said[0]


async def test_a_word_about_waiting_keeps_the_count(
    server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 5.0)
    hint = Status(429, {"retry_after_ms": 1000})
    server.fault(Fault(f"{CHATS[0]}{STATE}", Hook(lambda: asyncio.sleep(0.05)), times=1))
    server.fault(Fault(f"{CHATS[0]}{STATE}", hint, times=1))
    words: Words = []
    await look(server.url, words)
    (waited,) = [word for word in words if word[2]]
    assert waited[:2] == (len(ROOMS) - 1, len(ROOMS))


@pytest.mark.parametrize("hint", ["retry_after_ms", "Retry-After", "none"])
@pytest.mark.parametrize("path", [JOINED, STATE])
async def test_a_server_that_throttles_for_ever_is_left_in_peace(
    server: FakeHomeserver, hint: str, path: str
) -> None:
    server.fault(Fault(path, limits(hint)))
    started = time.monotonic()
    kind = HomeserverError if path == JOINED else RemoteIncomplete
    assert "too many requests" in await failure(server.url, kind)
    assert time.monotonic() - started < 2
    assert len(server.requests) < 60 * (1 if path == JOINED else len(ROOMS))


async def test_a_wait_beyond_all_patience_is_not_begun(server: FakeHomeserver) -> None:
    for hint in (10**400, 1e308, 86_400_000):
        server.clear_faults()
        server.fault(Fault(JOINED, Status(429, {"retry_after_ms": hint})))
        started = time.monotonic()
        await failure(server.url, HomeserverError)
        assert time.monotonic() - started < 2
    assert asked(server, JOINED[:-1]) == 3


@given(st.text(max_size=40), st.one_of(st.none(), st.integers(), st.floats(), st.text()))
def test_no_hint_is_misunderstood(header: str, asked: Any) -> None:
    body = json.dumps({"retry_after_ms": asked}).encode()
    for dressed in (header, f"Wed, 21 Oct {header}", f"Wed, 21 Oct 2015 07:28:00 {header}"):
        wait = asked_to_wait(body, {"Retry-After": dressed})
        assert wait is None or wait >= 0


@pytest.mark.parametrize(
    "date",
    ["Wed, 21 Oct 2015 07:28:00 +999999", "Wed, 21 Oct 99999 07:28:00 GMT", "31 Dec 9999 23:59:59"],
)
def test_an_odd_date_is_no_error(date: str) -> None:
    wait = asked_to_wait(b"[]", {"Retry-After": date})
    assert wait is None or wait >= 0


# -- servers in trouble ---------------------------------------------------------------------------

TROUBLE = {
    "500 json": Status(500, BROKEN),
    "502 html": Status(502, "<html>Bad Gateway</html>"),
    "503 empty": Status(503),
    "504 bytes": Status(504, b"\xff\x00"),
    "reset": Reset(),
    "cut": Cut(),
    "garbage": Garbage(),
    "no body": Garbage(b""),
    "half a list": Garbage(b'[{"type":'),
    "an error with 200": Status(200, BROKEN),
    "null": Garbage(b"null"),
    "deep": Garbage(b"[" * 100_000),
    "falsely compressed": Status(200, b"no gzip", {"Content-Encoding": "gzip"}),
    "hang": Hang(),
    "drip": Drip(40),
}
QUICK = [name for name in TROUBLE if name not in ("hang", "drip")]


@pytest.mark.parametrize(
    ("trouble", "path"),
    [
        (trouble, path)
        for trouble in QUICK
        for path in (JOINED, WHOAMI, STATE)
        # An object where one belongs, but without the list, is no homeserver's answer: see below.
        if (trouble, path) not in [("an error with 200", JOINED), ("an error with 200", WHOAMI)]
    ],
)
async def test_trouble_that_passes_is_sat_out(
    server: FakeHomeserver, trouble: str, path: str
) -> None:
    server.fault(Fault(path, TROUBLE[trouble], times=patience.ATTEMPTS - 1))
    remote = await look(server.url)
    assert sorted(remote.rooms) == ROOMS and not remote.unreadable


@pytest.mark.parametrize("trouble", ["hang", "drip"])
async def test_a_slow_answer_is_asked_for_again(server: FakeHomeserver, trouble: str) -> None:
    server.fault(Fault(f"{CHATS[0]}{STATE}", TROUBLE[trouble], times=1))
    remote = await look(server.url)
    assert sorted(remote.rooms) == ROOMS and not remote.unreadable


@pytest.mark.parametrize("trouble", list(TROUBLE))
@pytest.mark.parametrize("path", [JOINED, WHOAMI])
async def test_a_list_that_cannot_be_had_is_one_sentence(
    server: FakeHomeserver, trouble: str, path: str
) -> None:
    server.fault(Fault(path, TROUBLE[trouble]))
    said = await failure(server.url, HomeserverError)
    assert server.url in said
    twice = trouble == "reset"  # aiohttp itself repeats a GET whose connection broke
    assert asked(server, path[:-1]) <= patience.ATTEMPTS * (1 + twice)


@pytest.mark.parametrize("trouble", list(TROUBLE))
async def test_one_room_in_trouble_is_unreadable_and_the_others_go_on(
    server: FakeHomeserver, trouble: str
) -> None:
    server.fault(Fault(f"{CHATS[2]}{STATE}", TROUBLE[trouble]))
    remote = await look(server.url)
    assert list(remote.unreadable) == [CHATS[2]]
    assert sorted([*remote.rooms, CHATS[2]]) == ROOMS
    assert remote.unreadable[CHATS[2]].startswith("the homeserver ")
    assert is_one_sentence(remote.unreadable[CHATS[2]] + ".")


@pytest.mark.parametrize("status", [403, 404, 400])
async def test_a_room_that_is_refused_is_not_asked_for_twice(
    server: FakeHomeserver, status: int
) -> None:
    server.fault(Fault(f"{CHATS[2]}{STATE}", Status(status, {"errcode": "M_FORBIDDEN"})))
    remote = await look(server.url)
    assert remote.unreadable == {CHATS[2]: f"the homeserver answered {status} M_FORBIDDEN"}
    assert asked(server, f"{CHATS[2]}/state") == 1


@pytest.mark.parametrize("body", [b"[]", b'[{"type":"m.room.name","content":{"name":"x"}}]'])
async def test_state_without_a_create_event_is_not_the_whole_state(
    server: FakeHomeserver, body: bytes
) -> None:
    server.fault(Fault(f"{CHATS[2]}{STATE}", Garbage(body)))
    remote = await look(server.url)
    assert list(remote.unreadable) == [CHATS[2]]


@pytest.mark.parametrize("trouble", [*QUICK, "refused"])
async def test_most_rooms_in_trouble_is_an_incomplete_remote_side(
    server: FakeHomeserver, trouble: str
) -> None:
    fault = TROUBLE.get(trouble, Status(403, {"errcode": "M_FORBIDDEN"}))
    server.fault(Fault(f"chat[1-4]{STATE}", fault))
    assert "4 of 6 rooms" in await failure(server.url, RemoteIncomplete)


async def test_a_server_that_falls_silent_is_not_asked_for_each_of_a_thousand_rooms() -> None:
    world = World()
    for number in range(1000):
        world.room(f"!room{number:04}")
    async with FakeHomeserver(world.rooms, access_token=TOKEN) as server:
        server.fault(Fault(STATE, Hang(), after=100))
        started = time.monotonic()
        assert "could not be read" in await failure(server.url, RemoteIncomplete)
        assert time.monotonic() - started < 3
        assert len(server.requests) < 200


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "http://nobody.invalid"])
async def test_nobody_there_is_one_sentence(url: str) -> None:
    said = await failure(url, HomeserverError)
    assert "could not be reached" in said and url in said


# -- no rooms, and rooms that go ------------------------------------------------------------------


async def test_an_empty_list_beside_local_rows_decides_nothing() -> None:
    async with FakeHomeserver({}, access_token=TOKEN) as server:
        assert "no room at all" in await failure(server.url, RemoteIncomplete)
        assert (await look(server.url, local=False)).rooms == {}
        assert (await look(server.url, allow_empty=True)).rooms == {}


async def test_a_room_that_is_left_while_loading_is_dropped(
    server: FakeHomeserver, world: World
) -> None:
    server.fault(Fault(f"{CHATS[2]}{STATE}", Hook(lambda: world.leave(CHATS[2])), times=1))
    remote = await look(server.url)
    assert not remote.joined(CHATS[2]) and len(remote.rooms) == len(ROOMS) - 1


async def test_a_second_list_that_is_empty_drops_no_room(server: FakeHomeserver) -> None:
    server.fault(Fault(STATE, Status(403, {"errcode": "M_FORBIDDEN"})))
    server.fault(Fault(JOINED, Garbage(b'{"joined_rooms": []}'), after=1))
    assert "no room at all" in await failure(server.url, RemoteIncomplete)


async def test_a_second_list_that_cannot_be_had_decides_nothing(server: FakeHomeserver) -> None:
    server.fault(Fault(f"{CHATS[2]}{STATE}", Status(403, {"errcode": "M_FORBIDDEN"})))
    server.fault(Fault(JOINED, Status(502), after=1))
    await failure(server.url, HomeserverError)


# -- measure --------------------------------------------------------------------------------------


async def test_never_more_than_eight_rooms_are_read_at_once() -> None:
    world = World()
    for number in range(60):
        world.room(f"!room{number}")
    at_once = highest = 0

    async def count() -> None:
        nonlocal at_once, highest
        at_once += 1
        highest = max(highest, at_once)
        try:
            await asyncio.sleep(0.005)
        finally:
            at_once -= 1

    async with FakeHomeserver(world.rooms, access_token=TOKEN) as server:
        server.fault(Fault(STATE, Hook(count)))
        assert len((await look(server.url)).rooms) == 60
    assert highest == 8


@pytest.mark.parametrize("path", [JOINED, WHOAMI, STATE])
@pytest.mark.parametrize("trouble", ["hang", "drip", "429"])
async def test_a_deadline_holds_whatever_hangs(
    server: FakeHomeserver, path: str, trouble: str
) -> None:
    server.fault(Fault(path, TROUBLE.get(trouble, Status(429, {"retry_after_ms": 200}))))
    started = time.monotonic()
    with pytest.raises(RemoteIncomplete, match=r"The deadline of 0\.15 s passed") as caught:
        async with within(0.15, "reading"):
            await look(server.url)
    assert time.monotonic() - started < 0.5
    assert is_one_sentence(str(caught.value))


async def test_a_deadline_says_what_went_wrong_until_then(server: FakeHomeserver) -> None:
    server.fault(Fault(STATE, Status(429, {"retry_after_ms": 10_000})))
    said = r"passed while reading \(http://.* says that there are too many requests\); nothing"
    with pytest.raises(RemoteIncomplete, match=said):
        async with within(0.15, "reading"):
            await look(server.url)
    with pytest.raises(RemoteIncomplete, match="passed while waiting; nothing"):
        async with within(0.01, "waiting"):
            await asyncio.sleep(1)


async def test_a_timeout_of_somebody_else_is_no_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with within(5, "reading"):
            raise TimeoutError


@pytest.mark.parametrize("path", [JOINED, STATE])
async def test_cancelling_ends_everything(server: FakeHomeserver, path: str) -> None:
    begun = asyncio.Event()
    server.fault(Fault(path, Hook(begun.set)), Fault(path, Hang()))
    task = asyncio.create_task(look(server.url))  # look() itself looks for tasks left behind
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    asked_so_far = len(server.requests)
    await asyncio.sleep(0.05)
    assert len(server.requests) == asked_so_far


async def test_a_failure_in_decoding_is_not_swallowed(server: FakeHomeserver) -> None:
    def decode(room_id: str, body: bytes) -> RoomState:
        raise ZeroDivisionError

    async with any_client(server.url) as client:
        with pytest.raises(ZeroDivisionError):
            await Homeserver(client).read_rooms(ROOMS, decode)


# -- rooms with very many members -----------------------------------------------------------------


def crowd(world: World, room_id: str) -> None:
    """Fifty thousand members, about 10 MB of state."""
    state = world.rooms[room_id]
    for number in range(50_000):
        user = f"@visitor{number}:example.org"
        content = {"membership": "join", "displayname": f"Visitor {number}"}
        event = {"type": "m.room.member", "state_key": user, "sender": user, "content": content}
        state.append({**event, "event_id": f"$v{number}", "origin_server_ts": number})


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the bodies that were kept, and nothing for one that was not read to its end."""
    sizes: list[int] = []
    read = matrix._body

    async def count(response: Any, limit: int) -> bytes:
        body = await read(response, limit)
        sizes.append(len(body))
        return body

    monkeypatch.setattr(matrix, "_body", count)
    return sizes


BIG: dict[str, tuple[Callable[[World], object], bool]] = {
    "a stranger's": (lambda w: w.room("!big", creator=STRANGER, name="Lounge"), False),
    "a stranger's, upgraded from one that we are not in": (
        lambda w: w.room("!big", creator=STRANGER, predecessor="!elsewhere"),
        False,
    ),
    "a stranger's, that calls one of ours its predecessor": (
        lambda w: w.room("!big", creator=STRANGER, predecessor=CHATS[0]),
        True,
    ),
    "ours": (lambda w: w.chat("!big", SPACE, "Чат 9", owner=ALICE), True),
}


@pytest.mark.parametrize("whose", list(BIG))
async def test_a_crowded_room_is_pulled_whole_only_if_it_can_be_a_chat(
    world: World, counted: list[int], monkeypatch: pytest.MonkeyPatch, whose: str
) -> None:
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 20.0)
    build, whole = BIG[whose]
    build(world)
    crowd(world, "!big")
    async with FakeHomeserver(world.rooms, access_token=TOKEN) as server:
        remote = await look(server.url)
        requests = [r.path for r in server.requests if "!big" in r.path]
    room = remote.rooms["!big"]
    assert room.creator == (STRANGER if "stranger" in whose else BOT)
    assert (max(counted) > 5_000_000) is whole
    assert (len(room.members) > 50_000) is whole
    assert sum(counted) > matrix.BIG_ROOM_BYTES or not whole
    assert len(requests) == (5 if whole else 4)
    if whose == "a stranger's":
        assert room.name == "Lounge"


async def test_a_crowded_room_whose_head_is_refused_is_unreadable(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "BIG_ROOM_BYTES", 100)
    async with FakeHomeserver(world.rooms, access_token=TOKEN) as server:
        server.fault(Fault(f"{CHATS[0]}/state/", Status(403, {"errcode": "M_FORBIDDEN"})))
        remote = await look(server.url)
        assert remote.unreadable == {CHATS[0]: "the homeserver answered 403 M_FORBIDDEN"}
        server.clear_faults()
        server.fault(Fault("/state/m.room.create", Garbage(b'{"room_version": "12"}')))
        assert sorted((await look(server.url)).rooms) == ROOMS  # a server without format=event
