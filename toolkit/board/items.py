"""A unit as a person reviews it: one line of the list, and what opens below it. Pure.

Every text is made visible here, so that a view has only to show it as text. `unit` and what is in
`choices` are as the homeserver has them: a view hands them back, and never shows them.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from toolkit.board.offers import (
    NO_OFFERS,
    Offering,
    Offers,
    Option,
    list_options,
    say_action,
    say_choices,
)
from toolkit.decisions.ledger import Vote
from toolkit.model import (
    CONFLICTS,
    NO_CHOICES,
    Choices,
    Finding,
    Plan,
    RemoteState,
    RowWrite,
    Status,
    Unit,
    UnitKind,
)
from toolkit.quotes import quote_odd
from toolkit.records import Raw, decode_object
from toolkit.text.advice import changed_fields, unit_name, verb, what
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
    """What became of a unit in the last apply: `applied`, `stale`, `failed` or `not applied`, and why."""

    state: str
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One line to decide about. `change` names what would be written; "" is nothing yet.

    `label` says which unit it is, differently for each. `options` are the choices that would settle
    it, and `picked` says in words what was chosen so far. `again` is a decision that no longer holds,
    since it was about another change. `barred` says why it is only shown.
    """

    unit: str
    kind: UnitKind
    status: Status
    vote: Vote
    label: str
    id: str
    owner: str = ""
    name: str = ""
    chat_id: str = ""
    cause: str = ""
    action: str = ""
    change: str = ""
    rows: int = 0
    needs_human: bool = False
    offers: Offers = NO_OFFERS
    options: tuple[Option, ...] = ()
    choices: Choices = NO_CHOICES
    picked: str = ""
    again: str = ""
    barred: str = ""
    result: Result | None = None

    @property
    def approvable(self) -> bool:
        """Whether there is something to agree to."""
        return bool(self.change)

    def has(self, text: str) -> bool:
        """Whether what is shown of it holds this text, in whatever case."""
        shown = (self.label, self.id, self.owner, self.name, self.chat_id, self.cause, self.action)
        return text.casefold() in "\n".join(shown).casefold()


@dataclass(frozen=True, slots=True)
class FieldDiff:
    """A field's value before and after, as JSON; "" where there is none. A row's name is ""."""

    name: str
    before: str
    after: str
    changed: bool = True


@dataclass(frozen=True, slots=True)
class RowDiff:
    """What would happen to one row, field by field; what stays the same is told as well."""

    key: str
    verb: str
    fields: tuple[FieldDiff, ...]


@dataclass(frozen=True, slots=True)
class Fact:
    """One finding in words, and what proves it."""

    code: str
    what: str
    cause: str
    evidence: str
    events: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Moved:
    """Of a unit that went stale: rows as they were agreed to and as they are, and what was and would be written."""

    why: str
    rows: tuple[RowDiff, ...] = ()
    plan: tuple[RowDiff, ...] = ()


@dataclass(frozen=True, slots=True)
class Details:
    """A unit opened: its line, its facts, the rows before and after, and the room's versions."""

    item: Item
    facts: tuple[Fact, ...] = ()
    rows: tuple[RowDiff, ...] = ()
    relies_on: tuple[str, ...] = ()
    room_ids: tuple[str, ...] = ()
    space_id: str = ""
    moved: Moved | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """How many units stand how, and how much is approved."""

    units: int = 0
    by_status: Mapping[Status, int] = field(default_factory=dict)
    by_vote: Mapping[Vote, int] = field(default_factory=dict)
    approved_units: int = 0
    approved_rows: int = 0


class Lines:
    """A line per unit of a plan; those of units that another plan holds as well are made once."""

    def __init__(self, remote: RemoteState) -> None:
        self.remote = remote
        self._made: dict[str, tuple[Unit, Item]] = {}

    def list(self, plan: Plan, offering: Offering | None) -> list[Item]:
        """In the plan's order, undecided, each with a label of its own."""
        self._made = {unit.id: (unit, self._line(unit, offering)) for unit in plan.units}
        items = [item for _, item in self._made.values()]
        return _tell_apart(_tell_apart(items, _SHORT_ID), LONG)

    def _line(self, unit: Unit, offering: Offering | None) -> Item:
        known, item = self._made.get(unit.id, (None, None))
        offers = offering.offers(unit) if offering else NO_OFFERS
        if item is not None and known == unit and item.offers == offers:
            return item
        return make_item(unit, offers, self.remote)


