"""All rooms in few requests where the homeserver can, checked; and by `/state` where anything is odd."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.clients import TOKEN, any_client
from tests.homeserver.illness import ALICE, BOT, STRANGER, Words, asked
from tests.worlds import Sides, readable_worlds
from toolkit.convention import Convention
from toolkit.errors import HomeserverError, RefusedCall
from toolkit.homeserver import server as matrix
from toolkit.homeserver import sliding_sync
from toolkit.homeserver.reading import load_remote, load_unsettled
from toolkit.homeserver.readonly import read_only
from toolkit.homeserver.room_state import UnreadableState
from toolkit.homeserver.sliding_sync import Slide, is_own_request, is_served
from toolkit.model import Plan, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records
from toolkit.testing import (
    Alter,
    Cut,
    FakeHomeserver,
    Fault,
    Garbage,
    Hang,
    Hook,
    Reset,
    Status,
    World,
)

pytestmark = pytest.mark.usefixtures("transport", "quick", "discreet")

SYNC = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
API = "/_matrix/client/v3"
BODY = (
    '{"conn_id":"matrix-drift","lists":{"rooms":{"ranges":[[0,%d]],'
    '"required_state":[["*","*"]],"timeline_limit":0}}}'
)
CHATS = [f"!chat{n:02}" for n in range(1, 20)]
ROOMS = sorted(["!space", *CHATS])
Answer = dict[str, Any]


@pytest.fixture
def world() -> World:
    world = World(BOT)
    world.space("!space", owner=ALICE)
    for number, room_id in enumerate(CHATS, 1):
        world.chat(room_id, "!space", f"Чат {number}", owner=ALICE)
    return world


@pytest.fixture
async def server(world: World) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(world.rooms, BOT, TOKEN, sliding_sync=True) as server:
        yield server


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seven rooms a step, so that there are three of them."""
    monkeypatch.setattr(sliding_sync, "STEP", 7)


async def look(server: FakeHomeserver, words: Words | None = None, **options: Any) -> RemoteState:
    heard = [] if words is None else words
    async with any_client(server.url) as client:
        return await load_remote(
            client,
            Convention(),
            local_rows=True,
            progress=lambda *word: heard.append(word),
            **options,
        )


async def truth(server: FakeHomeserver) -> RemoteState:
    """What `/state` alone says, with no fault in the way."""
    server.clear_faults()
    return await look(server, sliding_sync=False)


def posts(server: FakeHomeserver) -> list[tuple[dict[str, str], str]]:
    found = [request for request in server.requests if request.method == "POST"]
    assert {request.path for request in found} <= {SYNC}
    return [(dict(request.query), request.body.decode()) for request in found]


# -- what is asked --------------------------------------------------------------------------------


async def test_a_whole_account_is_one_request_and_what_comes_is_the_same(
    server: FakeHomeserver,
) -> None:
    words: Words = []
    bodies: dict[str, bytes] = {}
    remote = await look(server, words, seen=bodies.__setitem__)
    paths = [(request.method, request.path) for request in server.requests]
    assert paths == [
        ("GET", f"{API}/account/whoami"),
        ("GET", f"{API}/joined_rooms"),
        ("GET", "/_matrix/client/versions"),
        ("POST", SYNC),
    ]
    assert posts(server) == [({}, BODY % 999)]
    assert server.requests[-1].headers["Content-Type"] == "application/json"
    assert sorted(remote.rooms) == sorted(bodies) == ROOMS
    assert words[-1] == (20, 20, "") and not any(word for _, _, word in words)
    assert remote == await truth(server)


async def test_ranges_grow_on_one_connection_and_never_move(
    server: FakeHomeserver, steps: None
) -> None:
    words: Words = []
    remote = await look(server, words)
    assert [body for _, body in posts(server)] == [BODY % 6, BODY % 13, BODY % 20]
    assert [sorted(query) for query, _ in posts(server)] == [[], ["pos"], ["pos"]]
    assert (words[0], words[-1]) == ((7, 20, ""), (20, 20, ""))
    assert not asked(server, "/state") and remote == await truth(server)
    server.requests.clear()
    assert await look(server) == remote
    assert posts(server)[0] == ({}, BODY % 6)  # a load begins anew


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(readable_worlds())
def test_every_world_is_read_as_by_state(sides: Sides) -> None:
    async def compare() -> None:
        async with FakeHomeserver(sides.rooms, BOT, TOKEN, sliding_sync=True) as server:
            remote = await look(server, allow_empty=True)
            assert len(posts(server)) == (len(sides.rooms) > 1)
            assert remote == await look(server, allow_empty=True, sliding_sync=False)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrix, "AT_ONCE", 1)
        asyncio.run(compare())


