"""Sliding sync on a real Synapse: the same as `/state` says, for four requests, and nothing of the bot's is touched.

A Synapse of this file's own: with the usual cache of initial syncs a message that is gone would still come.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.clients import any_client
from tests.homes import API, SLIDING, SLIDING_BODY, VERSIONS
from tests.sources.renamed import assert_same_plan
from toolkit.convention import Convention
from toolkit.homeserver import sliding_sync
from toolkit.homeserver.reading import load_remote
from toolkit.model import RemoteState
from toolkit.sources.sides import Sides
from toolkit.sources.snapshot import load_snapshot, save_snapshot
from toolkit.testing import ApiUser, RecordingProxy, Synapse
from toolkit.testing.synapse import _call

pytestmark = [
    pytest.mark.synapse,
    pytest.mark.skipif(not Synapse.available(), reason="matrix-synapse is not installed"),
    pytest.mark.usefixtures("transport"),
]

CONVENTION = Convention(state_event_type="org.example.chat")
CONFIG = {
    "caches": {"sync_response_cache_duration": "0s"},
    "presence": {"enabled": True},
    "push": {"enabled": True},
}
ODD: list[tuple[str, str, dict[str, Any]]] = [
    ("m.space.child", "!gone", {"via": []}),
    ("m.space.child", "!text", {"via": "example.org"}),
    ("m.space.child", "!mixed", {"via": ["example.org", 5, None], "order": 5}),
    ("m.space.parent", "!removed", {}),
    ("m.space.parent", "!odd", {"via": {"a": [[[[]]]]}, "canonical": "yes"}),
    ("m.room.name", "elsewhere", {"name": "Чат 9"}),
    ("m.room.topic", "", {"topic": '\u202e\u200b<b>Чат</b>\\"\u2028'}),
    ("m.room.encryption", "", {"algorithm": "m.megolm.v1.aes-sha2", "odd": [None, True]}),
    ("org.example.chat", "", {"chat_id": ["C7", {"a": -1}]}),
    ("org.example.chat", "other", {"chat_id": "C8"}),
    ("org.example.empty", "", {}),
]


@dataclass
class World:
    """A bot with rooms of every kind, and one who writes to it."""

    hs: Synapse
    bot: ApiUser
    eve: ApiUser
    rooms: dict[str, str] = field(default_factory=dict)

    def call(self, method: str, path: str, body: Any = None, user: ApiUser | None = None) -> Any:
        return _call(self.hs.url, method, path, body, (user or self.bot).account.access_token)

    def sync(self, query: str = "") -> Any:
        """The bot's own sync, from the beginning; it leaves presence alone."""
        return self.call("GET", f"{API}/sync?timeout=0&set_presence=offline{query}")

    def slide(self, conn_id: str | None, pos: str = "", **extensions: Any) -> Any:
        """A request of the bot's own sliding sync."""
        wanted = {
            "ranges": [[0, 99]],
            "required_state": [["m.room.name", ""]],
            "timeline_limit": 1,
        }
        body: dict[str, Any] = {"lists": {"own": wanted}, "extensions": extensions}
        body |= {} if conn_id is None else {"conn_id": conn_id}
        return self.call("POST", f"{SLIDING}?pos={pos}" if pos else SLIDING, body)

    def remembered(self) -> int:
        """Rows that the server keeps for a connection of ours."""
        tables = ("sliding_sync_connection_streams", "sliding_sync_connection_room_configs")
        with closing(sqlite3.connect(self.hs.directory / "hs.db")) as database:
            return sum(
                database.execute(
                    f"SELECT count(*) FROM {table} JOIN sliding_sync_connection_positions "
                    "USING (connection_position) JOIN sliding_sync_connections USING "
                    "(connection_key) WHERE conn_id = 'matrix-drift'"
                ).fetchone()[0]
                for table in tables
            )


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("sliding")
    with Synapse.start(directory, config=CONFIG) as hs:
        bot, eve = (ApiUser(hs.url, hs.register(name)) for name in ("bot", "eve"))
        world = World(hs, bot, eve)
        _build_chats(world)
        _build_odd(world)
        _build_crowd(world)
        _build_not_joined(world)
        yield world


def _build_chats(world: World) -> None:
    """A Space and two chats for each version of rooms, one chat and one Space upgraded."""
    bot, via = world.bot, {"via": ["example.org"]}
    for version in ("10", "11", "12"):
        space = world.rooms[f"space {version}"] = bot.create_room(
            room_version=version,
            name=f"Space {version}",
            creation_content={"type": "m.space"},
            invite=[world.eve.user_id],
        )
        for number in (1, 2):
            parent = {"type": "m.space.parent", "state_key": space, "content": via}
            chat = world.rooms[f"chat {version} {number}"] = bot.create_room(
                room_version=version, name=f"Чат {number}", initial_state=[parent]
            )
            bot.put_state(space, "m.space.child", via, chat)
    for name in ("space 10", "chat 10 1", "chat 11 1"):
        world.rooms[f"{name} new"] = bot.upgrade(world.rooms[name])


