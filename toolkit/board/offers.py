"""What a person may pick for a unit, and what is said about it beside a button. Pure.

What can be settled, and by what, the planner has said: codes, proposals and candidates. Here it is
only sorted into choices; whether a choice will do says the planner once more.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import msgspec

from toolkit.convention import chat_number
from toolkit.decisions.free_chat_ids import find_highest, free_ids
from toolkit.model import NO_CHOICES, Choices, Code, Plan, RowWrite, Unit, UnitKind
from toolkit.quotes import quote_odd
from toolkit.records import LocalState
from toolkit.text.advice import NOTEBOOK, action, changed_fields, deed, verb
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


@dataclass(frozen=True, slots=True)
class Offers:
    """What would settle a unit: any one of these, the first of each kind the likeliest."""

    owners: tuple[str, ...] = ()
    spaces: tuple[str, ...] = ()
    chat_ids: tuple[str, ...] = ()
    overwrite: bool = False
    lower_counter: bool = False

    def __bool__(self) -> bool:
        return self != NO_OFFERS


NO_OFFERS = Offers()


@dataclass(frozen=True, slots=True)
class Option:
    """One choice, and the words for it."""

    label: str
    choices: Choices


class Offering:
    """What may be picked for the units of one plan; passes over the rows once, not for each unit, and
    not at all before there is a unit that wants it."""

    def __init__(self, plan: Plan, local: LocalState) -> None:
        self._plan, self._local = plan, local

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
        return Offers(
            owners=people if codes & _OWNER else (),
            spaces=_spaces(unit, codes),
            chat_ids=self._chat_ids(unit) if codes & _CHAT_ID and unit.owner else (),
            overwrite=Code.UNREADABLE_ROW in codes and not unit.choices.overwrite,
            lower_counter=Code.COUNTER_TOO_HIGH in codes and not unit.choices.lower_counter,
        )

    def _chat_ids(self, unit: Unit) -> tuple[str, ...]:
        """What is proposed, then what rows say about the room, as far as no other room has it for
        certain; then free ids above all known ones."""
        owner = unit.owner or ""
        found = [f.proposal for f in unit.findings if f.code in _CHAT_ID and f.proposal]
        for room_id in unit.room_ids:
            row = self._local.rooms.get(room_id)
            if row and row.matrix_user_id == owner:
                found.append(row.chat_id)
            found += self._pointing.get((room_id, owner), ())
        open_ = (id_ for id_ in found if chat_number(id_) and (owner, id_) not in self._taken)
        return tuple(dict.fromkeys([*open_, *free_ids(self._highest.get(owner, 0), FREE)]))


def list_options(offers: Offers) -> tuple[Option, ...]:
    """The same as single choices with words, chat ids first, as a list to pick from shows them."""
    found = [
        (f"chat id {quote_odd(chat_id)}", Choices(chat_id=chat_id)) for chat_id in offers.chat_ids
    ]
    found += [(f"owner {quote_odd(owner)}", Choices(owner=owner)) for owner in offers.owners]
    found += [(f"Space {quote_odd(space)}", Choices(space_id=space)) for space in offers.spaces]
    if offers.overwrite:
        found.append(("overwrite the unreadable row", Choices(overwrite=True)))
    if offers.lower_counter:
        found.append(("lower the counter (stop the bot before)", Choices(lower_counter=True)))
    return tuple(Option(visible(label), choices) for label, choices in found)


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


def say_choices(choices: Choices) -> str:
    """What was picked; empty for nothing."""
    if choices == NO_CHOICES:
        return ""
    offers = Offers(
        _one(choices.owner),
        _one(choices.space_id),
        _one(choices.chat_id),
        choices.overwrite,
        choices.lower_counter,
    )
    return ", ".join(option.label for option in list_options(offers))


def why_unfit(unit: Unit, picked: Choices) -> str:
    """Why picks didn't settle what they were to settle, as the unit was planned with them; or nothing.

    An unreadable row stays one until it is overwritten: whoever picked that has settled it.
    """
    meant = [
        (picked.owner, _OWNER),
        (picked.space_id, _SPACE),
        (picked.chat_id, _CHAT_ID),
    ]
    codes = {code for value, codes in meant if value is not None for code in codes}
    open_ = [] if unit.change else [finding for finding in unit.findings if finding.code in codes]
    return "; ".join(dict.fromkeys(finding.cause.rstrip(".") for finding in open_))


def say_action(unit: Unit, offers: Offers) -> str:
    """What approving would do, or what to do first, for somebody with a mouse."""
    if unit.change:
        words = f"would {' and '.join(map(_say_write, unit.change.writes))}"
        return f"needs your yes: {words}" if unit.needs_human else words
    wanted = [
        ("pick the owner", offers.owners),
        ("pick the Space", offers.spaces),
        ("pick a chat id", offers.chat_ids),
        ("look at the row, then pick whether to overwrite it", offers.overwrite),
        ("pick whether to lower the counter", offers.lower_counter),
    ]
    if told := [words for words, offered in wanted if offered]:
        return ", or ".join(told)
    codes = {finding.code for finding in unit.findings}
    if Code.MULTIPLE_SPACES in codes and unit.kind is UnitKind.ROOM:
        return f"settle first which Space of {quote_odd(unit.owner) if unit.owner else 'the user'} counts"
    if Code.OWNER_UNKNOWN in codes:
        return "nobody is known who could own it: nothing can be written"
    return action(unit, NOTEBOOK)


def _say_write(write: RowWrite) -> str:
    """A change of few fields names them; what is inserted or overwritten is the whole row."""
    if verb(write) != "change":
        return deed(write)
    fields = [name for name, _, _ in changed_fields(write) if name]
    return f"{deed(write)} ({', '.join(fields)})" if 0 < len(fields) <= 3 else deed(write)


def _spaces(unit: Unit, codes: Iterable[Code]) -> tuple[str, ...]:
    """Which Space counts is settled at the user's row, which Space a room is in at the room."""
    code = Code.MULTIPLE_SPACES if unit.kind is UnitKind.USER else Code.OWNER_AMBIGUOUS
    if code not in codes:
        return ()
    return tuple(candidate for candidate in unit.candidates if candidate.startswith("!"))


def _one(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)
