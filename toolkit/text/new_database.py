"""What a look at a new database tells: where it is, what a start of the bot brings back, what nobody can. Pure."""

from collections import Counter
from collections.abc import Mapping

from toolkit.model import NO_CHATS, Code, Plan
from toolkit.records import CHAT, ROOM, USER, parse_key
from toolkit.text.advice import unsettled
from toolkit.text.summary import count_of

LOST = (
    "what its users called their chats (each comes back under its room's name)",
    "the numbers of chats whose rooms the bot has left, so that they may be given again",
    "rows of other platforms and kinds of room",
    "every further field and row that the bot kept, such as settings, histories and times",
)
"""What no room tells, so that only a backup has it."""

_ROWS = {USER: "user row", ROOM: "room row", CHAT: "chat row"}


def new_database(plan: Plan) -> str:
    """Where the database is that this plan takes for a new one; empty if it doesn't."""
    return next((note.key for note in plan.notes if note.code is Code.NEW_DATABASE), "")


def brought_back(plan: Plan) -> Mapping[str, int]:
    """How many rows of each family the bot's own start would write."""
    certain = (unit for unit in plan.units if unit.certain)
    found = Counter(parse_key(write.key).family for unit in certain for write in unit.writes)
    return {name: found[family] for family, name in _ROWS.items()}


def skipped_chats(plan: Plan) -> Mapping[str, int]:
    """Joined rooms that a lost row may well have called chats, and of which none comes back, by reason."""
    reasons = Counter(skip.reason.value for skip in plan.skipped if skip.reason in NO_CHATS)
    return dict(sorted(reasons.items()))


def tell_new_database(plan: Plan) -> tuple[str, ...]:
    """That as sentences; none for a database that has rows."""
    if not (path := new_database(plan)):
        return ()
    *some, last = (count_of(count, name) for name, count in brought_back(plan).items())
    lines = [
        f"New database: {path} is looked at as empty.",
        f"A start of the bot would bring back {', '.join(some)} and {last}.",
    ]
    if waiting := len(unsettled(plan)):
        lines.append(f"{count_of(waiting, 'unit')} would then wait for a person's decision.")
    if skipped := skipped_chats(plan):
        words = ", ".join(f"{count:,} {reason}" for reason, count in skipped.items())
        lines.append(f"Of joined rooms that are no chats, nothing comes back: {words}.")
    return (*lines, f"No room tells, and only a backup has: {'; '.join(LOST)}.")
