"""Rows of the bot's key-value table: their keys, their values, and what of them can be read.

One parser decides what is readable, msgspec: it is strict about types and never guesses. A value is
kept as it is stored (`Raw`); a repair changes the fields that it must and keeps all others to the byte.
"""

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import Any, Literal, TypeAlias

import msgspec

USER, ROOM, CHAT = "matrix_user:", "matrix_room:", "chat:"
FAMILIES = (CHAT, ROOM, USER)
UNREGISTERED = "unregistered:"
_PLACEHOLDER = f":{UNREGISTERED}!"


class Null(Enum):
    """SQL's NULL as the value of a row that is there; undo puts it back as it does any other."""

    NULL = "NULL"

    def __repr__(self) -> str:
        return self.value

    __str__ = __repr__


NULL: Literal[Null.NULL] = Null.NULL
Raw: TypeAlias = str | bytes | int | float | Null | None
"""A value as stored: text (what isn't UTF-8 as surrogate escapes), a BLOB, a number, or NULL.

None is no row.
"""


class UserRow(msgspec.Struct, frozen=True, gc=False):
    """`matrix_user:{mxid}`: where the user's Space is, and which number the next chat gets."""

    space_id: str
    next_chat_index: int


class RoomRow(msgspec.Struct, frozen=True, gc=False):
    """`matrix_room:{room_id}`: which chat a room is. Fields that aren't needed may be anything."""

    chat_id: str
    matrix_user_id: str
    space_id: str
    room_type: Any = None
    display_name: Any = None


class ChatRow(msgspec.Struct, frozen=True, gc=False):
    """`chat:{mxid}:{chat_id}`: the bot's own record of a chat, and the room where it lives."""

    surface_ref: str
    user_id: Any = None
    chat_id: Any = None
    platform: Any = None


class LocalState(msgspec.Struct, frozen=True):
    """All rows of the three families at one moment.

    `rows` holds every value as stored; the three tables hold what can be read, by mxid, room id and
    chat key; `unreadable` says why for each of the others. Equal if the stored rows are.
    """

    rows: dict[str, Raw]
    users: dict[str, UserRow]
    rooms: dict[str, RoomRow]
    chats: dict[tuple[str, str], ChatRow]
    unreadable: dict[str, str]


_decode_user = msgspec.json.Decoder(UserRow).decode
_decode_room = msgspec.json.Decoder(RoomRow).decode
_decode_chat = msgspec.json.Decoder(ChatRow).decode
_decode_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_object = msgspec.json.Decoder(dict[str, Any]).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, TypeError)


def user_key(user_id: str) -> str:
    """`matrix_user:{mxid}`."""
    return USER + user_id


def room_key(room_id: str) -> str:
    """`matrix_room:{room_id}`."""
    return ROOM + room_id


def chat_key(user_id: str, chat_id: str) -> str:
    """`chat:{mxid}:{chat_id}`; without a user whatever `split_chat_key` was given."""
    return f"{CHAT}{user_id}:{chat_id}" if user_id else CHAT + chat_id


def new_chat_row(
    user_id: str, chat_id: str, platform: str, surface_ref: str, name: str
) -> dict[str, Any]:
    """A chat row as the bot's chat manager writes it for a chat that it has no row of."""
    return {
        "user_id": user_id,
        "chat_id": chat_id,
        "platform": platform,
        "surface_ref": surface_ref,
        "name": name,
    }


def split_chat_key(key: str) -> tuple[str, str]:
    """User and chat id of a `chat:` key; both may contain colons (domain.md 1).

    A room id begins with `!`; without one, `unregistered` may be the name of a user's server.

    >>> split_chat_key("chat:@alice:example.org:C4")
    ('@alice:example.org', 'C4')
    >>> split_chat_key("chat:@alice:example.org:unregistered:!old:example.org")
    ('@alice:example.org', 'unregistered:!old:example.org')
    >>> split_chat_key("chat:@alice:unregistered:C4")
    ('@alice:unregistered', 'C4')

    A key that names no user comes back whole, so that two of them never look like one.

    >>> split_chat_key("chat:C4"), split_chat_key("chat::C4")
    (('', 'C4'), ('', ':C4'))
    >>> split_chat_key("chat:unregistered:!old")
    ('unregistered', '!old')
    """
    rest = key[len(CHAT) :]
    if _PLACEHOLDER in rest:
        user_id, _, room_id = rest.partition(_PLACEHOLDER)
        chat_id = f"{UNREGISTERED}!{room_id}"
    else:
        user_id, _, chat_id = rest.rpartition(":")
    return (user_id, chat_id) if user_id else ("", rest)


