"""From the rows that a function would have written to a plan. Pure.

Rows are put together as our planner does: a user's row by itself, a room's with the chat rows that
point at it. What belongs to neither is a unit of its own, called by its key.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

import msgspec

from toolkit.model import (
    CONFLICTS,
    Change,
    Code,
    Finding,
    Plan,
    RowWrite,
    Status,
    Unit,
    UnitKind,
)
from toolkit.records import (
    CHAT,
    LocalState,
    Raw,
    decode_object,
    load_records,
    parse_key,
)
from toolkit.shadow.store import same_row
from toolkit.writing.read_back import holds
from toolkit.writing.staleness import compare_rows, why_stale


def plan_writes(
    writes: Sequence[RowWrite], rows: Mapping[str, Raw], account: str, function: str
) -> Plan:
    """A unit for each user, room or other row; a person has to agree to every one of them.

    `rows` are those of the three families as they are, `function` is named as the cause.
    """
    ours = {write.key: write.after for write in writes if parse_key(write.key).family}
    after = load_records({**rows, **ours})
    grouped: dict[str, list[RowWrite]] = {}
    for write in sorted(writes, key=_rank):
        grouped.setdefault(_unit_id(write.key, after), []).append(write)
    units = [_unit(unit_id, group, after, function) for unit_id, group in grouped.items()]
    return Plan(
        account=account,
        joined=(),
        units=tuple(sorted(units, key=lambda unit: (unit.kind is UnitKind.ROOM, unit.id))),
        foreign=True,
    )


def _rank(write: RowWrite) -> tuple[bool, str]:
    """The room's row before its chat rows."""
    return parse_key(write.key).family == CHAT, write.key


def _unit_id(key: str, after: LocalState) -> str:
    """The user or room that a row is about, or the key itself."""
    name = parse_key(key)
    if name.family != CHAT:
        named = name.user or name.room_id
        return named if named.startswith(("@", "!")) else key
    chat = None if name.is_placeholder else after.chats.get(name.name)
    return chat.surface_ref if chat and chat.surface_ref.startswith("!") else key


def _unit(unit_id: str, writes: Sequence[RowWrite], after: LocalState, function: str) -> Unit:
    findings = tuple(f for write in writes for f in findings_of(unit_id, write, function))
    unit = Unit(
        id=unit_id,
        kind=UnitKind.USER if unit_id.startswith("@") else UnitKind.ROOM,
        status=status_of(findings),
        findings=findings,
        change=Change(tuple(writes)),
        needs_human=True,
    )
    if unit.kind is UnitKind.USER:
        return _with_user(unit, after)
    return _with_room(unit, writes, after) if unit_id.startswith("!") else unit


def _with_user(unit: Unit, after: LocalState) -> Unit:
    row = after.users.get(unit.id)
    return msgspec.structs.replace(unit, owner=unit.id, space_id=row.space_id if row else None)


def _with_room(unit: Unit, writes: Sequence[RowWrite], after: LocalState) -> Unit:
    """Owner, chat and Space as the rows would name them; the writer looks whether that has moved."""
    unit = msgspec.structs.replace(unit, room_ids=(unit.id,))
    if room := after.rooms.get(unit.id):
        owner, chat_id, space_id = room.matrix_user_id, room.chat_id, room.space_id
    else:
        owner, chat_id = parse_key(writes[0].key).name
        user = after.users.get(owner)
        space_id = user.space_id if user else ""
    if not (owner and space_id):
        return unit
    return msgspec.structs.replace(unit, owner=owner, chat_id=chat_id, space_id=space_id)


def findings_of(unit_id: str, write: RowWrite, function: str) -> Iterator[Finding]:
    """What differs between the row and what the function makes of it."""
    cause = f"{function} would have written it"
    before, after = _fields(write.before), _fields(write.after)
    if write.before is None:
        yield Finding(unit=unit_id, code=Code.MISSING_ROW, key=write.key, cause=cause)
    elif before is None or after is None:
        code = Code.UNREADABLE_ROW if before is None else Code.WRONG_FIELD
        yield Finding(unit=unit_id, code=code, key=write.key, cause=cause)
    else:
        for field in _differing(before, after):
            yield Finding(
                unit=unit_id,
                code=Code.WRONG_FIELD,
                key=write.key,
                cause=cause,
                field=field,
                local=_value(before, field),
                remote=_value(after, field),
            )


def _differing(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> Iterable[str]:
    names = dict.fromkeys([*before, *after])
    return [name for name in names if before.get(name) != after.get(name)]


def _fields(raw: Raw) -> dict[str, bytes] | None:
    """The row's fields as JSON of one form, in which 1 and true are not equal."""
    try:
        row = decode_object(raw)
    except ValueError:
        return None
    return {name: msgspec.json.encode(value, order="sorted") for name, value in row.items()}


def _value(row: Mapping[str, bytes], field: str) -> object:
    return msgspec.json.decode(row[field]) if field in row else None


def status_of(findings: Iterable[Finding]) -> Status:
    codes = {finding.code for finding in findings}
    if codes & CONFLICTS:
        return Status.CONFLICT
    return Status.MISSING if Code.MISSING_ROW in codes else Status.MISMATCHED


Rows: TypeAlias = Mapping[str, Raw]
AGAIN = "its rows were written since the shadow run; make another one"


def plan_left(plan: Plan, then: Rows, now: Rows) -> Plan:
    """The units that aren't done; those that moved without their change."""
    moved = compare_rows(rows_before(plan, then, now), now)
    units = []
    for unit in plan.units:
        if _done(unit, now):
            continue
        why = why_stale(unit, plan, moved)
        units.append(_moved(unit, why) if why else unit)
    return msgspec.structs.replace(plan, units=tuple(units))


def rows_before(plan: Plan, then: Rows, now: Rows) -> dict[str, Raw]:
    """The rows as the function met them, save where by now stands what it would have written."""
    done = [unit for unit in plan.units if _done(unit, now)]
    writes = (write for unit in done for write in unit.writes)
    return {**then, **{write.key: now[write.key] for write in writes}}


def _done(unit: Unit, now: Rows) -> bool:
    same = holds if unit.row else same_row  # a table fills in columns that a new row isn't given
    return all(write.key in now and same(now[write.key], write.after) for write in unit.writes)


def _moved(unit: Unit, why: str) -> Unit:
    key = next((write.key for write in unit.writes), "")
    finding = Finding(unit=unit.id, code=Code.STALE_PLAN, key=key, cause=why)
    return msgspec.structs.replace(unit, status=Status.CONFLICT, findings=(finding,), change=None)
