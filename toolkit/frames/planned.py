"""What is the matter and what would be written, as frames: findings, units, and fields of rows."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, TypeAlias

from toolkit.advice import NOTEBOOK, action, changed_fields, verb
from toolkit.frames.columns import build_lines
from toolkit.frames.display import Frame
from toolkit.model import Finding, Plan, RowWrite, Status, Unit, UnitKind
from toolkit.records import CHAT, USER, split_chat_key

_Line: TypeAlias = tuple[Any, ...]

_encode = json.JSONEncoder(ensure_ascii=False).encode

_NOTE = "nothing: it is only told"
_KEPT = "nothing: rows are never deleted"
_LOOSE = "look at the row; it belongs to no unit, and nothing overwrites it"
_NO_ROOM = "no joined room belongs to the row: the room was left, or was never this account's"


def drift_frame(plan: Plan) -> Frame:
    """A line per finding, notes included, and one per orphaned row: `COLUMNS["drift"]`.

    Units come in the order of the plan, then unreadable rows of no unit, notes, orphaned rows.
    """
    standing = _standing(plan)
    units = {unit.id: unit for unit in plan.units}
    lines = chain(
        (line for unit in plan.units for line in _unit_lines(unit)),
        map(_loose_line, plan.loose),
        (_note_line(note, units.get(note.unit), standing) for note in plan.notes),
        map(_orphan_line, plan.orphans),
    )
    return build_lines("drift", _with_unique_ids(lines))


def _unit_lines(unit: Unit) -> Iterator[_Line]:
    is_room = unit.kind is UnitKind.ROOM and unit.id.startswith("!")  # not a row by its key
    room_id = unit.id if is_room else None
    about = (unit.id, room_id, unit.owner, unit.chat_id, unit.status)
    next_, approvable = action(unit, NOTEBOOK), unit.change is not None
    return (_line(finding, about, next_, approvable) for finding in unit.findings)


def _loose_line(finding: Finding) -> _Line:
    about = (None, None, *_names(finding.key), Status.CONFLICT)
    return _line(finding, about, _LOOSE, False)


def _note_line(note: Finding, unit: Unit | None, standing: Mapping[str, Status]) -> _Line:
    """A note is about a room or user that may be in sync or skipped."""
    owner, chat_id = _names(note.key)
    room_id = note.unit if note.unit.startswith("!") else None
    whose = owner or (unit.owner if unit else None)
    about = (unit.id if unit else None, room_id, whose, chat_id, standing.get(note.unit))
    return _line(note, about, _NOTE, unit is not None and unit.change is not None)


def _line(finding: Finding, about: _Line, next_: str, approvable: bool) -> _Line:
    return (
        finding.id,
        *about,
        finding.code,
        finding.key or None,
        finding.field or None,
        _json(finding.local),
        _json(finding.remote),
        finding.cause,
        next_,
        approvable,
    )


def _orphan_line(key: str) -> _Line:
    digest = hashlib.sha256(json.dumps(["orphaned", key]).encode()).hexdigest()[:12]
    status = Status.ORPHANED
    owner, chat_id = _names(key)
    nothing = (None, None, None)
    return (
        *(digest, None, None, owner, chat_id, status, None, key, *nothing),
        *(_NO_ROOM, _KEPT, False),
    )


def _with_unique_ids(lines: Iterable[_Line]) -> Iterator[_Line]:
    """A finding that says the same of the same field a second time gets `-2`, as planned."""
    seen: Counter[str] = Counter()
    for line in lines:
        id_ = line[0]
        seen[id_] += 1
        yield line if seen[id_] == 1 else (f"{id_}-{seen[id_]}", *line[1:])


def _standing(plan: Plan) -> dict[str, Status]:
    """Unit or room -> its status."""
    found = dict.fromkeys([*plan.in_sync_rooms, *plan.in_sync_users], Status.IN_SYNC)
    found |= {skip.room_id: Status.SKIPPED for skip in plan.skipped}
    return found | {unit.id: unit.status for unit in plan.units}


def _names(key: str) -> tuple[str | None, str | None]:
    """User and chat id that a key names."""
    if key.startswith(CHAT):
        user, chat_id = split_chat_key(key)
        return user or None, chat_id
    return (key.removeprefix(USER), None) if key.startswith(USER) else (None, None)


def _json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return _encode(value)
    except RecursionError:  # read at a shallower place of the stack than this one
        return "nested too deeply to show"


def plan_frame(plan: Plan, decisions: Mapping[str, str] | None = None) -> Frame:
    """A line per unit: `COLUMNS["plan"]`. `decisions`: unit -> one of `DECISIONS`."""
    decided = decisions or {}
    return build_lines("plan", (_unit(u, decided.get(u.id, "pending")) for u in plan.units))


def _unit(unit: Unit, decision: str) -> _Line:
    return (
        unit.id,
        unit.kind,
        unit.status,
        decision,
        unit.owner,
        unit.chat_id,
        unit.space_id,
        ", ".join(dict.fromkeys(finding.code for finding in unit.findings)),
        "; ".join(dict.fromkeys(finding.cause for finding in unit.findings)),
        action(unit, NOTEBOOK),
        len(unit.change.writes) if unit.change else 0,
        unit.needs_human,
        unit.change is not None,
        unit.evidence.rung,
        unit.change.fingerprint if unit.change else None,
    )


def changes_frame(plan: Plan) -> Frame:
    """A line per field that would be written: `COLUMNS["changes"]`."""
    writes = ((unit, write) for unit in plan.units if unit.change for write in unit.change.writes)
    fields = (line for unit, write in writes for line in _fields(unit, write))
    return build_lines("changes", ((number, *line) for number, line in enumerate(fields)))


def _fields(unit: Unit, write: RowWrite) -> Iterator[_Line]:
    did = verb(write)
    for field, before, after in changed_fields(write):
        whole = not field  # an empty text is a value then
        yield (
            unit.id,
            write.key,
            did,
            field or None,
            before if before or (whole and write.before is not None) else None,
            after or None,
            unit.needs_human,
        )
