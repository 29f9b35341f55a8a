"""A conflict as it is shown: in words that are true of each of its rooms, with reasons for what is offered."""

import json
from collections.abc import Mapping

import pytest

from tests.scenario import BOT, right_rows
from toolkit.convention import Convention
from toolkit.decisions.case import Case, Casebook, case_json, say_case
from toolkit.decisions.offers import list_options
from toolkit.homeserver.room_state import decode_room
from toolkit.model import RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records
from toolkit.testing import World
from toolkit.text.links import room_link
from toolkit.text.times import say_minute

ALICE, EVA = "@alice:hs", "@eva:hs"
MINUTE = 1_791_234_567_891
SAID = "2026-10-05T21:09Z"
NOTHING: Mapping[str, str] = {}
Rows = dict[str, object]


@pytest.fixture
def world() -> World:
    """Alice's Space, and two rooms that claim to be her C1."""
    world = World(BOT)
    world.space("!s", owner=ALICE)
    for room in ("!a", "!b"):
        world.chat(room, "!s", "Чат 1", owner=ALICE)
    return world


def casebook(
    world: World, rows: Rows | None = None, unreadable: Mapping[str, str] = NOTHING
) -> tuple[Casebook, dict[str, Case]]:
    """The cases of a world, and those of its units."""
    rooms = {
        room: decode_room(room, json.dumps(events).encode())
        for room, events in world.rooms.items()
        if room not in unreadable
    }
    remote = RemoteState(BOT, rooms, dict(unreadable))
    local = load_records((key, json.dumps(row)) for key, row in (rows or {}).items())
    plan = plan_repairs(remote, local)
    book = Casebook(plan, remote, local, Convention())
    assert book.are_of(plan, remote, local) and not book.are_of(plan, remote, load_records([]))
    found = {unit.id: book.open(unit) for unit in plan.units}
    return book, {unit: case for unit, case in found.items() if case}


def case_of(
    world: World, unit: str, rows: Rows | None = None, unreadable: Mapping[str, str] = NOTHING
) -> Case:
    return casebook(world, rows, unreadable)[1][unit]


def dated(world: World, room: str, **times: int) -> None:
    for event in world.rooms[room]:
        kind = event["type"].removeprefix("m.room.")
        event["origin_server_ts"] = times.get(kind)


def test_both_sides_have_the_same_lines_and_each_its_own_words(world: World) -> None:
    dated(world, "!a", create=MINUTE, name=MINUTE)
    dated(world, "!b")
    world.member("!b", ALICE, "invite")
    own, other = case_of(world, "!a").sides
    assert (own.title, own.room_id, own.facts) == (
        "this room",
        "!a",
        (
            ("name", '"Чат 1"'),
            ("joined", ALICE),
            ("invited", "nobody"),
            ("named", f"{SAID} by {BOT}"),
            ("made", f"{SAID} by {BOT}"),
        ),
    )
    assert other.title == "its twin"
    assert dict(other.facts) == {
        "name": '"Чат 1"',
        "named": f"by {BOT}",
        "made": f"by {BOT}",
        "joined": "nobody",
        "invited": ALICE,
    }


def test_what_one_room_says_and_another_does_not_is_said_to_lack_there(world: World) -> None:
    world.chat("!old", "!s", "Чат 1", owner=ALICE)
    world.upgrade("!old", "!new")
    world.rooms["!a"] = [e for e in world.rooms["!a"] if e["type"] != "m.room.name"]
    rows: Rows = {"chat:@alice:hs:C1": {"surface_ref": "!a"}}
    rows |= {"matrix_room:!b": right_rows(ALICE, "!s", {"C1": "!b"})["matrix_room:!b"]}
    rows |= {"matrix_room:!new": right_rows(ALICE, "!s", {"C1": "!new"})["matrix_room:!new"]}
    sides = {side.room_id: dict(side.facts) for side in case_of(world, "!b", rows).sides}
    assert sides["!a"]["name"] == "none" and sides["!a"]["named"] == "unknown"
    assert (sides["!new"]["goes on from"], sides["!b"]["goes on from"]) == ("!old", "none")


def test_of_an_unread_room_everything_else_is_unknown(world: World) -> None:
    rows: Rows = dict(right_rows(ALICE, "!s", {"C1": "!b"}))
    rows["matrix_room:!a"] = {**rows["matrix_room:!b"]}  # type: ignore[dict-item]
    case = case_of(world, "!a", rows, {"!b": "it answered 500"})
    own, other = case.sides
    assert dict(own.facts)["not read"] == "none" and dict(own.facts)["joined"] == ALICE
    assert dict(other.facts) | {"not read": ""} == {
        label: "unknown" if label != "not read" else "" for label, _ in other.facts
    }
    assert dict(other.facts)["not read"] == "it answered 500"


def test_a_unit_of_which_only_the_reason_is_known_says_that_alone(world: World) -> None:
    case = case_of(world, "!a", unreadable={"!a": "it answered 500"})
    assert case.sides[0].facts == (("not read", "it answered 500"),)


def test_very_many_people_and_rooms_are_counted(world: World) -> None:
    for number in range(1_300):
        world.member("!a", f"@u{number:04}:hs", "leave")
    for number in range(8):
        world.chat(f"!c{number}", "!s", "Чат 1", owner=ALICE)
    case = case_of(world, "!a")
    assert dict(case.sides[0].facts)["left"].endswith("@u0011:hs and 1,288 more")
    assert case.more == "and 3 more rooms" and "and 3 more rooms" in say_case(case)
    assert case_json(case)["more_rooms"] == 3


