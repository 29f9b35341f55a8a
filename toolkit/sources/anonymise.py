"""A snapshot without anybody's data, for a bug report: the same plan comes out of it, up to names.

Only what the planner reads is taken over, through the pseudonyms; everything else is left out or
replaced by something of its type, and what is broken stays broken in the same way. Pure.

What stays is the shape: who is in which room, chat numbers, which room is older, what is damaged.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, TypeAlias

from toolkit.convention import Convention
from toolkit.errors import ToolkitError
from toolkit.records import NULL, Raw, parse_key
from toolkit.sources.link_pseudonyms import LinkPseudonyms
from toolkit.sources.pseudonyms import BROKEN, MATRIX, STATE_TYPES, Pseudonyms
from toolkit.sources.settings import CONVENTION
from toolkit.sources.snapshot import Snapshot

_Say: TypeAlias = Callable[[str], str]

_DEEPEST = 100
"""Levels of a value that are looked into; what is deeper was never read as anything."""

_TIMED = ("m.room.create", "m.room.name")
"""Nobody asks when anything else happened; of these, too, only which came first is left."""

_TOO_DEEP = "[" * 5_000
_NO_JSON = "{"
_SHORT = re.compile("-?[0-9]{1,1000}")
_VERSIONS = frozenset(str(number) for number in range(1, 100))
_MEMBERSHIPS = frozenset({"join", "invite", "leave", "ban", "knock"})
_ANSWERED = re.compile(
    "the homeserver (?:answered [1-5][0-9]{2}(?: M_(?:FORBIDDEN|NOT_FOUND|UNKNOWN))?|could not be reached"
    r"|gave no whole answer|broke the connection|sent what is no answer)\b"
)
_OWN_WORDS = (
    "its state can't be used: the homeserver's answer is no list of state events",
    "its state can't be used: state without the room's create event",
    "the client doesn't hold it",
)


def anonymise(snapshot: Snapshot) -> Snapshot:
    """The same sides with everybody's ids, names, servers and texts replaced. Pure; no way back.

    >>> anonymise(Snapshot("@eva:example.org", {}, {}, {"chat:@eva:example.org:C4": "{}"})).rows
    {'chat:@u0001:s0001:C4': '{}'}
    """
    return translate(snapshot, listen(snapshot))


def listen(snapshot: Snapshot) -> Pseudonyms:
    """The pseudonyms for a snapshot: whoever has them can tell who is who."""
    settings = {name: snapshot.settings[name] for name in CONVENTION if name in snapshot.settings}
    names = Pseudonyms(Convention(**settings), _salt(snapshot))
    translate(snapshot, names)
    names.settle()
    return names


def translate(snapshot: Snapshot, names: Pseudonyms) -> Snapshot:
    """The snapshot, in these words."""
    links = _links(snapshot, names)
    rooms = {names.text(room): _room(body, names, links) for room, body in snapshot.rooms.items()}
    return Snapshot(
        account=names.text(snapshot.account),
        rooms=rooms,
        unreadable={names.text(room_id): _why(why) for room_id, why in snapshot.unreadable.items()},
        rows=links.rows()
        if links
        else {
            names.key(key): _row(raw, names)
            for key, raw in snapshot.rows.items()
            if parse_key(key).family
        },
        time=snapshot.time,
        settings=_settings(snapshot.settings, names.convention),
        layout=links.layout if links else None,
        facts=links.facts if links else None,
    )


def _links(snapshot: Snapshot, names: Pseudonyms) -> LinkPseudonyms | None:
    if snapshot.layout is None:
        return None
    if isinstance(snapshot.layout.evidence, str):
        raise ToolkitError(
            "Where the bot's own code tells the ids, no anonymised snapshot can be taken: what it reads isn't known."
        )
    return LinkPseudonyms(snapshot.layout, snapshot.facts, snapshot.rows, names)


def _salt(snapshot: Snapshot) -> bytes:
    """From the original, so that who has only the other one can't count it up again."""
    digest = hashlib.sha256()
    for part in (snapshot.account, *sorted(snapshot.rooms.items()), *sorted(snapshot.rows.items())):
        digest.update(repr(part).encode(errors="surrogatepass"))
    return digest.digest()


def _settings(given: Mapping[str, Any], convention: Convention) -> dict[str, Any]:
    told = {name: getattr(convention, name) for name in CONVENTION if name in given}
    return {name: list(v) if isinstance(v, tuple) else v for name, v in told.items()}


def _why(why: str) -> str:
    """A homeserver's words may hold anything; ours, and its status code, don't."""
    if why in _OWN_WORDS:
        return why
    answered = _ANSWERED.match(why)
    return answered[0] if answered else "it could not be read"


# The remote side


def _room(body: bytes, names: Pseudonyms, links: LinkPseudonyms | None) -> bytes:
    try:
        events = _parse(body.decode(errors="surrogateescape"))
    except RecursionError:
        return _TOO_DEEP.encode()
    except ValueError:
        return _NO_JSON.encode() if body else b""
    if isinstance(events, _Object) or not isinstance(events, list):
        return b"{}"
    return _dump([_event(event, names, links) for event in events]).encode()


