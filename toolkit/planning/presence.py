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
_ALONE = "they can write in {} alone"
_SEVERAL = "only you know which one they still write in"
_NONE = "they can write in none of them, and only you know which one is theirs"


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


def say_presence(user: str, rooms: Mapping[str, Sequence[RoomState]]) -> str:
    """How a user stands in each of these rooms, and what that leaves open; an unread one has no versions.

    >>> rooms = {"!a": (RoomState(room_id="!a"),), "!b": (RoomState(room_id="!b"),)}
    >>> say_presence("@eva:hs", rooms)
    '@eva:hs never was in !a, !b: they can write in none of them, and only you know which one is theirs'
    """
    found: dict[str, list[str]] = {}
    for room_id, versions in rooms.items():
        how = membership_in(user, versions) if versions else _UNREAD
        found.setdefault(how, []).append(room_id)
    told = " and ".join(
        said.format(_some(found[how])) for how, said in _SAID.items() if how in found
    )
    return f"{quote_odd(user)} {told}: {_what_is_open(found)}"


def _what_is_open(found: Mapping[str, Sequence[str]]) -> str:
    joined = found.get("join", ())
    if _UNREAD in found or len(joined) > 1:
        return _SEVERAL
    return _ALONE.format(quote_odd(joined[0])) if joined else _NONE


def _some(rooms: Sequence[str]) -> str:
    more = len(rooms) - SHOWN
    shown = ", ".join(map(quote_odd, rooms[:SHOWN]))
    return f"{shown} and {more} more" if more > 0 else shown
