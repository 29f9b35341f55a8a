"""From a room's raw state, as `/rooms/{id}/state` gives it, to a `RoomState`. Pure.

A typed decoder reads one room at a time and leaves out what nobody asks for. Content of a wrong shape
counts as absent, never as an error (rules 2.2): what the typed decoder refuses is read again piece by
piece, and only the piece that can't be read is left out.
"""

import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from sys import intern
from typing import Any

import msgspec

from toolkit.homeserver.kept_events import clean, keep_events
from toolkit.model import Link, Member, RoomState


class UnreadableState(ValueError):
    """The body is no list of state events."""


class _Content(msgspec.Struct, gc=False):
    type: Any = None
    room_version: Any = None
    predecessor: Any = None
    replacement_room: Any = None
    name: Any = None
    via: Any = None
    membership: Any = None
    chat_id: Any = None


class _Event(msgspec.Struct, gc=False):
    type: str
    content: _Content
    state_key: str | None = None
    sender: str | None = None
    event_id: str = ""
    origin_server_ts: Any = None


_decode_events = msgspec.json.Decoder(list[_Event]).decode
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeError)


def decode_room(
    room_id: str,
    body: bytes,
    state_event_type: str | None = None,
    known: dict[str, str] | None = None,
    kept: frozenset[str] = frozenset(),
) -> RoomState:
    """Read the state of one room. Raises `UnreadableState` if the body isn't a JSON list.

    Events of the types `kept` are kept with their whole content. `known` goes from room to room: ids and names
    that many of them hold are held once.

    >>> decode_room("!r", b'[{"type":"m.room.name","state_key":"","sender":"@b","content":{"name":"C1"}}]').name
    'C1'
    """
    events: Iterable[_Event] | None = None
    with suppress(*_REFUSED):  # not as a cause of what follows: it may hold the body
        events = _decode_events(body)
    if events is None:
        events = _decode_leniently(body)
    room = _project(room_id, events, state_event_type, {} if known is None else known)
    return msgspec.structs.replace(room, kept=keep_events(body, kept)) if kept else room


def _decode_leniently(body: bytes) -> list[_Event]:
    """Python's own decoder lets more through, and what is wrong with it can be left out piece by piece."""
    try:
        parts = json.loads(body.decode(errors="surrogateescape"))
    except (ValueError, RecursionError):
        parts = None
    if not isinstance(parts, list):
        raise UnreadableState("the homeserver's answer is no list of state events")
    return [_read_event(part) for part in parts if isinstance(part, dict)]


def _read_event(part: dict[str, Any]) -> _Event:
    content = part.get("content")
    fields = content if isinstance(content, dict) else {}
    return _Event(
        type=_string(clean(part.get("type"))) or "",
        content=_Content(**{name: clean(fields.get(name)) for name in _Content.__struct_fields__}),
        state_key=_string(clean(part.get("state_key"))),
        sender=_string(clean(part.get("sender"))),
        event_id=_string(clean(part.get("event_id"))) or "",
        origin_server_ts=part.get("origin_server_ts"),
    )


def _project(
    room_id: str, events: Iterable[_Event], custom: str | None, known: dict[str, str]
) -> RoomState:
    found: dict[str, Any] = {}
    members: list[Member] = []
    children: list[Link] = []
    parents: list[Link] = []
    # What is the same in many rooms is kept once: over a hundred thousand of them that is time, too.
    once = known.setdefault
    for event in events:
        kind, key = event.type, event.state_key
        if kind == "m.room.member":
            membership = event.content.membership
            if key and isinstance(membership, str):
                members.append(Member(once(key, key), intern(membership), event.event_id))
        elif kind == "m.space.child" or kind == "m.space.parent":
            if key and event.sender and _live(event.content.via):
                links = children if kind == "m.space.child" else parents
                links.append(Link(once(key, key), intern(event.sender), event.event_id))
        elif key == "":
            if reader := _READERS.get(kind):
                reader(found, event)
            if kind == custom:
                _read_custom(found, event)
    if name := found.get("name"):
        found["name"] = once(name, name)
    if found.get("replacement") == room_id:
        del found["replacement"]  # a room that replaces itself goes on
    return RoomState(
        room_id=once(room_id, room_id),
        members=tuple(sorted(members, key=_by_user)) if len(members) > 1 else tuple(members),
        children=tuple(sorted(children, key=_by_target)) if len(children) > 1 else tuple(children),
        parents=tuple(sorted(parents, key=_by_target)) if len(parents) > 1 else tuple(parents),
        **found,
    )


def _read_create(found: dict[str, Any], event: _Event) -> None:
    content = event.content
    found["creator"] = _shared(event.sender)
    found["create_event"] = event.event_id
    found["created"] = _time(event)
    found["room_type"] = _string(content.type)
    found["version"] = _shared(_string(content.room_version))
    if isinstance(content.predecessor, dict):
        found["predecessor"] = _string(content.predecessor.get("room_id"))


def _read_tombstone(found: dict[str, Any], event: _Event) -> None:
    # What names no room is malformed: the room goes on.
    if (replacement := _string(event.content.replacement_room)) and replacement.startswith("!"):
        found["replacement"] = replacement


def _read_name(found: dict[str, Any], event: _Event) -> None:
    # The spec reads an empty name as no name (m.room.name).
    if name := _string(event.content.name):
        found.update(name=name, name_sender=_shared(event.sender), name_event=event.event_id)
        found["named"] = _time(event)


def _read_encryption(found: dict[str, Any], event: _Event) -> None:
    found["encrypted"] = True


def _read_custom(found: dict[str, Any], event: _Event) -> None:
    found["chat_id"] = event.content.chat_id
    found.update(chat_id_sender=event.sender, chat_id_event=event.event_id)


_READERS: dict[str, Callable[[dict[str, Any], _Event], None]] = {
    "m.room.create": _read_create,
    "m.room.tombstone": _read_tombstone,
    "m.room.name": _read_name,
    "m.room.encryption": _read_encryption,
}


def _live(via: Any) -> bool:
    """A link counts only with a non-empty list of strings (rules 1)."""
    return isinstance(via, list) and bool(via) and all(isinstance(server, str) for server in via)


def _time(event: _Event) -> int | None:
    return event.origin_server_ts if type(event.origin_server_ts) is int else None


def _string(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _shared(text: str | None) -> str | None:
    return text and intern(text)


def _by_user(member: Member) -> str:
    return member.user_id


def _by_target(link: Link) -> str:
    return link.target
