"""What findings say in words is true of the very room that they are about."""

import json
from collections.abc import Mapping

from tests.scenario import BOT, right_rows
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Plan, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records
from toolkit.testing import World

ALICE = "@alice:hs"


def plan_of(world: World, rows: Mapping[str, object]) -> Plan:
    states = {room: decode_room(room, json.dumps(e).encode()) for room, e in world.rooms.items()}
    local = load_records((key, json.dumps(row)) for key, row in rows.items())
    return plan_repairs(RemoteState(BOT, states), local)


def test_a_chat_that_its_space_lacks_is_noted_with_the_space_that_it_names() -> None:
    world = World(bot=BOT)
    for space in ("!a", "!z"):
        world.space(space, owner=ALICE)
    world.chat("!r1", "!a", "Чат 1", owner=ALICE)
    world.chat("!r2", "!z", "Чат 2", owner=ALICE, link="parent")
    plan = plan_of(world, dict(right_rows(ALICE, "!z", {"C1": "!r1", "C2": "!r2"})))
    [note] = plan.notes
    assert (note.code, note.unit) == ("unlisted_room", "!r2")
    assert "Space !z doesn't list this chat" in note.cause


def test_where_no_space_counts_yet_no_chat_is_said_to_be_below_another_one() -> None:
    world = World(bot=BOT)
    for space, room in (("!a", "!r1"), ("!z", "!r2")):
        world.space(space, owner=ALICE)
        world.chat(room, space, f"Чат {room[-1]}", owner=ALICE)
    plan = plan_of(world, {})
    causes = {finding.cause for unit in plan.units for finding in unit.conflicts}
    assert len(plan.units) == 3 and causes
    assert not [cause for cause in causes if "than the one that counts" in cause]


def test_rows_that_are_missing_may_never_have_been_written() -> None:
    world = World(bot=BOT)
    world.space("!a", owner=ALICE)
    world.chat("!r1", "!a", "Чат 1", owner=ALICE)
    plan = plan_of(world, {})
    assert all("a crash" in finding.cause for unit in plan.units for finding in unit.findings)


def test_why_a_room_is_no_chat_is_said_with_the_cure() -> None:
    world = World(bot=BOT)
    world.space("!a", owner=ALICE)
    world.chat("!r1", "!a", "Чат 1", owner=ALICE)
    world.event("!a", "m.room.tombstone", {"replacement_room": "!new"}, sender=ALICE)
    world.chat("!r2", "!left", "Чат 2", owner=ALICE, link="parent")
    world.chat("!r3", "!a", "Чат 3", owner=ALICE, creator="@old:hs")
    rows = right_rows(ALICE, "!a", {"C1": "!r1", "C2": "!r2", "C3": "!r3"})
    rows["matrix_room:!r2"] = {**rows["matrix_room:!r2"], "space_id": "!left"}
    plan = plan_of(world, dict(rows))
    said = {unit.id: unit.conflicts[0].cause for unit in plan.units}
    assert "Space !a was upgraded to !new, which the bot isn't in" in said["!r1"]
    assert "Space !left is none that the bot is in" in said["!r2"]
    assert "made by @old:hs, not by the bot" in said["!r3"] and "--former-account" in said["!r3"]


def test_a_space_that_was_given_up_for_a_room_which_the_bot_is_in_is_not_said_to_be_left() -> None:
    worlds = [World(bot=BOT) for _ in range(3)]
    worlds[0].space("!new", owner=ALICE)
    worlds[1].space("!new", owner=ALICE, creator=ALICE)
    worlds[2].room("!new", creator=ALICE, predecessor="!a")
    for world in worlds:
        world.space("!a", owner=ALICE)
        world.chat("!r1", "!a", "Чат 1", owner=ALICE)
        world.event("!a", "m.room.tombstone", {"replacement_room": "!new"}, sender=ALICE)
        plan = plan_of(world, dict(right_rows(ALICE, "!a", {"C1": "!r1"})))
        [told] = [unit.conflicts[0].cause for unit in plan.units if unit.id == "!r1"]
        assert "Space !a was given up for !new, which doesn't go on from it" in told


def test_user_rows_alone_are_not_in_sync_where_their_space_is_none_that_can_be_compared() -> None:
    row = {f"matrix_user:{ALICE}": {"space_id": "!a", "next_chat_index": 1}}
    elsewhere = World(bot=BOT)
    elsewhere.room("!other")
    left = World(bot=BOT)
    left.chat("!r1", "!a", "Чат 1", owner=ALICE, link="parent")
    upgraded = World(bot=BOT)
    upgraded.space("!a", owner=ALICE)
    upgraded.event("!a", "m.room.tombstone", {"replacement_room": "!new"}, sender=ALICE)
    moved = World(bot=BOT)
    moved.space("!a", owner=ALICE, creator="@old:hs")
    for world in (elsewhere, left, upgraded, moved):
        assert not plan_of(world, dict(row)).in_sync
    right = World(bot=BOT)
    right.space("!a", owner=ALICE)
    assert plan_of(right, dict(row)).in_sync


def test_rows_of_a_chat_from_which_no_chat_goes_on_are_not_in_sync() -> None:
    dead, given_up, spaces = World(bot=BOT), World(bot=BOT), World(bot=BOT)
    for world in (dead, given_up, spaces):
        world.space("!a", owner=ALICE)
    for world in (dead, given_up):
        world.chat("!r1", "!a", "Чат 1", owner=ALICE)
    dead.event("!r1", "m.room.tombstone", {"replacement_room": "!a"}, sender=ALICE)
    given_up.upgrade("!r1", "!r1b")
    right = dict(right_rows(ALICE, "!a", {"C1": "!r1"}))
    chat_key, room_key = f"chat:{ALICE}:C1", "matrix_room:!r1"
    for missing in (None, chat_key, room_key):
        assert not plan_of(dead, {key: row for key, row in right.items() if key != missing}).in_sync
    on_space = {**right, chat_key: {**right[chat_key], "surface_ref": "!a"}}
    del on_space[room_key]
    assert not plan_of(spaces, on_space).in_sync
    after = dict(right_rows(ALICE, "!a", {"C1": "!r1b"}))
    assert plan_of(given_up, {**after, room_key: right[room_key]}).in_sync
