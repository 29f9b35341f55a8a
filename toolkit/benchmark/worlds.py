"""Worlds of any size for benchmarks: the state that Synapse gives a young room, and the rows for it.

Five chats a user and a Space each. Every twentieth room has lost its room row, as after a crash.
"""

import json
from collections.abc import Iterator
from typing import Any

BOT = "@bot:example.org"
CHATS_EACH = 5
DRIFT_EVERY = 20


def scale_rooms(chats: int) -> Iterator[tuple[str, bytes]]:
    """(room id, raw state) of all chats and Spaces; about 3 KB a chat."""
    for number in range(chats):
        user, place = divmod(number, CHATS_EACH)
        room_id, space_id, owner = _ids(user, place)
        if place == 0:
            yield space_id, _space(space_id, user, owner, min(CHATS_EACH, chats - number))
        yield room_id, _chat(room_id, space_id, owner, place)


def scale_rows(chats: int, *, drift_every: int = DRIFT_EVERY) -> Iterator[tuple[str, str]]:
    """The bot's rows for the same world; every so many rooms have lost theirs, with 0 none."""
    for number in range(chats):
        user, place = divmod(number, CHATS_EACH)
        room_id, space_id, owner = _ids(user, place)
        chat_id, name = f"C{place + 1}", f"Чат {place + 1}"
        if place == 0:
            count = min(CHATS_EACH, chats - number)
            yield _row(f"matrix_user:{owner}", space_id=space_id, next_chat_index=count + 1)
        if not drift_every or number % drift_every:
            yield _row(
                f"matrix_room:{room_id}",
                room_type="chat",
                chat_id=chat_id,
                display_name=name,
                matrix_user_id=owner,
                space_id=space_id,
            )
        yield _row(
            f"chat:{owner}:{chat_id}",
            user_id=owner,
            chat_id=chat_id,
            platform="matrix",
            surface_ref=room_id,
            name=name,
        )


def _ids(user: int, place: int) -> tuple[str, str, str]:
    """Room, Space and owner; ids as long as those of room version 12."""
    return f"!chat{user:038d}{place}", f"!space{user:038d}", f"@user{user}:example.org"


def _row(key: str, **fields: Any) -> tuple[str, str]:
    return key, json.dumps(fields, ensure_ascii=False)


def _space(room_id: str, user: int, owner: str, chats: int) -> bytes:
    children = [
        _event(room_id, "m.space.child", {"via": ["example.org"]}, _ids(user, place)[0])
        for place in range(chats)
    ]
    return _state(room_id, owner, "Space", {"type": "m.space"}, children)


def _chat(room_id: str, space_id: str, owner: str, place: int) -> bytes:
    link = {"via": ["example.org"], "canonical": True}
    parent = _event(room_id, "m.space.parent", link, space_id)
    return _state(room_id, owner, f"Чат {place + 1}", {}, [parent])


def _state(
    room_id: str, owner: str, name: str, create: dict[str, Any], links: list[dict[str, Any]]
) -> bytes:
    events = [
        _event(room_id, "m.room.create", {"room_version": "12", **create}),
        _event(room_id, "m.room.member", {"membership": "join", "displayname": "bot"}, BOT),
        _event(room_id, "m.room.power_levels", _POWER),
        _event(room_id, "m.room.join_rules", {"join_rule": "invite"}),
        _event(room_id, "m.room.history_visibility", {"history_visibility": "shared"}),
        _event(room_id, "m.room.guest_access", {"guest_access": "can_join"}),
        _event(room_id, "m.room.name", {"name": name}),
        _event(room_id, "m.room.member", {"membership": "join", "displayname": "user"}, owner),
        *links,
    ]
    return json.dumps(events, ensure_ascii=False).encode()


def _event(room_id: str, kind: str, content: dict[str, Any], key: str = "") -> dict[str, Any]:
    return {
        "type": kind,
        "room_id": room_id,
        "sender": BOT,
        "content": content,
        "state_key": key,
        "origin_server_ts": 1_700_000_000_000 + len(room_id),
        "unsigned": {"membership": "join", "age": 123456},
        "event_id": f"${kind}{room_id[1:44]}"[:44],
        "user_id": BOT,
        "age": 123456,
    }


_POWER = {
    "users": {},
    "users_default": 0,
    "events": {
        "m.room.name": 50,
        "m.room.power_levels": 100,
        "m.room.history_visibility": 100,
        "m.room.canonical_alias": 50,
        "m.room.avatar": 50,
        "m.room.tombstone": 150,
        "m.room.server_acl": 100,
        "m.room.encryption": 100,
    },
    "events_default": 0,
    "state_default": 50,
    "ban": 50,
    "kick": 50,
    "redact": 50,
    "invite": 0,
}
