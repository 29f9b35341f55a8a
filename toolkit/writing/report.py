"""The report of the bot's two functions: a plain dict, equal for equal runs (rules 5). Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, NotRequired, TypedDict

from toolkit.model import Code, Finding, Plan, RowWrite, Status, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.records import CHAT, ROOM, decode_object, parse_key, room_key, user_key


class RestoredChat(TypedDict):
    """A chat row that was inserted, or repaired: then where it pointed before."""

    user_id: str
    chat_id: str
    room_id: str
    previous_surface_ref: NotRequired[Any]


class SkippedRoom(TypedDict):
    """A joined room that is no chat."""

    room_id: str
    reason: str


class _Name(TypedDict, total=False):
    room_id: str
    key: str
    user_id: str


class Conflict(_Name):
    """What was left as it is; the room, the row that it is about, or both are named.

    `user_id` is whose that is, or would be by what is proposed.
    """

    code: str
    detail: str
    proposal: NotRequired[str]


class Note(TypedDict):
    """What is odd, and nobody has to act on."""

    code: str
    key: str
    detail: str


class Report(TypedDict):
    """Lists of room ids, user ids, keys of rows, and of what is said about them; each is sorted."""

    joined_rooms: list[str]
    restored_user_meta: list[str]
    repaired_user_meta: list[str]
    restored_room_meta: list[str]
    repaired_room_meta: list[str]
    restored_chat_rows: list[RestoredChat]
    repaired_chat_rows: list[RestoredChat]
    skipped_rooms: list[SkippedRoom]
    conflicts: list[Conflict]
    orphaned_rows: list[str]
    unchanged_rooms: list[str]
    notes: list[Note]


_TOLD = (Code.COUNTER_TOO_HIGH, Code.WRONG_SURFACE_REF)
"""Findings of repaired units that the developer shall hear of all the same."""
_OF_A_ROW = frozenset({Code.UNREADABLE_ROW, Code.NOT_A_CHAT})
"""Conflicts that are about the row which they name, also where that is a room's own."""


def build_report(plan: Plan, outcomes: Mapping[str, str | None]) -> Report:
    """Say what was written and what was not.

    `outcomes`: unit id -> None if it was (or, dry, would be) written, else why it went stale. Units
    that aren't named were not to be written.
    """
    report = Report(
        joined_rooms=list(plan.joined),
        restored_user_meta=[],
        repaired_user_meta=[],
        restored_room_meta=[],
        repaired_room_meta=[],
        restored_chat_rows=[],
        repaired_chat_rows=[],
        skipped_rooms=[SkippedRoom(room_id=s.room_id, reason=s.reason.value) for s in plan.skipped],
        conflicts=[],
        orphaned_rows=list(plan.orphans),
        unchanged_rooms=list(plan.in_sync_rooms),
        notes=[],
    )
    for unit in plan.units:
        _add_unit(report, unit, outcomes)
    report["conflicts"] += [_conflict(finding) for finding in plan.loose]
    report["notes"] += [_note(finding) for finding in plan.notes]
    for entries in report.values():
        entries.sort(key=in_order)  # type: ignore[attr-defined]  # each value is a list
    return report


class WithConflicts(TypedDict):
    """A report of either shape."""

    conflicts: list[Conflict]


def stale_units(report: WithConflicts, units: Iterable[str]) -> dict[str, str]:
    """Units that the writer refused because something had moved, and what."""
    asked, found = set(units), {}
    for entry in report["conflicts"]:
        unit_id = entry.get("room_id") or parse_key(entry["key"]).user
        if entry["code"] == Code.STALE_PLAN.value and unit_id in asked:
            found[unit_id] = entry["detail"]
    return found


def _add_unit(report: Report, unit: Unit, outcomes: Mapping[str, str | None]) -> None:
    report["notes"] += [_note(f) for f in unit.findings if f.code in _TOLD]
    why_stale = outcomes.get(unit.id)
    if why_stale is not None:
        report["conflicts"].append(_entry(Code.STALE_PLAN, _name(unit), why_stale))
    elif unit.id in outcomes:
        for write in unit.writes:
            _add_write(report, unit, write)
    elif unit.status is Status.CONFLICT:
        report["conflicts"] += [_conflict(finding, unit) for finding in unit.conflicts]


def _add_write(report: Report, unit: Unit, write: RowWrite) -> None:
    key, restored = parse_key(write.key), write.before is None
    if key.family == CHAT:
        row = RestoredChat(user_id=key.user, chat_id=key.chat_id, room_id=unit.id)
        if not restored:
            row["previous_surface_ref"] = _surface_ref(write)
        report["restored_chat_rows" if restored else "repaired_chat_rows"].append(row)
    elif key.family == ROOM:
        report["restored_room_meta" if restored else "repaired_room_meta"].append(unit.id)
    else:
        report["restored_user_meta" if restored else "repaired_user_meta"].append(key.user)


def _surface_ref(write: RowWrite) -> Any:
    try:
        return decode_object(write.before).get("surface_ref")
    except ValueError:
        return None


def _conflict(finding: Finding, unit: Unit | None = None) -> Conflict:
    name = _name_loose(finding) if unit is None else _name(unit, finding)
    entry = _entry(finding.code, name, finding.cause)
    if finding.proposal is not None:
        entry["proposal"] = finding.proposal
    return entry


def _entry(code: Code, name: _Name, detail: str) -> Conflict:
    found: Any = {"code": code.value, **name, "detail": detail}
    entry: Conflict = found
    return entry


def _name(unit: Unit, finding: Finding | None = None) -> _Name:
    """The user's row, or the room (for nobody's user row the Space) and the row if it is about one."""
    whose: _Name = {"user_id": unit.owner} if unit.owner else {}
    if unit.kind is UnitKind.USER and unit.id == unit.owner:
        return {"key": user_key(unit.id), **whose}
    if finding is None or not _is_of_a_row(finding, unit):
        return {"room_id": unit.id, **whose}
    return {"room_id": unit.id, "key": finding.key, **whose}


def _is_of_a_row(finding: Finding, unit: Unit) -> bool:
    """What is about a unit as a whole stands under the unit's first row, which needn't be there."""
    own = room_key(unit.id) if unit.kind is UnitKind.ROOM else user_key(unit.owner or "")
    return finding.code.value in _OF_A_ROW or finding.key not in ("", own)


def _name_loose(finding: Finding) -> _Name:
    """A row that belongs to no unit; a room row here is always that of a joined room."""
    name = parse_key(finding.key)
    if name.family == ROOM:
        return {"room_id": name.room_id, "key": finding.key}
    return {"key": finding.key, "user_id": name.user} if name.user else {"key": finding.key}


def _note(finding: Finding) -> Note:
    detail = finding.cause
    if finding.code in _TOLD:
        detail = f"{detail} (was {_told(finding.local)}, should be {_told(finding.remote)})"
    return {"code": finding.code.value, "key": finding.key, "detail": detail}


def _told(value: Any) -> str:
    return quote_odd(value) if isinstance(value, str) else str(value)


def in_order(entry: Any) -> tuple[str, ...]:
    """Ids by themselves; what is said of one by its room or key, then by its code."""
    if isinstance(entry, str):
        return (entry,)
    name = entry.get("room_id") or entry["key"]
    return (
        name,
        *(str(entry.get(field, "")) for field in ("code", "user_id", "chat_id", "key", "detail")),
    )