def _build_odd(world: World) -> None:
    room = world.rooms["odd"] = world.bot.create_room(name="Чат 3")
    for kind, key, content in ODD:
        world.bot.put_state(room, kind, content, key)
    named = world.bot.put_state(room, "m.room.name", {"name": "Чат 4"})
    world.bot.redact(room, named)
    empty = world.rooms["no name"] = world.bot.create_room()
    world.bot.put_state(empty, "m.room.name", {"name": ""})
    world.bot.put_state(empty, "m.room.tombstone", {"body": "", "replacement_room": "nowhere"})


def _build_crowd(world: World) -> None:
    """150 members of whom some left, were thrown out or banned."""
    bot, crowd = world.bot, [f"@guest{number}:example.org" for number in range(140)]
    room = world.rooms["crowd"] = bot.create_room(name="Чат 5", invite=crowd, preset="public_chat")
    for number in range(10):
        guest = ApiUser(world.hs.url, world.hs.register(f"member{number}"))
        guest.join(room)
        if number % 2:
            guest.leave(room)
    for user in crowd[:10]:
        bot.kick(room, user)
    for user in crowd[10:20]:
        world.call("POST", f"{API}/rooms/{room}/ban", {"user_id": user, "reason": "x"})


def _build_not_joined(world: World) -> None:
    """One that a stranger made; and those that the bot isn't in: left, thrown out, banned, invited, knocking."""
    bot, eve = world.bot, world.eve
    group = world.rooms["group"] = eve.create_room(name="Чат 2", invite=[bot.user_id])
    bot.join(group)
    out = {name: eve.create_room(name=name, invite=[bot.user_id]) for name in ("k", "b", "l")}
    for room in out.values():
        bot.join(room)
    eve.kick(out["k"], bot.user_id)
    world.call("POST", f"{API}/rooms/{out['b']}/ban", {"user_id": bot.user_id}, eve)
    bot.leave(out["l"])
    eve.create_room(name="Invited", invite=[bot.user_id])
    bot.leave(eve.create_room(name="Declined", invite=[bot.user_id]))
    knocked = {"type": "m.room.join_rules", "content": {"join_rule": "knock"}}
    bot.knock(eve.create_room(name="Knocked", initial_state=[knocked]))


async def look(url: str, world: World, **options: Any) -> RemoteState:
    token = world.bot.account.access_token
    async with any_client(url, world.bot.user_id, token) as client:
        return await load_remote(client, CONVENTION, local_rows=True, **options)


KEPT = ("type", "state_key", "content", "sender", "event_id", "origin_server_ts")


def events_of(body: bytes) -> list[dict[str, Any]]:
    """A room's state without what says how old it is by now, and for whom."""
    events = ({name: event[name] for name in KEPT} for event in json.loads(body))
    return sorted(events, key=str)


async def test_it_says_the_same_as_state_for_four_requests(world: World) -> None:
    bodies: list[dict[str, bytes]] = [{}, {}]
    async with RecordingProxy(world.hs.url) as proxy:
        remote = await look(proxy.url, world, seen=bodies[0].__setitem__)
        asked = [(request.method, request.path, request.query) for request in proxy.requests]
        assert proxy.requests[-1].body == SLIDING_BODY
    assert asked == [
        ("GET", f"{API}/account/whoami", {}),
        ("GET", f"{API}/joined_rooms", {}),
        ("GET", VERSIONS, {}),
        ("POST", SLIDING, {}),
    ]
    assert remote.rooms.keys() == {*world.rooms.values()} and not remote.unreadable
    truth = await look(world.hs.url, world, sliding_sync=False, seen=bodies[1].__setitem__)
    assert remote == truth
    crowd = remote.rooms[world.rooms["crowd"]]
    assert len(crowd.members) == 151 and crowd.name_event.startswith("$")
    assert {member.membership for member in crowd.members} == {"join", "invite", "leave", "ban"}
    slid, asked_for = ({r: events_of(body) for r, body in each.items()} for each in bodies)
    assert slid == asked_for


