"""What nobody has to decide about: what is in sync, rooms that are skipped, and orphaned rows. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from toolkit.model import Plan, Reason, RemoteState
from toolkit.records import LocalState, parse_key
from toolkit.text.visible import visible

IN_SYNC = "in sync"
SKIPPED = "skipped"
ORPHANED = "orphaned"

_LONG = 500
_KEPT = "no joined room belongs to this row; it is kept as it is"
_COLUMNS = {
    "status": "status",
    "owner": "owner",
    "chat": "chat_id",
    "name": "name",
    "cause": "cause",
}

_WHY = {
    Reason.SPACE: "it is a Space",
    Reason.TOMBSTONED: "another room replaces it",
    Reason.REPLACEMENT_NOT_JOINED: "a room that the bot isn't in replaces it",
    Reason.NOT_CREATED_BY_BOT: "the bot didn't create it",
    Reason.NO_SPACE: "it is in no Space",
}


@dataclass(frozen=True, slots=True)
class Quiet:
    """One line without buttons; `unit` is the id as it is, the rest is visible."""

    unit: str
    status: str
    id: str
    owner: str
    name: str
    chat_id: str
    cause: str
    who: str = ""

    def has(self, text: str) -> bool:
        """Whether what is shown of it holds this text, in whatever case."""
        shown = (self.id, self.owner, self.name, self.chat_id, self.cause)
        return text.casefold() in "\n".join(shown).casefold()

    def column(self, name: str) -> str:
        """What stands in a column of the list; nothing is decided about it."""
        return str(getattr(self, _COLUMNS[name])) if name in _COLUMNS else ""


class QuietLines:
    """In sync first, users before rooms, then skipped rooms, then orphaned rows by their keys.

    Each line is made when somebody wants to see it.
    """

    def __init__(
        self, plan: Plan, local: LocalState, remote: RemoteState, short: Mapping[str, str]
    ) -> None:
        self._local, self._remote, self._short = local, remote, short
        self._users, self._rooms, self._skipped = (
            plan.in_sync_users,
            plan.in_sync_rooms,
            plan.skipped,
        )
        self._orphans = plan.orphans
        self._right = len(self._users) + len(self._rooms)
        self._joined = self._right + len(self._skipped)

    def __len__(self) -> int:
        return self._joined + len(self._orphans)

    def __iter__(self) -> Iterator[Quiet]:
        return map(self.line, range(len(self)))

    def status(self, place: int) -> str:
        """How a line stands, without making it."""
        if place < self._right:
            return IN_SYNC
        return SKIPPED if place < self._joined else ORPHANED

    def find(self, unit: str) -> int | None:
        """The place of a line."""
        return self._places.get(unit)

    @cached_property
    def _places(self) -> dict[str, int]:
        skipped = (skip.room_id for skip in self._skipped)
        units = chain(self._users, self._rooms, skipped, self._orphans)
        return {unit: place for place, unit in enumerate(units)}

    def line(self, place: int) -> Quiet:
        """The line at a place."""
        users = len(self._users)
        if place < users:
            return self._user(self._users[place])
        if place < self._right:
            return self._room(self._rooms[place - users])
        if place >= self._joined:
            return self._orphan(self._orphans[place - self._joined])
        skip = self._skipped[place - self._right]
        return Quiet(
            skip.room_id,
            SKIPPED,
            visible(skip.room_id),
            "",
            _name(self._remote, skip.room_id),
            "",
            _WHY.get(skip.reason, skip.reason.value.replace("_", " ")),
        )

    def _orphan(self, key: str) -> Quiet:
        """Its key stands where a room's name does: that is what tells it from others."""
        name, row = parse_key(key), self._local.rooms.get(parse_key(key).room_id)
        owner, chat_id = (row.matrix_user_id, row.chat_id) if row else (name.user, name.chat_id)
        told = visible(key, _LONG)
        who = self._who(owner)
        return Quiet(key, ORPHANED, told, visible(owner), told, visible(chat_id), _KEPT, who)

    def _room(self, room_id: str) -> Quiet:
        row = self._local.rooms.get(room_id)
        owner, chat_id = (row.matrix_user_id, row.chat_id) if row else ("", "")
        return Quiet(
            room_id,
            IN_SYNC,
            visible(room_id),
            visible(owner),
            _name(self._remote, room_id),
            visible(chat_id),
            "its rows are right",
            self._who(owner),
        )

    def _user(self, user: str) -> Quiet:
        told = visible(user)
        return Quiet(user, IN_SYNC, told, told, "", "", "its user row is right", self._who(user))

    def _who(self, user: str) -> str:
        """Who has neither a row that is right nor a unit may be called like somebody else."""
        return visible(self._short.get(user, user))


def _name(remote: RemoteState, room_id: str) -> str:
    room = remote.rooms.get(room_id)
    return visible((room.name if room else None) or "")
