"""Which room is what: upgrades, user Spaces, chats and the rest (domain.md 2.1 to 2.5). Pure.

Upgrades come first, because everything else is asked of a room with all its versions. Who owns a
Space is decided in `owners.py`, which chat a room is in `chats.py`.
"""

from collections.abc import Iterable, Mapping

import msgspec

from toolkit.model import Choices, Kind, Link, Reason, RemoteState, RoomState


class Lineage(msgspec.Struct, frozen=True):
    """Which room replaced which, where tombstone and create event agree (domain.md 2.3)."""

    rooms: Mapping[str, RoomState]
    older: Mapping[str, str]
    newer: Mapping[str, str]

    def versions(self, room_id: str) -> tuple[RoomState, ...]:
        """The room and what it was upgraded from, newest first."""
        found: tuple[RoomState, ...] = (self.rooms[room_id],)
        if room_id not in self.older:
            return found
        seen = {room_id}
        while (room_id := self.older.get(room_id, "")) and room_id not in seen:
            seen.add(room_id)
            found += (self.rooms[room_id],)
        return found

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
    """Kind of every readable joined room, the user Spaces, and what hangs below them.

    `chats` maps a user Space to its chats; `linked` maps a chat that several Spaces claim to those.
    `retired` maps a user Space to the tombstoned rooms below it that no joined room goes on from.
    `unproven` are rooms that may belong below an unreadable one, `moved` Spaces that go on as, or
    perhaps from, an unreadable one. All other ids are of newest versions.
    """

    account: str
    lineage: Lineage
    kinds: dict[str, Kind]
    reasons: dict[str, Reason]
    user_spaces: tuple[str, ...]
    chats: dict[str, list[str]]
    linked: dict[str, tuple[str, ...]]
    retired: dict[str, list[str]]
    unproven: dict[str, str]
    moved: dict[str, str]
    trusted: frozenset[str]

    def versions(self, room_id: str) -> tuple[RoomState, ...]:
        return self.lineage.versions(room_id)


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
    lineage = _trace_upgrades(remote.rooms)
    trusted = _trusted(remote, lineage)
    spaces = [r for r in trusted if remote.rooms[r].is_space]
    nested = _nested(spaces, lineage, remote.account)
    user_spaces = tuple(
        sorted(s for s in spaces if s not in nested and remote.rooms[s].replacement is None)
    )
    links = _links(user_spaces, trusted, lineage, remote)
    identity = Identity(
        account=remote.account,
        lineage=lineage,
        kinds={},
        reasons={},
        user_spaces=user_spaces,
        chats={space: [] for space in user_spaces},
        linked={},
        retired={},
        unproven={},
        moved={},
        trusted=trusted,
    )
    for room_id, room in remote.rooms.items():
        _classify(room, identity, links.get(room_id, ()), remote, choices or {})
    if remote.unreadable:
        _find_unproven(identity, remote, claimed_spaces or {})
    for chats in identity.chats.values():
        chats.sort()
    return identity


def _trace_upgrades(rooms: Mapping[str, RoomState]) -> Lineage:
    older: dict[str, str] = {}
    for room_id, room in rooms.items():
        if room.predecessor is None or room.predecessor == room_id:
            continue
        old = rooms.get(room.predecessor)
        # A Space stays a Space: otherwise a chat's owner could turn the chat into one.
        if old and old.replacement == room_id and old.is_space == room.is_space:
            older[room_id] = old.room_id
    return Lineage(rooms, older, {old: new for new, old in older.items()})


def _trusted(remote: RemoteState, lineage: Lineage) -> frozenset[str]:
    """Rooms created by the account, and the upgrades of those."""
    account = remote.account
    own = {room_id for room_id, room in remote.rooms.items() if room.creator == account}
    inherited = {
        room_id
        for room_id in lineage.older
        if any(version.creator == account for version in lineage.versions(room_id))
    }
    return frozenset(own | inherited)


