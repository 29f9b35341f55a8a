"""What belongs, or goes on, below or behind a room that could not be read (rules 2.9). Pure."""

from collections.abc import Mapping

from toolkit.model import Reason, RemoteState
from toolkit.planning.lineage import Lineage


def find_moved(remote: RemoteState, lineage: Lineage) -> dict[str, str]:
    """Spaces that go on as, or perhaps from, a room that could not be read -> that room."""
    found: dict[str, str] = {}
    for room_id, room in sorted(remote.rooms.items()):
        beyond = room.replacement if lineage.trusts(room) else room.predecessor
        if room.is_space and beyond in remote.unreadable:
            found.update((version.room_id, beyond) for version in lineage.versions(room_id))
    return found


def find_unproven(
    remote: RemoteState,
    lineage: Lineage,
    reasons: Mapping[str, Reason],
    moved: Mapping[str, str],
    claimed: Mapping[str, str],
) -> dict[str, str]:
    """Rooms of ours whose Space, or older version, is among the rooms that could not be read -> that room.

    `reasons`: why rooms are no chats as far as was read; `moved` as `find_moved` says; `claimed`: the Space
    that a row names for a room.
    """
    found: dict[str, str] = {}
    listed = {
        link.target: newer
        for space, newer in moved.items()
        for link in remote.rooms[space].children
        if link.sender in lineage.accounts
    }
    for room_id, reason in reasons.items():
        room = remote.rooms[room_id]
        behind = [lineage.versions(room_id)[-1].predecessor or ""]
        if reason is Reason.NO_SPACE:
            above = [link.target for link in room.parents] + [claimed.get(room_id, "")]
            behind += [moved.get(target, target) for target in above]
            behind.append(listed.get(room_id, ""))
        elif reason is not Reason.NOT_CREATED_BY_BOT:
            continue
        if unread := next((target for target in behind if target in remote.unreadable), None):
            found[room_id] = unread
    return found
