"""Which joined rooms count, and why the others don't. Pure.

A room counts on one of the grounds that the layout declares: the bot made it, an account that matches a
pattern did, or it bears a declared state event that the bot itself sent. None of them can be forged.
"""

from collections.abc import Iterable

import msgspec

from toolkit.convention import Convention
from toolkit.layout import Clue, Layout
from toolkit.model import Reason, RemoteState, RoomState, StateEvent
from toolkit.planning.lineage import Lineage, trace_upgrades


class Rooms(msgspec.Struct, frozen=True):
    """The rooms that count, newest versions, each with all that it replaced; and why others are skipped.

    `trusted` are the accounts whose events count: the bot's, and those that match a pattern.
    """

    lineage: Lineage
    trusted: frozenset[str]
    counted: dict[str, tuple[RoomState, ...]]
    reasons: dict[str, Reason]


def find_rooms(remote: RemoteState, layout: Layout, convention: Convention) -> Rooms:
    """Judge every room that could be read."""
    own = frozenset({remote.account, *convention.former_accounts})
    trusted = own | _makers(remote, layout)
    lineage = trace_upgrades(remote, trusted)
    declared = [clue for clue in layout.clues if layout.shape.rooms == "bot-event"]
    rooms = Rooms(lineage, trusted, {}, {})
    for room_id, room in sorted(remote.rooms.items()):
        versions = lineage.versions(room_id)
        counts = lineage.trusts(room) or _bears(versions, declared, own)
        if reason := _why_skipped(room, remote, layout, counts=counts):
            rooms.reasons[room_id] = reason
        else:
            rooms.counted[room_id] = versions
    return rooms


def events_of(room: RoomState, type_: str, state_key: str) -> list[StateEvent]:
    """The kept events of a type, under one state key or (`*`) any."""
    return [
        event for event in room.kept if event.type == type_ and state_key in ("*", event.state_key)
    ]


def _makers(remote: RemoteState, layout: Layout) -> set[str]:
    """All accounts in sight that match a pattern of makers: of rooms, and of what tells their ids."""
    if (pattern := layout.makers) is None:
        return set()
    seen = set[str]()
    for room in remote.rooms.values():
        senders = (room.creator, room.name_sender, *(event.sender for event in room.kept))
        seen.update(sender for sender in senders if sender)
    return {user for user in seen if pattern.fullmatch(user)}


def _bears(versions: Iterable[RoomState], clues: Iterable[Clue], own: frozenset[str]) -> bool:
    """Whether any version has a declared event that the bot sent; a maker's wouldn't do."""
    return any(
        event.sender in own
        for clue in clues
        if clue.event
        for room in versions
        for event in events_of(room, clue.event, clue.state_key)
    )


def _why_skipped(
    room: RoomState, remote: RemoteState, layout: Layout, *, counts: bool
) -> Reason | None:
    if room.replacement is not None:
        joined = remote.joined(room.replacement)
        return Reason.TOMBSTONED if joined else Reason.REPLACEMENT_NOT_JOINED
    if not counts:
        return Reason.NOT_CREATED_BY_BOT
    if room.is_space == (layout.shape.type == "space"):
        return None
    return Reason.SPACE if room.is_space else Reason.NOT_A_SPACE