async def test_the_bot_goes_on_while_an_answer_is_decoded(
    server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[int] = [0]

    async def bot() -> None:
        while True:
            turns[0] += 1
            await asyncio.sleep(0)

    for breath, going_on in ((1, True), (10**9, False)):
        monkeypatch.setattr(matrix, "BREATH_BYTES", breath)
        at: list[int] = []
        task = asyncio.create_task(bot())
        await look(server, seen=lambda room_id, body, at=at: at.append(turns[0]))
        task.cancel()
        assert len(set(at)) == (20 if going_on else 1)


async def test_a_few_rooms_are_read_by_state_in_one_round(
    server: FakeHomeserver, world: World
) -> None:
    for room_id in CHATS[7:]:
        world.leave(room_id)
    assert len((await look(server)).rooms) == 8
    assert asked(server, "/versions") == 0 and posts(server) == []


async def test_who_does_not_want_it_is_not_given_it(server: FakeHomeserver) -> None:
    assert len((await look(server, sliding_sync=False)).rooms) == 20
    assert asked(server, "/versions") == 0 and posts(server) == []


def all_unknown(remote: RemoteState) -> Plan:
    return plan_repairs(remote, load_records({}.items()))


async def test_a_start_up_that_reads_everything_slides_and_one_that_reads_little_does_not(
    server: FakeHomeserver,
) -> None:
    for wanted, count in ((True, 0), (False, 20)):
        server.requests.clear()
        async with any_client(server.url) as client:
            remote = (
                await load_unsettled(
                    client, Convention(), all_unknown, local_rows=True, sliding_sync=wanted
                )
            )[0]
        assert len(remote.rooms) == 20
        assert (len(posts(server)), asked(server, "/state")) == (int(wanted), count)


# -- who offers it --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("versions", "served"),
    [
        ({"unstable_features": {sliding_sync.FEATURE: True}}, True),
        ({"unstable_features": {sliding_sync.FEATURE: False}}, False),
        ({"unstable_features": {sliding_sync.FEATURE: 1}}, False),
        ({"unstable_features": [sliding_sync.FEATURE]}, False),
        ({"versions": ["v1.11"]}, False),
    ],
)
async def test_it_is_asked_only_of_a_homeserver_that_offers_it(
    server: FakeHomeserver, versions: Answer, served: bool
) -> None:
    assert is_served(versions) is served
    server.fault(Fault("/versions$", Alter(lambda answer: versions)))
    words: Words = []
    assert len((await look(server, words)).rooms) == 20
    assert len(posts(server)) == int(served)
    assert not any(word for _, _, word in words)


# -- what is odd about an answer ------------------------------------------------------------------


def every_room(change: Callable[[Answer], object]) -> Alter:
    def altered(answer: Answer) -> Answer:
        for room in answer["rooms"].values():
            change(room)
        return answer

    return Alter(altered)


def chat3(change: Callable[[Answer], object]) -> Alter:
    def altered(answer: Answer) -> Answer:
        answer["rooms"]["!chat03"] = change(answer["rooms"]["!chat03"])
        return answer

    return Alter(altered)


def counting(count: Any) -> Alter:
    return Alter(lambda answer: answer | {"lists": {"rooms": {"count": count}}})


def without_chat3(answer: Answer) -> Answer:
    del answer["rooms"]["!chat03"]
    return answer


def with_others(number: int) -> Alter:
    """As many rooms more that the account isn't joined to, as invitations are."""
    more = {f"!invited{n}": {"initial": True, "invite_state": []} for n in range(number)}
    return Alter(
        lambda answer: (
            answer
            | {
                "rooms": answer["rooms"] | more,
                "lists": {"rooms": {"count": len(answer["rooms"]) + number}},
            }
        )
    )


