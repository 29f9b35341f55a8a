"""What is the matter and what would be written, as frames: findings, units, and fields of rows."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from toolkit.decisions.case import Casebook, say_case
from toolkit.frames.columns import COLUMNS, build, codes_of, objects, places_of
from toolkit.frames.frame import Frame
from toolkit.model import Finding, Plan, Status, Unit, UnitKind
from toolkit.records import LINK, parse_key, split_link_key
from toolkit.text.advice import NOTEBOOK, action, changed_fields, verb

_Line: TypeAlias = tuple[Any, ...]

_encode = json.JSONEncoder(ensure_ascii=False).encode

_VERBS = places_of(COLUMNS["changes"]["verb"].dtype)
_NOTE = "nothing: it is only told"
_KEPT = "nothing: rows are never deleted"
_LOOSE = "look at the row; it belongs to no unit, and nothing overwrites it"
_NO_ROOM = "no joined room belongs to the row: the room was left, or was never this account's"


def drift_frame(plan: Plan, cases: Casebook | None = None) -> Frame:
    """A line per finding, notes included, and one per orphaned row: `COLUMNS["drift"]`.

    Units come in the order of the plan, then unreadable rows of no unit, notes, orphaned rows. `cases`
    knows the facts of those in conflict; without it, none are told.
    """
    columns = _unit_columns(plan.units, cases)
    lines = [
        *map(_loose_line, plan.loose),
        *_note_lines(plan),
        *map(_orphan_line, plan.orphans),
    ]
    others = zip(*lines, strict=True) if lines else [()] * len(columns)
    for column, more in zip(columns.values(), others, strict=True):
        column += more
    columns["finding_id"] = _with_unique_ids(columns["finding_id"])
    return build("drift", columns, plan.words)


def _unit_columns(units: Sequence[Unit], cases: Casebook | None) -> dict[str, list[Any]]:
    """The findings of units, which may be very many: column by column."""
    findings = [finding for unit in units for finding in unit.findings]
    about = [unit for unit in units for _ in unit.findings]
    room = UnitKind.ROOM  # one without `!` is a row by its key
    return {
        "finding_id": [finding.id for finding in findings],
        "unit": [unit.id for unit in about],
        "room_id": [
            unit.id if unit.kind is room and unit.id.startswith("!") else None for unit in about
        ],
        "owner": [unit.owner for unit in about],
        "chat_id": [unit.chat_id for unit in about],
        "status": [unit.status for unit in about],
        "code": [finding.code for finding in findings],
        "key": [finding.key or None for finding in findings],
        "field": [finding.field or None for finding in findings],
        "local": [_json(finding.local) for finding in findings],
        "remote": [_json(finding.remote) for finding in findings],
        "cause": [finding.cause for finding in findings],
        "action": [
            next_ for unit, next_ in zip(units, _actions(units), strict=True) for _ in unit.findings
        ],
        "facts": [facts for unit in units for facts in [_facts(unit, cases)] * len(unit.findings)],
        "approvable": [unit.change is not None for unit in about],
    }


def _facts(unit: Unit, cases: Casebook | None) -> str | None:
    if cases is None or unit.status is not Status.CONFLICT:
        return None
    case = cases.open(unit)
    return say_case(case) if case else None


def _loose_line(finding: Finding) -> _Line:
    about = (None, None, *_names(finding.key), Status.CONFLICT)
    return _line(finding, about, _LOOSE, False)


def _note_lines(plan: Plan) -> Iterator[_Line]:
    """A note is about a room or user that may be in sync or skipped."""
    if not plan.notes:
        return  # spares a walk along all rooms
    noted = {note.unit for note in plan.notes}
    units = {unit.id: unit for unit in plan.units if unit.id in noted}
    standing = _standing(plan, noted)
    for note in plan.notes:
        unit = units.get(note.unit)
        owner, chat_id = _names(note.key)
        room_id = note.unit if note.unit.startswith("!") else None
        whose = owner or (unit.owner if unit else None)
        status = standing.get(note.unit, Status.ORPHANED)  # without a room: about rows elsewhere
        about = (unit.id if unit else None, room_id, whose, chat_id, status)
        yield _line(note, about, _NOTE, unit is not None and unit.change is not None)


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
        None,
        approvable,
    )


def _orphan_line(key: str) -> _Line:
    digest = hashlib.sha256(json.dumps(["orphaned", key]).encode()).hexdigest()[:12]
    status = Status.ORPHANED
    owner, chat_id = _names(key)
    nothing = (None, None, None)
    return (
        *(digest, None, None, owner, chat_id, status, None, key, *nothing),
        *(_NO_ROOM, _KEPT, None, False),
    )


def _with_unique_ids(ids: list[str]) -> list[str]:
    """A finding that says the same of the same field a second time gets `-2`, as planned."""
    if len(set(ids)) == len(ids):
        return ids
    seen: Counter[str] = Counter()
    unique = []
    for id_ in ids:
        seen[id_] += 1
        unique.append(id_ if seen[id_] == 1 else f"{id_}-{seen[id_]}")
    return unique


def _standing(plan: Plan, ids: set[str]) -> dict[str, Status]:
    """Which of these units and rooms stands how."""
    found = dict.fromkeys(ids.intersection(plan.in_sync_rooms), Status.IN_SYNC)
    found |= dict.fromkeys(ids.intersection(plan.in_sync_users), Status.IN_SYNC)
    found |= {skip.room_id: Status.SKIPPED for skip in plan.skipped}
    return found | {unit.id: unit.status for unit in plan.units}


def _names(key: str) -> tuple[str | None, str | None]:
    """User and chat id that a key names."""
    if key.startswith(LINK):
        return None, split_link_key(key)[1]
    name = parse_key(key)
    return name.user or None, name.chat_id or None


def _json(value: Any) -> str | None:
    if value is None:
        return None
    try:
        return _encode(value)
    except RecursionError:  # read at a shallower place of the stack than this one
        return "nested too deeply to show"


def plan_frame(plan: Plan, decisions: Mapping[str, str] | None = None) -> Frame:
    """A line per unit: `COLUMNS["plan"]`. `decisions`: unit -> one of `DECISIONS`."""
    units, decided = plan.units, decisions or {}
    ids = [unit.id for unit in units]
    changes = [unit.change for unit in units]
    columns = {
        "unit": ids,
        "kind": [unit.kind for unit in units],
        "status": [unit.status for unit in units],
        "decision": [decided.get(id_, "pending") for id_ in ids],
        "owner": [unit.owner for unit in units],
        "chat_id": [unit.chat_id for unit in units],
        "space_id": [unit.space_id for unit in units],
        "codes": [_told(", ", [finding.code for finding in unit.findings]) for unit in units],
        "cause": [_told("; ", [finding.cause for finding in unit.findings]) for unit in units],
        "action": _actions(units),
        "rows": [len(unit.writes) for unit in units],
        "needs_human": [unit.needs_human for unit in units],
        "approvable": [change is not None for change in changes],
        "evidence": [unit.evidence.rung for unit in units],
        "change": [change.fingerprint if change else None for change in changes],
    }
    return build("plan", columns, plan.words)


def _told(between: str, words: list[str]) -> str:
    return words[0] if len(words) == 1 else between.join(dict.fromkeys(words))


def _actions(units: Iterable[Unit]) -> list[str]:
    return [action(unit, NOTEBOOK) for unit in units]


def changes_frame(plan: Plan) -> Frame:
    """A line per field that would be written: `COLUMNS["changes"]`."""
    about = [unit for unit in plan.units for _ in unit.writes]
    writes = [write for unit in plan.units for write in unit.writes]
    lengths: list[int] = []
    fields: list[str | None] = []
    befores: list[str | None] = []
    afters: list[str | None] = []
    for write in writes:
        changed = changed_fields(write)
        lengths.append(len(changed))
        for field, before, after in changed:
            whole = not field and write.before is not None  # an empty text is a value then
            fields.append(field or None)
            befores.append(before if before or whole else None)
            afters.append(after or None)
    columns = {
        "line": range(len(fields)),
        "unit": objects([unit.id for unit in about], len(about)).repeat(lengths),
        "key": objects([write.key for write in writes], len(writes)).repeat(lengths),
        "verb": codes_of([verb(write) for write in writes], _VERBS).repeat(lengths),
        "field": fields,
        "before": befores,
        "after": afters,
        "needs_human": np.array([u.needs_human for u in about], np.bool_).repeat(lengths),
    }
    return build("changes", columns)