def make_item(unit: Unit, offers: Offers, remote: RemoteState) -> Item:
    """One line that nobody has decided about."""
    name = _room_name(unit, remote)
    return Item(
        unit=unit.id,
        kind=unit.kind,
        status=unit.status,
        vote=Vote.PENDING,
        label=visible(_label(unit, name)),
        id=visible(unit.id),
        owner=visible(unit.owner or ""),
        name=visible(name),
        chat_id=visible(unit.chat_id or ""),
        cause=visible(say_causes(unit), LONG),
        action=visible(say_action(unit, offers), LONG),
        change=unit.change.fingerprint if unit.change else "",
        rows=len(unit.change.writes) if unit.change else 0,
        needs_human=unit.needs_human,
        offers=offers,
        options=list_options(offers),
        choices=unit.choices,
        picked=say_choices(unit.choices),
    )


def bar_item(item: Item, why: str) -> Item:
    """The same line where nothing can be agreed to; without a reason it stays as it is."""
    if not why:
        return item
    words = visible(why, LONG)
    return replace(item, change="", rows=0, barred=words, action=f"shown only: {words}")


def make_details(item: Item, unit: Unit) -> Details:
    """What opens below a line."""
    change = unit.change
    return Details(
        item,
        tuple(map(_fact, unit.findings)),
        diff_rows(change.writes if change else ()),
        tuple(visible(key, LONG) for key in (change.relies_on if change else ())),
        tuple(map(visible, unit.room_ids)),
        visible(unit.space_id or ""),
    )


def diff_rows(writes: Iterable[RowWrite]) -> tuple[RowDiff, ...]:
    """Rows before and after, field by field."""
    return tuple(
        RowDiff(visible(write.key, LONG), verb(write), tuple(_diff_fields(write)))
        for write in writes
    )


def count_items(items: Iterable[Item]) -> Counts:
    """The numbers above the list."""
    items = list(items)
    approved = [item for item in items if item.vote is Vote.APPROVED and item.approvable]
    return Counts(
        len(items),
        Counter(item.status for item in items),
        Counter(item.vote for item in items),
        len(approved),
        sum(item.rows for item in approved),
    )


def say_causes(unit: Unit) -> str:
    """Why it stands like that: of a conflict, what makes it one."""
    causes = [finding.cause.rstrip(".") for finding in unit.conflicts or unit.findings]
    return "; ".join(dict.fromkeys(causes))


def _label(unit: Unit, name: str) -> str:
    if unit.kind is UnitKind.USER:
        return f"user row of {quote_odd(unit.owner) if unit.owner else 'nobody yet'}"
    return unit_name(unit) or name or unit.id


def _tell_apart(items: Sequence[Item], length: int) -> list[Item]:
    """Two rooms may claim to be the same chat; what tells them apart then is their id."""
    named = Counter(item.label for item in items)
    return [
        item
        if named[item.label] == 1
        else replace(item, label=f"{item.label} ({_cut(item.id, length)})")
        for item in items
    ]


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[:length]}…"


def _room_name(unit: Unit, remote: RemoteState) -> str:
    room_id = unit.id if unit.kind is UnitKind.ROOM else unit.space_id
    room = remote.rooms.get(room_id or "")
    return (room.name if room else None) or ""


def _fact(finding: Finding) -> Fact:
    return Fact(
        finding.code.value,
        visible(what(finding), LONG),
        visible(finding.cause, LONG) + _more(finding),
        finding.evidence.rung.value.replace("_", " "),
        tuple(map(visible, finding.evidence.events)),
    )


def _more(finding: Finding) -> str:
    """Where a person who has to decide reads on."""
    code = finding.code
    return f" (more: matrix-drift explain {code.value})" if code in CONFLICTS else ""


def _diff_fields(write: RowWrite) -> Iterator[FieldDiff]:
    """What changes, and between it what stays, in the order of the row as it will be."""
    changed = {name: (before, after) for name, before, after in changed_fields(write)}
    stays = {} if "" in changed else _texts(write.after)
    for name in dict.fromkeys([*stays, *changed]):
        before, after = changed.get(name, (stays.get(name, ""),) * 2)
        values = visible(before, LONG), visible(after, LONG)
        yield FieldDiff(visible(name), *values, name in changed)


def _texts(raw: Raw) -> dict[str, str]:
    try:
        row = decode_object(raw) or {}
    except ValueError:
        return {}
    return {name: json.dumps(value, ensure_ascii=False) for name, value in row.items()}


def fingerprint_of(changes: Mapping[str, str]) -> str:
    """Names exactly these changes of these units, for somebody who agrees to them together."""
    text = json.dumps(sorted(changes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
