"""Joined rooms that a row calls a chat and that are none: why, and what to do about it. Pure.

Nothing is written for such a room, and it is drift all the same: a row that speaks of a chat and that
nobody could compare must not pass for "in sync" (rules 2.5, 3).
"""

from toolkit.model import NO_CHATS, Reason, RemoteState, RoomState
from toolkit.planning.identity import Identity
from toolkit.planning.row_index import ids
from toolkit.quotes import quote_odd
from toolkit.records import LocalState


def called_chats(identity: Identity, local: LocalState) -> frozenset[str]:
    """The rooms that a room row, of any of their versions, calls a chat and that are none."""
    return frozenset(
        room_id
        for room_id, reason in identity.reasons.items()
        if reason in NO_CHATS
        and calling_row(room_id, identity, local)
        and room_id not in identity.unproven
    )


def calling_row(room_id: str, identity: Identity, local: LocalState) -> str | None:
    """The version of a room under which the newest room row stands."""
    if room_id in local.rooms:
        return room_id
    return next((v for v in ids(identity.versions(room_id)) if v in local.rooms), None)


def why_no_chat(
    room: RoomState, reason: Reason, remote: RemoteState, identity: Identity, local: LocalState
) -> str:
    """The true reason in words, and the cure."""
    if reason is Reason.NOT_CREATED_BY_BOT:
        return _made_by_another("the room", room)
    if reason is Reason.REPLACEMENT_NOT_JOINED:
        return _upgraded("the room", room)
    row = local.rooms.get(calling_row(room.room_id, identity, local) or "")
    own = [
        link.target
        for version in identity.versions(room.room_id)
        for link in version.parents
        if link.sender in identity.lineage.accounts
    ]
    above = [row.space_id, *own] if row else own
    for space_id in above:
        if why := _why_no_home(space_id, remote, identity):
            return why
    for space_id, rooms in identity.archived.items():
        if room.room_id in rooms:
            return _IN_ARCHIVE.format(quote_odd(space_id))
    return (
        "no Space of the bot's lists the room, and the bot's links in the room name none: the link was "
        "removed; put it back, or the row is stale"
    )


def _why_no_home(space_id: str, remote: RemoteState, identity: Identity) -> str | None:
    """Why a Space that the room or its row names isn't one that makes it a chat."""
    space_id = identity.lineage.head(space_id)
    told = f"its Space {quote_odd(space_id)}"
    space: RoomState | None = remote.rooms.get(space_id)
    if space is None:
        if space_id in remote.unreadable or not space_id.startswith("!"):
            return None
        return f"{told} is none that the bot is in: it left it, or was removed; {_JOIN}"
    if not identity.lineage.trusts(space):
        return _made_by_another(told, space)
    if space.replacement is not None:
        if not remote.joined(space.replacement):
            return _upgraded(told, space)
        return _NOT_GONE_ON.format(told, quote_odd(space.replacement))
    if space_id in identity.nesting.containers:
        return (
            f"{told} holds other users' Spaces, so it is nobody's: the room must be linked "
            "to a Space of its user, or the row is stale"
        )
    return None


def _upgraded(what: str, room: RoomState) -> str:
    new = quote_odd(room.replacement or "")
    return f"{what} was upgraded to {new}, which the bot isn't in: {_JOIN}"


def _made_by_another(what: str, room: RoomState) -> str:
    who = quote_odd(room.creator) if room.creator else "an unknown account"
    return (
        f"{what} was made by {who}, not by the bot: if that is an account that the bot had before, name "
        "it (`former_accounts`, or --former-account); else the row is wrong"
    )


_NOT_GONE_ON = (
    "{0} was given up for {1}, which doesn't go on from it: only a Space that names the old one as its "
    "predecessor does; link the room to the Space that its user has now, or the row is stale"
)
_IN_ARCHIVE = (
    "the room lies in an archive inside Space {}, where a room is a chat only if its rows, an event or its "
    "name tell the chat id: give its row a right one, or the row is stale"
)
_JOIN = "let the bot join it, and the chat is one again"
