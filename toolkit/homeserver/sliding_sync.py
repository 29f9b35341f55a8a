"""All rooms in few requests: simplified sliding sync (MSC4186), as far as a whole load needs it. Pure.

What is asked, and what an answer must hold to be believed. It is asked for the state of all rooms and
for nothing else: no extension (which would acknowledge the bot's to-device messages), no presence, no
timeline. A connection of our own leaves the bot's as it is; every load begins it anew, since an old one
only tells what has changed.
"""

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from toolkit.homeserver.room_state import UnreadableState

FEATURE = "org.matrix.simplified_msc3575"
PATH = f"/_matrix/client/unstable/{FEATURE}/sync"
STEP = 1_000  # rooms: some 3 MB, and seconds of a server's time
CONNECTION, LIST = "matrix-drift", "rooms"


def is_served(versions: Mapping[str, Any]) -> bool:
    """Whether the answer of `/versions` offers it.

    >>> is_served({"unstable_features": {FEATURE: True}})
    True
    """
    features = versions.get("unstable_features")
    return isinstance(features, dict) and features.get(FEATURE) is True


def is_own_request(path: str, data: Any) -> bool:
    """Whether a POST is exactly one that a `Slide` makes, and so nothing but a read.

    >>> is_own_request(PATH, body_of(STEP)), is_own_request(f"{PATH}?set_presence=online", body_of(STEP))
    (True, False)
    """
    rooms = _RANGE.search(data) if isinstance(data, str) else None
    if rooms is None or data != body_of(int(rooms[1]) + 1):
        return False
    return _OWN_PATH.fullmatch(path) is not None


def body_of(rooms: int) -> str:
    """What is asked: the whole state of so many rooms, whichever comes first."""
    wanted = {
        "ranges": [[0, rooms - 1]],
        "required_state": [["*", "*"]],
        "timeline_limit": 0,
    }
    return json.dumps({"conn_id": CONNECTION, "lists": {LIST: wanted}}, separators=(",", ":"))


class Slide:
    """One load: what to ask next, and what has come so far.

    The range grows by a step and never moves, because the order of the rooms does: so each answer holds
    the rooms that weren't sent yet.
    """

    def __init__(self, wanted: Iterable[str]) -> None:
        self._missing = set(wanted)
        self._most = 2 * len(self._missing) + STEP
        self._told: set[str] = set()
        self._asked, self._listed, self._position = 0, 1, ""

    @property
    def path(self) -> str:
        """Where to ask."""
        return f"{PATH}?pos={quote(self._position, safe='')}" if self._position else PATH

    @property
    def body(self) -> str:
        """What to ask."""
        return body_of(self._asked + STEP)

    @property
    def done(self) -> bool:
        """Whether there is nothing left to ask: what is missing now isn't listed."""
        return not self._missing or self._asked >= self._listed

    def take(self, body: bytes) -> list[tuple[str, bytes]]:
        """Ids and raw state of the wanted rooms in an answer; who isn't among them has to be read otherwise.

        Raises `UnreadableState` if the answer isn't whole; then none of this load is to be believed.
        """
        answer = read_answer(body)
        self._asked, self._position = self._asked + STEP, answer.pos
        self._told |= answer.rooms.keys()
        self._listed = answer.lists[LIST].count
        if len(self._told) != min(self._listed, self._asked):
            raise UnreadableState("another number of rooms than it counts")
        if self._listed > self._most:  # invitations, mostly
            raise UnreadableState("far more rooms than the account is in")
        wanted = self._missing & answer.rooms.keys()
        self._missing -= wanted
        found = ((room_id, _state(answer.rooms[room_id])) for room_id in sorted(wanted))
        return [(room_id, state) for room_id, state in found if state]


class _List(msgspec.Struct):
    count: int


class Answer(msgspec.Struct):
    """What an answer must have."""

    pos: str
    lists: dict[str, _List]
    rooms: dict[str, msgspec.Raw]


class _Room(msgspec.Struct):
    required_state: msgspec.Raw
    initial: bool


_decode_answer = msgspec.json.Decoder(Answer).decode
_decode_room = msgspec.json.Decoder(_Room).decode
_REFUSED = (msgspec.DecodeError, RecursionError, UnicodeError)


def read_answer(body: bytes) -> Answer:
    """An answer as a value. Raises `UnreadableState` for what is none."""
    try:
        answer = _decode_answer(body)
    except _REFUSED:
        answer = None
    if answer is None or LIST not in answer.lists or not 0 < len(answer.pos) <= _LONGEST_POSITION:
        raise UnreadableState("no answer of a sliding sync")
    return answer


def _state(room: msgspec.Raw) -> bytes:
    """A room's raw state; empty where it isn't all of it, as of a room that the account is invited to."""
    try:
        found = _decode_room(room)
    except _REFUSED:
        return b""
    return bytes(found.required_state) if found.initial else b""


_LONGEST_POSITION = 1_000
_RANGE = re.compile(r'"ranges":\[\[0,(\d{1,9})\]\]', re.ASCII)
_OWN_PATH = re.compile(rf"{re.escape(PATH)}(?:\?pos=[\w.~%-]+)?", re.ASCII)
