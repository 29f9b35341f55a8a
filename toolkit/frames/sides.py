"""The two sides as frames: a line per joined room, a line per local row."""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np
import pandas as pd

from toolkit.frames.columns import COLUMNS, Objects, build, codes_of, objects, places_of
from toolkit.frames.frame import Frame
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
    load_records,
    split_chat_key,
)

Columns: TypeAlias = dict[str, Any]
T = TypeVar("T")

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

_UNREAD = RoomState(room_id="")


def rooms_frame(remote: RemoteState, plan: Plan, local: LocalState) -> Frame:
    """Every joined room, unreadable ones included: `COLUMNS["rooms"]`."""
    skips = {skip.room_id: skip for skip in plan.skipped}
    rooms = (unit for unit in plan.units if unit.kind is UnitKind.ROOM)
    units = {u.id: u for u in rooms if remote.joined(u.id)}  # a shadow run has joined none
    others = sorted([*skips, *units])
    places = dict(zip(others, _places(others, plan.joined), strict=True))
    skipped = [places[room_id] for room_id in skips]
    columns = _in_sync_rooms(plan, local, skipped)
    _put_skipped(columns, skipped, plan, local)
    _put_units(columns, [places[room_id] for room_id in units], [*units.values()])
    return build("rooms", columns | state_columns(remote, plan.joined))


def _places(ids: Iterable[str], joined: Sequence[str]) -> Iterator[int]:
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


def _put_units(columns: Columns, places: list[int], units: Sequence[Unit]) -> None:
    owner, chat_id, space_id = columns["owner"], columns["chat_id"], columns["space_id"]
    for place, unit in zip(places, units, strict=True):
        owner[place], chat_id[place], space_id[place] = unit.owner, unit.chat_id, unit.space_id
    unknown = list(map(_unknown, units))
    kinds = [None if is_unknown else Kind.CHAT for is_unknown in unknown]
    rungs = [
        None if is_unknown else unit.evidence.rung
        for is_unknown, unit in zip(unknown, units, strict=True)
    ]
    columns["status"][places] = codes_of([unit.status for unit in units], _STATUS)
    columns["kind"][places] = codes_of(kinds, _KIND)
    columns["evidence"][places] = codes_of(rungs, _EVIDENCE)


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


def state_columns(remote: RemoteState, joined: Sequence[str]) -> Columns:
    """What the rooms say of themselves; one list after the other, because they are many."""
    if joined == (*remote.rooms,):
        rooms = [*remote.rooms.values()]
    else:
        rooms = [room or _UNREAD for room in map(remote.rooms.get, joined)]
    unread = np.zeros(len(rooms), np.bool_)
    unread[list(_places(sorted(remote.unreadable), joined))] = True
    encrypted = np.array([room.encrypted for room in rooms], dtype=np.bool_)
    return {
        "name": [room.name for room in rooms],
        "members": pd.arrays.IntegerArray(_joined_members(rooms), unread),
        "created": [room.created for room in rooms],
        "encrypted": pd.arrays.BooleanArray(encrypted, unread.copy()),
        "version": [room.version for room in rooms],
        "creator": [room.creator for room in rooms],
        "replacement": [room.replacement for room in rooms],
    }


def _joined_members(rooms: Sequence[RoomState]) -> Any:
    counts = []
    for room in rooms:
        count = 0
        for member in room.members:
            if member.membership == "join":
                count += 1
        counts.append(count)
    return np.array(counts, dtype=np.int64)


def rows_frame(local: LocalState, plan: Plan) -> Frame:
    """Every local row, unreadable ones included: `COLUMNS["rows"]`."""
    keys = sorted(local.rows)
    if keys != [*local.rows]:  # SQLite gives rows in the order of their keys, other stores may not
        local = load_records((key, local.rows[key]) for key in keys)
    rooms, users = bisect_left(keys, ROOM), bisect_left(keys, USER)  # families follow each other
    families = {
        "chat": _chat_columns(keys[:rooms], local),
        "room": _room_columns(keys[rooms:users], local),
        "user": _user_columns(keys[users:], local),
    }
    lengths = [len(columns["user"]) for columns in families.values()]
    return build(
        "rows",
        {name: _joined(name, list(families.values()), lengths) for name in _NAMED}
        | {
            "key": keys,
            "family": np.repeat([_FAMILY[name] for name in families], lengths),
            "next_chat_index": _counters(keys[users:], len(keys), local),
            "problem": _looked_up(local.unreadable, keys),
            "readable": ~_among(local.unreadable, keys),
            "orphaned": _among(frozenset(plan.orphans), keys),
            "unit": _looked_up(units_of_keys(plan), keys),
        },
    )


