"""A unit as a person reviews it: one line of the list, and what opens below it. Pure.

Every text is made visible here, so that a view has only to show it as text. `unit` and what is in
`choices` are as the homeserver has them: a view hands them back, and never shows them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from toolkit.board.marks import Mark, mark_writes, say_marks
from toolkit.board.offers import say_action
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import (
    NO_OFFERS,
    Offering,
    Offers,
    Option,
    list_options,
    say_choices,
)
from toolkit.model import (
    NO_CHOICES,
    Choices,
    Plan,
    RemoteState,
    RowWrite,
    Status,
    Unit,
    UnitKind,
)
from toolkit.quotes import quote_odd
from toolkit.text.advice import unit_name
from toolkit.text.localparts import short_names
from toolkit.text.visible import visible

LONG = 500
_SHORT_ID = 14


class Answer(str):
    """The words to show for what was asked, and whether it was done."""

    accepted: bool

    def __new__(cls, words: str, *, accepted: bool = True) -> "Answer":
        answer = super().__new__(cls, words)
        answer.accepted = accepted
        return answer


def refused(words: str) -> Answer:
    """Words for what was not done."""
    return Answer(words, accepted=False)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a unit in the last run: `applied`, `stale`, `failed`, `not applied` or, where that was
    an undo, `taken back`; and why."""

    state: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line to decide about. `change` names what would be written; "" is nothing yet.

    `label` says which unit it is, differently for each, and `who` is its owner as short as nobody else is
    called. `writes` are shown as a diff on one line, its `marks`. `options` are the choices that would settle
    it, and `picked` says in words what was chosen so far. `again` is a decision that no longer holds,
    since it was about another change; `returned` says why a unit is no longer ignored, and `ignored` by
    whom, until when and why it is. `barred` says why it is only shown.
    """

    unit: str
    kind: UnitKind
    status: Status
    vote: Vote
    label: str
    id: str
    owner: str = ""
    who: str = ""
    name: str = ""
    chat_id: str = ""
    cause: str = ""
    action: str = ""
    writes: tuple[RowWrite, ...] = ()
    change: str = ""
    rows: int = 0
    needs_human: bool = False
    offers: Offers = NO_OFFERS
    options: tuple[Option, ...] = ()
    choices: Choices = NO_CHOICES
    picked: str = ""
    again: str = ""
    ignored: str = ""
    returned: str = ""
    barred: str = ""
    result: Result | None = None

    @property
    def marks(self) -> tuple[Mark, ...]:
        """What would be written, as a diff on one line."""
        return mark_writes(self.writes)

    @property
    def approvable(self) -> bool:
        """Whether there is something to agree to."""
        return bool(self.change)

    @property
    def written(self) -> bool:
        """Whether the last run wrote it."""
        return self.result is not None and self.result.state == "applied"

    @property
    def chat(self) -> str:
        """Which chat it is, or that it is none."""
        return self.chat_id or ("user row" if self.kind is UnitKind.USER else "")

    def has(self, text: str) -> bool:
        """Whether what is shown of it holds this text, in whatever case."""
        words = (self.cause, self.action, self.ignored)
        shown = (self.label, self.id, self.owner, self.name, self.chat, *words)
        wanted = text.casefold()
        return wanted in "\n".join(shown).casefold() or wanted in say_marks(self.marks).casefold()

    def column(self, name: str) -> str:
        """What stands in a column of the list."""
        return str(getattr(self, name))


class Lines:
    """Undecided lines of a plan's units, each with a label of its own, made when they are asked for.

    Those of units that the plan `before` held as well, as lines of the same rooms, are made once. `people` are
    to be told apart from the owners of units.
    """

    def __init__(
        self,
        plan: Plan,
        remote: RemoteState,
        offering: Offering | None,
        before: "Lines | None" = None,
        people: Iterable[str] = (),
    ) -> None:
        self.remote, self._offering = remote, offering
        self._made: dict[str, tuple[Unit, Item]] = {}
        if before is not None and before.remote is remote:
            self._made = {u: made for u, made in before._made.items() if u in plan.places}
        names = (_label(unit, _room_name(unit, remote)) for unit in plan.units)
        labels = [(visible(name), unit.id) for name, unit in zip(names, plan.units, strict=True)]
        told = _tell_apart(_tell_apart(labels, _SHORT_ID), LONG)
        self._labels = {unit: label for label, unit in told}
        self.short = short_names([*_owners(plan), *people])

    def line(self, unit: Unit) -> Item:
        """The line of a unit of the plan."""
        known, item = self._made.get(unit.id, (None, None))
        offers = self._offering.offers(unit) if self._offering else NO_OFFERS
        label, who = self._labels[unit.id], visible(self.short.get(unit.owner or "", ""))
        if item is None or known != unit or item.offers != offers:
            item = make_item(unit, offers, self.remote, label)
        if (item.label, item.who) != (label, who):
            item = replace(item, label=label, who=who)
        self._made[unit.id] = unit, item
        return item


def make_item(unit: Unit, offers: Offers, remote: RemoteState, label: str) -> Item:
    """One line that nobody has decided about."""
    return Item(
        unit=unit.id,
        kind=unit.kind,
        status=unit.status,
        vote=Vote.PENDING,
        label=label,
        id=visible(unit.id),
        owner=visible(unit.owner or ""),
        who=visible(unit.owner or ""),
        name=visible(_room_name(unit, remote)),
        chat_id=visible(unit.chat_id or ""),
        cause=visible(say_causes(unit), LONG),
        action=visible(say_action(unit, offers), LONG),
        writes=unit.writes,
        change=unit.change.fingerprint if unit.change else "",
        rows=len(unit.change.writes) if unit.change else 0,
        needs_human=unit.needs_human,
        offers=offers,
        options=list_options(offers),
        choices=unit.choices,
        picked=say_choices(unit.choices, offers.noun),
    )


def bar_item(item: Item, why: str) -> Item:
    """The same line where nothing can be agreed to; without a reason it stays as it is."""
    if not why:
        return item
    words = visible(why, LONG)
    return replace(item, change="", rows=0, writes=(), barred=words, action=f"shown only: {words}")


def _owners(plan: Plan) -> Iterator[str]:
    return (unit.owner for unit in plan.units if unit.owner)


def say_causes(unit: Unit) -> str:
    """Why it stands like that: of a conflict, what makes it one."""
    causes = [finding.cause.rstrip(".") for finding in unit.conflicts or unit.findings]
    return "; ".join(dict.fromkeys(causes))


def _label(unit: Unit, name: str) -> str:
    if unit.kind is UnitKind.USER:
        return f"user row of {quote_odd(unit.owner) if unit.owner else 'nobody yet'}"
    return unit_name(unit) or name or unit.id


def _tell_apart(labels: Sequence[tuple[str, str]], length: int) -> list[tuple[str, str]]:
    """Two rooms may claim to be the same chat; what tells them apart then is their id."""
    named = Counter(label for label, _ in labels)
    return [
        (label if named[label] == 1 else f"{label} ({_cut(visible(unit), length)})", unit)
        for label, unit in labels
    ]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _room_name(unit: Unit, remote: RemoteState) -> str:
    room_id = unit.id if unit.kind is UnitKind.ROOM else unit.space_id
    room = remote.rooms.get(room_id or "")
    return (room.name if room else None) or ""


def fingerprint_of(changes: Mapping[str, str]) -> str:
    """Names exactly these changes of these units, for somebody who agrees to them together."""
    text = json.dumps(sorted(changes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
