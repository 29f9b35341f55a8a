"""Which room is what: upgrades, user Spaces, chats and the rest (rules 2.1 to 2.5). Pure.

Upgrades come first, because everything else is asked of a room with all its versions. Spaces in Spaces
are judged in `nesting.py`; who owns a Space is decided in `owners.py`, which chat a room is in `chats.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from toolkit.model import Choices, Link, Reason, RemoteState, RoomState
from toolkit.planning.lineage import Lineage, trace_upgrades
from toolkit.planning.nesting import (
    NO_NESTING,
    Nesting,
    SpaceFacts,
    settle_nesting,
    without_circles,
)
from toolkit.planning.owners import memberships

_SpacesOf: TypeAlias = dict[str, tuple[str, ...]]


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


class Told(msgspec.Struct, frozen=True):
    """What the local rows and the convention add to state, where state alone can't tell Spaces apart.

    `claimed` maps a room to the Space that a row names for it, `named` a Space to the users whose row
    names it; `tells_id` says whether anything certain tells a room's chat id. `nobody` are the accounts
    that never own a Space, `former` those that the bot had before.
    """

    claimed: Mapping[str, str] = {}
    named: Callable[[], Mapping[str, Sequence[str]]] = dict
    tells_id: Callable[[tuple[RoomState, ...]], bool] = bool
    nobody: frozenset[str] = frozenset()
    former: tuple[str, ...] = ()


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
    places = _Places(remote, lineage, heads)
    inner = without_circles(links) if (links := nested_spaces(spaces, lineage)) else {}
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
        _find_unproven(identity, remote, told.claimed)
    for space, chats in identity.chats.items():
        identity.chats[space] = {chat: chats[chat] for chat in sorted(chats)}
    return identity


def nested_spaces(spaces: Iterable[RoomState], lineage: Lineage) -> dict[str, set[str]]:
    """Space -> the Spaces that lie in it, as the bot's own links say.

    Others' links don't count here: a user who may write into one Space could otherwise take another
    user's whole Space out of the plan.
    """
    heads = {lineage.head(space.room_id) for space in spaces}
    inner: dict[str, set[str]] = {}
    for space in spaces:
        head = lineage.head(space.room_id)
        for link in space.children:
            below = lineage.head(link.target)
            if below in heads and below != head and link.sender in lineage.accounts:
                inner.setdefault(head, set()).add(below)
        for link in space.parents:
            above = lineage.head(link.target)
            if above in heads and above != head and link.sender in lineage.accounts:
                inner.setdefault(above, set()).add(head)
    return inner


class _Places:
    """Which Spaces each room hangs directly below, whatever those are.

    A link that somebody else wrote into a Space counts only where the bot wrote none for the room.
    """

    def __init__(self, remote: RemoteState, lineage: Lineage, spaces: Sequence[str]) -> None:
        self.remote, self.lineage = remote, lineage
        alone = {space: (space,) for space in spaces}
        self.listed, foreign = _listed(alone.values(), lineage)
        self.of: dict[str, tuple[str, ...]] = {}
        for room_id in remote.rooms:
            found = _with_parents(
                self.listed.get(room_id, ()), lineage.versions(room_id), alone, lineage
            )
            if all(remote.rooms[space].replacement is not None for space in found):
                found = foreign.get(room_id, found)
            self.of[room_id] = found

    def facts(self, inner: Mapping[str, Sequence[str]], told: Told) -> dict[str, SpaceFacts]:
        """What `nesting` asks about each Space that takes part."""
        taking_part = {*inner, *(space for below in inner.values() for space in below)}
        rooms: dict[str, list[tuple[RoomState, ...]]] = {space: [] for space in taking_part}
        for room_id, spaces in self.of.items():
            for space in taking_part.intersection(spaces):
                room = self.remote.rooms[room_id]
                if self.lineage.trusts(room) and not room.is_space and room.replacement is None:
                    rooms[space].append(self.lineage.versions(room_id))
        return {space: self._facts_of(space, rooms[space], told) for space in taking_part}

    def _facts_of(
        self, space: str, rooms: Sequence[tuple[RoomState, ...]], told: Told
    ) -> SpaceFacts:
        versions = self.lineage.versions(space)
        own = memberships(versions, told.nobody)
        chats = [memberships(room, told.nobody) for room in rooms]
        candidates = own.present.keys() or {user for chat in chats for user in chat.present}
        seen = {user for chat in chats for user in chat.latest}
        banned = own.having("ban").union(*(chat.having("ban") for chat in chats))
        named = {user for version in versions for user in told.named().get(version.room_id, ())}
        unread = any(
            link.target in self.remote.unreadable
            for version in versions
            for link in version.children
        )
        return SpaceFacts(
            rows=frozenset(named),
            named=frozenset(named & (own.latest.keys() | seen) - banned),
            present=frozenset(own.present),
            owner=next(iter(candidates)) if len(candidates) == 1 else None,
            ever=frozenset(own.latest.keys() or seen),
            holds=bool(rooms) or unread,
            numbered=any(map(told.tells_id, rooms)),
        )


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
                if link.sender in lineage.accounts:
                    own[room_id] = _merge(own.get(room_id, ()), space)
                elif lineage.was_in(link.sender, room_id):
                    foreign[room_id] = _merge(foreign.get(room_id, ()), space)
    return own, foreign


def _merge(spaces: tuple[str, ...], space: tuple[str]) -> tuple[str, ...]:
    if not spaces:
        return space
    return spaces if space[0] in spaces else tuple(sorted((*spaces, *space)))


def _classify(
    identity: Identity, remote: RemoteState, places: _Places, choices: Mapping[str, Choices]
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
            if space is None or space is spaces or link.sender not in lineage.accounts:
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
        if link.sender in identity.lineage.accounts
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