def test_each_chat_id_that_is_offered_says_what_speaks_for_it(world: World) -> None:
    rows: Rows = {"chat:@alice:hs:C5": {"surface_ref": "!a"}}
    rows |= {"matrix_room:!a": right_rows(ALICE, "!s", {"C4": "!a"})["matrix_room:!a"]}
    assert case_of(world, "!a", rows).offered == (
        ("C4", "the room row says it"),
        ("C5", "a chat row of it points at the room"),
        ("C6", "the next free number"),
        ("C7", "free as well"),
        ("C8", "free as well"),
    )
    assert case_of(world, "!b").offered[0] == ("C1", "the room's name says it")


def test_an_id_for_which_several_things_speak_says_them_all(world: World) -> None:
    rows: Rows = dict(right_rows(ALICE, "!s", {"C1": "!a"}))
    rows["matrix_room:!b"] = {**rows["matrix_room:!a"]}  # type: ignore[dict-item]
    found = dict(case_of(world, "!a", rows).offered)
    assert found["C1"] == "the room row says it, and a chat row of it points at the room"


def test_a_name_by_somebody_else_and_the_order_of_creation_are_reasons_of_their_own() -> None:
    world = World(BOT)
    world.space("!s", owner=ALICE)
    world.chat("!a", "!s", "Рецепты", owner=ALICE)
    world.chat("!b", "!s", "Чат 2", owner=ALICE)
    world.chat("!c", "!s", "Чат 7", owner=ALICE)
    world.name("!c", "Чат 8", sender=ALICE)
    assert case_of(world, "!a").offered[0] == (
        "C1",
        "the order in which the user's rooms were made leaves it",
    )
    assert case_of(world, "!c").offered[0] == (
        "C8",
        "the room's name says it, which somebody else than the bot wrote",
    )


def test_an_id_that_another_room_is_asked_to_give_has_no_reason_of_the_room_itself(
    world: World,
) -> None:
    """The chat row of C2 points at the room that is C1 by its room row."""
    world.name("!b", "Чат 2")
    rows: Rows = {"chat:@alice:hs:C2": {"surface_ref": "!a"}}
    rows |= {"matrix_room:!a": right_rows(ALICE, "!s", {"C1": "!a"})["matrix_room:!a"]}
    cases = casebook(world, rows)[1]
    assert dict(cases["!a"].offered)["C2"] == "a chat row of it points at the room"
    assert dict(cases["!a"].offered)["C1"] == "the room row says it"
    assert dict(cases["!b"].offered)["C2"] == "the room's name says it"


def test_options_are_told_with_their_reasons(world: World) -> None:
    options = list_options(case_of(world, "!a").offers)
    assert [(o.label, o.why) for o in options][:2] == [
        ("chat id C1", "the room's name says it"),
        ("chat id C2", "the next free number"),
    ]


def test_what_is_no_conflict_is_no_case(world: World) -> None:
    assert set(casebook(world)[1]) == {"!a", "!b"}


def test_a_case_in_one_line_holds_it_all(world: World) -> None:
    for room in ("!a", "!b"):
        dated(world, room)
    assert say_case(case_of(world, "!a")) == (
        f'this room !a: name "Чат 1"; joined {ALICE}; named by {BOT}; made by {BOT}; link '
        f"https://matrix.to/#/!a?via=hs"
        f' | its twin !b: name "Чат 1"; joined {ALICE}; named by {BOT}; made by {BOT}; link '
        "https://matrix.to/#/!b?via=hs"
        " | chat ids offered: C1 (the room's name says it), C2 (the next free number), "
        "C3 (free as well), C4 (free as well)"
    )


def test_json_has_times_as_texts_and_people_as_lists(world: World) -> None:
    dated(world, "!a", create=MINUTE)
    found = json.loads(json.dumps(case_json(case_of(world, "!a"))))
    room = found["rooms"][0]
    assert (room["role"], room["created"], room["named"]) == ("room", SAID, None)
    assert room["joined"] == {"users": [ALICE], "count": 1}
    assert room["link"] == "https://matrix.to/#/!a?via=hs"
    assert found["chat_ids_offered"][0] == {"chat_id": "C1", "why": "the room's name says it"}


# -- links and times ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("room_id", "path"),
    [
        ("!a:example.org", "!a%3Aexample.org"),
        ("!GrAj_-x", "!GrAj_-x"),
        ('!"><script>#/?&x=y %\n)', "!%22%3E%3Cscript%3E%23%2F%3F%26x%3Dy%20%25%0A%29"),
        ("!чат", "!%D1%87%D0%B0%D1%82"),
        ("!\udcff", "!%3F"),
    ],
)
def test_a_link_is_encoded_whatever_the_id_is(room_id: str, path: str) -> None:
    assert room_link(room_id, "@bot:hs:8448") == f"https://matrix.to/#/{path}?via=hs%3A8448"


@pytest.mark.parametrize(
    ("time", "said"),
    [
        (0, "1970-01-01T00:00Z"),
        (MINUTE, SAID),
        (253_402_300_799_999, "9999-12-31T23:59Z"),
        *((odd, "") for odd in (None, -1, 253_402_300_800_000, 10**40)),
    ],
)
def test_a_time_is_said_to_the_minute_if_it_is_one(time: int | None, said: str) -> None:
    assert say_minute(time) == said
