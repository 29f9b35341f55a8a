"""State events that are kept with their whole content: of the few types that a layout's evidence names. Pure.

A second way through a room's raw state, which only bots of shape links take.
"""

import json
from collections.abc import Collection, Iterable
from contextlib import suppress
from typing import Any

import msgspec

from toolkit.model import StateEvent


class _Event(msgspec.Struct, gc=False):
    type: Any = None
    content: msgspec.Raw = msgspec.Raw(b"{}")
    state_key: Any = None
    sender: Any = None
    event_id: Any = None


_decode_events = msgspec.json.Decoder(list[_Event]).decode
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeError)
_UNSTORABLE = (UnicodeError, RecursionError, OverflowError)


def keep_events(body: bytes, types: Collection[str]) -> tuple[StateEvent, ...]:
    """Events of these types, in the order of type and state key; a malformed one counts as absent.

    A content that is none, or that no row could hold, is an empty one.

    >>> body = b'[{"type":"t","state_key":"","sender":"@b","event_id":"$1","content":{"id":7}}]'
    >>> keep_events(body, {"t"})[0].content
    {'id': 7}
    """
    events: Iterable[_Event] | None = None
    with suppress(*_REFUSED):  # not as a cause of what follows: it may hold the body
        events = _decode_events(body)
    if events is None:
        events = _decode_leniently(body)
    asked = (
        event for event in events if isinstance(event.type, str) and clean(event.type) in types
    )
    found = map(_kept, asked)
    return tuple(
        sorted(filter(None, found), key=lambda event: (event.type, event.state_key, event.event_id))
    )


def clean(value: Any) -> Any:
    """The value, or None if it holds what is no UTF-8: no row could take it."""
    try:
        msgspec.json.encode(value)
    except _UNSTORABLE:
        return None
    return value


def _decode_leniently(body: bytes) -> list[_Event]:
    """By Python's own decoder, which takes nearly everything that can be told apart."""
    parts = json.loads(body.decode(errors="surrogateescape"))
    names = _Event.__struct_fields__
    found = []
    for part in parts:
        if isinstance(part, dict):
            told = {name: part[name] for name in names if name in part}
            told["content"] = msgspec.Raw(json.dumps(told.get("content")).encode())
            found.append(_Event(**told))
    return found


def _kept(event: _Event) -> StateEvent | None:
    type_, key, sender, event_id = (
        _text(event.type),
        _text(event.state_key),
        _text(event.sender),
        _text(event.event_id),
    )
    if type_ is None or key is None or sender is None or event_id is None:
        return None
    content = None
    with suppress(ValueError, RecursionError):
        content = clean(json.loads(bytes(event.content)))
    return StateEvent(type_, key, sender, event_id, content if isinstance(content, dict) else {})


def _text(value: Any) -> str | None:
    return value if isinstance(clean(value), str) else None
