"""What opens below a line of the review: rows field by field, what proves it, and rooms side by side. Pure.

Every text is made visible here, as in `items`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from toolkit.board.items import LONG, Item
from toolkit.decisions.case import Case, Side
from toolkit.model import CONFLICTS, Finding, RowWrite, Unit
from toolkit.records import Raw, decode_object
from toolkit.text.advice import changed_fields, verb, what
from toolkit.text.visible import visible


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
    """A unit opened: its line, its facts, the rows before and after, and the room's versions; of a conflict,
    the rooms that it is between, side by side, and how many aren't shown."""

    item: Item
    facts: tuple[Fact, ...] = ()
    rows: tuple[RowDiff, ...] = ()
    relies_on: tuple[str, ...] = ()
    room_ids: tuple[str, ...] = ()
    space_id: str = ""
    sides: tuple[Side, ...] = ()
    more_rooms: str = ""
    moved: Moved | None = None


def make_details(
    item: Item, unit: Unit, case: Case | None = None, why: Unit | None = None
) -> Details:
    """What opens below a line; of a conflict, with what is known of it. `why` it stands in the list is told by the
    unit as it is before anything is picked."""
    change = unit.change
    return Details(
        item,
        tuple(map(_fact, (why or unit).findings)),
        diff_rows(change.writes if change else ()),
        tuple(visible(key, LONG) for key in (change.relies_on if change else ())),
        tuple(map(visible, unit.room_ids)),
        visible(unit.space_id or ""),
        tuple(map(_side, case.sides)) if case else (),
        case.more if case else "",
    )


def _side(side: Side) -> Side:
    """As it can be shown; a link is safe as it is."""
    facts = tuple((label, visible(text, LONG)) for label, text in side.facts)
    return replace(side, room_id=visible(side.room_id), facts=facts)


def diff_rows(writes: Iterable[RowWrite]) -> tuple[RowDiff, ...]:
    """Rows before and after, field by field."""
    return tuple(
        RowDiff(visible(write.key, LONG), verb(write), tuple(_diff_fields(write)))
        for write in writes
    )


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
