"""What a person may pick for a unit, and why each of it is offered. Pure.

What can be settled, and by what, the planner has said: codes, proposals and candidates. Here it is
only sorted into choices; whether a choice will do says the planner once more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from toolkit.convention import chat_number
from toolkit.decisions.free_chat_ids import find_highest, free_ids
from toolkit.model import NO_CHOICES, Choices, Code, Plan, Rung, Unit, UnitKind
from toolkit.planning.links.claims import read_id
from toolkit.planning.links.rows import Id, LinkState, Local
from toolkit.quotes import quote_id, quote_odd
from toolkit.records import LocalState, load_records
from toolkit.text.visible import visible

FREE = 3
"""How many free chat ids are offered after those that are proposed."""

_OWNER = frozenset({Code.OWNER_AMBIGUOUS, Code.OWNER_UNKNOWN, Code.OWNER_LEFT, Code.OWNER_CHANGED})
_SPACE = frozenset({Code.MULTIPLE_SPACES, Code.OWNER_AMBIGUOUS})
_CHAT_ID = frozenset(
    {
        Code.CHAT_ID_UNKNOWN,
        Code.CHAT_ID_INFERRED,
        Code.EVIDENCE_DISAGREES,
        Code.DUPLICATE_CHAT_ID,
    }
)
_LINK_ID = frozenset({Code.EVIDENCE_DISAGREES, Code.DUPLICATE_ID, Code.ID_INFERRED})
_BECAUSE = {
    Rung.CHOICE: "it was picked",
    Rung.ROOM_ROW: "the room row says it",
    Rung.CHAT_ROW: "a chat row of it points at the room",
    Rung.STATE_EVENT: "the bot's own event in the room says it",
    Rung.ROOM_NAME: "the room's name says it",
    Rung.FOREIGN_NAME: "the room's name says it, which somebody else than the bot wrote",
    Rung.CREATION_ORDER: "the order in which the user's rooms were made leaves it",
}
_NEXT, _FREE = "the next free number", "free as well"


@dataclass(frozen=True, slots=True)
class Offers:
    """What would settle a unit: any one of these, the first of each kind the likeliest.

    `why` says of each id, in their order, what speaks for it; with `free`, another one may be typed.
    """

    owners: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    chat_ids: tuple[str, ...] = ()
    overwrite: bool = False
    lower_counter: bool = False
    why: tuple[str, ...] = ()
    free: bool = False
    noun: str = "chat id"


NO_OFFERS = Offers()


@dataclass(frozen=True, slots=True)
class Option:
    """One choice, the words for it, and why it is offered, as far as that isn't plain."""

    label: str
    choices: Choices
    why: str = ""


class Offering:
    """What may be picked for the units of one plan; passes over the rows once, not for each unit, and
    not at all before there is a unit that wants it."""

    def __init__(self, plan: Plan, local: Local) -> None:
        self._plan, self._noun = plan, plan.words.id
        self._links = local if isinstance(local, LinkState) else None
        self._local = local if isinstance(local, LocalState) else load_records([])

    @cached_property
    def _joined(self) -> frozenset[str]:
        return frozenset(self._plan.joined)

    @cached_property
    def _highest(self) -> dict[str, int]:
        return find_highest(self._local, self._plan)

    @cached_property
    def _pointing(self) -> dict[tuple[str, str], list[str]]:
        pointing: dict[tuple[str, str], list[str]] = {}
        for (user, chat_id), row in sorted(self._local.chats.items()):
            pointing.setdefault((row.surface_ref, user), []).append(chat_id)
        return pointing

    @cached_property
    def _taken(self) -> set[tuple[str, str]]:
        plan = self._plan
        right = (self._local.rooms.get(room_id) for room_id in plan.in_sync_rooms)
        taken = {(row.matrix_user_id, row.chat_id) for row in right if row}
        return taken | {
            (unit.owner or "", unit.chat_id or "") for unit in plan.units if not unit.conflicts
        }

    def offers(self, unit: Unit) -> Offers:
        """What a person may pick for this unit, as it is planned now."""
        codes = {finding.code for finding in unit.findings}
        people = tuple(candidate for candidate in unit.candidates if candidate.startswith("@"))
        told = self._ids(unit, codes)
        return Offers(
            owners=people if codes & _OWNER else (),
            spaces=_spaces(unit, codes),
            chat_ids=tuple(told),
            why=tuple(told.values()),
            free=bool(told) or unit.choices.chat_id is not None or self._is_free(codes),
            overwrite=Code.UNREADABLE_ROW in codes and not unit.choices.overwrite,
            lower_counter=Code.COUNTER_TOO_HIGH in codes and not unit.choices.lower_counter,
            noun=self._noun,
        )

    def _ids(self, unit: Unit, codes: set[Code]) -> dict[str, str]:
        if self._links is not None:
            return self._link_ids(unit, self._links) if codes & _LINK_ID else {}
        return self._chat_ids(unit) if codes & _CHAT_ID and unit.owner else {}

    def _is_free(self, codes: set[Code]) -> bool:
        """Of an id that a room holds by its row nothing is offered, and the other one may be any other."""
        return self._links is not None and bool(codes & _LINK_ID)

    def _link_ids(self, unit: Unit, links: LinkState) -> dict[str, str]:
        """What evidence says that the room may be, as far as that can be written and no other room has it by
        its row. Each with how its row stands."""
        said = unit.candidates or filter(None, (unit.chat_id,))
        read = {text: id_ for text in said if (id_ := read_id(text, links))}
        told = {text: self._say_row(id_, unit, links) for text, id_ in read.items()}
        return {text: words for text, words in told.items() if words}

    def _say_row(self, id_: Id, unit: Unit, links: LinkState) -> str:
        """How the row of an id stands, which a person picks by; nothing for one that can't be picked."""
        if (row := links.links.get(id_)) is None:
            if links.key(id_) in links.unreadable:
                return "its row can't be read"
            return "it would get a row" if links.may_insert and id_ not in links.repeated else ""
        if row.room is None:
            return "its row names no room"
        if row.room in unit.room_ids:
            return "its row names this room"
        if row.room in self._joined:
            return ""
        return f"its row names {quote_odd(row.room)}, which the account isn't in"

    def _chat_ids(self, unit: Unit) -> dict[str, str]:
        """What is proposed, then what rows say about the room, as far as no other room has it for
        certain; then free ids above all known ones. Each with what speaks for it."""
        owner = unit.owner or ""
        found: dict[str, dict[str, None]] = {}
        for finding in unit.findings:
            if finding.code in _CHAT_ID and finding.proposal:
                found[finding.proposal] = {}
                if finding.proposal == unit.chat_id:
                    found[finding.proposal][_BECAUSE[unit.evidence.rung]] = None
        for room_id in unit.room_ids:
            row = self._local.rooms.get(room_id)
            if row and row.matrix_user_id == owner:
                found.setdefault(row.chat_id, {})[_BECAUSE[Rung.ROOM_ROW]] = None
            for chat_id in self._pointing.get((room_id, owner), ()):
                found.setdefault(chat_id, {})[_BECAUSE[Rung.CHAT_ROW]] = None
        told = {
            id_: ", and ".join(why)
            for id_, why in found.items()
            if chat_number(id_) and (owner, id_) not in self._taken
        }
        free = free_ids(self._highest.get(owner, 0), FREE)
        return told | {id_: _NEXT if not place else _FREE for place, id_ in enumerate(free)}