UNKNOWN_POS = Status(400, {"errcode": "M_UNKNOWN_POS", "error": f"Unknown position {TOKEN}"})
TROUBLE = {
    "400": (UNKNOWN_POS, "answered 400 M_UNKNOWN_POS"),
    "401": (Status(401, {"errcode": "M_UNKNOWN_TOKEN"}), "answered 401"),
    "404": (Status(404, {"errcode": "M_UNRECOGNIZED"}), "answered 404"),
    "429": (Status(429, {"errcode": "M_LIMIT_EXCEEDED"}), "too many requests"),
    "500": (Status(500, {"errcode": "M_UNKNOWN", "error": TOKEN}), "answered 500"),
    "html": (Garbage(), "is no answer"),
    "cut": (Cut(), "broke the connection"),
    "reset": (Reset(), "broke the connection"),
    "a list": (Garbage(b"[]"), "no answer of a sliding sync"),
    "no lists": (Alter(lambda answer: answer | {"lists": {}}), "no answer of a sliding sync"),
    "no rooms": (Alter(lambda answer: answer | {"rooms": []}), "no answer of a sliding sync"),
    "no pos": (Alter(lambda answer: answer | {"pos": ""}), "no answer of a sliding sync"),
    "a long pos": (Alter(lambda answer: answer | {"pos": "s" * 1001}), "no answer of a"),
    "deep": (Garbage(b'{"rooms":{"!a":' + b"[" * 100_000), "no answer of a sliding sync"),
    "half a character": (Garbage(b'{"pos":"\\ud800"}'), "no answer of a sliding sync"),
    "no utf-8": (Garbage(b'{"pos":"s1","rooms":{"\xff":{}}}'), "no answer of a sliding sync"),
    "more than it counts": (counting(19), "another number of rooms"),
    "fewer than it counts": (counting(21), "another number of rooms"),
    "a missing room": (Alter(without_chat3), "another number of rooms"),
    "no room": (Alter(lambda answer: answer | {"rooms": {}}), "another number of rooms"),
    "an odd count": (counting("20"), "no answer of a sliding sync"),
    "a negative count": (counting(-1), "another number of rooms"),
}


@pytest.mark.parametrize("trouble", list(TROUBLE))
async def test_whatever_is_wrong_with_the_answer_all_rooms_are_read_by_state_and_it_is_said(
    server: FakeHomeserver, caplog: pytest.LogCaptureFixture, trouble: str
) -> None:
    kind, why = TROUBLE[trouble]
    server.fault(Fault(SYNC, kind))
    words: Words = []
    remote = await look(server, words)
    assert (len(posts(server)), asked(server, "/state")) == (1, 20)  # it isn't asked twice
    said = [word for _, _, word in words if word]
    assert len(said) == 1 and why in said[0] and said[0].endswith("reading room by room instead")
    assert (logging.INFO, said[0]) in [(r.levelno, r.getMessage()) for r in caplog.records]
    assert words[-1] == (20, 20, "")
    assert remote == await truth(server)


async def test_a_silent_answer_is_not_waited_for_longer_than_any_other(
    server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 0.3)
    server.fault(Fault(SYNC, Hang()))
    words: Words = []
    assert (await look(server, words)).rooms.keys() == {*ROOMS}
    assert "gave no whole answer within 0.3 s; reading room by room instead" in words[0][2]


async def test_an_answer_longer_than_the_bound_is_not_read_to_the_end(
    server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "ANSWER_BYTES", 5_000)
    words: Words = []
    assert (await look(server, words)).rooms.keys() == {*ROOMS}
    assert "sent more than is read at once" in words[0][2]


@pytest.mark.parametrize("kind", [UNKNOWN_POS, counting(10**12), Reset(), counting(13)])
async def test_trouble_in_the_middle_of_growing_ranges_discards_what_came_before(
    server: FakeHomeserver, steps: None, world: World, kind: Any
) -> None:
    server.fault(Fault(SYNC, Hook(lambda: world.name("!chat01", "Чат 77")), times=1, after=1))
    server.fault(Fault(SYNC, kind, after=1))
    remote = await look(server)
    assert (len(posts(server)), asked(server, "/state")) == (2, 20)
    assert remote.rooms["!chat01"].name == "Чат 77" and remote == await truth(server)


async def test_a_dead_token_is_said_as_by_state(server: FakeHomeserver) -> None:
    server.fault(Fault("/sync$|/state$", Status(401, {"errcode": "M_UNKNOWN_TOKEN"})))
    with pytest.raises(Exception, match="stopped accepting the access token"):
        await look(server)
    server.fault(Fault("/whoami$", Status(401, {"errcode": "M_UNKNOWN_TOKEN"})))
    with pytest.raises(HomeserverError, match="401 M_UNKNOWN_TOKEN"):
        await look(server)


async def test_versions_that_cant_be_had_cost_nothing_but_a_word(server: FakeHomeserver) -> None:
    server.fault(Fault("/versions$", Status(502)))
    words: Words = []
    assert len((await look(server, words)).rooms) == 20
    assert asked(server, "/versions") == 1 and "answered 502; reading" in words[0][2]


