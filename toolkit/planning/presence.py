"""In which of several rooms a user can write, as far as their state tells, in words. Pure.

A bot can't see who reads what; but who isn't joined to a room writes nothing there.
"""

from collections.abc import Mapping, Sequence

from toolkit.model import Member, RoomState
from toolkit.planning.memberships import PRESENT
from toolkit.quotes import quote_odd

SHOWN = 4
"""Rooms that are named for each way of being in one."""

EARLIER = "earlier"
"""In a version that the room goes on from, and in none after it."""

_UNREAD = "unread"

_SAID = {
    "join": "is joined to {}",
    "invite": "is invited to {}",
    EARLIER: "was joined or invited to an earlier version of {} alone",
    "knock": "asks to be let into {}",
    "leave": "has left {}",
    "ban": "is banned from {}",
    "": "never was in {}",
    _UNREAD: "may be in {}, which could not be read",
}
_KNOWN = frozenset({*PRESENT, "knock", "leave", "ban"})
_HERE = "this room"
_ALONE = "they can write in {} alone"
_SEVERAL = "only you know which one they still write in"
_NONE = "they can write in none of them, and only you know which is theirs"


def membership_in(user: str, versions: Sequence[RoomState]) -> str:
    """How a user stands in a room, newest version first; "" if no version speaks of them."""
    for place, version in enumerate(versions):
        for member in version.members:
            if member.user_id == user:
                return _how(place, member)
    return ""


def memberships_in(versions: Sequence[RoomState]) -> dict[str, str]:
    """The same of everybody whom a version speaks of."""
    found: dict[str, str] = {}
    for place, version in enumerate(versions):
        for member in version.members:
            found.setdefault(member.user_id, _how(place, member))
    return found


def _how(place: int, member: Member) -> str:
    """Whatever else a server may call it, is not being there (rules 2.6)."""
    if place and member.membership in PRESENT:
        return EARLIER
    return member.membership if member.membership in _KNOWN else "leave"


class Presence:
    """How a user stands in each of several rooms; of one that could not be read there are no versions.

    >>> there = Presence("@eva:hs", {"!a": (RoomState(room_id="!a"),), "!b": (RoomState(room_id="!b"),)})
    >>> there.seen_from("!a")
    '@eva:hs never was in this room and !b: they can write in none of them, and only you know which is theirs'
    """

    def __init__(self, user: str, rooms: Mapping[str, Sequence[RoomState]]) -> None:
        self._user = quote_odd(user)
        self._found: dict[str, list[str]] = {}
        for room_id, versions in sorted(rooms.items()):
            how = membership_in(user, versions) if versions else _UNREAD
            self._found.setdefault(how, []).append(room_id)
        self._how = {room_id: how for how, found in self._found.items() for room_id in found}

    def seen_from(self, own: str) -> str:
        """In words, and what that leaves open; of thousands of rooms each has its own."""
        told = " and ".join(
            said.format(self._name(how, own)) for how, said in _SAID.items() if how in self._found
        )
        return f"{self._user} {told}: {self._what_is_open(own)}"

    def _what_is_open(self, own: str) -> str:
        joined = self._found.get("join", ())
        if _UNREAD in self._found or len(joined) > 1:
            return _SEVERAL
        return _ALONE.format(self._name("join", own)) if joined else _NONE

    def _name(self, how: str, own: str) -> str:
        """The rooms of one kind, the one that is spoken of first."""
        rooms = self._found[how]
        here = [_HERE] if self._how[own] == how else []
        others = (quote_odd(room) for room in rooms[: SHOWN + 1] if room != own)
        shown = [*here, *others][:SHOWN]
        more = len(rooms) - len(shown)
        if more:
            return f"{', '.join(shown)} and {more} more"
        *some, last = shown  # a comma alone would read as if the second room explained the first
        return f"{', '.join(some)} and {last}" if some else last
