"""Which local rows name which room, Space and owner: one pass over the rows, asked many times. Pure."""

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from toolkit.convention import chat_number
from toolkit.model import RoomState
from toolkit.records import (
    ChatRow,
    LocalState,
    RoomRow,
    chat_key,
    is_placeholder,
    room_key,
    user_key,
)

Name: TypeAlias = tuple[str, str]
"""User and chat id, as the key of a chat row names them."""


class Naming(msgspec.Struct, frozen=True):
    """`pairs`: room id -> its row, if the only well-formed chat row whose `surface_ref` it is agrees
    with it in everything. `pointing`: the names of such chat rows for all other rooms.

    `space_users`: Space id -> users whose row names it. `highest`: user -> the highest chat number
    in any readable row, orphans included. `strays` is like `pointing`, for rows under no chat id: they
    name an owner, but no number.
    """

    local: LocalState
    pairs: dict[str, RoomRow]
    pointing: dict[str, list[Name]]
    space_users: dict[str, list[str]]
    highest: dict[str, int]
    strays: dict[str, list[Name]]

    def names(self, room_id: str) -> Sequence[Name]:
        """Under which names the well-formed chat rows that point at the room stand."""
        if pair := self.pairs.get(room_id):
            return [(pair.matrix_user_id, pair.chat_id)]
        return self.pointing.get(room_id, ())

    def owners(self, spaces: Iterable[str], rooms: Iterable[str]) -> set[str]:
        """Users that any readable row names as owner of these Spaces or of their chats."""
        found = {user for space in spaces for user in self.space_users.get(space, ())}
        for room_id in rooms:
            if row := self.pairs.get(room_id) or self.local.rooms.get(room_id):
                found.add(row.matrix_user_id)
            for several in self.pointing, self.strays:
                if room_id in several:
                    found.update(user for user, _ in several[room_id])
        return found

    def owner_keys(self, spaces: Iterable[str], rooms: Iterable[str]) -> list[tuple[str, str]]:
        """(key, user) of the same rows, sorted."""
        found = [
            (user_key(user), user) for space in spaces for user in self.space_users.get(space, ())
        ]
        for room_id in rooms:
            if row := self.local.rooms.get(room_id):
                found.append((room_key(room_id), row.matrix_user_id))
            names = (*self.names(room_id), *self.strays.get(room_id, ()))
            found += [(chat_key(*name), name[0]) for name in names]
        return sorted(found)


def index_rows(local: LocalState, platform: str, numbers: Iterable[tuple[str, int]] = ()) -> Naming:
    """Read the rows once; their order in the database is nothing.

    `numbers` are those that other rows name for users.
    """
    pairs: dict[str, RoomRow] = {}
    pointing: dict[str, list[Name]] = {}
    strays: dict[str, list[Name]] = {}
    highest: dict[str, int] = {}
    for name, row in local.chats.items():
        user, chat_id = name
        if not user or (number := chat_number(chat_id)) is None:
            if user and not is_placeholder(chat_id):
                strays.setdefault(row.surface_ref, []).append(name)
            continue
        if number > highest.get(user, 0):
            highest[user] = number
        room = local.rooms.get(row.surface_ref)
        if room and _agree(room, row, user, chat_id, platform):
            pairs[row.surface_ref] = room
        else:
            pointing.setdefault(row.surface_ref, []).append(name)
    for room_id, names in pointing.items():
        if pair := pairs.pop(room_id, None):
            names.append((pair.matrix_user_id, pair.chat_id))
        names.sort()
    unpaired = local.rooms.keys() - pairs.keys() if len(pairs) < len(local.rooms) else ()
    for room in (local.rooms[room_id] for room_id in unpaired):
        if number := chat_number(room.chat_id):
            highest[room.matrix_user_id] = max(number, highest.get(room.matrix_user_id, 0))
    for user, number in numbers:
        highest[user] = max(number, highest.get(user, 0))
    space_users: dict[str, list[str]] = {}
    for user in sorted(local.users):
        space_users.setdefault(local.users[user].space_id, []).append(user)
    return Naming(local, pairs, pointing, space_users, highest, strays)


def _agree(room: RoomRow, chat: ChatRow, user: str, chat_id: str, platform: str) -> bool:
    """Whether the two rows of a room say the same, and whatever needs no room to be right is right."""
    return (
        room.chat_id == chat_id == chat.chat_id
        and room.matrix_user_id == user == chat.user_id
        and room.room_type == "chat"
        and chat.platform == platform
        and isinstance(room.display_name, str)
    )


def ids(versions: Iterable[RoomState]) -> tuple[str, ...]:
    """Room ids of all versions, newest first."""
    return tuple([version.room_id for version in versions])
