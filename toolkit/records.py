"""Rows of the bot's key-value table: their keys, their values, and what of them can be read.

Readable is what the bot can read, so what Python's `json.loads` makes an object of. msgspec reads nearly
all rows, at a fraction of the cost; what it refuses (NaN, half an emoji) Python's own decoder reads again.
A value is kept as it is stored (`Raw`); a repair changes the values that it must and keeps all the rest to
the byte.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from math import isfinite
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

USER, ROOM, CHAT, LINK = "matrix_user:", "matrix_room:", "chat:", "link:"
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


class Key(NamedTuple):
    """What a row's key says: its family ("" for none of the three), and what it names in there.

    A user row names a user, a room row a room, a chat row a user and a chat id.
    """

    family: str
    user: str = ""
    room_id: str = ""
    chat_id: str = ""

    @property
    def name(self) -> tuple[str, str]:
        """User and chat id, as `LocalState.chats` has them."""
        return self.user, self.chat_id

    @property
    def is_placeholder(self) -> bool:
        """Whether the bot wrote the row for a room that it knew nothing about."""
        return is_placeholder(self.chat_id)


class Names(msgspec.Struct, frozen=True):
    """Whose rows are asked for, where not all are: everything that concerns these rooms and users.

    Of a room that is its own row, the chat rows that point at it and the user rows that name it as a
    Space; of a user all rows under their name, and the room rows that name them.
    """

    rooms: frozenset[str] = frozenset()
    users: frozenset[str] = frozenset()

    def __or__(self, other: "Names") -> "Names":
        return Names(self.rooms | other.rooms, self.users | other.users)

    def __le__(self, other: "Names") -> bool:
        return self.rooms <= other.rooms and self.users <= other.users


class LocalState(msgspec.Struct, frozen=True):
    """All rows of the three families at one moment, or those that concern some `Names`.

    `rows` holds every value as stored; the three tables hold what can be read, by mxid, room id and
    chat key; `unreadable` says why for each of the others. `kinds` tells, for those of them that are
    objects, what platform or type of room they name: one table may serve several. Equal if the stored
    rows are. `blobs` are the families whose values are stored as BLOBs.
    """

    rows: dict[str, Raw]
    users: dict[str, UserRow]
    rooms: dict[str, RoomRow]
    chats: dict[tuple[str, str], ChatRow]
    unreadable: dict[str, str]
    kinds: dict[str, str] = {}
    blobs: frozenset[str] = frozenset()

    def row(self, key: Key) -> "UserRow | RoomRow | ChatRow | None":
        """The readable row under a key."""
        if key.family == CHAT:
            return self.chats.get(key.name)
        return self.rooms.get(key.room_id) if key.family == ROOM else self.users.get(key.user)

    def encode(self, key: str, fields: Mapping[str, Any]) -> Raw:
        """The value of a new row, of the kind (TEXT or BLOB) that its family's values have."""
        text = encode_row(fields)
        return text.encode() if parse_key(key).family in self.blobs else text


_decode_user = msgspec.json.Decoder(UserRow).decode
_decode_room = msgspec.json.Decoder(RoomRow).decode
_decode_chat = msgspec.json.Decoder(ChatRow).decode
_UNREADABLE = (msgspec.DecodeError, UnicodeError, RecursionError, TypeError)
_ROW_TYPES: dict[str, type[UserRow | RoomRow | ChatRow]] = {
    USER: UserRow,
    ROOM: RoomRow,
    CHAT: ChatRow,
}
_KIND_FIELDS = {ROOM: "room_type", CHAT: "platform"}
_LONG = 4300
"""Digits that Python's `int()` takes; a longer row may hold a number that msgspec passes over."""


def user_key(user_id: str) -> str:
    """`matrix_user:{mxid}`."""
    return USER + user_id


def room_key(room_id: str) -> str:
    """`matrix_room:{room_id}`."""
    return ROOM + room_id


def chat_key(user_id: str, chat_id: str) -> str:
    """`chat:{mxid}:{chat_id}`; without a user whatever `split_chat_key` was given."""
    return f"{CHAT}{user_id}:{chat_id}" if user_id else CHAT + chat_id


def link_key(table: str, parts: Sequence[str]) -> str:
    """`link:{table}:{id}`, the key of a row that links an id to a room; a composite id as a JSON list.

    >>> link_key("tickets", ["7"]), link_key("portal", ["a:b", ""])
    ('link:tickets:7', 'link:portal:["a:b",""]')
    """
    [told, *more] = parts
    return f"{LINK}{table}:{encode_list(parts) if more else told}"


