"""What stands for what in an anonymised snapshot: equal texts get equal pseudonyms, others others. Pure.

It listens first, to everything that it will be asked for, and numbers that when it has heard all.
Rooms, events and times keep their order, on which a plan may rest; users, servers and free text are
shuffled, because their alphabetical order would say something about them.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from toolkit.convention import Convention, chat_number
from toolkit.layout import as_integer
from toolkit.records import CHAT, UNREGISTERED, chat_key, parse_key

BROKEN = "\udcff"
"""No UTF-8, wherever it stands: what could not be encoded still can't."""

MATRIX = "matrix"
STATE_TYPES = frozenset(
    f"m.{name}"
    for name in (
        *("space.child", "space.parent", "room.create", "room.member", "room.name", "room.topic"),
        *("room.avatar", "room.canonical_alias", "room.aliases", "room.join_rules"),
        *("room.power_levels", "room.history_visibility", "room.guest_access", "room.encryption"),
        *("room.pinned_events", "room.server_acl", "room.third_party_invite", "room.tombstone"),
    )
)
"""State events of the Matrix spec; the name of any other may tell whose bot this is."""

_SIGILS = {"@": "u", "!": "r", "$": "e"}
_TEMPLATES = Convention().room_name_patterns
_NUMBERS = re.compile("[1-9][0-9]{0,8}")
_NAMED = "Room ([1-9][0-9]{0,8}) text[0-9]+"
_PORT = re.compile(".+:[0-9]{1,5}")
_BIG = 19  # digits from which on a number fits no 64 bits
_EPOCH, _TICK = 946_684_800_000, 60_000  # the year 2000, a minute


