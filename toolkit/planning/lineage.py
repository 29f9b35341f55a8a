"""Which room goes on from which: upgrades, and the trust that they hand down (rules 2.3). Pure."""

from collections.abc import Mapping

import msgspec

from toolkit.model import RemoteState, RoomState


class Lineage(msgspec.Struct, frozen=True):
    """Which room replaced which, where tombstone and create event agree (rules 2.3).

    `accounts` are the bot's, former ones included; `inherited` are the rooms that go on from one that
    the bot created.
    """

    accounts: frozenset[str]
    rooms: Mapping[str, RoomState]
    older: Mapping[str, str]
    newer: Mapping[str, str]
    inherited: set[str]

    def trusts(self, room: RoomState) -> bool:
        """Whether the bot created the room, or one that it goes on from."""
        return room.creator in self.accounts or room.room_id in self.inherited

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

    def was_in(self, user: str, room_id: str) -> bool:
        """Whether the user is or was in a room of the bot's, any version of it, and isn't banned."""
        room = self.rooms.get(room_id)
        if room is None or not self.trusts(room):
            return False
        return any(
            member.user_id == user and member.membership != "ban"
            for version in self.versions(room_id)
            for member in version.members
        )


def find_older(room: RoomState, rooms: Mapping[str, RoomState]) -> RoomState | None:
    """The room that this one goes on from, where both tell of it."""
    old = rooms.get(room.predecessor or "")
    if old is None or old is room or old.replacement != room.room_id:
        return None
    # A Space stays a Space: otherwise a chat's owner could turn the chat into one.
    return old if old.is_space == room.is_space else None


def trace_upgrades(remote: RemoteState, accounts: frozenset[str]) -> Lineage:
    """Follow every upgrade that both rooms tell of."""
    rooms, older = remote.rooms, dict[str, str]()
    for room in rooms.values():
        if room.predecessor is not None and (old := find_older(room, rooms)):
            older[room.room_id] = old.room_id
    newer = {old: new for new, old in older.items()}
    lineage = Lineage(accounts, rooms, older, newer, set())
    for room_id in older:
        if any(version.creator in accounts for version in lineage.versions(room_id)):
            lineage.inherited.add(room_id)
    return lineage