# -- what is odd about a room ---------------------------------------------------------------------


def leaving(room: Answer) -> Answer:
    own = next(event for event in room["required_state"] if event["state_key"] == BOT)
    own["content"]["membership"] = "leave"
    return room


ODD_ROOMS = {
    "an invitation": lambda room: {"initial": True, "invite_state": room["required_state"]},
    "no object": lambda room: [],
    "null": lambda room: None,
    "no list of events": lambda room: room | {"required_state": {}},
    "no events": lambda room: room | {"required_state": []},
    "only what has changed": lambda room: room | {"initial": False},
    "not said to be all": lambda room: {"required_state": room["required_state"]},
    "without its create event": lambda room: room | {"required_state": room["required_state"][1:]},
    "left, by its own state": leaving,
}


@pytest.mark.parametrize("odd", list(ODD_ROOMS))
async def test_a_room_that_is_odd_is_read_by_state_and_it_alone(
    server: FakeHomeserver, odd: str
) -> None:
    server.fault(Fault(SYNC, chat3(ODD_ROOMS[odd])))
    words: Words = []
    remote = await look(server, words)
    read = [request.path for request in server.requests if request.path.endswith("/state")]
    assert read == [f"{API}/rooms/!chat03/state"]
    assert words[-1] == (20, 20, "") and not any(word for _, _, word in words)
    assert remote == await truth(server)


async def test_rooms_that_it_lacks_are_read_by_state_and_others_are_left_out(
    server: FakeHomeserver,
) -> None:
    server.fault(Fault(SYNC, Alter(lambda a: counted(without_chat3(a))), times=1))
    assert (await look(server)).rooms.keys() == {*ROOMS}
    assert asked(server, "/chat03/state") == 0 and asked(server, "!chat03/state") == 1
    server.requests.clear()
    server.fault(Fault(SYNC, with_others(30), times=1))
    assert (await look(server)).rooms.keys() == {*ROOMS}
    assert not asked(server, "/state")


def counted(answer: Answer) -> Answer:
    return answer | {"lists": {"rooms": {"count": len(answer["rooms"])}}}


async def test_an_account_with_far_more_invitations_than_rooms_is_read_by_state(
    server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliding_sync, "STEP", 200)
    words: Words = []
    server.fault(Fault(SYNC, with_others(179), times=1))
    assert (await look(server, words)).rooms.keys() == {*ROOMS}
    assert not asked(server, "/state")
    monkeypatch.setattr(sliding_sync, "STEP", 20)
    server.fault(Fault(SYNC, with_others(50), times=1))
    server.fault(Fault(SYNC, counting(61), times=1))
    assert (await look(server, words)).rooms.keys() == {*ROOMS}
    assert asked(server, "/state") == 20


async def test_a_room_that_cant_be_read_at_all_is_told_as_by_state(
    server: FakeHomeserver, world: World
) -> None:
    rooms: dict[str, Any] = dict(world.rooms)
    rooms["!chat03"] = json.dumps(world.rooms["!chat03"][1:]).encode()
    server.rooms = rooms
    server.fault(Fault("!chat04/state$", Status(403, {"errcode": "M_FORBIDDEN"})))
    remote = await look(server)
    assert list(remote.unreadable) == ["!chat03"] and "create event" in remote.unreadable["!chat03"]
    assert remote == await truth(server)


async def test_a_crowded_room_is_left_to_state_which_knows_whether_it_can_be_a_chat(
    server: FakeHomeserver, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "BIG_ROOM_BYTES", 12_000)
    crowd = [f"@user{number}:hs" for number in range(100)]
    world.room("!crowd", creator=STRANGER, name="Crowd", members=[BOT, *crowd])
    remote = await look(server)
    assert {r.path for r in server.requests if "/state" in r.path} == {
        f"{API}/rooms/!crowd/state{end}"
        for end in ("", "/m.room.create/", "/m.room.name/", "/m.room.tombstone/")
    }
    assert (remote.rooms["!crowd"].name, remote.rooms["!crowd"].members) == ("Crowd", ())
    assert remote == await truth(server)


async def test_a_room_that_is_left_meanwhile_is_dropped(
    server: FakeHomeserver, world: World
) -> None:
    server.fault(Fault(SYNC, Hook(lambda: world.leave("!chat03")), times=1))
    remote = await look(server)
    assert remote.rooms.keys() == {*ROOMS} - {"!chat03"} and not remote.unreadable


