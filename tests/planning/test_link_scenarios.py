"""Every rule of rules 6, shown by a scenario whose name is the rule."""

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest

from tests.link_scenario import LinkScenario, load_link_scenarios
from tests.scenario import backwards
from toolkit.model import CONFLICTS, Plan, Status, Unit
from toolkit.records import link_key

SCENARIOS = load_link_scenarios()
_NAMED = {"skipped", "orphans", "unlinked", "notes", "loose", "in_sync", "open"}
_TOLD = {
    "status",
    "codes",
    "id",
    "rung",
    "proposal",
    "says",
    "proof",
    "owner",
    "writes",
    "if_approved",
}
every_scenario = pytest.mark.parametrize(
    "scenario", [pytest.param(scenario, id=scenario.rule) for scenario in SCENARIOS]
)


def test_every_rule_is_told_once() -> None:
    assert SCENARIOS
    assert not [rule for rule, n in Counter(s.rule for s in SCENARIOS).items() if n > 1]


@every_scenario
def test_rule(scenario: LinkScenario) -> None:
    plan, expect = scenario.plan(), scenario.expect
    wanted = {unit: told for unit, told in expect.items() if unit not in _NAMED}
    assert {unit.id for unit in plan.units} == set(wanted)
    for unit in plan.units:
        _check_unit(unit, wanted[unit.id], scenario)
    assert {s.room_id: s.reason.value for s in plan.skipped} == expect.get("skipped", {})
    assert list(plan.orphans) == sorted(map(scenario.key, expect.get("orphans", ())))
    if "unlinked" in expect:
        assert list(plan.unlinked) == sorted(map(scenario.key, expect["unlinked"]))
    notes = Counter((note.key, note.code.value) for note in plan.notes)
    assert dict.fromkeys(expect.get("notes", {}).items(), 1) == dict(notes)
    loose = {scenario.key(id): code for id, code in expect.get("loose", {}).items()}
    assert {f.key: f.code.value for f in plan.loose} == loose
    if "in_sync" in expect:
        assert list(plan.in_sync_rooms) == expect["in_sync"]
    if "open" in expect:
        assert plan.in_sync != expect["open"]
    _check_sums(plan)


def _check_unit(unit: Unit, told: Mapping[str, Any], scenario: LinkScenario) -> None:
    assert set(told) <= _TOLD
    assert unit.status.value == told["status"]
    assert sorted(f.code.value for f in unit.findings) == sorted(told["codes"]), unit
    if "id" in told:
        assert unit.chat_id == told["id"]
    if "rung" in told:
        assert unit.evidence.rung.value == told["rung"]
    if "owner" in told:
        assert unit.owner == told["owner"]
    if "proof" in told:
        assert sorted(unit.evidence.events) == sorted(map(scenario.event_id, told["proof"]))
    assert {f.proposal for f in unit.findings} - {None} == {told.get("proposal")} - {None}
    for name, words in told.get("says", {}).items():
        causes = [f.cause for f in unit.findings if name in (f.field, f.code)]
        assert causes and all(words in cause for cause in causes), causes
    assert not {"writes", "if_approved"} <= set(told)
    writes = told.get("writes") or told.get("if_approved") or {}
    assert bool(unit.change) == bool(writes), unit
    for write, (id, room) in zip(unit.writes, writes.items(), strict=True):
        assert unit.needs_human == ("if_approved" in told)
        _check_write(write, id, room, scenario)


def _check_write(write: Any, id: Any, room: str, scenario: LinkScenario) -> None:
    link, before = scenario.layout.link, scenario.rows().get(write.key)
    parts = json.loads(id) if len(link.ids) > 1 else [id]
    assert write.key == link_key(link.table, [str(part) for part in parts])
    assert write.before == before
    after = json.loads(write.after)
    assert (after[link.room], [after[name] for name in link.ids]) == (room, parts)
    if before is not None:
        old = json.loads(str(before))
        assert list(after) == list(old)
        assert {**old, link.room: room} == after


def _check_sums(plan: Plan) -> None:
    """Every joined room has one status, a conflict has its code, and only a conflict has one."""
    told = [*plan.in_sync_rooms, *(skip.room_id for skip in plan.skipped)]
    told += [unit.id for unit in plan.units]
    assert sorted(told) == list(plan.joined)
    for unit in plan.units:
        assert unit.findings and unit.keys
        conflict = any(f.code in CONFLICTS for f in unit.findings)
        assert conflict == (unit.status is Status.CONFLICT)
        assert len({f.id for f in unit.findings}) == len(unit.findings)


@every_scenario
def test_again_is_nothing(scenario: LinkScenario) -> None:
    plan = scenario.plan()
    done = [unit for unit in plan.units if unit.certain]
    again = scenario.plan(scenario.written(*done))
    assert not [unit for unit in again.units if unit.certain]
    assert {unit.id for unit in done} <= set(again.in_sync_rooms)
    stuck = [unit.id for unit in plan.units if unit.status is Status.CONFLICT]
    assert stuck == [unit.id for unit in again.units if unit.status is Status.CONFLICT]


@every_scenario
def test_what_was_approved_stays(scenario: LinkScenario) -> None:
    plan = scenario.plan()
    rows = scenario.written(*(unit for unit in plan.units if unit.change))
    again = scenario.plan(rows)
    assert not [unit for unit in again.units if unit.change]


@every_scenario
def test_order_is_nothing(scenario: LinkScenario) -> None:
    plan, other = scenario.plan(), scenario.plan(order=backwards)
    assert plan == other and repr(plan) == repr(other)
