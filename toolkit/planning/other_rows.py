"""Rows of other platforms and kinds of room in the same table (rules 1). Pure.

They are no business of this toolkit: nothing is said of them, nothing is asked of their fields. Only
their numbers count, since the bot counts its chats over all platforms.
"""

from collections.abc import Callable, Iterable

import msgspec

from toolkit.convention import chat_number
from toolkit.records import Key, LocalState, chat_key, parse_key, room_key


class Others(msgspec.Struct, frozen=True):
    """Their keys, and which number each names for which user."""

    keys: frozenset[str] = frozenset()
    numbers: tuple[tuple[str, int], ...] = ()


def split_others(
    local: LocalState, platform: str, is_chat: Callable[[str], bool]
) -> tuple[LocalState, Others]:
    """The rows that are about chats of ours, and the others.

    `is_chat` says whether a room id is one of our chats: whatever a row says of one of those, it is
    wrong about it, and not somebody else's.
    """
    chats = {
        name
        for name, row in local.chats.items()
        if row.platform != platform
        and isinstance(row.platform, str)
        and not is_chat(row.surface_ref)
    }
    rooms = {
        room_id
        for room_id, row in local.rooms.items()
        if row.room_type != "chat" and isinstance(row.room_type, str) and not is_chat(room_id)
    }
    unreadable = {
        key
        for key, kind in local.kinds.items()
        if _is_other(parse_key(key), kind, platform, is_chat)
    }
    if not (chats or rooms or unreadable):
        return local, Others()
    ours = msgspec.structs.replace(
        local,
        chats={name: row for name, row in local.chats.items() if name not in chats},
        rooms={room_id: row for room_id, row in local.rooms.items() if room_id not in rooms},
        unreadable={key: why for key, why in local.unreadable.items() if key not in unreadable},
    )
    keys = {chat_key(*name) for name in chats} | {room_key(room_id) for room_id in rooms}
    named = [*chats, *(parse_key(key).name for key in unreadable)]
    named += [
        (local.rooms[room_id].matrix_user_id, local.rooms[room_id].chat_id) for room_id in rooms
    ]
    return ours, Others(frozenset(keys | unreadable), tuple(_numbers(named)))


def _is_other(key: Key, kind: str, platform: str, is_chat: Callable[[str], bool]) -> bool:
    """Of an object that lacks what our rows need: only its kind can be read."""
    if key.room_id:
        return kind != "chat" and not is_chat(key.room_id)
    return kind != platform


def _numbers(named: Iterable[tuple[str, str]]) -> Iterable[tuple[str, int]]:
    for user, chat_id in sorted(named):
        if user and (number := chat_number(chat_id)):
            yield user, number
