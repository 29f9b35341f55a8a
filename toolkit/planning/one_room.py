"""One room out of a plan, with its user's row; what else the plan says is left out. Pure."""

import msgspec

from toolkit.model import Code, Finding, Plan, Reason, Skip, Status, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.records import UNREGISTERED, LocalState, Raw, parse_key, room_key, user_key


def narrow_plan(plan: Plan, local: LocalState, room_id: str, user_id: str) -> Plan:
    """The plan as far as it is about a room that the bot met through this user."""
    owner = owner_in(plan, local, room_id)
    unit = plan.unit(room_id)
    user = plan.user_unit(unit) if unit else plan.unit(owner or "")
    units = tuple(u for u in plan.units if u in (unit, user))
    in_sync = tuple(room for room in plan.in_sync_rooms if room == room_id)
    if owner is not None and owner != user_id:
        units, in_sync, owner = (_mismatch(unit, room_id, owner, user_id),), (), None
    skipped = tuple(skip for skip in plan.skipped if skip.room_id == room_id)
    if room_id not in plan.joined:
        skipped = (Skip(room_id, Reason.NOT_JOINED),)
    names = {room_id, owner, room_key(room_id), user_key(owner or "")}
    return msgspec.structs.replace(
        plan,
        joined=tuple(room for room in plan.joined if room == room_id),
        in_sync_rooms=in_sync,
        in_sync_users=tuple(user for user in plan.in_sync_users if user == owner),
        skipped=skipped,
        units=units,
        orphans=tuple(key for key in plan.orphans if _is_about(key, room_id, local)),
        notes=tuple(note for note in plan.notes if note.unit in names),
        loose=tuple(conflict for conflict in plan.loose if conflict.key in names),
    )


def owner_in(plan: Plan, local: LocalState, room_id: str) -> str | None:
    """Whose chat the room is, as far as the plan can tell."""
    if unit := plan.unit(room_id):
        return unit.owner
    row = local.rooms.get(room_id)
    return row.matrix_user_id if row and room_id in plan.in_sync_rooms else None


def _is_about(key: str, room_id: str, local: LocalState) -> bool:
    if key == room_key(room_id) or key.endswith(f":{UNREGISTERED}{room_id}"):
        return True
    row = local.chats.get(parse_key(key).name)
    return row is not None and row.surface_ref == room_id


def _mismatch(unit: Unit | None, room_id: str, owner: str, user_id: str) -> Unit:
    """A conflict beside those that the room has anyway; nothing of it is written."""
    finding = Finding(
        unit=room_id,
        code=Code.OWNER_MISMATCH,
        key=room_key(room_id),
        cause=(
            f"the room was met through {quote_odd(user_id)}, but it is a chat of {quote_odd(owner)}"
        ),
        local=user_id,
        remote=owner,
        proposal=owner,
    )
    return Unit(
        id=room_id,
        kind=UnitKind.ROOM,
        status=Status.CONFLICT,
        findings=(finding, *(unit.conflicts if unit else ())),
        owner=owner,
        room_ids=(room_id,),
        needs_human=True,
    )


def rows_about(local: LocalState, room_id: str) -> dict[str, Raw]:
    """The stored rows that name a room: its own, chat rows that point at it, and user rows."""
    users = (user_key(user) for user, row in local.users.items() if row.space_id == room_id)
    keys = {*users, *(key for key in local.rows if _is_about(key, room_id, local))}
    return {key: local.rows[key] for key in keys}
