"""Which Spaces each room hangs directly below, by links whose author may say so (rules 2.3, 2.4). Pure."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

import msgspec

from toolkit.model import Link, RemoteState, RoomState
from toolkit.planning.lineage import Lineage
from toolkit.planning.memberships import memberships
from toolkit.planning.nesting import SpaceFacts

_SpacesOf: TypeAlias = dict[str, tuple[str, ...]]


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


class Places:
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
        """What `nesting` asks about each Space that takes part.

        Rooms that hang below several Spaces say of none whose it is, as they don't of their own owner.
        """
        taking_part = {*inner, *(space for below in inner.values() for space in below)}
        rooms: dict[str, list[tuple[RoomState, ...]]] = {space: [] for space in taking_part}
        for room_id, spaces in self.of.items():
            if len(spaces) == 1 and (space := spaces[0]) in taking_part:
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


def find_nested(spaces: Iterable[RoomState], lineage: Lineage) -> dict[str, set[str]]:
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


def live_links(room: RoomState, targets: Iterable[str]) -> tuple[Link, ...]:
    """The room's links to any of the targets, as proof."""
    wanted = set(targets)
    return tuple(link for link in room.children + room.parents if link.target in wanted)