class Pseudonyms:
    """The dictionary of one snapshot. Before `settle` the answers are worth nothing.

    >>> names = Pseudonyms(Convention(), b"salt")
    >>> names.text("@alice:example.org") and names.settle()
    >>> names.text("@alice:example.org")
    '@u0001:s0001'
    """

    def __init__(self, convention: Convention, salt: bytes) -> None:
        self._salt, self._original = salt, convention
        self._told = _anonymous_patterns(convention)
        self._heard: dict[str, set[str]] = defaultdict(set)
        self._numbers: dict[str, dict[str, str]] = {}

    def settle(self) -> None:
        """Number everything heard so far; nothing else can be asked from now on."""
        orders: Mapping[str, Callable[[str], Any]] = {"!": str, "$": str, "time": int, "id": str}
        for kind, heard in self._heard.items():
            width = max(4, len(str(len(heard))))
            ordered = enumerate(sorted(heard, key=orders.get(kind, self._shuffled)), 1)
            self._numbers[kind] = {text: f"{number:0{width}}" for number, text in ordered}

    @property
    def convention(self) -> Convention:
        """How the anonymous bot names its chats."""
        original, default = self._original, self._original.default_room_name
        kind = original.state_event_type
        return Convention(
            room_name_patterns=self._told.room_name_patterns,
            default_room_name=self._told.default_room_name
            if "{n}" in default
            else self.name(default),
            state_event_type=None if kind is None else self.keep(kind, STATE_TYPES),
            helper_accounts=[self.text(user) for user in original.helper_accounts],
            former_accounts=[self.text(user) for user in original.former_accounts],
            platform=self.keep(original.platform, {MATRIX}),
        )

    def text(self, text: str) -> str:
        """For an id, which stays one of its kind, and for any other text."""
        if not text:
            return text
        mark = "" if _encodable(text) else BROKEN
        if letter := _SIGILS.get(text[0]):
            _, colon, server = text.partition(":")
            number = self._number(text[0], text)
            return f"{text[0]}{letter}{number}{colon}{self.server(server)}{mark}"
        return f"text{self._number('text', text)}{mark}"

    def id(self, part: str) -> str:
        """For a part of an id of a bot's own; integers stay integers, and in order as texts."""
        if as_integer(part) is None:
            return self.text(part)
        return ("-" if part.startswith("-") else "") + "1" + self._number("id", part)

    def keep(self, text: str, words: frozenset[str] | set[str]) -> str:
        """The same text if it is one of these words."""
        return text if text in words else self.text(text)

    def server(self, server: str) -> str:
        """For a server's name; a port stays visible as one, and so does the bot's word in its place."""
        if not server or f"{server}:" == UNREGISTERED:
            return server
        mark = "" if _encodable(server) else BROKEN
        port = ":1" if _PORT.fullmatch(server) else ""
        return f"s{self._number('server', server)}{port}{mark}"

    def chat(self, chat_id: str) -> str:
        """For a chat id, which stays, or for what stands in its place."""
        if chat_number(chat_id) is not None:
            return chat_id
        if chat_id.startswith(UNREGISTERED):
            return UNREGISTERED + self.text(chat_id.removeprefix(UNREGISTERED))
        return self.text(chat_id)

    def name(self, name: str) -> str:
        """For a name: one that stands for a chat still stands for the same."""
        if not _encodable(name):
            return self.text(name)
        chat_id = self._original.chat_id_of(name)
        for plain in self._plain(name):
            if self._told.chat_id_of(plain) == chat_id:
                return plain
        if chat_id is None:
            return self.text(name)
        return f"Room {chat_id.removeprefix('C')} text{self._number('text', name)}"

    def key(self, key: str) -> str:
        """For a row's key, part by part."""
        name = parse_key(key)
        if name.family != CHAT:
            return name.family + self.text(name.user or name.room_id)
        if name.user:
            return chat_key(self.text(name.user), self.chat(name.chat_id))
        colon = ":" if name.chat_id.startswith(":") else ""
        return f"{CHAT}{colon}{self.chat(name.chat_id[len(colon) :])}"

    # Numbers are taken and given as JSON writes them: no conversion can change what they are.

    def number(self, token: str) -> str:
        """For a number that nobody knows: of the same type, sign and, if it is huge, length."""
        digits = token.removeprefix("-")
        sign = token[: len(token) - len(digits)]
        if not digits.isdigit():
            if digits in ("NaN", "Infinity"):
                return token
            fraction = "1e999" if float(digits) == float("inf") else f"{self._count(token)}.5"
            return sign + fraction
        return sign + (_round(digits) if len(digits) >= _BIG else self._count(token))

    def counter(self, token: str) -> str:
        """For a counter of chats, which stays unless it is too high for one."""
        digits = token.removeprefix("-")
        if not digits.isdigit():
            return self.number(token)
        return token if len(digits) <= 9 else token[: len(token) - len(digits)] + _round(digits)

    def time(self, token: str) -> str:
        """For a time: only which is earlier stays."""
        if not token.removeprefix("-").isdigit() or len(token) >= _BIG:
            return self.number(token)
        return str(_EPOCH + _TICK * int(self._number("time", token)))

    def _plain(self, name: str) -> Iterator[str]:
        """The name, or one with its number, if nothing but the number is in it."""
        default = self._original.default_room_name
        for number in _NUMBERS.findall(name):
            if "{n}" in default and default.replace("{n}", number) == name:
                yield self._told.default_room_name.replace("{n}", number)
            if any(template.replace("{n}", number) == name for template in _TEMPLATES):
                yield name

    def _count(self, token: str) -> str:
        return str(int(self._number("number", token)))

    def _number(self, kind: str, text: str) -> str:
        if self._numbers:
            return self._numbers[kind][text]
        self._heard[kind].add(text)
        return "0"

    def _shuffled(self, text: str) -> bytes:
        return hashlib.sha256(self._salt + text.encode(errors="surrogatepass")).digest()


def _anonymous_patterns(convention: Convention) -> Convention:
    """Patterns that tell the same names apart, and say nothing but the number."""
    default = convention.default_room_name
    told = default if default in _TEMPLATES else "Name {n}"
    patterns = [p for p in convention.room_name_patterns if p in _TEMPLATES]
    if len(patterns) < len(convention.room_name_patterns):
        patterns.append(_NAMED)
        if told not in patterns and convention.chat_id_of(convention.room_name("C7")) == "C7":
            patterns.append(told)
    return Convention(room_name_patterns=patterns, default_room_name=told)


def _encodable(text: str) -> bool:
    try:
        msgspec.json.encode(text)
    except UnicodeError:
        return False
    return True


def _round(digits: str) -> str:
    return "1" + "0" * (len(digits) - 1)
