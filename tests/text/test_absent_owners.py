"""Owners who are banned or knock, while their rows are right: every word leads somewhere."""

from typing import Any

import pytest

from tests.scenario import Scenario
from toolkit.decisions.agreement import agree_to_file, agree_to_units
from toolkit.decisions.decision import Decision
from toolkit.errors import ToolkitError
from toolkit.model import Choices, Code, Plan, Reason, Skip, why_no_unit
from toolkit.text.advice import action, why_no_change

ALICE = "@alice:hs"
PICKED = "has the rows already that your pick leads to"


def look(membership: str, **more: Any) -> Plan:
    """A world of which only Alice's membership is open: all her rows are right."""
    chats = {"!s": {"space": None, "members": {ALICE: membership}, "chats": {"!r1": "Чат 1"}}}
    world = {"rule": "", "remote": chats, "right": {f"{ALICE} in !s": {"C1": "!r1"}}, **more}
    return Scenario(world).plan()


@pytest.mark.parametrize("unit_id", ["!s", "!r1"])
def test_a_pick_that_the_rows_say_already_is_called_neither_in_sync_nor_skipped(
    unit_id: str,
) -> None:
    picked = Choices(owner=ALICE)
    plan = look("ban", choices={unit_id: {"owner": ALICE}})
    for named in ("!s", "!r1"):
        agreed = agree_to_units(plan, [named], picked, lower=False)
        assert not agreed.units
        assert agreed.settled[named].startswith(PICKED)
        assert why_no_unit(plan, named, picked).startswith(f"it {PICKED}")
        filed = agree_to_file(plan, {named: Decision(change="0" * 16, choices=picked)})
        assert PICKED in filed.settled.get(named, PICKED)


def test_without_a_pick_a_space_in_sync_is_skipped_as_before() -> None:
    plan = look("join")
    assert Skip("!s", Reason.SPACE) in plan.skipped
    assert why_no_unit(plan, "!r1") == "it is in sync; there is nothing to write"
    assert why_no_unit(plan, "!s").startswith("it is skipped (space)")
    with pytest.raises(ToolkitError, match="skipped"):
        agree_to_units(plan, ["!s"], Choices(), lower=False)


def test_the_cause_of_a_ban_says_that_no_row_can_settle_it() -> None:
    [unit] = [unit for unit in look("ban").units if unit.id == "!s"]
    [finding] = unit.findings
    assert finding.cause.endswith("as long as a ban stands, this stays open whatever the rows say")
    assert not unit.rows_agree  # there is no proposal that they could agree with


def test_nobody_is_asked_to_agree_to_what_the_rows_say() -> None:
    units = look("knock").units
    assert [unit.id for unit in units] == [ALICE, "!r1"]
    for unit in units:
        assert unit.rows_agree
        assert {finding.code for finding in unit.findings} == {Code.OWNER_LEFT}
        assert "agree, or" not in action(unit)
        assert "so there is nothing to write; let that user in, or pick another owner" in action(
            unit
        )
        assert "nothing to write" in why_no_change(unit)


def test_rows_that_could_not_be_compared_do_not_agree() -> None:
    """A proposal that two rooms are given, so that a yes to one gives nobody anything."""
    alice = {"chats": {"!a": "А", "!b": {"name": "Чат 1", "name_by": ALICE}, "!r3": "Чат 3"}}
    world = {"!s": {"space": ALICE, **alice}}
    right = {f"{ALICE} in !s": {"C3": "!r3"}}
    plan = Scenario({"rule": "", "remote": world, "right": right}).plan()
    proposed = [unit for unit in plan.units if unit.id in ("!a", "!b")]
    assert [unit.findings[0].proposal for unit in proposed] == ["C1", "C1"]
    for unit in proposed:
        assert not unit.rows_agree
        assert action(unit).startswith("pick another id with")


def test_a_row_that_says_otherwise_is_what_is_left_to_mend() -> None:
    space = {"space_id": "!s", "next_chat_index": 1}
    world = {"!s": {"space": ALICE}}
    rows = {"matrix_user:@alice:hs ": space}
    right: dict[str, Any] = {f"{ALICE} in !s": {}}
    plan = Scenario({"rule": "", "remote": world, "right": right, "rows": rows}).plan()
    [unit] = plan.units
    assert "so there is nothing to write; mend or delete the row that says otherwise, or" in action(
        unit
    )
    assert '"matrix_user:@alice:hs " names "@alice:hs ", who never was' in unit.findings[0].cause