def load_records(rows: Iterable[tuple[str, Raw]]) -> LocalState:
    """Read every row by itself, so that a poisoned one is a finding and the others go on."""
    state = LocalState({}, {}, {}, {}, {})
    kept, users, rooms, chats = state.rows, state.users, state.rooms, state.chats
    for key, raw in rows:
        kept[key] = raw
        try:
            if type(raw) is bytes:
                raw.decode()  # msgspec looks only at the fields that it is asked for
            if key.startswith(CHAT):
                chats[split_chat_key(key)] = _decode_chat(raw)  # type: ignore[arg-type]  # NULL raises
            elif key.startswith(ROOM):
                rooms[key[len(ROOM) :]] = _decode_room(raw)  # type: ignore[arg-type]
            else:
                users[key[len(USER) :]] = _decode_user(raw)  # type: ignore[arg-type]
        except _UNREADABLE as error:
            state.unreadable[key] = why_unreadable(raw, error)
    return state


def why_unreadable(raw: Raw, error: Exception) -> str:
    """In words, and without the value itself: it may hold people's data."""
    if raw is NULL:
        return "it is NULL"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8"
    if isinstance(error, msgspec.ValidationError):
        try:
            _decode_object(raw)  # type: ignore[arg-type]  # a number raises
        except _UNREADABLE:
            return "it is JSON, but not an object"
        return f"a needed field is absent or of the wrong type ({_field(error)})"
    return "it is not JSON"


def _field(error: Exception) -> str:
    """msgspec names the field and the types, never the value."""
    return (
        str(error)
        .replace("Object missing required field", "missing")
        .replace(" - at `$.", ", field `")
    )


def decode_object(raw: Raw) -> dict[str, Any]:
    """A stored value as the dict that a bot gets. Raises ValueError if it isn't a JSON object."""
    try:
        return _decode_object(raw)  # type: ignore[arg-type]  # NULL raises
    except _UNREADABLE as error:
        raise ValueError(why_unreadable(raw, error)) from None


def encode_row(fields: Mapping[str, Any]) -> str:
    """The text of a row. Raises ValueError for what JSON can't hold."""
    try:
        return msgspec.json.encode(fields).decode()
    except (TypeError, UnicodeError, msgspec.EncodeError, RecursionError) as error:
        raise ValueError(f"a row's value can't be written as JSON: {error}") from None


def repair_row(raw: Raw, fields: Mapping[str, Any]) -> Raw:
    """The same row with some fields set; every other field keeps its bytes, a BLOB stays one.

    >>> repair_row('{"space_id":"!a", "vip":1e400,"n":"x"}', {"space_id": "!b"})
    '{"space_id":"!b","vip":1e400,"n":"x"}'
    """
    kept: dict[str, Any] = dict(_decode_fields(raw))  # type: ignore[arg-type]
    text = encode_row(kept | dict(fields))
    return text.encode() if isinstance(raw, bytes) else text


def pack_raw(raw: Raw) -> Any:
    """A value as JSON that tells what isn't text or a number, and NULL from no row."""
    if isinstance(raw, bytes):
        return {"blob": raw.hex()}
    return {"null": True} if raw is NULL else raw


def unpack_raw(value: Any) -> Raw:
    """The value that was packed. Raises KeyError, TypeError or ValueError for what never was one."""
    if not isinstance(value, dict):
        return value  # type: ignore[no-any-return]  # text, a number or None, as it was packed
    return NULL if "null" in value else bytes.fromhex(value["blob"])
