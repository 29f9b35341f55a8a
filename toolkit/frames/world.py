"""The two sides as frames: a line per joined room, a line per local row."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise, starmap
from typing import Any, TypeAlias

import numpy as np
import pandas as pd

from toolkit.frames.columns import COLUMNS, build, codes_of, places_of
from toolkit.frames.display import Frame
from toolkit.model import (
    Code,
    Kind,
    Plan,
    Reason,
    RemoteState,
    RoomState,
    Rung,
    Status,
    Unit,
    UnitKind,
)
from toolkit.records import (
    ROOM,
    USER,
    LocalState,
    chat_key,
    room_key,
    split_chat_key,
    user_key,
)

Columns: TypeAlias = dict[str, Any]

_KINDS = {
    Reason.SPACE: Kind.SPACE,
    Reason.TOMBSTONED: Kind.TOMBSTONED,
    Reason.REPLACEMENT_NOT_JOINED: Kind.TOMBSTONED,
    Reason.NOT_CREATED_BY_BOT: Kind.UNRELATED,
    Reason.NO_SPACE: Kind.UNRELATED,
}
_KIND, _STATUS, _REASON, _EVIDENCE = (
    places_of(COLUMNS["rooms"][name].dtype) for name in ("kind", "status", "reason", "evidence")
)

_FAMILY = places_of(COLUMNS["rows"]["family"].dtype)
_NAMED = ("user", "chat_id", "room_id", "space_id", "display_name")


def rooms_frame(remote: RemoteState, plan: Plan, local: LocalState) -> Frame:
    """Every joined room, unreadable ones included: `COLUMNS["rooms"]`."""
    skipped = list(_places((skip.room_id for skip in plan.skipped), plan.joined))
    columns = _in_sync_rooms(plan, local, skipped)
    _put_skipped(columns, skipped, plan, local)
    units = [unit for unit in plan.units if unit.kind is UnitKind.ROOM]
    for unit, place in zip(units, _places((u.id for u in units), plan.joined), strict=True):
        _put_unit(columns, place, unit)
    return build("rooms", columns | _state_columns(remote, plan.joined))


def _places(ids: Iterable[str], joined: tuple[str, ...]) -> Iterator[int]:
    """Where sorted ids stand among the sorted joined rooms; one walk along them."""
    place = 0
    for room_id in ids:
        place = joined.index(room_id, place)
        yield place


def _in_sync_rooms(plan: Plan, local: LocalState, skipped: Sequence[int]) -> Columns:
    """All rooms as if they were in sync, as most are: then their rows say everything."""
    rows = list(map(local.rooms.get, plan.joined))
    for place in skipped:
        rows[place] = None
    return {
        "room_id": plan.joined,
        "owner": [row.matrix_user_id if row else None for row in rows],
        "chat_id": [row.chat_id if row else None for row in rows],
        "space_id": [row.space_id if row else None for row in rows],
        "kind": np.full(len(rows), _KIND[Kind.CHAT], np.int8),
        "status": np.full(len(rows), _STATUS[Status.IN_SYNC], np.int8),
        "reason": np.full(len(rows), _REASON[None], np.int8),
        "evidence": np.full(len(rows), _EVIDENCE[Rung.ROOM_ROW], np.int8),
    }


def _put_skipped(columns: Columns, places: list[int], plan: Plan, local: LocalState) -> None:
    owner, owners = columns["owner"], _space_owners(plan, local)
    for place, skip in zip(places, plan.skipped, strict=True):
        owner[place] = owners.get(skip.room_id)
    reasons = [skip.reason for skip in plan.skipped]
    columns["kind"][places] = codes_of([_KINDS[reason] for reason in reasons], _KIND)
    columns["reason"][places] = codes_of(reasons, _REASON)
    columns["status"][places] = _STATUS[Status.SKIPPED]
    columns["evidence"][places] = _EVIDENCE[None]


def _put_unit(columns: Columns, place: int, unit: Unit) -> None:
    unknown = _unknown(unit)
    columns["owner"][place] = unit.owner
    columns["chat_id"][place] = unit.chat_id
    columns["space_id"][place] = unit.space_id
    columns["status"][place] = _STATUS[unit.status]
    columns["kind"][place] = _KIND[None if unknown else Kind.CHAT]
    columns["evidence"][place] = _EVIDENCE[None if unknown else unit.evidence.rung]


def _unknown(unit: Unit) -> bool:
    """Whether the room, or what may be its Space, could not be read."""
    return unit.space_id is None and any(f.code is Code.ROOM_UNREADABLE for f in unit.findings)


def _space_owners(plan: Plan, local: LocalState) -> dict[str, str | None]:
    """Space -> its user, by the right user row or by the unit that is about it."""
    owners: dict[str, str | None] = {
        local.users[user].space_id: user for user in plan.in_sync_users
    }
    users = (unit for unit in plan.units if unit.kind is UnitKind.USER and unit.space_id)
    return owners | {unit.space_id or "": unit.owner for unit in users}


def _state_columns(remote: RemoteState, joined: Sequence[str]) -> Columns:
    """What the rooms say of themselves; plain loops, because they are many and the values small."""
    rooms = list(map(remote.rooms.get, joined))
    return {
        "name": [room.name if room else None for room in rooms],
        "members": list(map(_joined_members, rooms)),
        "created": [room.created if room else None for room in rooms],
        "encrypted": [room.encrypted if room else None for room in rooms],
        "version": [room.version if room else None for room in rooms],
        "creator": [room.creator if room else None for room in rooms],
        "replacement": [room.replacement if room else None for room in rooms],
    }


def _joined_members(room: RoomState | None) -> int | None:
    if room is None:
        return None
    count = 0
    for member in room.members:
        if member.membership == "join":
            count += 1
    return count


def rows_frame(local: LocalState, plan: Plan) -> Frame:
    """Every local row, unreadable ones included: `COLUMNS["rows"]`."""
    keys = sorted(local.rows)
    ends = (0, bisect_left(keys, ROOM), bisect_left(keys, USER), len(keys))
    chats, rooms, users = starmap(slice, pairwise(ends))  # families follow each other
    columns: Columns = {name: np.full(len(keys), pd.NA, object) for name in _NAMED}
    _put_chat_rows(columns, chats, keys[chats], local)
    _put_room_rows(columns, rooms, keys[rooms], local)
    _put_user_rows(columns, users, keys[users], local)
    unreadable, orphans, units = local.unreadable, frozenset(plan.orphans), _units_of_keys(plan)
    family = np.repeat([_FAMILY[name] for name in ("chat", "room", "user")], np.diff(ends))
    return build(
        "rows",
        columns
        | {
            "key": keys,
            "family": family,
            "next_chat_index": _counters(keys[users], len(keys), local),
            "problem": list(map(unreadable.get, keys)),
            "readable": np.array([key not in unreadable for key in keys], dtype=np.bool_),
            "orphaned": np.array(list(map(orphans.__contains__, keys)), dtype=np.bool_),
            "unit": list(map(units.get, keys)),
        },
    )


def _put_chat_rows(columns: Columns, place: slice, keys: Sequence[str], local: LocalState) -> None:
    names = list(map(split_chat_key, keys))
    rows = list(map(local.chats.get, names))
    columns["user"][place] = [user or pd.NA for user, _ in names]
    columns["chat_id"][place] = [chat_id for _, chat_id in names]
    columns["room_id"][place] = [row.surface_ref if row else pd.NA for row in rows]


def _put_room_rows(columns: Columns, place: slice, keys: Sequence[str], local: LocalState) -> None:
    ids = [key.removeprefix(ROOM) for key in keys]
    rows = list(map(local.rooms.get, ids))
    columns["room_id"][place] = ids
    columns["user"][place] = [row.matrix_user_id if row else pd.NA for row in rows]
    columns["chat_id"][place] = [row.chat_id if row else pd.NA for row in rows]
    columns["space_id"][place] = [row.space_id if row else pd.NA for row in rows]
    columns["display_name"][place] = [_text(row.display_name) if row else pd.NA for row in rows]


def _put_user_rows(columns: Columns, place: slice, keys: Sequence[str], local: LocalState) -> None:
    users = [key.removeprefix(USER) for key in keys]
    rows = map(local.users.get, users)
    columns["user"][place] = users
    columns["space_id"][place] = [row.space_id if row else pd.NA for row in rows]


def _counters(keys: Sequence[str], length: int, local: LocalState) -> Any:
    """The users' counters behind as many nulls as there are other rows."""
    rows = (local.users.get(key.removeprefix(USER)) for key in keys)
    known = [_number(row.next_chat_index) if row else None for row in rows]
    first = length - len(keys)
    missing = np.array([*[True] * first, *(number is None for number in known)], dtype=np.bool_)
    numbers = np.array([*[0] * first, *(number or 0 for number in known)], dtype=np.int64)
    return pd.arrays.IntegerArray(numbers, missing)


def _text(value: Any) -> Any:
    return value if isinstance(value, str) else pd.NA


def _number(value: int) -> int | None:
    """JSON's numbers have no end, those of a column have."""
    return value if -(2**63) <= value < 2**63 else None


def _units_of_keys(plan: Plan) -> dict[str, str]:
    """Row -> the first unit that would write it, that finds something in it, or whose it would be."""
    found: dict[str, str] = {}
    for keys in (_written, _found, _own):
        for unit in plan.units:
            for key in keys(unit):
                found.setdefault(key, unit.id)
    return found


def _written(unit: Unit) -> Iterator[str]:
    yield from (write.key for write in unit.change.writes) if unit.change else ()


def _found(unit: Unit) -> Iterator[str]:
    yield from (finding.key for finding in unit.findings)


def _own(unit: Unit) -> Iterator[str]:
    if unit.kind is UnitKind.USER:
        yield user_key(unit.owner or "")
        return
    yield room_key(unit.id)
    if unit.owner and unit.chat_id:
        yield chat_key(unit.owner, unit.chat_id)
