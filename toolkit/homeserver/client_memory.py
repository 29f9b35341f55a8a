"""What a client object remembers of its rooms, as `RoomState`s that prove nothing. Pure.

Memory may let a start-up run take a room as in sync, or say where to look (rules 4): nio fills
names from events with a foreign state key, keeps values of redacted events, forgets who sent what,
and loses create events of upgraded rooms. Stand-ins in tests may hold anything at all.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from toolkit.model import Link, Member, RoomState

UNVERIFIED = "unverified"
"""Stands in evidence where an event id would, for what only a client object's memory says."""

_NAMING = ("children", "parents")
_NAMING_IN_SPACES = (*_NAMING, "users", "invited_users")


def remembered_rooms(client: Any) -> dict[str, RoomState]:
    """Every room that the client object holds, as far as it can be understood."""
    account = user_id_of(client)
    return {
        room_id: _recall(room_id, room, account)
        for room_id, room in _mapping(client, "rooms").items()
        if isinstance(room_id, str)
    }


def knows_create_event(client: Any, room_id: str) -> bool:
    """Whether nio ever saw the room's create event; without it, the rest may be missing too."""
    room = _mapping(client, "rooms").get(room_id)
    return isinstance(getattr(room, "room_type", None), str)


def remembered_room(client: Any, room_id: str) -> RoomState | None:
    """One of them, if nio ever saw its create event."""
    if not knows_create_event(client, room_id):
        return None
    return _recall(room_id, _mapping(client, "rooms")[room_id], user_id_of(client))


def held_rooms(client: Any) -> list[tuple[str, Any]]:
    """All rooms that the client object holds, by their ids; the objects are its own."""
    return list(_mapping(client, "rooms").items())


def note_links(room_id: str, room: Any, near: dict[str, list[str]]) -> None:
    """Add what such a room says of others: room id -> rooms that name it, and user -> Spaces that they
    are in."""
    is_space = getattr(room, "room_type", None) == "m.space"
    for name in _NAMING_IN_SPACES if is_space else _NAMING:
        if value := getattr(room, name, None):
            # nio's are sets and dicts of texts; whatever else a stand-in holds is looked at twice.
            for other in value if type(value) in (set, dict) else _texts(room, name):
                near.setdefault(other, []).append(room_id)
    if replacement := _text(getattr(room, "replacement_room", None)):
        near.setdefault(replacement, []).append(room_id)


class Glimpse(NamedTuple):
    """What of a client's memory could make another answer of whether a room is a chat."""

    account: str
    homeserver: str
    room: RoomState | None
    lists: tuple[str, ...]
    rooms: int


def glimpse(client: Any, room_id: str) -> Glimpse:
    """As it is now: the room (who is in it matters in a Space alone), who lists it, and which rooms there are."""
    rooms = _mapping(client, "rooms")
    account = user_id_of(client)
    room = _recall(room_id, rooms[room_id], account) if room_id in rooms else None
    if room and not room.is_space:
        room = msgspec.structs.replace(room, members=())
    lists = (r for r, held in rooms.items() if room_id in _listed(held))
    homeserver = _text(getattr(client, "homeserver", None)) or ""
    return Glimpse(account, homeserver, room, tuple(sorted(lists)), hash(frozenset(rooms)))


def user_id_of(client: Any) -> str:
    """The account that the client object says it has; empty if it doesn't."""
    found = (_text(getattr(client, name, None)) for name in ("user_id", "user"))
    return next((user for user in found if user), "")


def _recall(room_id: str, room: Any, account: str) -> RoomState:
    """One room. Memory doesn't know who sent what: the account is assumed."""
    name = "name" if hasattr(room, "name") else "display_name"
    members = dict.fromkeys(_texts(room, "users"), "join")
    members |= dict.fromkeys(_texts(room, "invited_users"), "invite")
    return RoomState(
        room_id=room_id,
        creator=_text(getattr(room, "creator", None)) or account,
        create_event=UNVERIFIED,
        room_type=_text(getattr(room, "room_type", None)),
        replacement=_replacement(room_id, getattr(room, "replacement_room", None)),
        name=_text(getattr(room, name, None)),
        name_sender=account,
        name_event=UNVERIFIED,
        children=_links(room, "children", account),
        parents=_links(room, "parents", account),
        members=tuple(Member(user, how, UNVERIFIED) for user, how in sorted(members.items())),
        encrypted=getattr(room, "encrypted", None) is True,
        verified=False,
    )


def _replacement(room_id: str, named: Any) -> str | None:
    """A tombstone that names no room, or its own, is none (rules 2.5)."""
    text = _text(named)
    return text if text and text.startswith("!") and text != room_id else None


def _links(room: Any, name: str, account: str) -> tuple[Link, ...]:
    return tuple(Link(target, account, UNVERIFIED) for target in sorted(_texts(room, name)))


def _mapping(holder: Any, name: str) -> Mapping[Any, Any]:
    value = getattr(holder, name, None)
    return value if isinstance(value, Mapping) else {}


def _texts(room: Any, name: str) -> set[str]:
    value = getattr(room, name, None)
    if not value:
        return set()
    items = value if isinstance(value, Iterable) and not isinstance(value, str) else ()
    return {item for item in items if isinstance(item, str)}


def _listed(room: Any) -> Any:
    value = getattr(room, "children", None)
    return value if type(value) is set else _texts(room, "children")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
