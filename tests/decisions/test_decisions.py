"""What units that were agreed to may not be written together."""

from __future__ import annotations

import itertools

import msgspec
import pytest

from tests.bench import ALICE, BOB
from toolkit.decisions.decision import Decision, agreed_units, second_spaces, user_name
from toolkit.model import Change, Plan, Status, Unit, UnitKind


def unit(unit_id: str, owner: str | None, space_id: str | None) -> Unit:
    return Unit(
        id=unit_id,
        kind=UnitKind.USER if unit_id in (ALICE, "!z") else UnitKind.ROOM,
        status=Status.CONFLICT,
        findings=(),
        owner=owner,
        space_id=space_id,
    )


def test_a_user_is_given_one_space_and_the_order_of_units_says_nothing() -> None:
    units = [
        unit(ALICE, ALICE, "!one"),
        unit("!a", ALICE, "!two"),
        unit("!b", ALICE, "!one"),
        unit("!c", BOB, "!two"),
        unit("!d", BOB, None),
        unit("!z", BOB, "!two"),  # the user row of a guess, called by its Space
    ]
    why = "in the same run {} was given the Space {}; look again"
    expected = {"!a": why.format(ALICE, "!one"), "!d": why.format(BOB, "!two")}
    for order in itertools.permutations(units):
        assert second_spaces(order) == expected


def test_units_of_nobody_are_never_in_each_others_way() -> None:
    """Those of an undo, say, rest on nothing but their rows."""
    assert second_spaces([unit("!a", None, "!one"), unit("!b", None, "!two")]) == {}


def test_of_a_foreign_plan_none_goes_along() -> None:
    """Nobody knows whose row one without a Space is."""
    for space_id, owner in (("!one", ALICE), (None, None)):
        both = [unit(ALICE, owner, space_id), unit("!a", owner, space_id)]
        units = tuple(msgspec.structs.replace(each, change=Change(())) for each in both)
        plan = Plan(account="", joined=(), units=units)
        yes = {"!a": Decision()}
        assert [u.id for u in agreed_units(plan, yes)] == ["!a", ALICE]
        alone = msgspec.structs.replace(plan, foreign=True)
        assert [u.id for u in agreed_units(alone, yes)] == ["!a"]


def test_who_sits_here_may_have_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert user_name() == ""
