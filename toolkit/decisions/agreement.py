"""What a person agreed to at once: everything certain, units by name with their choices, or a file.

The planner decides what a choice leads to; here it is only carried there, and bound to the change that
was shown. A session takes decisions one by one instead.
"""

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from toolkit.decisions.decision import Decision, agreed_units, stale_decisions, user_name
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.decisions.ledger_file import dump_ledger
from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import (
    NO_CHOICES,
    Choices,
    Code,
    Plan,
    Unit,
    UnitKind,
    find_unit,
    why_no_unit,
    why_settled,
)
from toolkit.quotes import quote_odd
from toolkit.text.advice import settled, why_idle, why_no_change
from toolkit.text.near import say_no_unit


@dataclass
class Agreement:
    """The units to write and the decisions that say so; what isn't written, and why, by unit.

    `refused` could not be written, of `settled` there is nothing to write. `left` would have been
    written but for how it was decided before, `overridden` is written in spite of that.
    """

    units: list[Unit]
    decisions: dict[str, Decision]
    refused: dict[str, str] = field(default_factory=dict)
    settled: dict[str, str] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    overridden: dict[str, str] = field(default_factory=dict)


# Agreeing


def agree_to_certain(plan: Plan, record: Record = NOTHING_DECIDED, *, lower: bool) -> Agreement:
    """Everything that needs no human, save what was rejected, deferred or ignored."""
    certain = {unit.id: _decide(unit, lower) for unit in settled(plan)}
    found = _bind(plan, certain | record.refusals(), lower)
    found.left = record.left(settled(plan))
    return found


def agree_to_units(
    plan: Plan,
    unit_ids: Iterable[str],
    choices: Choices,
    record: Record = NOTHING_DECIDED,
    *,
    lower: bool,
) -> Agreement:
    """The named units, with what was picked for them, whatever was decided about them before.

    Raises `ToolkitError` for an unknown name.
    """
    decisions: dict[str, Decision] = {}
    refused: dict[str, str] = {}
    nothing_to_do: dict[str, str] = {}
    for unit_id in unit_ids:
        unit = find_unit(plan, unit_id)
        if unit is None:
            nothing_to_do[unit_id] = _why_settled(plan, unit_id, choices)
        elif unit.id != unit_id and unit.kind is UnitKind.ROOM and choices != NO_CHOICES:
            raise ToolkitError(
                f"{quote_odd(unit_id)} is an older version of {quote_odd(unit.id)}: choose for that one."
            )
        elif why := why_idle(unit, choices):
            refused[unit.id] = why
        elif unit.change is None:
            refused[unit.id] = why_no_change(unit)
        else:
            if choices != NO_CHOICES:
                # With its owner chosen, a Space's unit is called by the owner: the choice stays behind.
                decisions[unit_id] = Decision(choices=choices, by=user_name())
            decisions[unit.id] = _decide(unit, lower, choices if unit.id == unit_id else NO_CHOICES)
    found = _bind(plan, record.refusals(decisions) | decisions, lower)
    found.refused, found.settled = refused, nothing_to_do
    found.overridden = record.left(found.units)
    return found


def agree_to_file(
    plan: Plan, decisions: Mapping[str, Decision], record: Record = NOTHING_DECIDED
) -> Agreement:
    """What a file agreed to, as far as it still is what would be written.

    What it says nothing of goes along with nothing, where that was decided beside the database.
    """
    found = _bind(plan, {**record.refusals(decisions), **decisions}, lower=False)
    found.overridden = record.left(found.units)
    found.refused = stale_decisions(plan, decisions)
    agreed = {unit_id for unit_id, decision in decisions.items() if decision.agreed}
    for unit_id in sorted(agreed - found.refused.keys()):
        unit = find_unit(plan, unit_id)
        if unit is None:
            picked = decisions[unit_id].choices
            found.settled[unit_id] = why_settled(plan, unit_id, picked) or "is in sync"
        elif unit.change is None:
            found.refused[unit_id] = f"nothing can be written: {why_no_change(unit)}"
    return found


def _bind(plan: Plan, decisions: Mapping[str, Decision], lower: bool) -> Agreement:
    """Every unit that goes along, user rows included, with the change that is shown now."""
    units = agreed_units(plan, decisions)
    along = {unit.id: _decide(unit, lower) for unit in units if unit.id not in decisions}
    return Agreement(units, {**decisions, **along})


def _decide(unit: Unit, lower: bool, choices: Choices = NO_CHOICES) -> Decision:
    if lower and unit.kind is UnitKind.USER and _too_high(unit):
        # Who lowers all counters has decided so for each user; the bot's function is asked for each.
        choices = msgspec.structs.replace(choices, lower_counter=True)
    change = unit.change.fingerprint if unit.change else None
    return Decision(change=change, choices=choices, by=user_name())


def _too_high(unit: Unit) -> bool:
    return any(finding.code is Code.COUNTER_TOO_HIGH for finding in unit.findings)


def _why_settled(plan: Plan, unit_id: str, choices: Choices) -> str:
    if why := why_settled(plan, unit_id, choices):
        return why
    if why := why_no_unit(plan, unit_id):
        raise ToolkitError(f"{quote_odd(unit_id)}: {why}.")
    raise ToolkitError(f"{say_no_unit(plan, unit_id)} Nothing was written.")


# Files


def save_decisions(
    path: Path, plan: Plan, left: Collection[str] = (), *, lower: bool
) -> list[Unit]:
    """Write a new file with a line for every unit that can be agreed to, save those that are left
    alone; returns those that it has."""
    units = [unit for unit in plan.units if unit.change and unit.id not in left]
    decisions = {unit.id: _decide(unit, lower) for unit in units}
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(dump_ledger(Ledger().decide(Vote.APPROVED, decisions), plan))
    except FileExistsError:
        raise SnapshotError(f"{path} is there already and stays; name another file.") from None
    except OSError as error:
        raise SnapshotError(f"Can't write the decisions {path}: {error.strerror}.") from None
    return units