def split_link_key(key: str) -> tuple[str, str]:
    """Table and id of such a key; no table's name has a colon.

    >>> split_link_key('link:portal:["a:b",""]')
    ('portal', '["a:b",""]')
    """
    table, _, told = key.removeprefix(LINK).partition(":")
    return table, told


def encode_list(parts: Sequence[str]) -> str:
    """Texts as compact JSON; what isn't UTF-8 keeps its surrogates."""
    return json.dumps(list(parts), ensure_ascii=False, separators=(",", ":"))


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
    """User and chat id of a `chat:` key; both may contain colons (rules 1).

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


def parse_key(key: str) -> Key:
    """The one place that takes keys apart.

    >>> parse_key("chat:@alice:example.org:C4")
    Key(family='chat:', user='@alice:example.org', room_id='', chat_id='C4')
    >>> parse_key("matrix_room:!r").room_id, parse_key("config:bot").family
    ('!r', '')
    """
    if key.startswith(CHAT):
        user, chat_id = split_chat_key(key)
        return Key(CHAT, user, chat_id=chat_id)
    if key.startswith(ROOM):
        return Key(ROOM, room_id=key[len(ROOM) :])
    return Key(USER, key[len(USER) :]) if key.startswith(USER) else Key("")


def is_placeholder(chat_id: str) -> bool:
    """Whether a chat id is the bot's placeholder for a room that it has no row of."""
    return chat_id.startswith(UNREGISTERED)


def load_records(rows: Mapping[str, Raw] | Iterable[tuple[str, Raw]]) -> LocalState:
    """Read every row by itself, so that a poisoned one is a finding and the others go on.

    What many rows name is held once, and so are the rows: a dict of them is kept as it is.
    """
    state = LocalState(rows if isinstance(rows, dict) else dict(rows), {}, {}, {}, {}, {})
    users, rooms, chats = state.users, state.rooms, state.chats
    known: dict[str, str] = {}
    blobs: set[str] = set()

    def once(value: Any) -> Any:
        return known.setdefault(value, value) if type(value) is str else value

    for key, raw in state.rows.items():
        try:
            if type(raw) is bytes:
                blobs.add(parse_key(key).family)
                raw.decode()  # msgspec looks only at the fields that it is asked for
            if len(raw) > _LONG:  # type: ignore[arg-type]  # a number raises, and so does NULL
                _read_slowly(state, key, raw)
                continue
            # msgspec would leave a second copy of a text in it, as bytes.
            text = raw if type(raw) is bytes or raw.isascii() else raw.encode()  # type: ignore[union-attr]
            if key.startswith(CHAT):
                chat = _decode_chat(text)  # type: ignore[arg-type]
                user_id, chat_id = split_chat_key(key)
                chats[once(user_id), once(chat_id)] = ChatRow(
                    once(chat.surface_ref),
                    once(chat.user_id),
                    once(chat.chat_id),
                    once(chat.platform),
                )
            elif key.startswith(ROOM):
                room = _decode_room(text)  # type: ignore[arg-type]
                rooms[once(key[len(ROOM) :])] = RoomRow(
                    once(room.chat_id),
                    once(room.matrix_user_id),
                    once(room.space_id),
                    once(room.room_type),
                    once(room.display_name),
                )
            else:
                user = _decode_user(text)  # type: ignore[arg-type]
                users[once(key[len(USER) :])] = UserRow(once(user.space_id), user.next_chat_index)
        except _UNREADABLE:
            _read_slowly(state, key, raw)
    if not blobs:
        return state
    texts = {parse_key(key).family for key, raw in state.rows.items() if isinstance(raw, str)}
    alone = frozenset(blobs - texts) if texts else frozenset(FAMILIES)
    return msgspec.structs.replace(state, blobs=alone)


def _read_slowly(state: LocalState, key: str, raw: Raw) -> None:
    """A row that msgspec refuses: by Python's decoder, or else why it can't be read."""
    name = parse_key(key)
    try:
        fields, wanted = decode_object(raw), _ROW_TYPES.get(name.family, UserRow)
        row = msgspec.convert(
            {f: fields[f] for f in fields.keys() & wanted.__struct_fields__}, wanted
        )
    except msgspec.ValidationError as error:
        state.unreadable[key] = f"a needed field is absent or of the wrong type ({_field(error)})"
        if isinstance(kind := fields.get(_KIND_FIELDS.get(name.family, "")), str):
            state.kinds[key] = kind
    except UnicodeError:
        state.unreadable[key] = "a needed field holds half a character, which is no text"
    except ValueError as error:
        state.unreadable[key] = str(error)
    else:
        if isinstance(row, ChatRow):
            state.chats[name.name] = row
        elif isinstance(row, RoomRow):
            state.rooms[name.room_id] = row
        else:
            state.users[name.user or key[len(USER) :]] = row


