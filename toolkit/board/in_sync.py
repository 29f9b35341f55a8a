"""What nobody has to decide about: what is in sync, rooms that are skipped, and rows that no room belongs to. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from toolkit.board.quiet_rows import About, QuietRows
from toolkit.model import Plan, Reason, RemoteState
from toolkit.text.groups import Group
from toolkit.text.visible import visible
from toolkit.words import Words

IN_SYNC = "in sync"
SKIPPED = "skipped"
ORPHANED = "orphaned"
UNLINKED = "unlinked"

_LONG = 500
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
    Reason.NOT_A_SPACE: "it is no Space",
    Reason.NO_EVIDENCE: "nothing tells its id",
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
    """In sync first, users before rooms, then skipped rooms, then rows by their keys: orphaned ones, and those that
    name no room.

    Each line is made when somebody wants to see it.
    """

    def __init__(
        self, plan: Plan, rows: QuietRows, remote: RemoteState, short: Mapping[str, str]
    ) -> None:
        self._plan, self._rows, self._remote, self._short = plan, rows, remote, short
        self._right = len(plan.in_sync_users) + len(plan.in_sync_rooms)
        self._joined = self._right + len(plan.skipped)
        self._linked = self._joined + len(plan.orphans)

    def __len__(self) -> int:
        return self._linked + len(self._plan.unlinked)

    def __iter__(self) -> Iterator[Quiet]:
        return map(self.line, range(len(self)))

    def status(self, place: int) -> str:
        """How a line stands, without making it."""
        if place < self._right:
            return IN_SYNC
        if place < self._joined:
            return SKIPPED
        return ORPHANED if place < self._linked else UNLINKED

    def find(self, unit: str) -> int | None:
        """The place of a line."""
        return self._places.get(unit)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {unit: place for place, unit in enumerate(self._units)}

    @cached_property
    def _units(self) -> tuple[str, ...]:
        plan = self._plan
        skipped = (skip.room_id for skip in plan.skipped)
        return (
            *(*plan.in_sync_users, *plan.in_sync_rooms, *skipped),
            *(*plan.orphans, *plan.unlinked),
        )

    def line(self, place: int) -> Quiet:
        """The line at a place."""
        unit, status = self._units[place], self.status(place)
        if place < len(self._plan.in_sync_users):
            return self._tell(unit, status, About(unit, "", "its user row is right"))
        if place < self._right:
            return self._tell(unit, status, self._rows.room(unit), _name(self._remote, unit))
        if place >= self._joined:
            return self._tell(unit, status, self._rows.row(unit))
        reason = self._plan.skipped[place - self._right].reason
        why = _WHY.get(reason, reason.value.replace("_", " "))
        return self._tell(unit, status, About("", "", why), _name(self._remote, unit))

    def _tell(self, unit: str, status: str, about: About, name: str = "") -> Quiet:
        """Who has neither a row that is right nor a unit may be called like somebody else."""
        return Quiet(
            unit,
            status,
            visible(unit, _LONG),
            visible(about.owner),
            name or visible(about.name, _LONG),
            visible(about.id),
            visible(about.cause, _LONG),
            visible(self._short.get(about.owner, about.owner)),
        )


def quiet_groups(words: Words) -> tuple[Group, ...]:
    """What such lines have in common, in their order."""
    return (
        Group(IN_SYNC, words.are_right),
        Group(SKIPPED, words.left_out),
        Group(ORPHANED, "no joined room belongs to the row"),
        Group(UNLINKED, "the row names no room, and no room claims its id"),
    )


def count_quiet(plan: Plan) -> dict[str, int]:
    """How many such lines there are, by how they stand; rows without a room only where a bot may have such."""
    counts = {
        IN_SYNC: len(plan.in_sync_rooms) + len(plan.in_sync_users),
        SKIPPED: len(plan.skipped),
        ORPHANED: len(plan.orphans),
    }
    return counts | ({UNLINKED: len(plan.unlinked)} if plan.words.table else {})


def _name(remote: RemoteState, room_id: str) -> str:
    room = remote.rooms.get(room_id)
    return visible((room.name if room else None) or "")
