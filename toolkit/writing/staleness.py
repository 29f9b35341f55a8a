"""What the live bot wrote since we looked, and which planned changes that makes stale. Pure.

Every written row is compared when it is written. This is about the rows that a decision merely
rests on (rules 4): a room on its own rows and on those that name its Space's owner, a user row
on all rows of that user, new ones included. What a bot's own function read isn't known: its changes
rest on whatever is about a user, room or Space that their rows name.
"""

import json
from collections.abc import Iterable, Mapping

import msgspec

from toolkit.model import Change, Plan, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.records import (
    ROOM,
    ChatRow,
    LocalState,
    Raw,
    UserRow,
    load_records,
    parse_key,
)

Rows = Mapping[str, Raw]


class Moved(msgspec.Struct, frozen=True):
    """Rows that differ between two looks: as they were, as they are, and their keys."""

    keys: frozenset[str]
    before: LocalState
    after: LocalState


def compare_rows(before: Rows, after: Rows, own: Iterable[str] = ()) -> Moved:
    """Find the rows that somebody else changed; `own` are keys that this run wrote itself."""
    keys = {key for key, raw in before.items() if key not in after or after[key] != raw}
    keys |= after.keys() - before.keys()
    keys -= set(own)
    return Moved(frozenset(keys), _some(before, keys), _some(after, keys))


def why_stale(unit: Unit, plan: Plan, moved: Moved) -> str | None:
    """Why this unit's change no longer rests on what it was planned from, or None if it does."""
    if not moved.keys or unit.change is None:
        return None
    own = {write.key for write in unit.writes} | set(unit.change.relies_on)
    if touched := sorted(own & moved.keys):
        return f"row {quote_odd(touched[0])} was written meanwhile"
    if unit.row:
        return _about_link(unit, moved)
    if plan.foreign:
        return _about_named(unit.change, moved)
    if unit.owner is None:
        return None  # an undo rests on nothing but the rows that it puts back
    about = _about_user if unit.kind is UnitKind.USER else _about_room
    return about(unit, moved) or _about_owner(unit, plan, moved)


def _about_user(unit: Unit, moved: Moved) -> str | None:
    touched = [key for key in sorted(moved.keys) if unit.owner in _users(key, moved)]
    return f"row {quote_odd(touched[0])} of this user was written meanwhile" if touched else None


def _about_room(unit: Unit, moved: Moved) -> str | None:
    versions = set(unit.room_ids)
    for key in sorted(moved.keys):
        if _rooms(key, moved) & versions:
            return f"row {quote_odd(key)} about this room was written meanwhile"
        row = moved.after.rooms.get(parse_key(key).room_id)
        if row and (row.matrix_user_id, row.chat_id) == (unit.owner, unit.chat_id):
            return (
                f"row {quote_odd(key)} took the chat id {quote_odd(unit.chat_id or '')} meanwhile"
            )
    return None


def _about_link(unit: Unit, moved: Moved) -> str | None:
    """A row of another id that names, or named, the room: such a row is the strongest evidence."""
    versions = set(unit.room_ids)
    for key in sorted(moved.keys):
        if any(versions & _texts(state.rows.get(key)) for state in (moved.before, moved.after)):
            return f"row {quote_odd(key)} about this room was written meanwhile"
    return None


def _about_owner(unit: Unit, plan: Plan, moved: Moved) -> str | None:
    """A row of the Space or its chats that does not, or no longer, name the owner that was found.

    One that still names the same owner says nothing new: a live bot writes such rows all the time.
    """
    reach = {*plan.spaces.get(unit.space_id or "", ()), *unit.room_ids}
    for key in sorted(moved.keys):
        if _rooms(key, moved) & reach and _owner(key, moved.after) != unit.owner:
            return f"row {quote_odd(key)}, which names the Space's owner, was written meanwhile"
    return None


def _about_named(change: Change, moved: Moved) -> str | None:
    """A row of the users, rooms and Spaces of a foreign change; any row if it names no user."""
    mine = compare_rows(
        {write.key: write.before for write in change.writes if write.before is not None},
        {write.key: write.after for write in change.writes},
    )
    users = {user for key in mine.keys for user in _users(key, mine) if user}
    places = {place for key in mine.keys for place in _rooms(key, mine) | _spaces(key, mine)}
    for key in sorted(moved.keys):
        if not users:
            return f"row {quote_odd(key)} was written meanwhile, and this change names no user to tell it from"
        if _users(key, moved) & users or (_rooms(key, moved) | _spaces(key, moved)) & places:
            return f"row {quote_odd(key)}, which this may rest on, was written meanwhile"
    return None


def _some(rows: Rows, keys: Iterable[str]) -> LocalState:
    return load_records((key, rows[key]) for key in sorted(keys) if key in rows)


def _users(key: str, moved: Moved) -> set[str | None]:
    return {_owner(key, moved.before), _owner(key, moved.after)}


def _owner(key: str, state: LocalState) -> str | None:
    """The user that a row names; for all but room rows the key tells, after its colon in a foreign one."""
    name = parse_key(key)
    if name.family != ROOM:
        user = name.user if name.family else key.partition(":")[2]
        return user if key in state.rows else None
    row = state.rooms.get(name.room_id)
    return row.matrix_user_id if row else None


def _rooms(key: str, moved: Moved) -> set[str]:
    """Rooms and Spaces that a row is about, before or after; a placeholder is evidence of none."""
    name = parse_key(key)
    if name.family == ROOM:
        return {name.room_id}
    found: set[str] = set()
    for state in () if name.is_placeholder else (moved.before, moved.after):
        row = state.row(name)
        if isinstance(row, ChatRow):
            found.add(row.surface_ref)
        elif isinstance(row, UserRow):
            found.add(row.space_id)
    return found


def _texts(raw: Raw) -> set[str]:
    """All texts in the columns of a row, or of several rows."""
    found = [] if raw is None else json.loads(str(raw))
    rows = found if isinstance(found, list) else [found]
    return {value for row in rows for value in row.values() if isinstance(value, str)}


def _spaces(key: str, moved: Moved) -> set[str]:
    """The Spaces that a room row names, before or after."""
    room_id = parse_key(key).room_id
    found = (state.rooms.get(room_id) for state in (moved.before, moved.after))
    return {row.space_id for row in found if row}
