"""Rooms that could not be read: whom they concern, what they keep, and what goes on from them. Pure.

Unknown is not gone (rules 2.9): whoever may be concerned is held back, which `owner_groups` does.
"""

from collections.abc import Mapping

from toolkit.model import RemoteState, RoomState
from toolkit.planning.chat_ids import ChatId, Context, find_chat_id
from toolkit.planning.identity import Identity
from toolkit.planning.owners import find_owner
from toolkit.planning.places import live_links
from toolkit.planning.row_index import Naming
from toolkit.records import LocalState


class Unread:
    """The joined rooms that could not be read, beside everything that could.

    `named`: room -> users whose rows name it, or a room that may belong below it.
    """

    def __init__(
        self,
        remote: RemoteState,
        local: LocalState,
        identity: Identity,
        naming: Naming,
        nobody: frozenset[str],
    ) -> None:
        self.remote, self.local, self.identity = remote, local, identity
        self.naming, self.nobody = naming, nobody
        self.rooms: Mapping[str, str] = remote.unreadable
        self.named = self._name_concerned()

    def concerns(self, owner: str | None, spaces: tuple[str, ...], unread: str) -> bool:
        """Whether the room may belong to these Spaces, or to their owner."""
        if owner in self.named[unread]:
            return True
        retired = (r for space in spaces for r in self.identity.retired.get(space, ()))
        if any(self.remote.rooms[room_id].replacement == unread for room_id in retired):
            return True
        versions = (v for space in spaces for v in self.identity.versions(space))
        return any(live_links(version, [unread]) for version in versions)

    def claims(self, owner: str, spaces: tuple[str, ...], context: Context) -> dict[str, ChatId]:
        """What rows and older versions say about these rooms: they keep their chat ids."""
        found: dict[str, ChatId] = {}
        retired = sorted(r for s in spaces for r in self.identity.retired.get(s, ()))
        for unread in self.rooms:
            older = (self.identity.versions(room_id) for room_id in retired)
            versions = [v for chain in older if chain[0].replacement == unread for v in chain]
            found[unread] = find_chat_id(
                (RoomState(room_id=unread), *versions), owner, None, context
            )
        return found

    def past(self, versions: tuple[RoomState, ...]) -> str | None:
        """An unreadable older version, or a Space that it may hang below, by its rows or the bot.

        Such a row is what holds the owner back: repaired, it would let the next run go on.
        """
        named = [versions[-1].predecessor or ""]
        rows = (self.local.rooms.get(version.room_id) for version in versions)
        named += [self.identity.unproven.get(r.space_id, r.space_id) for r in rows if r]
        for version in versions:
            own = (
                link for link in version.parents if link.sender in self.identity.lineage.accounts
            )
            named += [link.target for link in own]
        return next((room_id for room_id in named if room_id in self.rooms), None)

    def _name_concerned(self) -> dict[str, set[str]]:
        """Unreadable room -> users whose rows name it, or a room that may belong below it."""
        named = {
            unread: self.naming.owners([unread], [unread]) | self._owners_before(unread)
            for unread in self.rooms
        }
        for room_id, above in self.identity.unproven.items():
            named[above] |= self.naming.owners([room_id], [room_id])
        behind = self.identity.unproven | self.identity.moved
        for row in self.local.rooms.values() if named else ():
            above = behind.get(row.space_id, row.space_id)
            if above in named:
                named[above].add(row.matrix_user_id)
        return named

    def _owners_before(self, unread: str) -> set[str]:
        """Who owns a Space beside the unreadable one for certain, and whom its rows name."""
        found: set[str] = set()
        for old in (old for old, beyond in self.identity.moved.items() if beyond == unread):
            answer = find_owner(self.identity.versions(old), (), self.naming, self.nobody)
            found |= self.naming.owners([old], ())
            trusted = self.identity.lineage.trusts(self.remote.rooms[old])
            if answer.certain and answer.user_id and trusted:
                found.add(answer.user_id)
        return found