def _nested(spaces: Iterable[str], lineage: Lineage, account: str) -> set[str]:
    """Spaces that hang below another one of ours.

    Only the account's own links count here: a user who may write into one Space could otherwise
    take another user's whole Space out of the plan.
    """
    heads = {lineage.head(space) for space in spaces}
    nested: set[str] = set()
    for space in spaces:
        room, head = lineage.rooms[space], lineage.head(space)
        below = (lineage.head(link.target) for link in room.children if link.sender == account)
        nested.update(child for child in below if child in heads and child != head)
        above = (lineage.head(link.target) for link in room.parents if link.sender == account)
        if any(parent in heads and parent != head for parent in above):
            nested.add(head)
    return nested


def _links(
    user_spaces: tuple[str, ...],
    trusted: frozenset[str],
    lineage: Lineage,
    remote: RemoteState,
) -> Mapping[str, tuple[str, ...]]:
    """Room -> the user Spaces that it is linked to, over all versions of both.

    A link that somebody else wrote into a Space counts only where the account wrote none for the
    room, and only from somebody who is or was in it: a user may put their chats in order, but not
    fetch another's into their own Space. One that somebody else wrote into the room proves nothing
    (spec, "m.space.parent": a room's admin may falsely claim a Space), unless the Space lists the
    room, and then that link counts.
    """
    own: dict[str, tuple[str, ...]] = {}
    foreign: dict[str, tuple[str, ...]] = {}
    head, known = lineage.head, set(user_spaces)
    for space in user_spaces:
        for version in lineage.versions(space):
            for link in version.children:
                room_id = head(link.target)
                if link.sender == remote.account:
                    _add(own, room_id, space)
                elif room_id in trusted and _was_in(link.sender, lineage.versions(room_id)):
                    _add(foreign, room_id, space)
    for room_id in trusted:
        for link in lineage.rooms[room_id].parents:
            if link.sender == remote.account and (space := head(link.target)) in known:
                _add(own, head(room_id), space)
    return foreign | own


def _was_in(user: str, versions: Iterable[RoomState]) -> bool:
    return any(
        member.user_id == user and member.membership != "ban"
        for version in versions
        for member in version.members
    )


def _add(found: dict[str, tuple[str, ...]], room_id: str, space: str) -> None:
    spaces = found.get(room_id)
    if spaces is None:
        found[room_id] = (space,)
    elif space not in spaces:
        found[room_id] = tuple(sorted((*spaces, space)))


def _classify(
    room: RoomState,
    identity: Identity,
    spaces: tuple[str, ...],
    remote: RemoteState,
    choices: Mapping[str, Choices],
) -> None:
    room_id = room.room_id
    if room.replacement is not None:
        joined = remote.joined(room.replacement)
        if room_id in identity.trusted and room_id not in identity.lineage.newer:
            for space in spaces:
                identity.retired.setdefault(space, []).append(room_id)
        _skip(
            identity,
            room_id,
            Kind.TOMBSTONED,
            Reason.TOMBSTONED if joined else Reason.REPLACEMENT_NOT_JOINED,
        )
    elif room_id not in identity.trusted:
        _skip(identity, room_id, Kind.UNRELATED, Reason.NOT_CREATED_BY_BOT)
    elif room.is_space:
        _skip(identity, room_id, Kind.SPACE, Reason.SPACE)
    elif not spaces:
        _skip(identity, room_id, Kind.UNRELATED, Reason.NO_SPACE)
    else:
        identity.kinds[room_id] = Kind.CHAT
        choice = choices.get(room_id)
        if choice and choice.space_id in spaces:
            spaces = (choice.space_id,)
        if len(spaces) > 1:
            identity.linked[room_id] = spaces
        else:
            identity.chats[spaces[0]].append(room_id)


def _skip(identity: Identity, room_id: str, kind: Kind, reason: Reason) -> None:
    identity.kinds[room_id] = kind
    identity.reasons[room_id] = reason


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
        beyond = room.replacement if room_id in identity.trusted else room.predecessor
        if room.is_space and beyond in remote.unreadable:
            found.update((version.room_id, beyond) for version in identity.versions(room_id))
    return found


def live_links(room: RoomState, targets: Iterable[str]) -> tuple[Link, ...]:
    """The room's links to any of the targets, as proof."""
    wanted = set(targets)
    return tuple(link for link in room.children + room.parents if link.target in wanted)