# -- what is let through --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "data"),
    [
        (SYNC, None),
        (SYNC, ""),
        (SYNC, "{}"),
        (SYNC, (BODY % 999).encode()),
        (SYNC, f" {BODY % 999}"),
        (SYNC, (BODY % 999).replace("[0,999]", "[0,0999]")),
        (SYNC, (BODY % 999).replace("[0,999]", "[0,９99]")),
        (SYNC, (BODY % 999).replace("matrix-drift", "bot")),
        (SYNC, (BODY % 999).replace('"timeline_limit":0', '"timeline_limit":20')),
        (SYNC, (BODY % 999).replace("}}}", '}},"extensions":{"to_device":{"enabled":true}}}')),
        (SYNC, (BODY % 999).replace("}}}", '}},"set_presence":"online"}')),
        (f"{SYNC}?set_presence=online", BODY % 999),
        (f"{SYNC}?timeout=30000", BODY % 999),
        (f"{SYNC}?pos=1&timeout=30000", BODY % 999),
        (f"{SYNC}?pos=", BODY % 999),
        (f"{SYNC}?pos=1\n", BODY % 999),
        (f"{SYNC}/", BODY % 999),
        ("/_matrix/client/v4/sync", BODY % 999),
        (f"{API}/rooms/!a/leave", BODY % 999),
    ],
)
async def test_no_other_post_is_let_through(server: FakeHomeserver, path: str, data: Any) -> None:
    assert not is_own_request(path, data)
    async with any_client(server.url) as client:
        with pytest.raises(RefusedCall, match="POST") as caught:
            await read_only(client).send("POST", path, data)
        with pytest.raises(RefusedCall):
            await read_only(client).send("PUT", SYNC, BODY % 999)
        with pytest.raises(RefusedCall):
            await read_only(client).send("GET", SYNC)
    assert not server.requests and "pos=1" not in str(caught.value)


async def test_the_one_post_is_let_through_with_the_token_and_no_header_of_the_callers(
    server: FakeHomeserver,
) -> None:
    assert is_own_request(f"{SYNC}?pos=12%2Fs58_2~0.1-4", BODY % 1999)
    headers = {"Authorization": "Bearer other", "X-Other": "1"}
    async with (
        any_client(server.url) as client,
        await read_only(client).send("post", SYNC, BODY % 999, headers=headers) as answer,
    ):
        assert answer.status == 200
    sent = server.requests[-1].headers
    assert (sent["Content-Type"], sent["Authorization"]) == ("application/json", "Bearer ***")
    assert "X-Other" not in sent


# -- one load -------------------------------------------------------------------------------------


def body(rooms: int, count: int, pos: str = "1/s1", first: int = 0) -> bytes:
    told = {f"!{n}": {"initial": True, "required_state": [n]} for n in range(first, first + rooms)}
    return json.dumps({"pos": pos, "lists": {"rooms": {"count": count}}, "rooms": told}).encode()


def test_a_position_goes_into_the_path_as_text_and_nothing_of_it_is_code() -> None:
    slide = Slide(f"!{n}" for n in range(2_000))
    slide.take(body(1_000, 2_000, "1/s1&set_presence=online"))
    assert slide.path == f"{SYNC}?pos=1%2Fs1%26set_presence%3Donline"
    assert is_own_request(slide.path, slide.body)


def test_it_is_done_as_soon_as_nothing_is_missing_however_many_are_listed() -> None:
    slide = Slide(f"!{n}" for n in range(1_000))
    assert len(slide.take(body(1_000, 2_500))) == 1_000 and slide.done


def test_it_is_done_when_the_list_ends_whatever_is_missing() -> None:
    slide = Slide(f"!{n}" for n in range(5, 15))
    assert [room_id for room_id, _ in slide.take(body(10, 10))] == ["!5", "!6", "!7", "!8", "!9"]
    assert slide.done


def test_what_comes_twice_counts_once() -> None:
    slide = Slide(f"!{n}" for n in range(1_500))
    assert len(slide.take(body(1_000, 1_500))) == 1_000 and not slide.done
    assert len(slide.take(body(501, 1_500, first=999))) == 500 and slide.done


def test_far_more_rooms_than_wanted_are_no_load() -> None:
    slide = Slide(f"!{n}" for n in range(1_000))
    with pytest.raises(UnreadableState, match="far more rooms"):
        slide.take(body(1_000, 3_001))
