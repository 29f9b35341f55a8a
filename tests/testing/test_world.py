"""The world builder: raw state as a homeserver gives it, the same on every run."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

import toolkit.testing
from toolkit.testing import World

ALICE = "@alice:example.org"


def content(world: World, room_id: str, type: str, state_key: str = "") -> Any:
    return event(world, room_id, type, state_key)["content"]


def event(world: World, room_id: str, type: str, state_key: str = "") -> dict[str, Any]:
    found = [e for e in world.rooms[room_id] if (e["type"], e["state_key"]) == (type, state_key)]
    assert len(found) == 1
    return found[0]


def sample() -> World:
    world = World()
    world.space("!space", owner=ALICE, name="Алиса")
    world.chat("!one", "!space", "Чат 1", owner=ALICE)
    return world


def test_two_worlds_built_alike_are_equal() -> None:
    assert sample().rooms == sample().rooms


def test_ids_are_counted_and_time_rises_by_a_second() -> None:
    world = World(start=5_000)
    assert [world.event("!r", "t", {}, state_key=key) for key in "ab"] == ["$1", "$2"]
    assert [e["origin_server_ts"] for e in world.rooms["!r"]] == [5_000, 6_000]


def test_an_event_has_the_fields_of_the_state_endpoint() -> None:
    world = World(start=0)
    world.event("!r", "m.room.topic", {"topic": "t"}, sender=ALICE, ts=7)
    assert world.rooms["!r"] == [
        {
            "type": "m.room.topic",
            "state_key": "",
            "sender": ALICE,
            "event_id": "$1",
            "origin_server_ts": 7,
            "room_id": "!r",
            "content": {"topic": "t"},
        }
    ]


def test_later_state_replaces_earlier_state_in_its_place() -> None:
    world = sample()
    types = [e["type"] for e in world.rooms["!one"]]
    assert world.name("!one", "Другой") == event(world, "!one", "m.room.name")["event_id"]
    assert [e["type"] for e in world.rooms["!one"]] == types
    assert content(world, "!one", "m.room.name") == {"name": "Другой"}


def test_state_is_sent_as_unescaped_utf8() -> None:
    body = sample().state("!one")
    assert "Чат 1".encode() in body
    assert json.loads(body) == sample().rooms["!one"]


def test_a_space_is_typed_and_has_its_owner() -> None:
    world = sample()
    assert content(world, "!space", "m.room.create")["type"] == "m.space"
    assert content(world, "!space", "m.room.member", ALICE) == {"membership": "join"}
    assert event(world, "!space", "m.room.create")["sender"] == world.bot


@pytest.mark.parametrize(
    ("link", "child", "parent"),
    [("both", 1, 1), ("child", 1, 0), ("parent", 0, 1), ("none", 0, 0)],
)
def test_a_chat_is_linked_as_told(link: Any, child: int, parent: int) -> None:
    world = World()
    world.space("!space")
    world.chat("!chat", "!space", link=link)
    assert [e["type"] for e in world.rooms["!space"]].count("m.space.child") == child
    assert [e["type"] for e in world.rooms["!chat"]].count("m.space.parent") == parent


def test_members_and_owner_come_together() -> None:
    world = World()
    world.space("!s")
    world.chat("!c", "!s", owner=ALICE, members={"@eve:example.org": "ban"}, bot_member=False)
    members = {
        e["state_key"]: (e["content"]["membership"], e["sender"])
        for e in world.rooms["!c"]
        if e["type"] == "m.room.member"
    }
    assert members == {ALICE: ("join", ALICE), "@eve:example.org": ("ban", world.bot)}


def test_old_room_versions_name_their_creator() -> None:
    world = World()
    world.room("!old:example.org", creator=ALICE, version="10", created=1)
    world.room("!new", creator=ALICE)
    assert content(world, "!old:example.org", "m.room.create")["creator"] == ALICE
    assert event(world, "!old:example.org", "m.room.create")["origin_server_ts"] == 1
    assert "creator" not in content(world, "!new", "m.room.create")


def test_a_room_can_have_name_sender_predecessor_and_parent() -> None:
    world = World()
    world.room("!r", name="N", name_sender=ALICE, predecessor="!q", parent="!s")
    assert event(world, "!r", "m.room.name")["sender"] == ALICE
    assert content(world, "!r", "m.room.create")["predecessor"] == {"room_id": "!q"}
    assert content(world, "!r", "m.space.parent", "!s") == {"via": ["example.org"]}


def test_links_take_any_content_and_sender() -> None:
    world = World()
    world.link("!s", "!r", content={"via": "hs"}, sender=ALICE)
    world.parent("!r", "!s", content={})
    assert content(world, "!s", "m.space.child", "!r") == {"via": "hs"}
    assert event(world, "!s", "m.space.child", "!r")["sender"] == ALICE
    assert content(world, "!r", "m.space.parent", "!s") == {}


def test_an_upgraded_chat_loses_parent_and_members() -> None:
    world = sample()
    assert world.upgrade("!one", "!two") == "!two"
    assert content(world, "!one", "m.room.tombstone")["replacement_room"] == "!two"
    assert content(world, "!two", "m.room.create")["predecessor"] == {"room_id": "!one"}
    assert content(world, "!two", "m.room.name") == {"name": "Чат 1"}
    assert [(e["type"], e["state_key"]) for e in world.rooms["!two"]] == [
        ("m.room.create", ""),
        ("m.room.member", world.bot),
        ("m.room.name", ""),
    ]


def test_an_upgraded_space_keeps_type_and_living_children() -> None:
    world = sample()
    world.link("!space", "!gone", content={})
    world.upgrade("!space", "!new", by=ALICE, copy_name=False)
    assert event(world, "!new", "m.room.create")["sender"] == ALICE
    assert content(world, "!new", "m.room.create")["type"] == "m.space"
    keys = [e["state_key"] for e in world.rooms["!new"] if e["type"] == "m.space.child"]
    assert keys == ["!one"]
    assert "m.room.name" not in [e["type"] for e in world.rooms["!new"]]


def test_an_upgrade_can_change_what_is_a_space() -> None:
    world = sample()
    world.upgrade("!space", "!plain", space=False)
    world.upgrade("!one", "!grown", space=True)
    assert "type" not in content(world, "!plain", "m.room.create")
    assert content(world, "!grown", "m.room.create")["type"] == "m.space"


def test_redacted_state_stays_with_empty_content() -> None:
    world = sample()
    world.redact("!one", "m.room.name")
    assert content(world, "!one", "m.room.name") == {}
    with pytest.raises(KeyError, match=r"m\.room\.topic"):
        world.redact("!one", "m.room.topic")


def test_a_left_room_is_forgotten() -> None:
    world = sample()
    world.leave("!one")
    assert world.joined() == ["!space"]


def test_building_a_world_loads_no_server() -> None:
    script = (
        "import sys, toolkit.testing as t; t.World()\n"
        "sys.exit(any(name in sys.modules for name in ('aiohttp', 'nio', 'synapse')))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_every_public_name_is_there_and_sorted() -> None:
    names = toolkit.testing.__all__
    assert names == sorted(names)
    assert all(getattr(toolkit.testing, name).__name__ == name for name in names)
    with pytest.raises(AttributeError, match="nothing"):
        _ = toolkit.testing.nothing
