"""What of a client's memory must be read before anything that rests on it is said or written. Pure.

Memory may let a room pass as in sync, or say where to look, and proves nothing (rules 4).
"""

from collections.abc import Iterable, Mapping

from toolkit.model import Code, Plan, Reason, RemoteState, RoomState

_STRANGE = Reason.NOT_CREATED_BY_BOT


def find_unverified(remote: RemoteState, plan: Plan, only: str | None = None) -> set[str]:
    """Rooms known from memory whose state must be read before the plan can be trusted.

    First those that it says more about than "in sync"; once they are proven, what that rests on. `only`
    narrows it to what is said of one room.
    """
    said = _said_about(remote, plan)
    if only is not None:
        said = (said & _reach(remote, plan, {only})) | {only}  # memory proves nothing about it
    # Memory doesn't know who made a Space either: whoever made one of its rooms may have made it.
    doubted = {only or "", *(s.room_id for s in plan.skipped if s.reason is _STRANGE)} & said
    doubted |= {u.id for u in plan.units if any(f.remote is _STRANGE for f in u.findings)} & said
    said |= {r for r, room in remote.rooms.items() if room.is_space and _lists(room, doubted)}
    return _unverified(remote, said) or _unverified(remote, _rests_on(remote, plan, said))


def _lists(space: RoomState, rooms: set[str]) -> bool:
    return any(link.target in rooms for link in space.children)


def _unverified(remote: RemoteState, room_ids: set[str]) -> set[str]:
    return {r for r in room_ids if r in remote.rooms and not remote.rooms[r].verified}


def _said_about(remote: RemoteState, plan: Plan) -> set[str]:
    """Rooms that findings, notes or reasons are about; that a Space is one needs no proof."""
    said = {room_id for unit in plan.units for room_id in unit.room_ids}
    said |= {note.unit for note in plan.notes}
    said |= {s.room_id for s in plan.skipped if not remote.rooms[s.room_id].is_space}
    spaces = {room_id: room for room_id, room in remote.rooms.items() if room.is_space}
    users = {*plan.in_sync_users, *(unit.owner for unit in plan.units if unit.owner)}
    return said | _spaces_in_spaces(spaces) | _further_spaces(spaces, users)


def _spaces_in_spaces(spaces: Mapping[str, RoomState]) -> set[str]:
    """Spaces that are linked to each other: the inner one is nobody's, if the link is live."""
    return {
        end
        for room_id, space in spaces.items()
        for link in (*space.children, *space.parents)
        if link.target in spaces
        for end in (room_id, link.target)
    }


def _further_spaces(spaces: Mapping[str, RoomState], users: Iterable[str]) -> set[str]:
    """Spaces that share a user: what the plan says of the user row is about one of them only."""
    of_user: dict[str, set[str]] = {user: set() for user in users}
    for room_id, space in spaces.items():
        for member in space.members:
            if member.user_id in of_user:
                of_user[member.user_id].add(room_id)
    return {room_id for shared in of_user.values() if len(shared) > 1 for room_id in shared}


def _rests_on(remote: RemoteState, plan: Plan, said: set[str]) -> set[str]:
    """What must be true elsewhere for that to be true."""
    reasons = {skip.room_id: skip.reason for skip in plan.skipped if skip.room_id in said}
    found: set[str] = set()
    if Reason.NO_SPACE in reasons.values():  # any Space may list the room
        found |= {room_id for room_id, room in remote.rooms.items() if room.is_space}
    for room_id in reasons:  # it may be the upgrade of one of the account's rooms
        found.add(remote.rooms[room_id].predecessor or "")
    for note in plan.notes:  # nio may have refused the link of the Space that doesn't list the chat
        if note.code is Code.UNLISTED_ROOM and note.unit in said:
            found |= {link.target for link in remote.rooms[note.unit].parents}
    units = {room_id for unit in plan.units for room_id in unit.room_ids}
    return found | _reach(remote, plan, units & said)


def _reach(remote: RemoteState, plan: Plan, start: set[str]) -> set[str]:
    """All rooms connected with these through links, upgrades, a common owner or a row."""
    if not start:
        return set()
    near = _neighbours(remote, plan)
    reached: set[str] = set()
    waiting = set(start)
    while waiting:
        reached |= waiting
        waiting = {other for one in waiting for other in near.get(one, ())} - reached
    return reached


def _neighbours(remote: RemoteState, plan: Plan) -> dict[str, set[str]]:
    """What touches what. A stranger's room, once proven one, touches nothing: its links count nowhere."""
    strange = {s.room_id for s in plan.skipped if s.reason is _STRANGE}
    near: dict[str, set[str]] = {}

    def connect(one: str, other: str) -> None:
        if one not in strange and other not in strange:
            near.setdefault(one, set()).add(other)
            near.setdefault(other, set()).add(one)

    for room_id, room in remote.rooms.items():
        linked = (link.target for link in (*room.children, *room.parents))
        for target in (*linked, room.predecessor, room.replacement):
            if target:
                connect(room_id, target)
    for unit in plan.units:
        told = (f.local for f in unit.findings if isinstance(f.local, str))
        for other in (*unit.room_ids, unit.space_id, *unit.candidates, *told):
            if other:
                connect(unit.owner or unit.id, other)
    for space, rooms in plan.spaces.items():
        for room_id in rooms:
            connect(space, room_id)
    return near
