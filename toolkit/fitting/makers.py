"""Whose rooms count: the bot's, those of accounts like the ones that made rooms, or those that the bot marked. Pure."""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from toolkit.fitting.clues import Tell, Witness, find_events
from toolkit.fitting.texts import shared_start
from toolkit.model import RoomState


class Makers(msgspec.Struct, frozen=True):
    """`rooms` as the file has it; `others` are accounts that made linked rooms and don't count by it."""

    rooms: Any = "bot"
    others: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None

    def trusted(self, own: frozenset[str], room: RoomState) -> frozenset[str]:
        """The accounts whose events count in a room, as far as this room has any."""
        if self.pattern is None:
            return own
        senders = {room.creator, room.name_sender, *(event.sender for event in room.kept)}
        return own | {user for user in senders if user and self.pattern.fullmatch(user)}


def find_makers(
    witnesses: Sequence[Witness], ids: tuple[str, ...], own: frozenset[str]
) -> tuple[Makers, list[Tell]]:
    """What makes linked rooms count; and the event of the bot's own that does, where users make them."""
    strange = [one for one in witnesses if one.room.creator not in own]
    if not strange:
        return Makers(), []
    marks = find_events(strange, ids, lambda room: own)
    if marks and marks[0].right * 2 > len(strange):
        return Makers("bot-event"), marks
    users = sorted({one.room.creator for one in strange if one.room.creator})
    if (pattern := _pattern(users)) is None:
        return Makers(others=tuple(users)), []
    return Makers([pattern], pattern=re.compile(pattern)), []


def _pattern(users: Sequence[str]) -> str | None:
    """What several accounts have in common, if that is a name and a separator, as an appservice's ghosts have."""
    names = [user.partition(":")[0] for user in users]
    servers = {user.partition(":")[2] for user in users}
    start = re.match(r"@_?[A-Za-z0-9]+(?:[_.=/-].*)?[_.=/-]", shared_start(names))
    if len(users) < 2 or len(servers) > 1 or start is None:
        return None
    return f"{re.escape(start[0])}.+:{re.escape(min(servers))}"
