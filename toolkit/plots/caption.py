"""The picture in words: its title, its legend, and all of it for who can't see it."""

from collections import Counter
from collections.abc import Mapping, Sequence

from toolkit.model import Status
from toolkit.plots.bars import most_of
from toolkit.plots.marks import CALM, INKS, UserLine
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.words import CHATS, Words


def describe(users: Sequence[UserLine], causes: Mapping[str, int], words: Words = CHATS) -> str:
    """What the picture shows, for who can't see it.

    >>> from toolkit.plots import ChatMark
    >>> describe([UserLine("@alice:hs", Status.IN_SYNC, (ChatMark("C1", Status.MISSING),))], {"missing row": 2})
    '1 user, 1 chat: 1 missing. Not in sync: @alice:hs. Causes: missing row 2.'
    """
    troubled = [visible(user.name, 60) for user in users if user.worst is not CALM]
    more = f" and {len(troubled) - 3:,} more" if len(troubled) > 3 else ""
    parts = [summary_of(users, words)]
    if troubled:
        parts.append(f"Not in sync: {', '.join(troubled[:3])}{more}.")
    if causes:
        counts = [f"{visible(cause, 60)} {count:,}" for cause, count in most_of(causes, 6)]
        parts.append(f"Causes: {', '.join(counts)}.")
    return " ".join(parts)


def summary_of(users: Sequence[UserLine], words: Words = CHATS) -> str:
    counts = Counter(chat.status for user in users for chat in user.chats)
    people = count_of(sum(user.name != words.nobody for user in users), words.person)
    chats = count_of(counts.total(), words.thing)
    if not users:
        return f"No {words.person}s and no {words.thing}s."
    if all(user.worst is CALM for user in users):
        return f"{people}, {chats}: everything is in sync."
    told = [f"{counts[status]:,} {word_of(status)}" for status in reversed(INKS) if counts[status]]
    return f"{people}, {chats}" + (f": {', '.join(told)}." if told else ".")


def word_of(status: Status) -> str:
    return "in conflict" if status is Status.CONFLICT else status.replace("_", " ")
