"""The highest chat number that a user ever had, as far as anything tells; the stored counter is never asked. Pure."""

from toolkit.convention import chat_number
from toolkit.model import Rung
from toolkit.planning.chat_ids import find_told_ids
from toolkit.planning.owner_groups import Group, Groups

_COUNTED = frozenset({Rung.ROOM_ROW, Rung.CHAT_ROW})
"""Rungs whose answer stands in a readable row of the user, and is counted there."""


def find_highest(owner: str, group: Group, groups: Groups) -> int:
    """By the user's rows, the rooms, what these may turn out to hold, and what they replaced; 0 for none."""
    ids = _replaced(group, groups)
    for answer in group.found.values():
        if answer.code or answer.evidence.rung not in _COUNTED:
            ids += [answer.chat_id or "", *(claimed for claimed, _ in answer.claims)]
    numbers = [chat_number(chat_id) or 0 for chat_id in ids]
    return max(groups.naming.highest.get(owner, 0), *numbers, 0)


def _replaced(group: Group, groups: Groups) -> list[str]:
    """What tombstoned rooms of this user would claim, each by itself, once no row points at them."""
    rooms = [version for versions in group.chats.values() for version in versions[1:]]
    for space in group.spaces:
        for room_id in groups.identity.retired.get(space, ()):
            rooms += groups.identity.versions(room_id)
    return [id_ for room in rooms for id_ in find_told_ids(room, groups.context)]
