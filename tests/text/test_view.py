"""What a person is shown of a plan: in the order in which they count, no more than they ask for, each cause once."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import ToolkitError
from toolkit.model import Code, Finding, Plan, Status, Unit, UnitKind
from toolkit.records import chat_key, room_key, user_key
from toolkit.text.view import EVERYTHING, View, group_causes

CONFLICT, MISSING, WRONG = Status.CONFLICT, Status.MISSING, Status.MISMATCHED


def finding(unit: str, code: Code, key: str = "", field: str = "") -> Finding:
    return Finding(unit=unit, code=code, key=key or room_key(unit), cause="", field=field)


def room(
    room_id: str,
    owner: str | None,
    chat_id: str | None,
    status: Status = MISSING,
    *codes: Code,
    **more: Any,
) -> Unit:
    found = tuple(finding(room_id, code) for code in codes or (Code.MISSING_ROW,))
    return Unit(
        id=room_id,
        kind=UnitKind.ROOM,
        status=status,
        findings=found,
        owner=owner,
        chat_id=chat_id,
        **{"room_ids": (room_id,), **more},
    )


def user_row(user: str, space: str, status: Status = MISSING) -> Unit:
    found = (finding(user, Code.MISSING_ROW, user_key(user)),)
    return Unit(
        id=user, kind=UnitKind.USER, status=status, findings=found, owner=user, space_id=space
    )


UNITS = [
    room("!z", "@user2:hs", "C1", CONFLICT, Code.OWNER_LEFT),
    room("!u", None, None, CONFLICT, Code.OWNER_UNKNOWN, candidates=("@user1:hs", "@user10:hs")),
    user_row("@user2:hs", "!space2"),
    room("!b", "@user2:hs", "C2"),
    room("!a", "@user2:hs", "C10", WRONG, Code.WRONG_SURFACE_REF),
    room("!9", "@user2:hs", None),
    room("!y", "@user10:hs", "C1", MISSING, room_ids=("!y", "!old")),
]
LOOSE = [
    finding(chat_key("@user2:hs", "C7"), Code.UNREADABLE_ROW, chat_key("@user2:hs", "C7")),
    finding(room_key("!lost"), Code.NOT_A_CHAT, room_key("!lost")),
]


def plan_of(units: list[Unit], loose: list[Finding] | None = None) -> Plan:
    return Plan(account="@bot:hs", joined=(), units=tuple(units), loose=tuple(loose or ()))


def ids(view: View) -> list[str]:
    return [unit.id for unit in view.units(plan_of(UNITS))]


@settings(max_examples=30, deadline=None)
@given(st.permutations(UNITS))
def test_conflicts_come_first_then_owners_and_chats_as_a_person_counts(units: list[Unit]) -> None:
    assert EVERYTHING.units(plan_of(units)) == UNITS


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(statuses=["conflict"]), "!z !u"),
        (View(statuses=["conflict", "mismatched"]), "!z !u !a"),
        (View(users=["@user10:hs"]), "!u !y"),
        (View(users=["@user2:hs"]), "!z @user2:hs !b !a !9"),
        (View(codes=["owner_left", "wrong_surface_ref"]), "!z !a"),
        (View(rooms=["!old"]), "!y"),
        (View(rooms=["!b", "!space2"]), "@user2:hs !b"),
        (View(users=["@user2:hs"], statuses=["conflict"]), "!z"),
        (View(users=["@user2:hs"], rooms=["!y"]), ""),
    ],
)
def test_of_one_kind_any_value_will_do_and_each_kind_must_hold(view: View, expected: str) -> None:
    assert ids(view) == expected.split() and view.narrowed
    assert not EVERYTHING.narrowed


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (EVERYTHING, LOOSE),
        (View(statuses=["missing"]), []),
        (View(users=["@user2:hs"]), LOOSE[:1]),
        (View(codes=["not_a_chat"]), LOOSE[1:]),
        (View(rooms=["!lost"]), LOOSE[1:]),
    ],
)
def test_conflicts_of_no_unit_are_narrowed_alike(view: View, expected: list[Finding]) -> None:
    assert view.loose(plan_of(UNITS, LOOSE)) == expected


def test_a_code_that_there_is_not_is_an_error_and_no_empty_list() -> None:
    with pytest.raises(ToolkitError, match="no code owner_gone; near it are owner_left"):
        View(codes=["owner_left", "owner_gone"])


def test_a_cause_is_told_once_with_all_that_have_it() -> None:
    both = (
        finding("!d", Code.MISSING_ROW),
        finding("!d", Code.WRONG_FIELD, field="display_name"),
        finding("!d", Code.WRONG_FIELD, field="display_name"),
        finding("!d", Code.COUNTER_TOO_LOW, field="next_chat_index"),
    )
    units = [
        Unit(id="!d", kind=UnitKind.ROOM, status=MISSING, findings=both),
        room("!e", "@user3:hs", "C1"),
        room("!f", "@user3:hs", "C2", CONFLICT, Code.MISSING_ROW, Code.OWNER_LEFT),
    ]
    told = [(c.status, c.code, c.words, c.ids) for c in group_causes(units, LOOSE[1:])]
    assert told == [
        (CONFLICT, Code.OWNER_LEFT, "its owner has left", ("!f",)),
        (
            CONFLICT,
            Code.NOT_A_CHAT,
            "a row calls a room a chat that is none",
            ("matrix_room:!lost",),
        ),
        (MISSING, Code.MISSING_ROW, "room row is missing", ("!d", "!e")),
        (MISSING, Code.WRONG_FIELD, "room row: display_name is wrong", ("!d",)),
        (MISSING, Code.COUNTER_TOO_LOW, "the next chat would take a used number", ("!d",)),
    ]
