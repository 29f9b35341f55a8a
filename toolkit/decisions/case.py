"""A conflict as a person is shown it: its rooms side by side, and what may be picked, with reasons. Pure.

The same for every face: a terminal's table, the review's panel, a frame and JSON say what stands here.
Names and ids are as they are; whoever shows them makes them `visible`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import is_
from typing import Any

import msgspec

from toolkit.convention import Convention
from toolkit.decisions.offers import Offering, Offers
from toolkit.model import Plan, RemoteState, Unit
from toolkit.planning.facts import Facts, People, Role, RoomFacts, find_facts
from toolkit.planning.links.rows import Local
from toolkit.quotes import quote_id, quote_odd
from toolkit.text.links import room_link
from toolkit.text.times import say_minute

_TITLES = {
    Role.ROOM: "this room",
    Role.RIVAL: "its twin",
    Role.HOLDER: "the twin that the row names",
    Role.SPACE: "the Space",
    Role.OTHER_SPACE: "another Space",
}
_UNKNOWN, _NOBODY = "unknown", "nobody"


@dataclass(frozen=True, slots=True)
class Side:
    """One of the rooms that are compared. `facts` has a text for each label, the same labels on all sides."""

    title: str
    room_id: str
    link: str
    facts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of a unit in conflict, and what may be picked for it."""

    account: str
    facts: Facts
    offers: Offers

    @property
    def sides(self) -> tuple[Side, ...]:
        """The rooms side by side; what none of them says anything of is left out."""
        rooms = self.facts.rooms
        told = [(label, [say(room) for room in rooms]) for label, say in _LINES]
        read = any(not room.unread for room in rooms)
        lines = [
            (label, texts) for label, texts in told if any(texts) or (read and label in _ALWAYS)
        ]
        return tuple(
            Side(
                _TITLES[room.role],
                room.room_id,
                room_link(room.room_id, self.account),
                tuple((label, texts[place] or _lack(label, room)) for label, texts in lines),
            )
            for place, room in enumerate(rooms)
        )

    @property
    def offered(self) -> tuple[tuple[str, str], ...]:
        """Ids that may be picked, each with what speaks for it."""
        return tuple(zip(self.offers.chat_ids, self.offers.why, strict=True))

    @property
    def say_offered(self) -> str:
        """The same in words."""
        told = (quote_id(id_) + (f" ({why})" if why else "") for id_, why in self.offered)
        return f"{self.offers.noun}s offered: {', '.join(told)}"

    @property
    def more(self) -> str:
        """Which rooms aren't shown."""
        return f"and {self.facts.more} more rooms" if self.facts.more else ""


class Casebook:
    """The cases of one look, each made when it is asked for."""

    def __init__(
        self, plan: Plan, remote: RemoteState, local: Local, convention: Convention
    ) -> None:
        self._about, self._convention = (plan, remote, local), convention
        self._remote, self._offering = remote, Offering(plan, local)

    def are_of(self, plan: Plan, remote: RemoteState, local: Local) -> bool:
        """Whether these very values are what the cases are about."""
        return all(map(is_, self._about, (plan, remote, local)))

    def open(self, unit: Unit) -> Case | None:
        """The case of a unit; None for one that isn't in conflict, or of whose rooms nothing is known."""
        facts = find_facts(unit, self._remote, self._convention)
        if not facts.rooms:
            return None
        return Case(self._remote.account, facts, self._offering.offers(unit))


def say_case(case: Case) -> str:
    """A case in one line, for a cell of a frame."""
    parts = [
        f"{side.title} {quote_odd(side.room_id)}: "
        + "; ".join(f"{label} {text}" for label, text in (*side.facts, ("link", side.link)))
        for side in case.sides
    ]
    parts += [case.more] if case.more else []
    if case.offered:
        parts.append(case.say_offered)
    return " | ".join(parts)


def case_json(case: Case) -> dict[str, Any]:
    """A case as JSON values; times as UTC to the minute, None where they aren't known."""
    rooms = [
        {
            **msgspec.to_builtins(room),
            "named": say_minute(room.named) or None,
            "created": say_minute(room.created) or None,
            "link": room_link(room.room_id, case.account),
        }
        for room in case.facts.rooms
    ]
    noun = case.offers.noun.replace(" ", "_")
    offered = [{noun: id_, "why": why} for id_, why in case.offered]
    return {"rooms": rooms, "more_rooms": case.facts.more, f"{noun}s_offered": offered}


def _at_by(time: int | None, user: str | None) -> str:
    words = [say_minute(time), f"by {quote_odd(user)}" if user else ""]
    return " ".join(filter(None, words))


def _people(people: People) -> str:
    more = people.count - len(people.users)
    shown = ", ".join(map(quote_odd, people.users))
    return f"{shown} and {more:,} more" if more else shown


def _name(room: RoomFacts) -> str:
    return quote_odd(room.name) if room.name else ""


def _lack(label: str, room: RoomFacts) -> str:
    """What stands where a room says nothing, and another does."""
    if room.unread or label in _DATED:
        return _UNKNOWN
    return "none" if label in _PLAIN else _NOBODY


def _lines() -> Iterator[tuple[str, Callable[[RoomFacts], str]]]:
    yield "not read", lambda room: room.unread
    yield "name", _name
    yield "joined", lambda room: _people(room.joined)
    yield "invited", lambda room: _people(room.invited)
    yield "left", lambda room: _people(room.left)
    yield "banned", lambda room: _people(room.banned)
    yield "asks to join", lambda room: _people(room.knocking)
    yield "in an earlier version only", lambda room: _people(room.behind)
    yield "named", lambda room: _at_by(room.named, room.named_by)
    yield "made", lambda room: _at_by(room.created, room.created_by)
    yield "goes on from", lambda room: ", ".join(map(quote_odd, room.earlier))


_LINES = tuple(_lines())
_ALWAYS = ("name", "joined")
_DATED, _PLAIN = ("named", "made"), ("not read", "name", "goes on from")
