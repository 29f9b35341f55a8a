"""What the rooms of a conflict say of themselves, side by side, for whoever has to settle it. Pure.

Made for one unit when somebody asks, and kept nowhere: of very many rooms hardly any is ever looked at.
What a room doesn't say, or what only a client object's memory says, is left out and never guessed.
"""

import heapq
from collections.abc import Iterator
from enum import StrEnum

import msgspec

from toolkit.convention import Convention
from toolkit.model import Code, RemoteState, RoomState, Unit, UnitKind
from toolkit.planning.lineage import find_older
from toolkit.planning.presence import EARLIER, memberships_in

PEOPLE = 12
"""Users that are named for each way of being in a room; beyond them, they are counted."""

ROOMS = 6
"""Rooms side by side; beyond them, they are counted."""

_ABOUT_OWNERS = frozenset(
    {Code.OWNER_AMBIGUOUS, Code.OWNER_UNKNOWN, Code.OWNER_LEFT, Code.OWNER_CHANGED}
)


class Role(StrEnum):
    """What a room is to the unit; a holder is a rival whom the row of the id names."""

    ROOM = "room"
    RIVAL = "rival"
    HOLDER = "holder"
    SPACE = "space"
    OTHER_SPACE = "other_space"


class People(msgspec.Struct, frozen=True):
    """Users, those first who may be the owner, and how many there are in all."""

    users: tuple[str, ...] = ()
    count: int = 0


NOBODY = People()


class RoomFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One room. Times are the homeserver's, in milliseconds since 1970, whatever those may be.

    People are without the bot's own and its helpers' accounts: `left` are who was there, `behind` who is
    only in a version that the room goes on from (`earlier`, newest first). `unread` says why nothing
    else is known of it.
    """

    role: Role
    room_id: str
    unread: str = ""
    name: str | None = None
    named: int | None = None
    named_by: str | None = None
    created: int | None = None
    created_by: str | None = None
    joined: People = NOBODY
    invited: People = NOBODY
    left: People = NOBODY
    banned: People = NOBODY
    knocking: People = NOBODY
    behind: People = NOBODY
    earlier: tuple[str, ...] = ()


class Facts(msgspec.Struct, frozen=True):
    """The rooms that a conflict is between, the unit's own first, and how many more there are."""

    rooms: tuple[RoomFacts, ...]
    more: int = 0


NO_FACTS = Facts(())


def find_facts(unit: Unit, remote: RemoteState, convention: Convention) -> Facts:
    """What is known of the rooms of a unit in conflict; nothing for any other."""
    if not unit.conflicts:
        return NO_FACTS
    roles: dict[str, Role] = {}
    for room_id, role in _rooms(unit):
        if room_id in remote.rooms or room_id in remote.unreadable:
            roles.setdefault(room_id, role)
    nobody = {remote.account, *convention.former_accounts, *convention.helper_accounts}
    shown = list(roles.items())[:ROOMS]
    wanted = {unit.owner, *unit.candidates}
    facts = (_look(room_id, role, wanted, remote, nobody) for room_id, role in shown)
    return Facts(tuple(facts), len(roles) - len(shown))


def _rooms(unit: Unit) -> Iterator[tuple[str, Role]]:
    own = (unit.space_id or "", Role.SPACE)
    spaces = [candidate for candidate in unit.candidates if candidate.startswith("!")]
    yield (unit.id, Role.ROOM) if unit.kind is UnitKind.ROOM else own
    for finding in unit.conflicts:
        for rival in finding.rivals:
            yield rival, Role.HOLDER if rival == finding.local else Role.RIVAL
    if spaces or any(finding.code in _ABOUT_OWNERS for finding in unit.conflicts):
        yield own
    yield from ((space, Role.OTHER_SPACE) for space in spaces)


def _look(
    room_id: str, role: Role, wanted: set[str | None], remote: RemoteState, nobody: set[str]
) -> RoomFacts:
    room = remote.rooms.get(room_id)
    if room is None:
        return RoomFacts(role=role, room_id=room_id, unread=remote.unreadable[room_id])
    versions = tuple(_versions(room, remote))
    there = memberships_in(versions)
    known = room.verified  # what a client object's memory says of senders is our guess

    def people(how: str) -> People:
        users = [user for user, is_in in there.items() if is_in == how and user not in nobody]
        first = heapq.nsmallest(PEOPLE, users, key=lambda user: (user not in wanted, user))
        return People(tuple(first), len(users))

    return RoomFacts(
        role=role,
        room_id=room_id,
        name=room.name,
        named=room.named,
        named_by=room.name_sender if known else None,
        created=room.created,
        created_by=room.creator if known else None,
        joined=people("join"),
        invited=people("invite"),
        left=people("leave"),
        banned=people("ban"),
        knocking=people("knock"),
        behind=people(EARLIER),
        earlier=tuple(version.room_id for version in versions[1:]),
    )


def _versions(room: RoomState, remote: RemoteState) -> Iterator[RoomState]:
    """The room and what it goes on from, newest first; rooms may claim to go on in a circle."""
    seen: set[str] = set()
    older: RoomState | None = room
    while older is not None and older.room_id not in seen:
        seen.add(older.room_id)
        yield older
        older = find_older(older, remote.rooms)
