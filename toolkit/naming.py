"""Which local rows name which room, Space and owner: one pass over the rows, asked many times. Pure."""

from collections import defaultdict
from collections.abc import Iterable

import msgspec

from toolkit.convention import chat_number
from toolkit.model import RoomState
from toolkit.records import UNREGISTERED, LocalState, chat_key, room_key, user_key


class Naming(msgspec.Struct, frozen=True):
    """`pointing`: room id -> (user, chat id) of the well-formed chat rows whose `surface_ref` it is.

    `space_users`: Space id -> users whose row names it. `highest`: user -> the highest chat number
    in any readable row, orphans included. `strays` is like `pointing`, for rows under no chat id: they
    name an owner, but no number.
    """

    local: LocalState
    pointing: dict[str, list[tuple[str, str]]]
    space_users: dict[str, list[str]]
    highest: dict[str, int]
    strays: dict[str, list[tuple[str, str]]]

    def owners(self, spaces: Iterable[str], rooms: Iterable[str]) -> set[str]:
        """Users that any readable row names as owner of these Spaces or of their chats."""
        found = {user for space in spaces for user in self.space_users.get(space, ())}
        room_rows, pointing = self.local.rooms, self.pointing
        for room_id in rooms:
            if row := room_rows.get(room_id):
                found.add(row.matrix_user_id)
            for user, _ in (*pointing.get(room_id, ()), *self.strays.get(room_id, ())):
                found.add(user)
        return found

    def owner_keys(self, spaces: Iterable[str], rooms: Iterable[str]) -> list[tuple[str, str]]:
        """(key, user) of the same rows, sorted."""
        found = [
            (user_key(user), user) for space in spaces for user in self.space_users.get(space, ())
        ]
        for room_id in rooms:
            if row := self.local.rooms.get(room_id):
                found.append((room_key(room_id), row.matrix_user_id))
            names = (*self.pointing.get(room_id, ()), *self.strays.get(room_id, ()))
            found += [(chat_key(*name), name[0]) for name in names]
        return sorted(found)


def index_rows(local: LocalState) -> Naming:
    """Read the rows once, in the order of their keys, so that their order in the database is nothing."""
    pointing: dict[str, list[tuple[str, str]]] = {}
    highest: dict[str, int] = {}
    strays: dict[str, list[tuple[str, str]]] = {}
    for name, row in local.chats.items():
        user, chat_id = name
        if not user or (number := chat_number(chat_id)) is None:
            if user and not is_placeholder(chat_id):
                strays.setdefault(row.surface_ref, []).append(name)
            continue
        if number > highest.get(user, 0):
            highest[user] = number
        if (others := pointing.get(row.surface_ref)) is None:
            pointing[row.surface_ref] = [name]
        else:
            others.append(name)
    for others in pointing.values():
        if len(others) > 1:
            others.sort()
    for room in local.rooms.values():
        user = room.matrix_user_id
        number = chat_number(room.chat_id) or 0
        if number > highest.get(user, 0):
            highest[user] = number
    space_users: dict[str, list[str]] = defaultdict(list)
    for user in sorted(local.users):
        space_users[local.users[user].space_id].append(user)
    return Naming(local, pointing, dict(space_users), highest, strays)


def ids(versions: Iterable[RoomState]) -> tuple[str, ...]:
    """Room ids of all versions, newest first."""
    return tuple(version.room_id for version in versions)


def is_placeholder(chat_id: str) -> bool:
    """Whether the bot wrote the row for a room that it knew nothing about."""
    return chat_id.startswith(UNREGISTERED)
