"""Which of the account's rooms something is told of, while one waits: simplified sliding sync as a watch. Pure.

What is asked and what an answer tells, no more: what has happened there, a look finds out. A connection of its own
name leaves the bot's as it is. No extension is asked for (it would acknowledge the bot's to-device messages), no
timeline (a message would end the wait), and never a `/sync`.
"""

import re
from collections.abc import Collection
from typing import Any
from urllib.parse import quote

import msgspec

from toolkit.homeserver import sliding_sync
from toolkit.homeserver.sliding_sync import CONNECTION, LIST, PATH, read_answer

KINDS = (
    "m.room.create",
    "m.room.encryption",
    "m.room.member",
    "m.room.name",
    "m.room.tombstone",
    "m.space.child",
    "m.space.parent",
)
"""The state that a plan may rest on, whatever bot it is."""


class Following:
    """One connection: what to ask next, and how far it has come.

    `kinds`: further types of state events, of which all keys count; `*` are all there are. `name` tells this
    connection from any other, sixteen hex digits. `begun`: whether all rooms were told once, so that only what is
    new comes.
    """

    def __init__(self, kinds: Collection[str], name: str) -> None:
        types = ["*"] if "*" in kinds else sorted({*KINDS, *kinds})
        self._required = tuple((kind, "*") for kind in types)
        self._connection = f"{CONNECTION}-watch-{name}"
        self.restart()

    def restart(self) -> None:
        """Begin anew: the homeserver has forgotten the connection, or may have."""
        self._position, self._asked, self.begun = "", sliding_sync.STEP, False

    def path(self, seconds: float) -> str:
        """Where to ask, and how long an answer may wait for something new."""
        wait = int(seconds * 1000) if self.begun else 0
        position = f"&pos={quote(self._position, safe='')}" if self._position else ""
        return f"{PATH}?timeout={wait}&set_presence=offline{position}"

    @property
    def body(self) -> str:
        """What to ask: of every room, since whoever isn't in the range isn't told of."""
        wanted = _Wanted(((0, self._asked - 1),), self._required, 0)
        return msgspec.json.encode(_Asked(self._connection, {LIST: wanted})).decode()

    def take(self, body: bytes) -> frozenset[str]:
        """The rooms that an answer tells of. Raises `UnreadableState` for what is none."""
        answer = read_answer(body)
        self._position = answer.pos
        self.begun = answer.lists[LIST].count <= self._asked
        if not self.begun:
            self._asked += (
                sliding_sync.STEP
            )  # it grows and never moves, as the order of the rooms does
        return frozenset(answer.rooms)


def is_following(path: str, data: Any) -> bool:
    """Whether a POST is exactly one that a `Following` makes, and so nothing but a read.

    >>> made = Following((), "0123456789abcdef")
    >>> is_following(made.path(30), made.body), is_following(made.path(30), made.body.replace("-watch", ""))
    (True, False)
    """
    if not isinstance(data, str) or _OWN_PATH.fullmatch(path) is None:
        return False
    try:
        asked = _decode(data)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return False
    wanted = asked.lists.get(LIST)
    return (
        msgspec.json.encode(asked).decode() == data
        and _OWN_CONNECTION.fullmatch(asked.conn_id) is not None
        and len(asked.lists) == 1
        and wanted is not None
        and wanted.timeline_limit == 0
    )


class _Wanted(msgspec.Struct, forbid_unknown_fields=True):
    ranges: tuple[tuple[int, int]]
    required_state: tuple[tuple[str, str], ...]
    timeline_limit: int


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    conn_id: str
    lists: dict[str, _Wanted]


_decode = msgspec.json.Decoder(_Asked).decode
_OWN_CONNECTION = re.compile(rf"{CONNECTION}-watch-[0-9a-f]{{16}}", re.ASCII)
_OWN_PATH = re.compile(
    rf"{re.escape(PATH)}\?timeout=\d{{1,6}}&set_presence=offline(?:&pos=[\w.~%-]+)?", re.ASCII
)
