"""Chat ids that nobody has. Pure.

What a row, a counter or a room says that a user has, is nobody's to be offered; above it all is free.
"""

from collections.abc import Iterator

from toolkit.convention import HIGHEST_NUMBER, chat_number
from toolkit.model import Plan
from toolkit.records import LocalState


def find_highest(local: LocalState, plan: Plan | None = None) -> dict[str, int]:
    """User -> the highest number that anything says they have; with a plan, also what rooms say."""
    told = [(user, chat_id) for user, chat_id in local.chats]
    told += [(room.matrix_user_id, room.chat_id) for room in local.rooms.values()]
    for unit in plan.units if plan else ():
        proposed = (finding.proposal for finding in unit.findings)
        told += [(unit.owner or "", chat_id or "") for chat_id in (unit.chat_id, *proposed)]
    highest: dict[str, int] = {}
    for user, chat_id in told:
        highest[user] = max(highest.get(user, 0), chat_number(chat_id) or 0)
    for user, row in local.users.items():
        if 1 < row.next_chat_index <= HIGHEST_NUMBER:  # out of bounds it says nothing
            highest[user] = max(highest.get(user, 0), row.next_chat_index - 1)
    return highest


def free_ids(highest: int, count: int = 1) -> Iterator[str]:
    """The next ids after the highest; none after C999999999.

    >>> list(free_ids(7, 2))
    ['C8', 'C9']
    """
    return (f"C{n}" for n in range(highest + 1, min(highest + count, HIGHEST_NUMBER) + 1))
