"""The demo's world is what it says it is: rooms asked of the homeserver, rows of the database."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from toolkit.demo.world import (
    DEMO_DRIFT,
    DEMO_SKIPPED,
    HOSTILE_NAME,
    DemoWorld,
    Expected,
    open_demo,
)
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Plan, RemoteState, Status
from toolkit.planning.plan import plan_repairs
from toolkit.records import FAMILIES, chat_key, load_records, room_key, user_key
from toolkit.testing import ApiUser, Synapse

_LEFT = {"bob/3 left", "bob/4 left"}


@pytest.fixture(scope="module")
def states(demo_template: DemoWorld) -> dict[str, list[dict[str, Any]]]:
    """Raw state of every room by label, the two that the bot left included."""
    bot = ApiUser(demo_template.url, demo_template.account)
    return {label: bot.state(room) for label, room in demo_template.rooms.items()}


def content(state: list[dict[str, Any]], type: str, key: str = "") -> dict[str, Any]:
    found: list[dict[str, Any]]
    found = [e["content"] for e in state if (e["type"], e["state_key"]) == (type, key)]
    return found[0] if found else {}


def membership(state: list[dict[str, Any]], user: str) -> str | None:
    value: str | None = content(state, "m.room.member", user).get("membership")
    return value


def read_rows(database: Path) -> dict[str, str]:
    with closing(sqlite3.connect(database)) as connection:
        return dict(connection.execute("SELECT key, value FROM kv"))


def plan_of(demo: DemoWorld, states: dict[str, list[dict[str, Any]]]) -> Plan:
    joined = {demo.rooms[label]: state for label, state in states.items() if label not in _LEFT}
    rooms = {room: decode_room(room, json.dumps(state).encode()) for room, state in joined.items()}
    rows = [row for row in read_rows(demo.database).items() if row[0].startswith(FAMILIES)]
    return plan_repairs(RemoteState(demo.account.user_id, rooms), load_records(rows))


def test_the_bot_is_joined_to_all_rooms_but_the_two_that_it_left(
    demo: DemoWorld, states: dict[str, list[dict[str, Any]]]
) -> None:
    bot = demo.account.user_id
    left = {label for label, state in states.items() if membership(state, bot) == "leave"}
    assert left == _LEFT
    assert {membership(states[label], bot) for label in states.keys() - left} == {"join"}


def test_every_joined_room_has_an_expectation(demo: DemoWorld) -> None:
    assert demo.expected.keys() | demo.skipped.keys() >= set(demo.rooms.values()) - {
        demo.rooms[label] for label in _LEFT
    }
    assert len(demo.expected) == len(DEMO_DRIFT)
    assert len(demo.skipped) == len(DEMO_SKIPPED)


def test_room_ids_come_with_and_without_a_server(demo: DemoWorld) -> None:
    with_server = {label for label, room in demo.rooms.items() if ":" in room}
    assert with_server == {"alice/1", "alice/3 old", "bob/space", "carol/1"}


def test_the_upgrade_is_known_to_both_rooms_and_to_nothing_else(
    demo: DemoWorld, states: dict[str, list[dict[str, Any]]]
) -> None:
    old, new = demo.rooms["alice/3 old"], demo.rooms["alice/3"]
    assert content(states["alice/3 old"], "m.room.tombstone")["replacement_room"] == new
    assert content(states["alice/3"], "m.room.create")["predecessor"]["room_id"] == old
    assert not content(states["alice/space"], "m.space.child", new)
    assert not content(states["alice/3"], "m.space.parent", demo.rooms["alice/space"])
    assert membership(states["alice/3"], demo.users["alice"].user_id) is None


def test_the_strangers_group_looks_like_a_chat_but_for_its_creator(
    demo: DemoWorld, states: dict[str, list[dict[str, Any]]]
) -> None:
    group = states["mallory/group"]
    (creator,) = {e["sender"] for e in group if e["type"] == "m.room.create"}
    assert creator == demo.users["mallory"].user_id
    assert content(group, "m.room.name") == {"name": "Чат 2"}
    assert content(group, "m.space.parent", demo.rooms["alice/space"])["via"]
    assert membership(group, demo.users["alice"].user_id) == "join"


def test_names_pass_the_homeserver_as_they_are(states: dict[str, list[dict[str, Any]]]) -> None:
    assert content(states["frank/1"], "m.room.name") == {"name": HOSTILE_NAME}
    assert {"\x1b", "\u202e", "\u200b", "<"} <= set(HOSTILE_NAME)
    assert content(states["bob/2"], "m.room.name") == {"name": "Отпуск"}
    twins = [content(states[label], "m.room.name") for label in ("carol/2", "carol/2 twin")]
    assert twins == [{"name": "Чат 2"}, {"name": "Чат 2"}]


def test_erin_has_left_her_chat_and_her_space(
    demo: DemoWorld, states: dict[str, list[dict[str, Any]]]
) -> None:
    erin = demo.users["erin"].user_id
    assert {membership(states[label], erin) for label in ("erin/space", "erin/1")} == {"leave"}


def test_the_database_is_broken_as_promised(demo: DemoWorld) -> None:
    rows, rooms = read_rows(demo.database), demo.rooms
    users = {name: account.user_id for name, account in demo.users.items()}
    lost = [
        user_key(users["alice"]),
        room_key(rooms["alice/1"]),
        chat_key(users["alice"], "C2"),
        room_key(rooms["alice/3"]),
        room_key(rooms["bob/1"]),
        chat_key(users["bob"], "C1"),
        room_key(rooms["carol/2"]),
        chat_key(users["carol"], "C2"),
        user_key(users["erin"]),
    ]
    assert not rows.keys() & set(lost)
    assert set(demo.orphans) <= rows.keys()
    surface_refs = {
        key: json.loads(rows[key])["surface_ref"]
        for key in (chat_key(users["alice"], "C3"), chat_key(users["bob"], "C3"))
    }
    assert list(surface_refs.values()) == [rooms["alice/3 old"], rooms["bob/3 left"]]
    assert json.loads(rows[user_key(users["bob"])])["next_chat_index"] == 2
    assert json.loads(rows[user_key(users["carol"])])["next_chat_index"] == 9
    assert "platform" not in json.loads(rows[chat_key(users["frank"], "C2")])
    with pytest.raises(json.JSONDecodeError):
        json.loads(rows[room_key(rooms["carol/1"])])


def test_a_tests_own_database_is_a_copy(demo: DemoWorld, demo_template: DemoWorld) -> None:
    assert demo.database != demo_template.database
    assert read_rows(demo.database) == read_rows(demo_template.database)


def test_the_planner_finds_exactly_the_drift_that_was_made(
    demo: DemoWorld, states: dict[str, list[dict[str, Any]]]
) -> None:
    plan = plan_of(demo, states)
    found = {
        **{u.id: Expected(u.status, frozenset(f.code for f in u.findings)) for u in plan.units},
        **dict.fromkeys([*plan.in_sync_rooms, *plan.in_sync_users], Expected(Status.IN_SYNC)),
    }
    assert found == demo.expected
    assert {skip.room_id: skip.reason for skip in plan.skipped} == demo.skipped
    assert plan.orphans == demo.orphans
    assert [note.key for note in plan.notes] == [room_key(demo.rooms["alice/3 old"])]
    assert plan.loose == ()


@pytest.mark.slow
@pytest.mark.synapse
@pytest.mark.skipif(not Synapse.available(), reason="matrix-synapse is not installed")
def test_an_opened_demo_leaves_neither_process_nor_file(tmp_path: Path) -> None:
    with open_demo(tmp_path) as (hs, demo):
        assert demo.database.is_file()
        assert demo.url == hs.url
    assert hs.pid is None
    assert list(tmp_path.iterdir()) == []
