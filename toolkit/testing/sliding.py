"""Simplified sliding sync as a fake homeserver serves it: lists, ranges and connections, no extensions.

As Synapse answers (MSC4186 before it was merged): a list without `ranges` counts and gives nothing, one
without `timeline_limit` is refused, and a request without `pos` begins its connection anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from toolkit.testing.world import Event, encode

PATH = ["_matrix", "client", "unstable", "org.matrix.simplified_msc3575", "sync"]
FEATURES = {"org.matrix.simplified_msc3575": True}
"""What a homeserver says in `/versions` of this."""

State = list[Event] | bytes


class RefusedSlide(Exception):
    """A request that is answered with 400 and this error code."""

    def __init__(self, errcode: str, message: str) -> None:
        super().__init__(message)
        self.errcode = errcode


class SlidingConnections:
    """What was sent to whom: it comes again only on a new connection, or when it is something else."""

    def __init__(self) -> None:
        self._sent: dict[str, tuple[str, dict[str, bytes]]] = {}
        self._count = 0

    def has_news(self, rooms: Mapping[str, State], body: bytes, pos: str | None) -> bool:
        """Whether an answer would hold any room. Raises `RefusedSlide`."""
        return bool(self._find(rooms, body, pos)[2])

    def answer(self, rooms: Mapping[str, State], body: bytes, pos: str | None) -> bytes:
        """The body of an answer. Raises `RefusedSlide`."""
        connection, lists, parts, sent = self._find(rooms, body, pos)
        self._count += 1
        self._sent[connection] = (f"{self._count}/s{self._count}", sent | parts)
        return _join(self._sent[connection][0], lists, parts)

    def forget(self) -> None:
        """No position is known any more."""
        self._sent.clear()

    def _find(
        self, rooms: Mapping[str, State], body: bytes, pos: str | None
    ) -> tuple[str, dict[str, Any], dict[str, bytes], dict[str, bytes]]:
        asked = json.loads(body)
        connection = asked.get("conn_id", "")
        sent = self._resume(connection, pos)
        lists: dict[str, Any] = {}
        parts: dict[str, bytes] = {}
        for name, wanted in asked["lists"].items():
            if "timeline_limit" not in wanted:
                raise RefusedSlide("M_BAD_JSON", f"lists.{name}.timeline_limit: Field required")
            lists[name] = {"count": len(rooms)}
            for room_id in _within(list(rooms), wanted.get("ranges", [])):
                part = _room(rooms[room_id], wanted["required_state"])
                if sent.get(room_id) != part:
                    parts[room_id] = part
        return connection, lists, parts, sent

    def _resume(self, connection: str, pos: str | None) -> dict[str, bytes]:
        if pos is None:
            return {}
        known, sent = self._sent.get(connection, ("", dict[str, bytes]()))
        if known != pos:
            raise RefusedSlide("M_UNKNOWN_POS", "Unknown position")
        return sent


def _within(room_ids: list[str], ranges: list[list[int]]) -> Iterator[str]:
    for first, last in ranges:
        yield from room_ids[first : last + 1]


def _room(state: State, required: list[list[str]]) -> bytes:
    """A room with its state, bytes as they are where all of it is required."""
    if ["*", "*"] not in required or not isinstance(state, bytes):
        events = json.loads(state) if isinstance(state, bytes) else state
        state = encode([event for event in events if _is_required(event, required)])
    return (
        b'{"initial":true,"notification_count":0,"highlight_count":0,"required_state":%s}' % state
    )


def _is_required(event: Event, required: list[list[str]]) -> bool:
    return any(
        kind in ("*", event["type"]) and key in ("*", event["state_key"]) for kind, key in required
    )


def _join(pos: str, lists: dict[str, Any], rooms: dict[str, bytes]) -> bytes:
    parts = b",".join(b"%s:%s" % (encode(room_id), body) for room_id, body in rooms.items())
    head = b'{"pos":%s,"lists":%s,"rooms":{%s},"extensions":{}}'
    return head % (encode(pos), encode(lists), parts)