def _filled(keys: Sequence[str], readable: Iterable[T], local: LocalState) -> list[T | None]:
    """What the readable ones of these rows hold, None for the others; both in the order of the keys."""
    if not local.unreadable:
        return [*readable]
    values = iter(readable)
    return [None if key in local.unreadable else next(values) for key in keys]


def _chat_columns(keys: Sequence[str], local: LocalState) -> Columns:
    found = _filled(keys, local.chats, local)
    names = [name or split_chat_key(key) for key, name in zip(keys, found, strict=True)]
    rows = _filled(keys, local.chats.values(), local)
    return {
        "user": [user or pd.NA for user, _ in names],
        "chat_id": [chat_id for _, chat_id in names],
        "room_id": [row.surface_ref if row else pd.NA for row in rows],
    }


def _room_columns(keys: Sequence[str], local: LocalState) -> Columns:
    ids = [key.removeprefix(ROOM) for key in keys]
    rows = _filled(keys, local.rooms.values(), local)
    names = (row.display_name if row else None for row in rows)
    return {
        "user": [row.matrix_user_id if row else pd.NA for row in rows],
        "chat_id": [row.chat_id if row else pd.NA for row in rows],
        "room_id": ids,
        "space_id": [row.space_id if row else pd.NA for row in rows],
        "display_name": [name if isinstance(name, str) else pd.NA for name in names],
    }


def _user_columns(keys: Sequence[str], local: LocalState) -> Columns:
    users = [key.removeprefix(USER) for key in keys]
    rows = _filled(keys, local.users.values(), local)
    return {"user": users, "space_id": [row.space_id if row else pd.NA for row in rows]}


def _joined(name: str, families: Sequence[Columns], lengths: Sequence[int]) -> Objects:
    """One column of all families; null where a family has none."""
    none = (np.full(length, pd.NA, object) for length in lengths)
    parts = zip(families, lengths, none, strict=True)
    return np.concatenate(
        [
            objects(part[name], length) if name in part else nothing
            for part, length, nothing in parts
        ]
    )


def _looked_up(table: Mapping[str, str], keys: Sequence[str]) -> Any:
    if not table:
        return np.full(len(keys), pd.NA, object)
    return list(map(table.get, keys))


def _among(some: Collection[str], keys: Sequence[str]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if not some:
        return np.zeros(len(keys), np.bool_)
    return np.fromiter(map(some.__contains__, keys), np.bool_, len(keys))


def _counters(keys: Sequence[str], length: int, local: LocalState) -> Any:
    """The users' counters behind as many nulls as there are other rows."""
    rows = _filled(keys, local.users.values(), local)
    known = [_number(row.next_chat_index) if row else None for row in rows]
    first = length - len(keys)
    missing, numbers = np.ones(length, np.bool_), np.zeros(length, np.int64)
    missing[first:] = [number is None for number in known]
    numbers[first:] = [number or 0 for number in known]
    return pd.arrays.IntegerArray(numbers, missing)


def _number(value: int) -> int | None:
    """JSON's numbers have no end, those of a column have."""
    return value if -(2**63) <= value < 2**63 else None


def units_of_keys(plan: Plan) -> dict[str, str]:
    """Row -> the first unit that would write it, that finds something in it, or whose it would be."""
    units = plan.units[::-1]  # of two that say the same of a row the first one stays
    own = {key: unit.id for unit in units for key in unit.keys}
    found = {finding.key: unit.id for unit in units for finding in unit.findings}
    written = {w.key: unit.id for unit in units for w in unit.writes}
    return own | found | written
