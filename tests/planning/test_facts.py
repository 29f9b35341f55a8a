"""What the rooms of a conflict say of themselves: as much as they say, and nothing else."""

import json

import pytest

from tests.scenario import BOT
from toolkit.convention import Convention
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Choices, Code, Plan, RemoteState, RoomState, Unit
from toolkit.planning.facts import (
    NO_FACTS,
    PEOPLE,
    ROOMS,
    Facts,
    People,
    Role,
    RoomFacts,
    find_facts,
)
from toolkit.planning.plan import plan_repairs
from toolkit.planning.presence import SHOWN, Presence
from toolkit.records import load_records
from toolkit.testing import World

ALICE, EVA = "@alice:hs", "@eva:hs"
HELPER, OLD = "@helper:hs", "@old:hs"
CONVENTION = Convention(helper_accounts=[HELPER], former_accounts=[OLD])


class Twins:
    """Two rooms that claim to be Alice's C1."""

    def __init__(self) -> None:
        self.world = World(BOT)
        self.world.space("!s", owner=ALICE)
        for room in ("!a", "!b"):
            self.world.chat(room, "!s", "Чат 1", owner=ALICE)
        self.unreadable: dict[str, str] = {}

    def remote(self) -> RemoteState:
        rooms = {
            room: decode_room(room, json.dumps(events).encode())
            for room, events in self.world.rooms.items()
            if room not in self.unreadable
        }
        return RemoteState(BOT, rooms, self.unreadable)

    def plan(self, **choices: Choices) -> Plan:
        return plan_repairs(self.remote(), load_records([]), CONVENTION, choices)

    def unit(self, room: str) -> Unit:
        unit = self.plan().unit(room)
        assert unit
        return unit

    def facts(self, room: str) -> Facts:
        return find_facts(self.unit(room), self.remote(), CONVENTION)

    def room(self, room: str) -> RoomFacts:
        return next(found for found in self.facts("!a").rooms if found.room_id == room)

    def cause(self, room: str) -> str:
        [finding] = [f for f in self.unit(room).conflicts if f.code is Code.DUPLICATE_CHAT_ID]
        return finding.cause


@pytest.fixture
def twins() -> Twins:
    return Twins()


def test_twins_stand_side_by_side_each_seen_from_its_own_side(twins: Twins) -> None:
    for own, other in (("!a", "!b"), ("!b", "!a")):
        roles = [(room.room_id, room.role) for room in twins.facts(own).rooms]
        assert roles == [(own, Role.ROOM), (other, Role.RIVAL)]


def test_a_room_says_when_and_by_whom_it_was_made_and_named(twins: Twins) -> None:
    for event in twins.world.rooms["!a"]:
        if event["type"] == "m.room.create":
            event["origin_server_ts"] = 1_000
        if event["type"] == "m.room.name":
            event |= {"origin_server_ts": 2_000, "sender": ALICE}
    found = twins.room("!a")
    assert (found.name, found.named, found.named_by) == ("Чат 1", 2_000, ALICE)
    assert (found.created, found.created_by) == (1_000, BOT)


@pytest.mark.parametrize("time", [None, "7", 7.5, True])
def test_a_time_that_is_none_is_unknown(twins: Twins, time: object) -> None:
    for event in twins.world.rooms["!a"]:
        event["origin_server_ts"] = time
    found = twins.room("!a")
    assert found.named is None and found.created is None


def test_people_are_told_by_how_they_stand_without_the_bots_own_accounts(twins: Twins) -> None:
    for user, membership in {
        "@j:hs": "join",
        "@i:hs": "invite",
        "@l:hs": "leave",
        "@b:hs": "ban",
        "@k:hs": "knock",
        "@odd:hs": "io.example.vanished",
        HELPER: "join",
        OLD: "leave",
        ALICE: "join",
    }.items():
        twins.world.member("!a", user, membership)
    found = twins.room("!a")
    assert found.joined == People((ALICE, "@j:hs"), 2)
    assert found.invited == People(("@i:hs",), 1)
    assert found.left == People(("@l:hs", "@odd:hs"), 2)
    assert found.banned == People(("@b:hs",), 1)
    assert found.knocking == People(("@k:hs",), 1)