def list_options(offers: Offers) -> tuple[Option, ...]:
    """The same as single choices with words, chat ids first, as a list to pick from shows them."""
    why = dict(zip(offers.chat_ids, offers.why, strict=False))
    found = [
        (f"{offers.noun} {quote_id(chat_id)}", Choices(chat_id=chat_id))
        for chat_id in offers.chat_ids
    ]
    found += [(f"owner {quote_odd(owner)}", Choices(owner=owner)) for owner in offers.owners]
    found += [(f"Space {quote_odd(space)}", Choices(space_id=space)) for space in offers.spaces]
    if offers.overwrite:
        found.append(("overwrite the unreadable row", Choices(overwrite=True)))
    if offers.lower_counter:
        found.append(("lower the counter (stop the bot before)", Choices(lower_counter=True)))
    return tuple(
        Option(visible(label), choices, visible(why.get(choices.chat_id or "", "")))
        for label, choices in found
    )


def join_choices(first: Choices, then: Choices) -> Choices:
    """Both picks; the later one counts where they are about the same.

    >>> join_choices(Choices(owner="@a", chat_id="C1"), Choices(chat_id="C2"))
    Choices(owner='@a', space_id=None, chat_id='C2', overwrite=False, lower_counter=False)
    """
    picked = {
        name: value
        for name, value in msgspec.structs.asdict(then).items()
        if value not in (None, False)
    }
    return msgspec.structs.replace(first, **picked)


def say_choices(choices: Choices, noun: str = "chat id") -> str:
    """What was picked; empty for nothing. `noun` is what the bot's shape calls an id."""
    if choices == NO_CHOICES:
        return ""
    offers = Offers(
        _one(choices.owner),
        _one(choices.space_id),
        _one(choices.chat_id),
        choices.overwrite,
        choices.lower_counter,
        noun=noun,
    )
    return ", ".join(option.label for option in list_options(offers))


def why_unfit(unit: Unit, picked: Choices) -> str:
    """Why picks didn't settle what they were to settle, as the unit was planned with them; or nothing.

    An unreadable row stays one until it is overwritten: whoever picked that has settled it.
    """
    meant = [
        (picked.owner, _OWNER),
        (picked.space_id, _SPACE),
        (picked.chat_id, _CHAT_ID | _LINK_ID),
    ]
    codes = {code for value, codes in meant if value is not None for code in codes}
    open_ = [] if unit.change else [finding for finding in unit.findings if finding.code in codes]
    return "; ".join(dict.fromkeys(finding.cause.rstrip(".") for finding in open_))


def _spaces(unit: Unit, codes: Iterable[Code]) -> tuple[str, ...]:
    """Which Space counts is settled at the user's row, which Space a room is in at the room."""
    code = Code.MULTIPLE_SPACES if unit.kind is UnitKind.USER else Code.OWNER_AMBIGUOUS
    if code not in codes:
        return ()
    return tuple(candidate for candidate in unit.candidates if candidate.startswith("!"))


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
