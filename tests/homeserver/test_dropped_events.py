"""Damaged state that nio drops or misreads: what a synced bot's start-up makes of it all the same.

Where its client remembers nothing of an event, only a read can tell (rules 5).
"""

from collections.abc import Callable
from typing import Any

import pytest

from tests.bench import ALICE, BOB, BOT, small_rows, small_world
from tests.clients import TOKEN, nio_client
from toolkit import ChatManager, InMemoryStore, reconcile_matrix_state, reconcile_single_room
from toolkit.testing import FakeHomeserver, World
from toolkit.writing.report import Report

Damage = Callable[[World], object]


def state(room: str, type: str, content: Any, key: str = "", sender: str = BOT) -> Damage:
    return lambda world: world.event(room, type, content, state_key=key, sender=sender)


def tombstone(room: str = "!a2", **content: Any) -> Damage:
    return state(room, "m.room.tombstone", content, sender=ALICE)


def create(room: str, **content: Any) -> Damage:
    def damage(world: World) -> None:
        for event in world.rooms[room]:
            if event["type"] == "m.room.create":
                event["content"] |= content

    return damage


def together(*damages: Damage) -> Damage:
    return lambda world: [damage(world) for damage in damages]


def child(content: Any, room: str = "!a2", space: str = "!alice") -> Damage:
    return state(space, "m.space.child", content, room)


def parent(content: Any, room: str = "!a2", space: str = "!alice") -> Damage:
    return state(room, "m.space.parent", content, space)


def member(room: str, user: str, **content: Any) -> Damage:
    return state(room, "m.room.member", content, user, user)


async def reports(damage: Damage) -> tuple[Report, Report, Report, int]:
    """What a start-up of a synced client says, one of a fresh one, and the first access; and how many
    requests the first of them took."""
    world, store = small_world(), InMemoryStore(small_rows())
    damage(world)
    manager = ChatManager(store)
    async with FakeHomeserver(world.rooms, BOT, TOKEN) as server:
        async with nio_client(server.url, BOT) as client:
            fresh = await reconcile_matrix_state(client, store, manager, dry_run=True)
        async with nio_client(server.url, BOT) as client:
            await client.sync(full_state=True)
            server.requests.clear()
            synced = await reconcile_matrix_state(client, store, manager, dry_run=True)
            asked = len(server.requests)
            access = await reconcile_single_room(client, store, manager, "!a2", ALICE, dry_run=True)
    return synced, fresh, access, asked


LIVE = {"via": ["hs"]}
SEEN: dict[str, Damage] = {
    "a tombstone without a room": tombstone(body="gone"),
    "an empty tombstone": tombstone(),
    "a tombstone that names no room id": tombstone(body="gone", replacement_room="new"),
    "a tombstone with a room of version 12": tombstone(body="gone", replacement_room="!new"),
    "a tombstone with a number for a room": tombstone(body="gone", replacement_room=5),
    "a type that is a number": create("!a2", type=5),
    "a Space's type that is a number": create("!alice", type=5),
    "a predecessor that is a number": create("!a2", predecessor=5),
    "a predecessor without an event": create("!a2", predecessor={"room_id": "!old"}),
    "a version that is a number": create("!a2", room_version=5),
    "a federation that is text": create("!a2", **{"m.federate": "no"}),
    "a membership of another kind": member("!alice", BOB, membership="odd"),
    "a member with a number for a name": member("!alice", ALICE, membership="join", displayname=5),
    "another one": member("!alice", BOB, membership="join", displayname=5),
    "no membership": member("!alice", BOB),
    "a child without via": child({}),
    "a child with text for via": child({"via": "hs"}),
    "a child with a number for its order": child({**LIVE, "order": 5}),
    "a child with a number for a suggestion": child({**LIVE, "suggested": 5}),
    "a parent without via": parent({}),
    "a parent with a number for its place": parent({**LIVE, "canonical": 5}),
    "no link at all": together(child({}), parent({})),
    "a name that is a number": state("!a2", "m.room.name", {"name": 5}),
}
UNSEEN: dict[str, tuple[Damage, str]] = {
    "a tombstone without a body": (tombstone(replacement_room="!new:hs"), "not_a_chat"),
    "a body that is a number": (tombstone(body=5, replacement_room="!new:hs"), "not_a_chat"),
    "a Space's tombstone without a body": (
        tombstone("!alice", replacement_room="!new:hs"),
        "not_a_chat",
    ),
    "links with empty lists": (together(child({"via": []}), parent({"via": []})), "not_a_chat"),
    "an odd parent beside the right one": (
        parent({**LIVE, "canonical": 5}, space="!bob"),
        "owner_ambiguous",
    ),
    "a ban for a number": (
        together(
            member("!alice", ALICE, membership="ban", reason=5),
            member("!a2", ALICE, membership="ban", reason=5),
        ),
        "owner_unknown",
    ),
}


async def test_a_world_without_damage_costs_one_request() -> None:
    synced, fresh, _, asked = await reports(lambda world: None)
    assert synced == fresh and asked == 1


@pytest.mark.parametrize("damage", SEEN.values(), ids=SEEN)
async def test_a_synced_client_says_the_same_as_a_fresh_one(damage: Damage) -> None:
    synced, fresh, _, _ = await reports(damage)
    assert synced == fresh


@pytest.mark.parametrize(("damage", "code"), UNSEEN.values(), ids=UNSEEN)
async def test_what_the_client_remembers_nothing_of_is_said_at_the_first_access(
    damage: Damage, code: str
) -> None:
    synced, fresh, access, asked = await reports(damage)
    assert asked == 1 and "!a2" in synced["unchanged_rooms"] and not synced["conflicts"]
    for report in (fresh, access):
        assert code in {conflict["code"] for conflict in report["conflicts"]}
        assert "!a2" not in report["unchanged_rooms"]


async def test_a_link_from_another_users_space_that_nio_drops_is_said_by_a_fresh_client() -> None:
    """The first access reads the rooms of the one owner, never the whole account."""
    synced, fresh, access, _ = await reports(child({**LIVE, "order": 5}, space="!bob"))
    assert {conflict["code"] for conflict in fresh["conflicts"]} == {"owner_ambiguous"}
    assert "!a2" in synced["unchanged_rooms"] and access["unchanged_rooms"] == ["!a2"]
