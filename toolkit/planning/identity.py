"""Which room is what: upgrades, user Spaces, chats and the rest (rules 2.1 to 2.5). Pure.

Upgrades come first, because everything else is asked of a room with all its versions. Which links count is
said in `places.py`, Spaces in Spaces are judged in `nesting.py`; who owns a Space is decided in
`owners.py`, which chat a room is in `chat_ids.py`.
"""

from collections.abc import Iterable, Mapping

import msgspec

from toolkit.model import Choices, Reason, RemoteState, RoomState
from toolkit.planning.lineage import Lineage, trace_upgrades
from toolkit.planning.nesting import NO_NESTING, Nesting, settle_nesting, without_circles
from toolkit.planning.out_of_sight import find_moved, find_unproven
from toolkit.planning.places import Places, Told, find_nested


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which readable joined rooms are no chats and why, the user Spaces, and what hangs below them.

    `chats` maps a user Space to its chats, each with all its versions; `linked` maps a chat that
    several Spaces claim to those. `archived` maps a user Space to the rooms in its archives, which are
    chats only if something certain says their id; `unlisted` are chats that no Space lists.
    `retired` maps a user Space to the tombstoned rooms below it that no joined room goes on from.
    `unproven` are rooms that may belong below an unreadable one, `moved` Spaces that go on as, or
    perhaps from, an unreadable one. All other ids are of newest versions.
    """

    lineage: Lineage
    nesting: Nesting
    reasons: dict[str, Reason]
    user_spaces: tuple[str, ...]
    chats: dict[str, dict[str, tuple[RoomState, ...]]]
    archived: dict[str, dict[str, tuple[RoomState, ...]]]
    unlisted: list[str]
    linked: dict[str, tuple[str, ...]]
    retired: dict[str, list[str]]
    unproven: dict[str, str]
    moved: dict[str, str]

    def versions(self, room_id: str) -> tuple[RoomState, ...]:
        return self.lineage.versions(room_id)


def resolve_identity(
    remote: RemoteState, choices: Mapping[str, Choices] | None = None, told: Told | None = None
) -> Identity:
    """Decide what every room is: from state, and from `told` only where Spaces lie in each other.

    `choices`: a human may say to which of several Spaces a room belongs.
    """
    told = told or Told()
    lineage = trace_upgrades(remote, frozenset({remote.account, *told.former}))
    spaces = [room for room in remote.rooms.values() if room.room_type and room.is_space]
    spaces = [space for space in spaces if lineage.trusts(space)]
    heads = sorted(s.room_id for s in spaces if s.room_id not in lineage.newer)
    places = Places(remote, lineage, heads)
    inner = without_circles(links) if (links := find_nested(spaces, lineage)) else {}
    nesting = settle_nesting(inner, places.facts(inner, told)) if inner else NO_NESTING
    user_spaces = tuple(
        space
        for space in heads
        if space not in nesting.containers
        and space not in nesting.archives
        and remote.rooms[space].replacement is None
    )
    identity = Identity(
        lineage=lineage,
        nesting=nesting,
        reasons={},
        user_spaces=user_spaces,
        chats={space: {} for space in user_spaces},
        archived={},
        unlisted=[],
        linked={},
        retired={},
        unproven={},
        moved={},
    )
    _classify(identity, remote, places, choices or {})
    if remote.unreadable:
        identity.moved.update(find_moved(remote, lineage))
        unproven = find_unproven(remote, lineage, identity.reasons, identity.moved, told.claimed)
        identity.unproven.update(unproven)
    for space, chats in identity.chats.items():
        identity.chats[space] = {chat: chats[chat] for chat in sorted(chats)}
    return identity


def _classify(
    identity: Identity, remote: RemoteState, places: Places, choices: Mapping[str, Choices]
) -> None:
    """Find each room's user Spaces, and so whether it is a chat."""
    lineage, nesting = identity.lineage, identity.nesting
    for room_id, room in remote.rooms.items():
        spaces, direct = places.of[room_id], True
        if spaces and (
            nesting is not NO_NESTING or len(spaces) > 1 or spaces[0] not in identity.chats
        ):
            spaces, direct = _user_spaces(spaces, identity)
        if reason := _why_skipped(room, spaces, lineage, remote):
            _skip(room, reason, spaces, identity)
            continue
        if len(spaces) > 1 and (choice := choices.get(room_id)) and choice.space_id in spaces:
            spaces = (choice.space_id,)
        if len(spaces) > 1:
            identity.linked[room_id] = spaces
        elif direct:
            identity.chats[spaces[0]][room_id] = lineage.versions(room_id)
        else:
            archived = identity.archived.setdefault(spaces[0], {})
            archived[room_id] = lineage.versions(room_id)
        if room_id not in places.listed and not _is_listed(room_id, places.of[room_id], lineage):
            identity.unlisted.append(room_id)


def _user_spaces(spaces: tuple[str, ...], identity: Identity) -> tuple[tuple[str, ...], bool]:
    """The users' own among these Spaces, or else those that they lie in; and which of the two."""
    direct = tuple(space for space in spaces if space in identity.chats)
    if direct:
        return direct, True
    archives = identity.nesting.archives
    above = {user_space for space in spaces for user_space in archives.get(space, ())}
    return tuple(sorted(above & identity.chats.keys())), False


def _is_listed(room_id: str, spaces: Iterable[str], lineage: Lineage) -> bool:
    """Whether one of the Spaces has a link, whoever wrote it, to any version of the room."""
    versions = {version.room_id for version in lineage.versions(room_id)}
    return any(
        link.target in versions
        for space in spaces
        for version in lineage.versions(space)
        for link in version.children
    )


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