def _event(event: Any, names: Pseudonyms, links: LinkPseudonyms | None) -> Any:
    if not isinstance(event, _Object):
        return _value(event, names, names.text)
    say = _event_words(names)
    told = _fields(_Object(pair for pair in event if pair[0] in say), say, names)
    content = _content_words(names)
    kind = dict(event).get("type")
    timed = kind in _TIMED
    if links:
        links.hear(dict(event).get("sender"))
        content["name"] = links.name
    for field, value in event:
        if field == "content" and isinstance(value, _Object):
            known = _Object(pair for pair in value if pair[0] in content)
            said = _fields(known, content, names)
            for name, part in links.fields(kind, partial(_walk, value)) if links else ():
                said.append((name, _Token(part) if type(part) is int else part))
            told.append((field, said))
        elif field == "content":
            told.append((field, _value(value, names, names.text)))
        elif field == "origin_server_ts" and timed:
            told.append((field, _number(value, names, names.time)))
    return told


def _walk(content: Any, path: Iterable[str]) -> Any:
    """What stands at the end of a path of keys; a number that no id can be as one that is none."""
    for key in path:
        content = dict(content).get(key) if isinstance(content, _Object) else None
    if not isinstance(content, _Token):
        return content
    return int(content) if _SHORT.fullmatch(content) else 0.5


def _event_words(names: Pseudonyms) -> dict[str, _Say]:
    return {
        "type": lambda kind: names.keep(kind, STATE_TYPES),
        "state_key": names.text,
        "sender": names.text,
        "event_id": names.text,
    }


def _content_words(names: Pseudonyms) -> dict[str, _Say]:
    return {
        "type": lambda kind: names.keep(kind, {"m.space"}),
        "room_version": lambda version: names.keep(version, _VERSIONS),
        "predecessor": names.text,
        "replacement_room": names.text,
        "name": names.name,
        "via": names.server,
        "membership": lambda membership: names.keep(membership, _MEMBERSHIPS),
        "chat_id": names.chat,
    }


# The local side


def _row(raw: Raw, names: Pseudonyms) -> Raw:
    if raw is None or raw is NULL:
        return raw
    if isinstance(raw, int | float):
        return type(raw)(0)
    try:
        text = raw.decode() if isinstance(raw, bytes) else raw
        text.encode()
    except UnicodeError:
        text = BROKEN
    else:
        text = _row_text(text, names)
    return text.encode(errors="surrogateescape") if isinstance(raw, bytes) else text


def _row_text(text: str, names: Pseudonyms) -> str:
    try:
        row = _parse(text)
    except RecursionError:
        return _TOO_DEEP
    except ValueError:
        return _NO_JSON if text else ""
    if not isinstance(row, _Object):
        return _dump(_value(row, names, names.text))
    return _dump(_fields(row, _row_words(names), names))


def _row_words(names: Pseudonyms) -> dict[str, _Say]:
    return {
        "space_id": names.text,
        "next_chat_index": names.text,
        "room_type": lambda kind: names.keep(kind, {"chat"}),
        "chat_id": names.chat,
        "display_name": names.name,
        "matrix_user_id": names.text,
        "user_id": names.text,
        "platform": lambda platform: names.keep(platform, {MATRIX}),
        "surface_ref": names.text,
        "name": names.name,
    }


# Both


def _fields(fields: "_Object", say: Mapping[str, _Say], names: Pseudonyms) -> "_Object":
    """Fields in their order, as often as they are there; a strange one under a strange name."""
    return _Object(
        (
            names.keep(field, _FIELDS),
            _number(value, names, names.counter)
            if field == "next_chat_index"
            else _value(value, names, say.get(field, names.text)),
        )
        for field, value in fields
    )


def _number(value: Any, names: Pseudonyms, say: _Say) -> Any:
    return _Token(say(value)) if isinstance(value, _Token) else _value(value, names, names.text)


def _value(value: Any, names: Pseudonyms, say: _Say, depth: int = 0) -> Any:
    """A value of the same type; texts by `say`, however deep they are."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, _Token):
        return _Token(names.number(value))
    if isinstance(value, str):
        return say(value)
    if isinstance(value, _Object):
        return _Object(
            (names.keep(field, _FIELDS), _value(inner, names, names.text, depth + 1))
            for field, inner in value
        )
    if isinstance(value, list):
        return [_value(inner, names, say, depth + 1) for inner in value]
    return value


_FIELDS = frozenset(
    (
        *("type", "state_key", "sender", "event_id", "room_version", "predecessor", "room_id"),
        *("replacement_room", "name", "via", "membership", "chat_id", "space_id", "room_type"),
        *("next_chat_index", "display_name", "matrix_user_id", "user_id", "platform"),
        "surface_ref",
    )
)
"""Names of fields that tell nothing: those of the spec and of the three families."""


# JSON as it is written: numbers as digits, fields in order and as often as they come.


class _Token(str):
    __slots__ = ()


class _Object(list[tuple[str, Any]]):
    __slots__ = ()


def _parse(text: str) -> Any:
    return json.loads(
        text,
        object_pairs_hook=_Object,
        parse_int=_Token,
        parse_float=_Token,
        parse_constant=_Token,
    )


def _dump(value: Any) -> str:
    if isinstance(value, _Token):
        return str(value)
    if isinstance(value, _Object):
        return "{" + ",".join(f"{_dump(name)}:{_dump(inner)}" for name, inner in value) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(_dump, value)) + "]"
    return json.dumps(value, ensure_ascii=not isinstance(value, str) or BROKEN in value)
