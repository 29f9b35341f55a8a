"""What holds of every unit in every scenario's plan: findings, and what a change rests on."""

import json
from collections.abc import Iterable
from typing import Any

import pytest

from tests.scenario import BOT, Scenario, load, load_scenarios
from toolkit.convention import chat_number
from toolkit.model import CONFLICTS, NO_CHATS, NO_CHOICES, Code, Finding, Plan, Unit, UnitKind
from toolkit.planning.lineage import trace_upgrades
from toolkit.records import LocalState, chat_key, is_placeholder, room_key, user_key

_OF_ROWS = {Code.MISSING_ROW, Code.UNREADABLE_ROW}
_OF_FIELDS = {
    Code.WRONG_FIELD,
    Code.WRONG_SURFACE_REF,
    Code.COUNTER_TOO_LOW,
    Code.COUNTER_TOO_HIGH,
}
every_plan = pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=scenario.rule) for scenario in load_scenarios()]
)


@every_plan
def test_a_finding_about_a_field_has_what_the_row_says_and_what_it_should_say(
    scenario: Scenario,
) -> None:
    rows = scenario.rows()
    for unit, finding in _findings(scenario.plan()):
        assert bool(finding.field) == (finding.code in _OF_FIELDS)
        stored = rows.get(finding.key)
        if finding.code in _OF_FIELDS:
            assert finding.local == _object(stored).get(finding.field)
            after = [write.after for write in unit.writes if write.key == finding.key]
            kept = finding.local if finding.code is Code.COUNTER_TOO_HIGH else finding.remote
            for raw in after:
                assert _object(raw)[finding.field] in (finding.remote, kept)
            assert finding.remote is not None
        elif finding.code is Code.UNREADABLE_ROW:
            assert finding.local == (stored if isinstance(stored, str) else None)


@every_plan
def test_a_finding_is_about_its_unit_and_rests_on_the_same_evidence(scenario: Scenario) -> None:
    for unit, finding in _findings(scenario.plan()):
        assert finding.unit == unit.id
        assert finding.evidence == unit.evidence
        if finding.code is Code.NOT_A_CHAT:
            assert finding.remote in NO_CHATS
        elif finding.code not in _OF_FIELDS:
            assert finding.remote is None


@every_plan
def test_a_unit_has_all_versions_of_its_room_and_what_was_picked_for_it(
    scenario: Scenario,
) -> None:
    accounts = frozenset({BOT, *scenario.convention.former_accounts})
    remote = scenario.remote()
    lineage = trace_upgrades(remote, accounts)
    for unit in scenario.plan().units:
        room_id = unit.space_id if unit.kind is UnitKind.USER else unit.id
        assert room_id
        unread = room_id in remote.unreadable
        versions = () if unread else (v.room_id for v in lineage.versions(room_id))
        assert unit.room_ids == ((room_id,) if unread else tuple(versions))
        assert unit.choices == scenario.choices.get(unit.id, NO_CHOICES)


@every_plan
def test_a_change_carries_the_doubts_that_an_agreement_passes_over(scenario: Scenario) -> None:
    for unit in scenario.plan().units:
        if unit.change:
            assert unit.change.doubts == tuple(sorted({f.code for f in unit.findings} & CONFLICTS))


@every_plan
def test_a_room_rests_on_its_rows_and_on_all_that_name_its_owner(scenario: Scenario) -> None:
    plan, local = scenario.plan(), load(scenario.rows())
    accounts = frozenset({BOT, *scenario.convention.former_accounts})
    lineage = trace_upgrades(scenario.remote(), accounts)
    for unit in plan.units:
        if not unit.change:
            continue
        if unit.kind is UnitKind.USER:  # compared as a whole when it is written
            assert not unit.change.relies_on
            continue
        assert unit.owner and unit.chat_id and unit.space_id
        spaces = {version.room_id for version in lineage.versions(unit.space_id)}
        wanted = {room_key(room_id) for room_id in unit.room_ids}
        wanted |= {chat_key(unit.owner, unit.chat_id), *_naming(local, spaces, unit)}
        assert set(unit.change.relies_on) == wanted
        assert list(unit.change.relies_on) == sorted(unit.change.relies_on)


@every_plan
def test_rows_agree_only_where_they_say_what_is_proposed(scenario: Scenario) -> None:
    local = load(scenario.rows())
    for unit in scenario.plan().units:
        if unit.rows_agree and unit.kind is UnitKind.USER:
            assert local.users[unit.owner or ""].space_id == unit.space_id
        elif unit.rows_agree:
            row = local.rooms[unit.id]
            assert (row.matrix_user_id, row.chat_id) == (unit.owner, unit.chat_id)


@every_plan
def test_conflicts_stand_under_the_key_of_the_units_own_row(scenario: Scenario) -> None:
    for unit, finding in _findings(scenario.plan()):
        if finding.code in _OF_FIELDS | _OF_ROWS:
            continue
        if finding.code is Code.NOT_A_CHAT:  # the row that calls it one, of whichever version
            assert finding.key in {room_key(r) for r in unit.room_ids} & scenario.rows().keys()
        elif unit.kind is UnitKind.ROOM:
            assert finding.key == room_key(unit.id)
        elif unit.id.startswith("@"):
            assert finding.key == user_key(unit.id)
        elif unit.owner is None:
            assert finding.key == ""


def _naming(local: LocalState, spaces: set[str], unit: Unit) -> Iterable[str]:
    """Rows that name who owns the unit's Space."""
    yield from (user_key(user) for user, row in local.users.items() if row.space_id in spaces)
    for (user, chat_id), row in local.chats.items():
        ours = chat_number(chat_id) or not is_placeholder(chat_id)
        if user and ours and row.surface_ref in unit.room_ids:
            yield chat_key(user, chat_id)


def _findings(plan: Plan) -> Iterable[tuple[Unit, Finding]]:
    return ((unit, finding) for unit in plan.units for finding in unit.findings)


def _object(raw: Any) -> dict[str, Any]:
    found = json.loads(raw)
    assert isinstance(found, dict)
    return found
