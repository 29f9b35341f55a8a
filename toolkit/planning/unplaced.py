"""Rooms that belong to nobody for certain: several owners claim them, or they can't be read. Pure."""

from collections.abc import Iterator

from toolkit.model import Code, RemoteState
from toolkit.planning.no_chats import why_no_chat
from toolkit.planning.owner_groups import Block, Groups
from toolkit.quotes import quote_odd


def find_unplaced(remote: RemoteState, groups: Groups) -> Iterator[tuple[str, Block]]:
    """Each such room with what stops it."""
    identity = groups.identity
    for room_id, spaces in identity.linked.items():
        if room_id not in groups.tied:
            yield room_id, Block(Code.OWNER_AMBIGUOUS, _SEVERAL_SPACES, None, spaces)
    for room_id, why in remote.unreadable.items():
        yield room_id, Block(Code.ROOM_UNREADABLE, _UNREADABLE.format(why))
    for room_id, behind in identity.unproven.items():
        yield room_id, Block(Code.ROOM_UNREADABLE, _UNPROVEN.format(quote_odd(behind)))
    for room_id in groups.called:
        reason = identity.reasons[room_id]
        cause = why_no_chat(remote.rooms[room_id], reason, remote, identity, groups.local)
        yield room_id, Block(Code.NOT_A_CHAT, cause, remote=reason)


_SEVERAL_SPACES = (
    "the room is linked to Spaces of different users, or of one whose owner isn't certain; remove the "
    "wrong link, or pick the Space"
)
_UNREADABLE = "the room could not be read ({}); try again before deciding anything about it"
_UNPROVEN = "the room may belong to {}, which could not be read; try again"
