"""How a bot names its chats: the few things that differ between bots.

A chat id is `C` and a number without leading zeros, ASCII digits only (rules 1). Python's `\\d`
and `int()` accept far more, so every text passes through the two functions here.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from toolkit.errors import ConventionError

HIGHEST_NUMBER = 999_999_999
_NUMBER = "[1-9][0-9]{0,8}"
_CHAT_ID = re.compile(f"C({_NUMBER})")
_DIGITS = re.compile(_NUMBER)
_USER = re.compile("@[^:]*:.+", re.DOTALL)


def chat_number(chat_id: object) -> int | None:
    """The number in a chat id, or None if this is no chat id.

    >>> chat_number("C4"), chat_number("C04"), chat_number("unregistered:!r"), chat_number(4)
    (4, None, None, None)
    """
    return _number(chat_id) if isinstance(chat_id, str) else None


@lru_cache(maxsize=4096)  # a bot's chats share a few ids, and every row is asked for its number
def _number(chat_id: str) -> int | None:
    match = _CHAT_ID.fullmatch(chat_id)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class Convention:
    """What the toolkit has to know about a bot beyond the Matrix spec.

    `room_name_patterns`: templates with `{n}` ("Чат {n}") or regular expressions whose group `n`
    (or first group) is the number; a name counts only if it matches in full.
    `default_room_name`: the display name of a restored row whose room has none.
    `state_event_type`: a custom state event of the bot with the field `chat_id`, if it writes one.
    `helper_accounts`: users that are never an owner, such as an admin or a bridge.
    `platform`: what the bot's chat rows say in `platform`.
    `former_accounts`: accounts that the bot had before it moved to this one; what they made and
    linked counts as the bot's own.

    Raises `ConventionError` for a pattern that can't be compiled or has no number in it, and for an account
    that is no user id.
    """

    room_name_patterns: Sequence[str] = ("Чат {n}", "Chat {n}", "C {n}", "C{n}")
    default_room_name: str = "Чат {n}"
    state_event_type: str | None = None
    helper_accounts: Sequence[str] = ()
    platform: str = "matrix"
    former_accounts: Sequence[str] = ()
    _patterns: tuple[re.Pattern[str], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("room_name_patterns", "helper_accounts", "former_accounts"):
            value = getattr(self, name)
            if isinstance(value, str) or not isinstance(value, Iterable):
                raise ConventionError(f"{name} must be a list of texts, not {value!r}.")
            object.__setattr__(self, name, tuple(value))
        for name in ("helper_accounts", "former_accounts"):
            for account in getattr(self, name):
                if not _USER.fullmatch(str(account)):
                    raise ConventionError(
                        f"{name}: {account!r} is no user; write it as '@name:server'."
                    )
        object.__setattr__(self, "_patterns", tuple(map(_compile, self.room_name_patterns)))

    def chat_id_of(self, room_name: str) -> str | None:
        """The chat id that a room name stands for.

        >>> Convention().chat_id_of("Чат 7"), Convention().chat_id_of("Чат 007")
        ('C7', None)
        """
        for pattern in self._patterns:
            match = pattern.fullmatch(room_name)
            number = match.group("n" if "n" in pattern.groupindex else 1) if match else None
            if number and _DIGITS.fullmatch(number):
                return f"C{number}"
        return None

    def room_name(self, chat_id: str) -> str:
        """The display name of a chat whose room has no name.

        >>> Convention().room_name("C4")
        'Чат 4'
        """
        return self.default_room_name.replace("{n}", chat_id.removeprefix("C"))


def _compile(pattern: str) -> re.Pattern[str]:
    if "{n}" in pattern:
        before, after = pattern.split("{n}", 1)
        return re.compile(f"{re.escape(before)}(?P<n>{_NUMBER}){re.escape(after)}")
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConventionError(f"room_name_patterns: {pattern!r} is no pattern: {error}.") from error
    if not compiled.groups:
        raise ConventionError(
            f"room_name_patterns: {pattern!r} has no number in it; write it as 'Chat {{n}}' or with a group."
        )
    return compiled