def test_of_very_many_people_the_first_are_named_and_the_owner_among_them(twins: Twins) -> None:
    for number in range(3 * PEOPLE):
        twins.world.member("!a", f"@a{number:03}:hs", "leave")
    twins.world.member("!a", ALICE, "leave")
    left = twins.room("!a").left
    assert left.count == 3 * PEOPLE + 1
    assert left.users == (ALICE, *(f"@a{number:03}:hs" for number in range(PEOPLE - 1)))


def test_who_stayed_in_an_earlier_version_is_not_in_the_room(twins: Twins) -> None:
    twins.world.member("!a", ALICE, "join")
    twins.world.member("!a", EVA, "leave")
    twins.world.upgrade("!a", "!a2")
    world = twins.world
    world.rooms["!a2"] = [e for e in world.rooms["!a2"] if e.get("state_key") not in (ALICE, EVA)]
    [found] = [room for room in twins.facts("!a2").rooms if room.role is Role.ROOM]
    assert (found.joined, found.behind) == (People(), People((ALICE,), 1))
    assert found.left == People((EVA,), 1) and found.earlier == ("!a",)
    assert "was joined or invited to an earlier version of !a2 alone" in twins.cause("!b")


def test_rooms_that_go_on_from_each_other_in_a_circle_are_each_named_once() -> None:
    rooms = {
        one: RoomState(room_id=one, creator=BOT, predecessor=other, replacement=other)
        for one, other in (("!a", "!b"), ("!b", "!a"))
    }
    unit = Twins().unit("!a")
    found = find_facts(unit, RemoteState(BOT, rooms), CONVENTION).rooms[0]
    assert found.earlier == ("!b",)


def test_of_an_unread_twin_only_the_reason_is_known(twins: Twins) -> None:
    unit, remote = twins.unit("!a"), twins.remote()
    del remote.rooms["!b"]
    lost = RemoteState(BOT, remote.rooms, {"!b": "it answered 500"})
    found = find_facts(unit, lost, CONVENTION).rooms[1]
    assert found == RoomFacts(role=Role.RIVAL, room_id="!b", unread="it answered 500")


def test_a_room_that_is_not_joined_has_no_facts(twins: Twins) -> None:
    unit = twins.unit("!a")
    remote = twins.remote()
    del remote.rooms["!b"]
    assert [r.room_id for r in find_facts(unit, remote, CONVENTION).rooms] == ["!a"]


def test_what_a_clients_memory_assumes_of_senders_is_no_fact(twins: Twins) -> None:
    unit = twins.unit("!a")
    room = RoomState(room_id="!a", creator=BOT, name="Чат 1", name_sender=BOT, verified=False)
    [found] = find_facts(unit, RemoteState(BOT, {"!a": room}), CONVENTION).rooms
    assert (found.name, found.named_by, found.created_by) == ("Чат 1", None, None)
    assert (found.named, found.created) == (None, None)


def test_what_is_no_conflict_has_no_facts(twins: Twins) -> None:
    [user] = [unit for unit in twins.plan().units if unit.id == ALICE]
    assert not user.conflicts
    assert find_facts(user, twins.remote(), CONVENTION) == NO_FACTS


def test_where_the_owner_is_in_question_the_space_stands_beside_the_room(twins: Twins) -> None:
    for room in ("!s", "!a", "!b"):
        twins.world.member(room, ALICE, "leave")
    roles = [(r.room_id, r.role) for r in twins.facts("!a").rooms]
    assert roles == [("!a", Role.ROOM), ("!b", Role.RIVAL), ("!s", Role.SPACE)]
    space = twins.plan().unit("!s")
    assert space
    [found] = find_facts(space, twins.remote(), CONVENTION).rooms
    assert (found.role, found.left) == (Role.SPACE, People((ALICE,), 1))


def test_several_spaces_of_one_user_stand_side_by_side(twins: Twins) -> None:
    twins.world.space("!t", owner=ALICE)
    twins.world.chat("!c", "!t", "Чат 2", owner=ALICE)
    user = [(r.room_id, r.role) for r in twins.facts(ALICE).rooms]
    assert user == [("!s", Role.SPACE), ("!t", Role.OTHER_SPACE)]


