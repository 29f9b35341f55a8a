"""The report of the bot's two functions: a plain dict, equal for equal runs (domain.md 5). Pure."""

from collections.abc import Mapping
from typing import Any

from toolkit.model import Code, Finding, Plan, RowWrite, Status, Unit, UnitKind
from toolkit.records import CHAT, ROOM, USER, decode_object, split_chat_key, user_key

Report = dict[str, list[Any]]

KEYS = (
    "joined_rooms",
    "restored_user_meta",
    "repaired_user_meta",
    "restored_room_meta",
    "repaired_room_meta",
    "restored_chat_rows",
    "repaired_chat_rows",
    "skipped_rooms",
    "conflicts",
    "orphaned_rows",
    "unchanged_rooms",
    "notes",
)
_TOLD = (Code.COUNTER_TOO_HIGH, Code.WRONG_SURFACE_REF)
"""Findings of repaired units that the developer shall hear of all the same."""


def build_report(plan: Plan, outcomes: Mapping[str, str | None]) -> Report:
    """Say what was written and what was not.

    `outcomes`: unit id -> None if it was (or, dry, would be) written, else why it went stale. Units
    that aren't named were not to be written.
    """
    report: Report = {key: [] for key in KEYS}
    report["joined_rooms"] = list(plan.joined)
    report["unchanged_rooms"] = list(plan.in_sync_rooms)
    report["orphaned_rows"] = list(plan.orphans)
    report["skipped_rooms"] = [
        {"room_id": skip.room_id, "reason": skip.reason.value} for skip in plan.skipped
    ]
    for unit in plan.units:
        _add_unit(report, unit, outcomes)
    report["conflicts"] += [_conflict(finding) for finding in plan.loose]
    report["notes"] += [_note(finding) for finding in plan.notes]
    return _sorted(report)


def _add_unit(report: Report, unit: Unit, outcomes: Mapping[str, str | None]) -> None:
    report["notes"] += [_note(f) for f in unit.findings if f.code in _TOLD]
    why_stale = outcomes.get(unit.id)
    if why_stale is not None:
        report["conflicts"].append(_entry(unit, Code.STALE_PLAN, why_stale))
    elif unit.id in outcomes:
        for write in unit.change.writes if unit.change else ():
            _add_write(report, unit, write)
    elif unit.status is Status.CONFLICT:
        report["conflicts"] += [_conflict(finding, unit) for finding in unit.conflicts]


def _add_write(report: Report, unit: Unit, write: RowWrite) -> None:
    restored = write.before is None
    if write.key.startswith(CHAT):
        user_id, chat_id = split_chat_key(write.key)
        row = {"user_id": user_id, "chat_id": chat_id, "room_id": unit.id}
        if not restored:
            row["previous_surface_ref"] = _surface_ref(write)
        report["restored_chat_rows" if restored else "repaired_chat_rows"].append(row)
    elif write.key.startswith(ROOM):
        report["restored_room_meta" if restored else "repaired_room_meta"].append(unit.id)
    else:
        user_id = write.key.removeprefix(USER)
        report["restored_user_meta" if restored else "repaired_user_meta"].append(user_id)


def _surface_ref(write: RowWrite) -> Any:
    try:
        return decode_object(write.before).get("surface_ref")
    except ValueError:
        return None


def _conflict(finding: Finding, unit: Unit | None = None) -> dict[str, Any]:
    entry = _entry(unit, finding.code, finding.cause, finding.key)
    if finding.proposal is not None:
        entry["proposal"] = finding.proposal
    return entry


def _entry(unit: Unit | None, code: Code, detail: str, key: str = "") -> dict[str, Any]:
    """A room's conflicts name the room; a user row's the row, or the Space if nobody owns it."""
    if unit is None:
        return {"code": code.value, "key": key, "detail": detail}
    if unit.kind is UnitKind.ROOM:
        return {"code": code.value, "room_id": unit.id, "detail": detail}
    if unit.id == unit.owner:
        return {"code": code.value, "key": user_key(unit.id), "detail": detail}
    return {"code": code.value, "room_id": unit.id, "detail": detail}


def _note(finding: Finding) -> dict[str, Any]:
    detail = finding.cause
    if finding.code in _TOLD:
        detail = f"{detail} (was {finding.local}, should be {finding.remote})"
    return {"code": finding.code.value, "key": finding.key, "detail": detail}


def _sorted(report: Report) -> Report:
    for key in KEYS:
        report[key].sort(key=_order)
    return report


def _order(entry: Any) -> tuple[str, ...]:
    if isinstance(entry, str):
        return (entry,)
    name = entry.get("room_id") or entry.get("key") or ""
    return (
        name,
        *(str(entry.get(field, "")) for field in ("code", "user_id", "chat_id", "detail")),
    )