def _field(error: Exception) -> str:
    """msgspec names the field and the types, never the value."""
    return (
        str(error)
        .replace("Object missing required field", "missing")
        .replace(" - at `$.", ", field `")
    )


def decode_object(raw: Raw) -> dict[str, Any]:
    """A stored value as the dict that a bot gets.

    Raises ValueError if it isn't a JSON object: why in words, and without the value itself, which may
    hold people's data.

    >>> decode_object('{"paid": NaN}')
    {'paid': nan}
    """
    if raw is NULL:
        raise ValueError("it is NULL")
    try:
        found = json.loads(_text(raw))
    except UnicodeError:
        raise ValueError("it is not UTF-8") from None
    except (ValueError, RecursionError, TypeError):
        raise ValueError("it is not JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is JSON, but not an object")
    return found


def _text(raw: Raw) -> str:
    """The text of a value. Raises UnicodeError or TypeError; a BLOB may begin with a byte order mark."""
    if isinstance(raw, bytes):
        return raw.decode("utf-8-sig")
    if not isinstance(raw, str):
        raise TypeError
    raw.encode()  # what isn't UTF-8 came as surrogate escapes
    return raw


def encode_row(fields: Mapping[str, Any]) -> str:
    """The text of a row, compact. Raises ValueError for what JSON can't hold.

    What the bot read it can write back: NaN, and half an emoji, as Python's json writes them.
    """
    try:
        text = msgspec.json.encode(fields).decode()
        if "null" not in text or _finite(fields):
            return text
        return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
    except UnicodeError:
        return json.dumps(fields, separators=(",", ":"))
    except (TypeError, ValueError, msgspec.EncodeError, RecursionError) as error:
        raise ValueError(f"a row's value can't be written as JSON: {error}") from None


def _finite(value: Any) -> bool:
    """Whether it holds no NaN and no infinity, which msgspec would make null of."""
    if isinstance(value, float):
        return isfinite(value)
    if isinstance(value, Mapping):
        return all(map(_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_finite, value))


def repair_row(raw: Raw, fields: Mapping[str, Any]) -> Raw:
    """A row that can be read, with some fields set; all the rest keeps its bytes, a BLOB stays one.

    A field that stands there twice is set in both places, so that every reader gets the same.

    >>> repair_row('{"space_id":"!a", "vip":1e400,"n":"x"}', {"space_id": "!b"})
    '{"space_id":"!b", "vip":1e400,"n":"x"}'
    >>> repair_row('{"mood": "\\\\ud83d"}', {"space_id": "!b"})
    '{"mood": "\\\\ud83d", "space_id": "!b"}'
    """
    text = raw.decode() if isinstance(raw, bytes) else str(raw)
    told = {name: encode_row({"": value})[4:-1] for name, value in fields.items()}
    absent, parts = dict(told), list[str]()
    kept, end, before = 0, text.index("{") + 1, ""
    for name, start, after in _values(text):
        if name in told:
            parts += text[kept:start], told[name]
            kept = after
            absent.pop(name, None)
        before, end = text[end:start], after
    parts += text[kept:end], _added(absent, before), text[end:]
    repaired = "".join(parts)
    return repaired.encode() if isinstance(raw, bytes) else repaired


_STRING = r'"(?:[^"\\]++|\\.)*+"'
_FIELD = re.compile(rf'({_STRING})\s*:\s*({_STRING}|[^\s",\[\]{{}}]+)?')
_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]")


def _values(text: str) -> Iterator[tuple[str, int, int]]:
    """Each field of an object: its name, and where its value begins and ends.

    Whatever a JSON reader takes is found without one, so that neither depth nor a long number can
    stop it.
    """
    at = 0
    while field := _FIELD.search(text, at):
        name, start, at = field[1], field.start(2), field.end()
        if start < 0:
            start, at = at, _close(text, at)
        yield json.loads(name) if "\\" in name else name[1:-1], start, at


def _close(text: str, at: int) -> int:
    """Where the array or object that begins here ends."""
    depth = 0
    for found in _BRACKET.finditer(text, at):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(found[0], 0)
        if not depth:
            return found.end()
    raise AssertionError("no JSON object")


def _added(fields: Mapping[str, str], before: str) -> str:
    """Fields to follow the last one, spaced as that is; `before` stands before its value."""
    if not before:
        return ",".join(f"{json.dumps(name)}:{value}" for name, value in fields.items())
    comma, colon = before[: before.index('"')], before[before.rindex('"') + 1 :]
    if "," not in comma:  # it is the only one
        comma = "," + (comma or colon.partition(":")[2])
    return "".join(f"{comma}{json.dumps(name)}{colon}{value}" for name, value in fields.items())


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