def test_of_very_many_rooms_the_first_are_shown_and_the_others_counted(twins: Twins) -> None:
    for number in range(ROOMS):
        twins.world.chat(f"!c{number}", "!s", "Чат 1", owner=ALICE)
    found = twins.facts("!a")
    assert len(found.rooms) == ROOMS and found.rooms[0].room_id == "!a"
    assert found.more == 2


# -- which of them the user can write in ----------------------------------------------------------


def test_each_twin_says_where_the_user_is_from_its_own_side(twins: Twins) -> None:
    twins.world.member("!a", ALICE, "join")
    twins.world.member("!b", ALICE, "leave")
    here = "is joined to this room and has left !b: they can write in this room alone"
    there = "is joined to !a and has left this room: they can write in !a alone"
    reset = "A reset that made new rooms beside the old ones leaves such twins"
    assert twins.cause("!a") == f"2 rooms claim to be C1. {ALICE} {here}. {reset}"
    assert twins.cause("!b") == f"2 rooms claim to be C1. {ALICE} {there}. {reset}"


@pytest.mark.parametrize(
    ("membership", "said"),
    [
        ("join", " and !b: only you know which one they still write in"),
        ("invite", " and is invited to !b: they can write in this room alone"),
        ("knock", " and asks to be let into !b: they can write in this room alone"),
        ("ban", " and is banned from !b: they can write in this room alone"),
        ("io.example.gone", " and has left !b: they can write in this room alone"),
        (None, " and never was in !b: they can write in this room alone"),
    ],
)
def test_it_says_how_the_user_stands_in_each(
    twins: Twins, membership: str | None, said: str
) -> None:
    twins.world.member("!a", ALICE, "join")
    if membership:
        twins.world.member("!b", ALICE, membership)
    else:
        kept = [e for e in twins.world.rooms["!b"] if e.get("state_key") != ALICE]
        twins.world.rooms["!b"] = kept
    assert f". {ALICE} is joined to this room{said}. " in twins.cause("!a")


def test_who_is_in_none_of_them_can_write_in_none() -> None:
    rooms = {room: (RoomState(room_id=room),) for room in ("!a", "!b ")}
    assert Presence(ALICE, rooms).seen_from("!a") == (
        f'{ALICE} never was in this room and "!b ": they can write in none of them, and only you know which '
        "is theirs"
    )


def test_a_twin_that_could_not_be_read_leaves_it_open() -> None:
    twins = Twins()
    twins.world.member("!a", ALICE, "join")
    rooms = {"!a": (twins.remote().rooms["!a"],), "!b": ()}
    assert (
        Presence(ALICE, rooms)
        .seen_from("!b")
        .endswith(
            "is joined to !a and may be in this room, which could not be read: only you know which one they still "
            "write in"
        )
    )


def test_of_very_many_rooms_the_first_are_named() -> None:
    rooms = {f"!{number}": (RoomState(room_id=f"!{number}"),) for number in range(SHOWN + 3)}
    there = Presence(ALICE, rooms)
    assert "never was in this room, !0, !1, !2 and 3 more: " in there.seen_from("!5")
    assert "never was in this room, !0, !2, !3 and 3 more: " in there.seen_from("!1")


def test_a_twin_below_another_space_that_may_be_the_users_was_read(twins: Twins) -> None:
    """Its claims count although the Space's owner is in doubt, and so does who is in it."""
    twins.world.space("!t", owner=ALICE)
    twins.world.chat("!c", "!t", "Чат 1", owner=ALICE)
    for room in ("!t", "!c"):
        twins.world.member(room, ALICE, "leave")
    row = {"chat_id": "C1", "matrix_user_id": ALICE, "space_id": "!t", "room_type": "chat"}
    local = load_records([("matrix_room:!c", json.dumps(row))])
    plan = plan_repairs(twins.remote(), local, CONVENTION)
    unit = plan.unit("!a")
    assert unit
    [cause] = [f.cause for f in unit.conflicts if f.code is Code.DUPLICATE_CHAT_ID]
    assert "3 rooms claim" in cause and "has left !c: only you know" in cause
