"""What a person agreed to on the command line: named units, choices, files of decisions.

The planner decides what a choice leads to; here it is only carried there, and bound to the change that
was shown.
"""

import getpass
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from toolkit.advice import action
from toolkit.decisions import Decision, agreed_units, read_decisions, stale_decisions
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import Choices, Code, Plan, Unit, UnitKind

VERSION = 1
NO_CHOICES = Choices()


@dataclass
class Agreement:
    """The units to write and the decisions that say so; what isn't written, and why, by unit."""

    units: list[Unit]
    decisions: dict[str, Decision]
    refused: dict[str, str] = field(default_factory=dict)
    settled: list[str] = field(default_factory=list)


def user_name() -> str:
    """Who sits here, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as in some containers
        return ""


# Agreeing


def agree_to_certain(plan: Plan, *, lower: bool) -> Agreement:
    """Everything that needs no human."""
    units = [unit for unit in plan.units if unit.change and not unit.needs_human]
    return _bind(plan, {unit.id: _decide(unit, lower) for unit in units}, lower)


def agree_to_units(
    plan: Plan, unit_ids: Iterable[str], choices: Choices, *, lower: bool
) -> Agreement:
    """The named units, with what was picked for them. Raises `ToolkitError` for an unknown name."""
    decisions: dict[str, Decision] = {}
    refused: dict[str, str] = {}
    settled: list[str] = []
    for unit_id in unit_ids:
        unit = _find(plan, unit_id)
        if unit is None:
            settled.append(_in_sync(plan, unit_id))
        elif unit.id != unit_id and unit.kind is UnitKind.ROOM and choices != NO_CHOICES:
            raise ToolkitError(f"{unit_id} is an older version of {unit.id}: choose for that one.")
        elif unit.change is None:
            refused[unit.id] = f"{_why(unit).rstrip('.')}. Next: {action(unit)}"
        else:
            if choices != NO_CHOICES:
                # With its owner chosen, a Space's unit is called by the owner: the choice stays behind.
                decisions[unit_id] = Decision(choices=choices, by=user_name())
            decisions[unit.id] = _decide(unit, lower, choices if unit.id == unit_id else NO_CHOICES)
    found = _bind(plan, decisions, lower)
    found.refused, found.settled = refused, settled
    return found


def agree_to_file(plan: Plan, decisions: Mapping[str, Decision]) -> Agreement:
    """What a file agreed to, as far as it still is what would be written."""
    found = _bind(plan, decisions, lower=False)
    found.refused = stale_decisions(plan, decisions)
    for unit_id in sorted(decisions.keys() - found.refused.keys()):
        unit = _find(plan, unit_id)
        if unit is None:
            found.settled.append(unit_id)
        elif unit.change is None:
            found.refused[unit_id] = f"nothing can be written: {_why(unit)}"
    return found


def _bind(plan: Plan, decisions: Mapping[str, Decision], lower: bool) -> Agreement:
    """Every unit that goes along, user rows included, with the change that is shown now."""
    units = agreed_units(plan, decisions)
    along = {unit.id: _decide(unit, lower) for unit in units if unit.id not in decisions}
    return Agreement(units, {**decisions, **along})


def _decide(unit: Unit, lower: bool, choices: Choices = NO_CHOICES) -> Decision:
    if lower and unit.kind is UnitKind.USER and _too_high(unit):
        # --lower-counters is for all users; the bot's function is asked for each.
        choices = msgspec.structs.replace(choices, lower_counter=True)
    change = unit.change.fingerprint if unit.change else None
    return Decision(change=change, choices=choices, by=user_name())


def _too_high(unit: Unit) -> bool:
    return any(finding.code is Code.COUNTER_TOO_HIGH for finding in unit.findings)


def _find(plan: Plan, unit_id: str) -> Unit | None:
    """The unit of this name, or the one that a version of the room or the user's Space belongs to."""
    unit = plan.unit(unit_id)
    return unit or next((unit for unit in plan.units if unit_id in unit.room_ids), None)


def _in_sync(plan: Plan, unit_id: str) -> str:
    if _known(plan, unit_id):
        return unit_id
    for skip in plan.skipped:
        if skip.room_id == unit_id:
            raise ToolkitError(
                f"{unit_id} is skipped ({skip.reason.value}): it is no chat; nothing was written."
            )
    raise ToolkitError(
        f"The plan has no unit {unit_id}; `matrix-drift check` names them. Nothing was written."
    )


def _known(plan: Plan, unit_id: str) -> bool:
    return unit_id in plan.in_sync_rooms or unit_id in plan.in_sync_users


def _why(unit: Unit) -> str:
    causes = [finding.cause for finding in unit.conflicts or unit.findings]
    return "; ".join(dict.fromkeys(cause.rstrip(".") for cause in causes))


# Files


def save_decisions(path: Path, plan: Plan, *, lower: bool) -> int:
    """Write a new file with a line for every unit that can be agreed to; returns how many."""
    units = [unit for unit in plan.units if unit.change]
    lines = [f"{_dump(unit.id)}: {_dump(_line(unit, lower))}" for unit in units]
    text = f'{{"version": {VERSION}, "decisions": {{\n' + ",\n".join(lines) + "\n}}\n"
    try:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(handle, "w", encoding="ascii") as file:
            file.write(text)
    except FileExistsError:
        raise SnapshotError(f"{path} is there already and stays; name another file.") from None
    except OSError as error:
        raise SnapshotError(f"Can't write the decisions {path}: {error.strerror}.") from None
    return len(units)


def load_decisions(path: Path) -> dict[str, Decision]:
    """Read such a file, also one whose last line was deleted. Raises `SnapshotError`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SnapshotError(f"Can't read the decisions {path}: {error.strerror}.") from None
    except UnicodeError:
        raise SnapshotError(f"Can't read the decisions {path}: it is not UTF-8.") from None
    value = _parse(path, text)
    if not isinstance(value, dict) or not isinstance(value.get("decisions"), dict):
        raise SnapshotError(
            f"{path} holds no decisions; `matrix-drift plan --out FILE` makes some."
        )
    if value.get("version") != VERSION:
        raise SnapshotError(
            f"The decisions {path} have version {value.get('version')!r}, and this matrix-drift "
            f"reads {VERSION}."
        )
    try:
        return read_decisions(value["decisions"])
    except ToolkitError as error:
        raise SnapshotError(f"Can't read the decisions {path}: {error}") from None


def _parse(path: Path, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise SnapshotError(f"Can't read the decisions {path}: it is no JSON.") from None
    except json.JSONDecodeError as error:
        # Whoever deletes the last line leaves the comma of the one before.
        mended = re.sub(r",\s*\}\}\s*$", "}}", text)
        if mended != text:
            return _parse(path, mended)
        raise SnapshotError(
            f"Can't read the decisions {path}: it is no JSON (line {error.lineno}: {error.msg})."
        ) from None


def _line(unit: Unit, lower: bool) -> dict[str, Any]:
    decision: dict[str, Any] = msgspec.to_builtins(_decide(unit, lower))
    if not decision.get("choices"):
        decision.pop("choices", None)
    return {**decision, "what": action(unit)}


def _dump(value: object) -> str:
    return json.dumps(value)
