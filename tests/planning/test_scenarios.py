"""Every rule of rules 1 to 3, shown by a scenario whose name is the rule."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from tests.scenario import BOT, Scenario, backwards, load_scenarios
from toolkit.model import CONFLICTS, Plan, Status, Unit
from toolkit.records import Raw

SCENARIOS = load_scenarios()
_NAMED = {"skipped", "orphans", "notes", "loose", "in_sync"}
_TOLD = {"status", "codes", "fields", "proposal", "writes", "if_approved", "rung"}
_TOLD |= {"owner", "chat_id", "space_id", "candidates", "says", "proof"}
every_scenario = pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=scenario.rule) for scenario in SCENARIOS]
)


def test_every_rule_is_told_once() -> None:
    twice = [rule for rule, n in Counter(s.rule for s in SCENARIOS).items() if n > 1]
    assert not twice


@every_scenario
def test_rule(scenario: Scenario) -> None:
    plan, expect = scenario.plan(), scenario.expect
    wanted = {unit: told for unit, told in expect.items() if unit not in _NAMED}
    assert {unit.id: unit.status.value for unit in plan.units} == {
        unit: told["status"] for unit, told in wanted.items()
    }
    for unit in plan.units:
        _check_unit(unit, wanted[unit.id], scenario.rows())
        _check_words(unit, wanted[unit.id].get("says", {}))
        if "proof" in wanted[unit.id]:
            proof = [scenario.event_id(event) for event in wanted[unit.id]["proof"]]
            assert sorted(unit.evidence.events) == sorted(proof)
    spaces_apart = {s.room_id: s.reason.value for s in plan.skipped if s.reason != "space"}
    spaces = {r: "space" for r, why in expect.get("skipped", {}).items() if why == "space"}
    assert spaces.items() <= {s.room_id: s.reason.value for s in plan.skipped}.items()
    assert spaces_apart | spaces == expect.get("skipped", {})
    assert list(plan.orphans) == sorted(expect.get("orphans", []))
    assert {note.key: note.code.value for note in plan.notes} == expect.get("notes", {})
    assert {f.key: f.code.value for f in plan.loose} == dict.fromkeys(
        expect.get("loose", []), "unreadable_row"
    )
    if "in_sync" in expect:
        assert sorted([*plan.in_sync_rooms, *plan.in_sync_users]) == sorted(expect["in_sync"])
    _check_sums(plan)


def _check_unit(unit: Unit, told: Mapping[str, Any], rows: Mapping[str, Raw]) -> None:
    assert set(told) <= _TOLD
    assert sorted({f.code.value for f in unit.findings}) == sorted(told["codes"]), unit
    assert len({f.id for f in unit.findings}) == len(unit.findings)
    if "fields" in told:
        assert sorted(f.field for f in unit.findings if f.field) == sorted(told["fields"])
    if "proposal" in told:
        assert {f.proposal for f in unit.conflicts} - {None} == {told["proposal"]} - {None}
    if "rung" in told:
        assert unit.evidence.rung.value == told["rung"]
    if "candidates" in told:
        assert list(unit.candidates) == told["candidates"]
    for word in {"owner", "chat_id", "space_id"} & set(told):
        assert getattr(unit, word) == told[word]
    assert not {"writes", "if_approved"} <= set(told)
    assert (unit.change is not None) == bool({"writes", "if_approved"} & set(told)), unit
    if unit.change:
        assert unit.needs_human == ("if_approved" in told)
        _check_writes(unit, told.get("writes") or told["if_approved"], rows)


def _check_writes(
    unit: Unit, wanted: Mapping[str, Mapping[str, Any]], rows: Mapping[str, Raw]
) -> None:
    assert unit.change
    assert {write.key for write in unit.change.writes} == set(wanted)
    for write in unit.change.writes:
        assert write.before == rows.get(write.key)
        after = _object(write.after)
        for field, value in wanted[write.key].items():
            assert after.get(field, "absent") == value, (write.key, field)
        if isinstance(write.before, bytes):
            assert isinstance(write.after, bytes)


def _check_words(unit: Unit, said: Mapping[str, str]) -> None:
    """The causes of the findings that a field, a key or a code names."""
    for name, words in said.items():
        causes = [f.cause for f in unit.findings if name in (f.field, f.key, f.code)]
        assert causes
        assert all(words in cause for cause in causes), (name, causes)


def _object(raw: Raw) -> dict[str, Any]:
    assert isinstance(raw, str | bytes)
    found = json.loads(raw)
    assert isinstance(found, dict)
    return found


def _check_sums(plan: Plan) -> None:
    """Every joined room has one status, a conflict has its code, and only a conflict has one."""
    told = [*plan.in_sync_rooms, *(skip.room_id for skip in plan.skipped)]
    told += [unit.id for unit in plan.units if unit.kind == "room"]
    assert sorted(told) == list(plan.joined)
    for unit in plan.units:
        conflict = any(f.code in CONFLICTS for f in unit.findings)
        assert conflict == (unit.status is Status.CONFLICT)
        assert unit.findings
    assert BOT not in {unit.id for unit in plan.units}


@every_scenario
def test_again_is_nothing(scenario: Scenario) -> None:
    plan = scenario.plan()
    rows = _applied(scenario.rows(), plan, approved=False)
    again = scenario.plan(rows)
    assert not _unasked(again)
    assert [u.id for u in plan.units if u.status is Status.CONFLICT] == [
        u.id for u in again.units if u.status is Status.CONFLICT
    ]


@every_scenario
def test_what_was_approved_stays(scenario: Scenario) -> None:
    plan = scenario.plan()
    approved = {u.id: u.change for u in plan.units if u.change and u.needs_human}
    again = scenario.plan(_applied(scenario.rows(), plan, approved=True), choices={})
    assert not _unasked(again)
    assert not [u for u in again.units if u.id in approved and u.change == approved[u.id]]


@every_scenario
def test_order_is_nothing(scenario: Scenario) -> None:
    plan, other = scenario.plan(), scenario.plan(order=backwards)
    assert other == plan
    assert repr(other) == repr(plan)
    assert msgspec.to_builtins(other) == msgspec.to_builtins(plan)


def _unasked(plan: Plan) -> list[Unit]:
    return [unit for unit in plan.units if unit.change and not unit.needs_human]


def _applied(rows: dict[str, Raw], plan: Plan, *, approved: bool) -> dict[str, Raw]:
    for unit in plan.units:
        if unit.change and (approved or not unit.needs_human):
            rows |= {write.key: write.after for write in unit.change.writes}
    return rows
