"""Which room is what: upgrades, user Spaces, chats and the rest (domain.md 2.1 to 2.5). Pure.

Upgrades come first, because everything else is asked of a room with all its versions. Who owns a
Space is decided in `owners.py`, which chat a room is in `chats.py`.
"""

from collections.abc import Iterable, Mapping
from typing import TypeAlias

import msgspec

from toolkit.model import Choices, Kind, Link, Reason, RemoteState, RoomState

_SpacesOf: TypeAlias = dict[str, tuple[str, ...]]


class Lineage(msgspec.Struct, frozen=True):
    """Which room replaced which, where tombstone and create event agree (domain.md 2.3).

    `inherited` are the rooms that go on from one that the account created.
    """

    account: str
    rooms: Mapping[str, RoomState]
    older: Mapping[str, str]
    newer: Mapping[str, str]
    inherited: set[str]

    def trusts(self, room: RoomState) -> bool:
        """Whether the account created the room, or one that it goes on from."""
        return room.creator == self.account or room.room_id in self.inherited

    def versions(self, room_id: str) -> tuple[RoomState, ...]:
        """The room and what it was upgraded from, newest first."""
        if room_id not in self.older:
            return (self.rooms[room_id],)
        found, seen = [self.rooms[room_id]], {room_id}
        while (room_id := self.older.get(room_id, "")) and room_id not in seen:
            seen.add(room_id)
            found.append(self.rooms[room_id])
        return tuple(found)

    def head(self, room_id: str) -> str:
        """The newest version of a room; the room itself if nothing replaced it."""
        if room_id not in self.newer:
            return room_id
        seen = {room_id}
        while (newer := self.newer.get(room_id)) and newer not in seen:
            seen.add(newer)
            room_id = newer
        return room_id


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which readable joined rooms are no chats and why, the user Spaces, and what hangs below them.

    `chats` maps a user Space to its chats, each with all its versions; `linked` maps a chat that
    several Spaces claim to those.
    `retired` maps a user Space to the tombstoned rooms below it that no joined room goes on from.
    `unproven` are rooms that may belong below an unreadable one, `moved` Spaces that go on as, or
    perhaps from, an unreadable one. All other ids are of newest versions.
    """

    account: str
    lineage: Lineage
    reasons: dict[str, Reason]
    user_spaces: tuple[str, ...]
    chats: dict[str, dict[str, tuple[RoomState, ...]]]
    linked: dict[str, tuple[str, ...]]
    retired: dict[str, list[str]]
    unproven: dict[str, str]
    moved: dict[str, str]

    def versions(self, room_id: str) -> tuple[RoomState, ...]:
        return self.lineage.versions(room_id)

    def kind(self, room_id: str) -> Kind:
        """What a readable joined room is: a chat, unless there is a reason to skip it."""
        reason = self.reasons.get(room_id)
        return _KINDS[reason] if reason else Kind.CHAT


_KINDS = {
    Reason.SPACE: Kind.SPACE,
    Reason.TOMBSTONED: Kind.TOMBSTONED,
    Reason.REPLACEMENT_NOT_JOINED: Kind.TOMBSTONED,
    Reason.NOT_CREATED_BY_BOT: Kind.UNRELATED,
    Reason.NO_SPACE: Kind.UNRELATED,
}


def resolve_identity(
    remote: RemoteState,
    choices: Mapping[str, Choices] | None = None,
    claimed_spaces: Mapping[str, str] | None = None,
) -> Identity:
    """Decide what every room is, from state alone.

    `claimed_spaces`: room id -> the Space that a local row names; used only to tell apart "no Space"
    from "its Space could not be read". `choices`: a human may say to which of several Spaces a room
    belongs.
    """
    lineage = _trace_upgrades(remote)
    spaces = [room for room in remote.rooms.values() if room.room_type and room.is_space]
    spaces = [space for space in spaces if lineage.trusts(space)]
    nested = _nested(spaces, lineage)
    user_spaces = tuple(
        sorted(s.room_id for s in spaces if s.room_id not in nested and s.replacement is None)
    )
    identity = Identity(
        account=remote.account,
        lineage=lineage,
        reasons={},
        user_spaces=user_spaces,
        chats={space: {} for space in user_spaces},
        linked={},
        retired={},
        unproven={},
        moved={},
    )
    _classify(identity, remote, choices or {})
    if remote.unreadable:
        _find_unproven(identity, remote, claimed_spaces or {})
    for space, chats in identity.chats.items():
        identity.chats[space] = {chat: chats[chat] for chat in sorted(chats)}
    return identity


def _trace_upgrades(remote: RemoteState) -> Lineage:
    rooms, older = remote.rooms, dict[str, str]()
    for room in rooms.values():
        if room.predecessor is None or room.predecessor == room.room_id:
            continue
        old = rooms.get(room.predecessor)
        # A Space stays a Space: otherwise a chat's owner could turn the chat into one.
        if old and old.replacement == room.room_id and old.is_space == room.is_space:
            older[room.room_id] = old.room_id
    newer = {old: new for new, old in older.items()}
    lineage = Lineage(remote.account, rooms, older, newer, set())
    for room_id in older:
        if any(version.creator == remote.account for version in lineage.versions(room_id)):
            lineage.inherited.add(room_id)
    return lineage


def _nested(spaces: Iterable[RoomState], lineage: Lineage) -> set[str]:
    """Spaces that hang below another one of ours.

    Only the account's own links count here: a user who may write into one Space could otherwise
    take another user's whole Space out of the plan.
    """
    heads = {lineage.head(space.room_id) for space in spaces}
    nested: set[str] = set()
    for space in spaces:
        head = lineage.head(space.room_id)
        for link in space.children:
            child = lineage.head(link.target)
            if child in heads and child != head and link.sender == lineage.account:
                nested.add(child)
        for link in space.parents:
            above = lineage.head(link.target)
            if above in heads and above != head and link.sender == lineage.account:
                nested.add(head)
    return nested


def _listed(user_spaces: Iterable[tuple[str]], lineage: Lineage) -> tuple[_SpacesOf, _SpacesOf]:
    """The user Spaces that list a room, over all versions of both: by the account, by others.

    A link that somebody else wrote counts only from somebody who is or was in the room: a user may
    put their chats in order, but not fetch another's into their own Space.
    """
    own: _SpacesOf = {}
    foreign: _SpacesOf = {}
    for space in user_spaces:
        for version in lineage.versions(space[0]):
            for link in version.children:
                room_id = lineage.head(link.target)
                if link.sender == lineage.account:
                    own[room_id] = _merge(own.get(room_id, ()), space)
                elif _was_in(link.sender, room_id, lineage):
                    foreign[room_id] = _merge(foreign.get(room_id, ()), space)
    return own, foreign


def _was_in(user: str, room_id: str, lineage: Lineage) -> bool:
    room = lineage.rooms.get(room_id)
    if room is None or not lineage.trusts(room):
        return False
    return any(
        member.user_id == user and member.membership != "ban"
        for version in lineage.versions(room_id)
        for member in version.members
    )


def _merge(spaces: tuple[str, ...], space: tuple[str]) -> tuple[str, ...]:
    if not spaces:
        return space
    return spaces if space[0] in spaces else tuple(sorted((*spaces, *space)))


def _classify(identity: Identity, remote: RemoteState, choices: Mapping[str, Choices]) -> None:
    """Find each room's Spaces, and so whether it is a chat.

    A link that somebody else wrote into a Space counts only where the account wrote none for the room.
    """
    lineage, chats = identity.lineage, identity.chats
    alone = {space: (space,) for space in identity.user_spaces}
    own, foreign = _listed(alone.values(), lineage)
    for room_id, room in remote.rooms.items():
        versions = lineage.versions(room_id)
        spaces = _with_parents(own.get(room_id, ()), versions, alone, lineage)
        spaces = spaces or foreign.get(room_id, ())
        if reason := _why_skipped(room, spaces, lineage, remote):
            _skip(room, reason, spaces, identity)
            continue
        if len(spaces) > 1 and (choice := choices.get(room_id)) and choice.space_id in spaces:
            spaces = (choice.space_id,)
        if len(spaces) > 1:
            identity.linked[room_id] = spaces
        else:
            chats[spaces[0]][room_id] = versions


def _with_parents(
    spaces: tuple[str, ...],
    versions: tuple[RoomState, ...],
    alone: Mapping[str, tuple[str]],
    lineage: Lineage,
) -> tuple[str, ...]:
    """The Spaces that list a room, and those that the account's links in the room name.

    A link that somebody else wrote into the room proves nothing (spec, "m.space.parent": a room's
    admin may falsely claim a Space), unless the Space lists the room, and then that link counts.
    """
    for version in versions:
        for link in version.parents:
            space = alone.get(lineage.head(link.target))
            if space is None or space is spaces or link.sender != lineage.account:
                continue
            if lineage.trusts(version):
                spaces = _merge(spaces, space)
    return spaces


def _why_skipped(
    room: RoomState, spaces: tuple[str, ...], lineage: Lineage, remote: RemoteState
) -> Reason | None:
    if room.replacement is not None:
        joined = remote.joined(room.replacement)
        return Reason.TOMBSTONED if joined else Reason.REPLACEMENT_NOT_JOINED
    if not lineage.trusts(room):
        return Reason.NOT_CREATED_BY_BOT
    if room.is_space:
        return Reason.SPACE
    return None if spaces else Reason.NO_SPACE


def _skip(room: RoomState, reason: Reason, spaces: tuple[str, ...], identity: Identity) -> None:
    room_id, lineage = room.room_id, identity.lineage
    identity.reasons[room_id] = reason
    if room.replacement is not None and lineage.trusts(room) and room_id not in lineage.newer:
        for space in spaces:
            identity.retired.setdefault(space, []).append(room_id)


def _find_unproven(
    identity: Identity, remote: RemoteState, claimed_spaces: Mapping[str, str]
) -> None:
    """Rooms of ours whose Space, or older version, is among the rooms that could not be read."""
    moved = identity.moved
    moved.update(_moved_out_of_sight(identity, remote))
    listed = {
        link.target: newer
        for space, newer in moved.items()
        for link in remote.rooms[space].children
        if link.sender == identity.account
    }
    for room_id, reason in identity.reasons.items():
        room = remote.rooms[room_id]
        behind = [identity.versions(room_id)[-1].predecessor or ""]
        if reason is Reason.NO_SPACE:
            above = [link.target for link in room.parents] + [claimed_spaces.get(room_id, "")]
            behind += [moved.get(target, target) for target in above]
            behind.append(listed.get(room_id, ""))
        elif reason is not Reason.NOT_CREATED_BY_BOT:
            continue
        if unread := next((target for target in behind if target in remote.unreadable), None):
            identity.unproven[room_id] = unread


def _moved_out_of_sight(identity: Identity, remote: RemoteState) -> dict[str, str]:
    """Spaces that go on as, or perhaps from, a room that could not be read -> that room."""
    found: dict[str, str] = {}
    for room_id, room in sorted(remote.rooms.items()):
        beyond = room.replacement if identity.lineage.trusts(room) else room.predecessor
        if room.is_space and beyond in remote.unreadable:
            found.update((version.room_id, beyond) for version in identity.versions(room_id))
    return found


def live_links(room: RoomState, targets: Iterable[str]) -> tuple[Link, ...]:
    """The room's links to any of the targets, as proof."""
    wanted = set(targets)
    return tuple(link for link in room.children + room.parents if link.target in wanted)