async def test_in_steps_it_says_the_same_for_a_request_a_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliding_sync, "STEP", 7)
    async with RecordingProxy(world.hs.url) as proxy:
        remote = await look(proxy.url, world)
        posts = [json.loads(r.body) for r in proxy.requests if r.method == "POST"]
        assert not any(request.path.endswith("/state") for request in proxy.requests)
    ranges = [post["lists"]["rooms"]["ranges"] for post in posts]
    assert ranges == [[[0, 7 * n + 6]] for n in range(len(ranges))] and len(ranges) >= 3
    assert remote == await look(world.hs.url, world, sliding_sync=False)


async def test_two_looks_at_once_end_each_others_connection_and_both_are_right(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sliding_sync, "STEP", 7)
    truth = await look(world.hs.url, world, sliding_sync=False)
    looks = (look(world.hs.url, world) for _ in range(3))
    assert await asyncio.gather(*looks) == [truth] * 3


async def test_the_server_keeps_two_rows_a_room_however_often_one_looks(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = set()
    for _ in range(3):
        remote = await look(world.hs.url, world)
        kept.add(world.remembered())
    (rows,) = kept
    assert 2 * len(remote.rooms) <= rows <= 2 * (len(remote.rooms) + 5)
    monkeypatch.setattr(sliding_sync, "STEP", 7)
    for _ in range(2):
        await look(world.hs.url, world)
        assert world.remembered() <= 2 * rows  # of the last two steps


async def test_a_snapshot_of_it_is_loaded_and_anonymised_as_any_other(
    world: World, tmp_path: Path
) -> None:
    database = tmp_path / "bot.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
    url, token = world.hs.url, world.bot.account.access_token
    remotes = []
    for wanted in (True, False):
        sides = Sides(
            CONVENTION, url, token, database, sliding_sync=wanted, allow_empty=True, deadline=60
        )
        taken = await sides.take({"state_event_type": "org.example.chat"})
        file = tmp_path / f"{wanted}.snapshot"
        save_snapshot(file, taken, datetime.now(UTC))
        loaded = load_snapshot(file)
        assert loaded.rooms == taken.rooms
        remotes.append(loaded.remote(CONVENTION))
        assert_same_plan(loaded)
    assert remotes[0] == remotes[1] == await look(url, world)


# -- what is the bot's ----------------------------------------------------------------------------


def send_to_device(world: World, transaction: str) -> None:
    to = {world.bot.user_id: {world.bot.account.device_id: {"text": transaction}}}
    path = f"{API}/sendToDevice/org.example.key/{transaction}"
    world.call("PUT", path, {"messages": to}, world.eve)


def received(answer: Any) -> list[str]:
    events = answer.get("to_device", {}).get("events", [])
    return [event["content"]["text"] for event in events]


async def test_messages_to_the_bots_device_stay_until_the_bot_reads_them(
    world: World, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    send_to_device(world, f"kept-{transport}")
    for step in (1_000, 7, 1_000):
        monkeypatch.setattr(sliding_sync, "STEP", step)
        await look(world.hs.url, world)
    answer = world.sync()
    assert received(answer) == [f"kept-{transport}"]
    assert received(world.sync(f"&since={answer['next_batch']}")) == []
    # With the extension they are lost: that is what this test would see.
    send_to_device(world, f"lost-{transport}")
    first = world.slide("thief", to_device={"enabled": True})
    since = first["extensions"]["to_device"]["next_batch"]
    world.slide("thief", first["pos"], to_device={"enabled": True, "since": since})
    assert received(world.sync()) == []


async def test_presence_and_unread_counts_stay_as_they_are(world: World, transport: str) -> None:
    path = f"{API}/presence/{world.bot.user_id}/status"
    before = world.call("GET", path, user=world.eve)
    assert before["presence"] == "offline"
    group = world.rooms["group"]
    world.eve.send_text(group, f"Привет, {transport}")
    counts = world.sync()["rooms"]["join"][group]["unread_notifications"]
    assert counts["notification_count"] > 0
    for _ in range(2):
        await look(world.hs.url, world)
    assert world.sync()["rooms"]["join"][group]["unread_notifications"] == counts
    after = world.call("GET", path, user=world.eve)
    assert after["presence"] == "offline" and "last_active_ago" not in after


@pytest.mark.parametrize("conn_id", [None, "bot"])
async def test_the_bots_own_connection_goes_on(
    world: World, conn_id: str | None, transport: str
) -> None:
    first = world.slide(conn_id)
    for _ in range(2):
        await look(world.hs.url, world)
    world.eve.send_text(world.rooms["group"], f"Ещё, {conn_id}, {transport}")
    second = world.slide(conn_id, first["pos"])
    assert list(second["rooms"]) == [world.rooms["group"]]
    assert not second["rooms"][world.rooms["group"]].get("initial")
    assert world.slide(conn_id, second["pos"])["rooms"] == {}
