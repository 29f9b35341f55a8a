"""Every membership that a user of a Space may have, and every way out of it: who owns it then."""

import itertools
import json

import pytest

from tests.scenario import BOT, right_rows
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Plan, RemoteState, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records
from toolkit.testing import World

EVE, VICTOR = "@eve:hs", "@victor:hs"
MEMBERSHIPS = (None, "join", "invite", "leave", "knock", "ban", "io.example.vanished")
FORMER = ("leave", "knock", "io.example.vanished")


def look(
    eve: tuple[str | None, str | None], victor: tuple[str | None, str | None], *, rows: bool
) -> Plan:
    """Eve's Space with one chat, beside Victor's own; each is (in the Space, in the chat)."""
    world = World(bot=BOT)
    world.space("!victor", owner=VICTOR)
    world.space("!eve")
    world.chat("!chat", "!eve", "Чат 900000000")
    for user, (in_space, in_chat) in ((EVE, eve), (VICTOR, victor)):
        for room, how in (("!eve", in_space), ("!chat", in_chat)):
            if how is not None:
                world.member(room, user, how)
    stored = right_rows(VICTOR, "!victor", {})
    if rows:
        stored |= right_rows(EVE, "!eve", {"C900000000": "!chat"})
        stored["matrix_room:!chat"] = {**stored["matrix_room:!chat"], "display_name": "stale"}
    local = load_records((key, json.dumps(row)) for key, row in stored.items())
    states = {room: decode_room(room, json.dumps(e).encode()) for room, e in world.rooms.items()}
    return plan_repairs(RemoteState(BOT, states), local)


def certain_for(user: str, plan: Plan) -> list[Unit]:
    """What would be written unasked in Eve's Space as somebody's, or about that user's own row."""
    return [
        unit for unit in plan.units if unit.change and not unit.needs_human and unit.owner == user
    ]


@pytest.mark.parametrize("rows", [True, False], ids=["her rows are there", "her rows are lost"])
@pytest.mark.parametrize("eve", list(itertools.product(MEMBERSHIPS, MEMBERSHIPS)), ids=str)
def test_who_could_be_contradicted_is_never_certain(
    eve: tuple[str | None, str | None], rows: bool
) -> None:
    for victor in itertools.product(MEMBERSHIPS, MEMBERSHIPS):
        plan = look(eve, victor, rows=rows)
        if not certain_for(VICTOR, plan):
            continue
        assert not rows, (eve, victor)  # they name Eve
        in_space, in_chat = eve
        if in_space in ("join", "invite"):
            assert in_chat is None, (eve, victor)  # the chat picks who ever was in it
        elif victor[0] in ("join", "invite"):
            assert in_space in (None, "ban"), (eve, victor)
        else:
            assert (in_space, in_chat) == (None, None), (eve, victor)


@pytest.mark.parametrize(
    "way", list(itertools.permutations(("leave", "knock", "invite", "ban"))), ids=str
)
def test_no_way_out_of_her_own_space_makes_a_guest_its_owner(way: tuple[str, ...]) -> None:
    """Only the last membership is state; and none but a ban, which needs somebody else, hides her."""
    for length in range(1, len(way) + 1):
        last = way[length - 1]
        if last == "ban":
            continue
        plan = look((last, "join"), ("invite", None), rows=False)
        assert not certain_for(VICTOR, plan), way[:length]


@pytest.mark.parametrize("how", FORMER)
def test_every_former_member_is_proposed_and_no_more(how: str) -> None:
    plan = look((how, None), (None, None), rows=False)
    unit = plan.unit("!eve")
    assert unit
    assert (unit.owner, unit.needs_human) == (EVE, True)
    assert [finding.code for finding in unit.conflicts] == ["owner_left"]


def test_a_former_member_whom_rows_name_is_certain_but_not_one_who_only_knocks() -> None:
    assert certain_for(EVE, look(("leave", None), (None, None), rows=True))
    for how in ("knock", "io.example.vanished"):
        plan = look((how, None), (None, None), rows=True)
        assert not certain_for(EVE, plan)
        unit = plan.unit("!chat")
        assert unit
        assert how in unit.conflicts[0].cause


@pytest.mark.parametrize("rows", [True, False])
def test_a_banned_user_is_said_to_be_banned_and_may_be_picked(rows: bool) -> None:
    unit = look(("ban", "ban"), (None, None), rows=rows).unit("!eve")
    assert unit
    (conflict,) = unit.conflicts
    assert conflict.code == "owner_unknown"
    assert f"{EVE}, whom 3 local rows name, is banned" in conflict.cause or not rows
    assert f"{EVE} is banned" in conflict.cause or rows
    assert unit.candidates == (EVE,)
