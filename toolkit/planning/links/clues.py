"""What the declared evidence says of a room's id: by an event, a name, an alias, the only other member. Pure.

Only what a trusted account sent is read. A part of a composite id that an event leaves out is unknown, and
fits whatever the rows say.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from toolkit.errors import ConventionError
from toolkit.layout import ALIAS, Clue, Layout, as_integer, id_pattern
from toolkit.model import RoomState, Rung
from toolkit.planning.links.rooms import events_of
from toolkit.planning.links.rows import Claimed, Id, LinkState
from toolkit.quotes import quote_odd

RUNGS = {
    "name": Rung.ROOM_NAME,
    "alias": Rung.ROOM_ALIAS,
    "event": Rung.STATE_EVENT,
    "sole_member": Rung.SOLE_MEMBER,
}


class Told(msgspec.Struct, frozen=True):
    """An id that a clue tells, and the event that says so."""

    id: Claimed
    event: str


def _order(told: Told) -> tuple[list[tuple[bool, str]], str]:
    return [(part is None, part or "") for part in told.id], told.event


class Reader(msgspec.Struct, frozen=True):
    """One clue, ready to be asked about rooms. `rank` is its place: the lower, the stronger."""

    rung: Rung
    rank: int
    read: Callable[[RoomState], list[Told]]

    @property
    def certain(self) -> bool:
        """Whether nobody but the bot could have brought it about."""
        return self.rung is not Rung.SOLE_MEMBER

    def ask(self, versions: Iterable[RoomState]) -> list[Told]:
        """What the newest version that says anything says: several ids where it says several."""
        for room in versions:
            if told := self.read(room):
                once = {one.id: one for one in sorted(told, key=_order, reverse=True)}
                return sorted(once.values(), key=_order)
        return []


def make_readers(
    layout: Layout, links: LinkState, trusted: frozenset[str], nobody: frozenset[str]
) -> list[Reader]:
    """The clues of a layout in their order, what is only proposed last.

    `nobody` are the accounts that are never the member whom an id names.
    """
    columns = layout.link.ids
    integers = frozenset(
        name for name, integer in zip(columns, links.integers, strict=True) if integer
    )

    def part(value: Any, place: int) -> str | None:
        return _part(value, integer=links.integers[place])

    def reader(clue: Clue) -> Callable[[RoomState], list[Told]]:
        if clue.event is not None:
            return lambda room: _by_event(room, clue, trusted, part)
        if clue.sole_member:
            return lambda room: _by_member(room, nobody, part)
        pattern = id_pattern(clue.name or clue.alias or "", columns, integers)

        def by_text(room: RoomState) -> list[Told]:
            found = _name(room) if clue.name is not None else _alias(room)
            text, sender, event = found
            match = pattern.fullmatch(text) if text and sender in trusted else None
            parts = [match[f"part{n}"] for n in range(len(columns))] if match else []
            read = tuple(part(value, place) for place, value in enumerate(parts))
            return [Told(read, event)] if read and None not in read else []

        return by_text

    if code := layout.load_code():
        return [Reader(Rung.CODE, BY_CLUE, lambda room: _by_code(room, code, columns, part))]
    clues = sorted(layout.clues, key=lambda clue: clue.sole_member)
    ranked = enumerate(clues, BY_CLUE)
    return [Reader(RUNGS[clue.kind], rank, reader(clue)) for rank, clue in ranked]


BY_ROW, BY_CHOICE, BY_CLUE = range(3)
"""The ranks: of what a row says, of what a person picked, and of the first clue."""


def _name(room: RoomState) -> tuple[str | None, str | None, str]:
    return room.name, room.name_sender, room.name_event


def _alias(room: RoomState) -> tuple[str | None, str | None, str]:
    for event in events_of(room, ALIAS, ""):
        alias = event.content.get("alias")
        return (alias if isinstance(alias, str) else None), event.sender, event.event_id
    return None, None, ""


def _by_event(
    room: RoomState,
    clue: Clue,
    trusted: frozenset[str],
    part: Callable[[Any, int], str | None],
) -> list[Told]:
    found = []
    for event in events_of(room, clue.event or "", clue.state_key):
        if event.sender not in trusted:
            continue
        values = [_walk(event.content, path) for path in clue.paths]
        parts = [None if v is None else part(v, place) for place, v in enumerate(values)]
        malformed = any(p is None and v is not None for p, v in zip(parts, values, strict=True))
        if any(parts) and not malformed:
            found.append(Told(tuple(parts), event.event_id))
    return found


def _walk(content: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        content = content.get(key) if isinstance(content, dict) else None
    return content


def _part(value: Any, *, integer: bool) -> str | None:
    """A part of an id as a text; None for what is none in this column."""
    text = str(value) if type(value) is int else value
    if not isinstance(text, str):
        return None
    return text if not integer or as_integer(text) is not None else None


def _by_member(
    room: RoomState, nobody: frozenset[str], part: Callable[[Any, int], str | None]
) -> list[Told]:
    """The only other user who is in the room, or invited; whoever joins makes it none."""
    members = [
        member
        for member in room.members
        if member.membership in ("join", "invite") and member.user_id not in nobody
    ]
    if len(members) != 1 or part(members[0].user_id, 0) is None:
        return []
    return [Told((members[0].user_id,), members[0].event_id)]


def _by_code(
    room: RoomState,
    code: Callable[[list[dict[str, Any]]], object],
    columns: Sequence[str],
    part: Callable[[Any, int], str | None],
) -> list[Told]:
    """What a function of the bot's own says; a wrong one is no evidence, and what it raises is said."""
    name = why = ""
    found: object = None
    try:
        found = code([msgspec.structs.asdict(event) for event in room.kept])
    except Exception as error:  # the bot's own code may raise anything
        name, why = type(error).__name__, quote_odd(room.room_id)
    if why:
        raise ConventionError(
            f"The evidence of the bot's own code raised {name} for the room {why}."
        )
    values = list(found) if isinstance(found, list | tuple) else [found]
    parts = tuple(part(value, place) for place, value in enumerate(values[: len(columns)]))
    if len(values) != len(columns) or None in parts or not any(parts):
        return []
    return [Told(parts, "")]


def fits(one: Claimed, other: Claimed) -> bool:
    """Whether two ids are the same, part by part, as far as both are known."""
    pairs = zip(one, other, strict=True)
    return all(ours is None or theirs is None or ours == theirs for ours, theirs in pairs)


def merge(claims: Sequence[Claimed]) -> Claimed:
    """What ids that fit each other say together."""
    return tuple(next(filter(None, parts), parts[0]) for parts in zip(*claims, strict=True))


def resolve(claimed: Claimed, links: LinkState) -> Id | None:
    """The whole id, by the rows where a part is unknown; None if they leave it open.

    A part that an event leaves out is empty, unless the one row that fits the rest says otherwise.
    """
    empty = tuple(part or "" for part in claimed)
    if None not in claimed or empty in links.links or empty in links.repeated:
        return empty
    if fitting := links.fitting(claimed):
        return fitting[0] if len(fitting) == 1 else None
    unknown = zip(claimed, links.integers, strict=True)
    return None if any(part is None and integer for part, integer in unknown) else empty
