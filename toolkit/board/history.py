"""Runs that wrote to the database, and taking one back, as a person looks at them. Pure."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from toolkit.board.details import RowDiff, diff_rows
from toolkit.board.items import LONG, fingerprint_of
from toolkit.database.journal import Entry, Run
from toolkit.model import Plan, RowWrite, Unit, UnitKind
from toolkit.quotes import quote_id, quote_odd
from toolkit.records import CHAT, LINK, load_records, parse_key, split_link_key
from toolkit.text.visible import visible

SHOWN = 200
"""Units of one run that are shown; a frame has them all."""


@dataclass(frozen=True, slots=True)
class Past:
    """One run. `undoes` and `undone_by` name the run that it took back and the one that took it back."""

    run: str
    time: str
    action: str
    by: str
    units: int
    applied: int
    rows: int
    left: str
    backup: str
    undoes: str
    undone_by: str
    finished: bool


@dataclass(frozen=True, slots=True)
class PastUnit:
    """One unit of a run, or of taking it back: what became of it or what is in the way, and its rows.

    `label` says which it is as people do, by the rows that are about it; "" where they don't tell.
    """

    id: str
    label: str
    state: str
    why: str
    rows: tuple[RowDiff, ...]


@dataclass(frozen=True, slots=True)
class Opened:
    """A run opened, or what taking it back would do; `plan` names exactly that, "" is nothing to do."""

    run: str
    units: tuple[PastUnit, ...]
    more: int
    rows: int
    plan: str = ""


def list_past(runs: Sequence[Run]) -> list[Past]:
    """A line per run, the latest first."""
    undone = {run.undoes: run.id for run in runs if run.undoes}
    return [_past(run, undone.get(run.id, "")) for run in reversed(runs)]


def open_run(run: Run) -> Opened:
    """What a run wrote."""
    units = tuple(map(_entry, run.entries[:SHOWN]))
    rows = sum(len(entry.writes) for entry in run.applied)
    return Opened(run.id, units, max(0, len(run.entries) - SHOWN), rows)


def open_undo(run: Run, plan: Plan) -> Opened:
    """What taking a run back would write, and which units have moved since."""
    labels = {entry.unit: _label(entry.kind, entry.writes) for entry in run.entries}
    changes = {unit.id: unit.change.fingerprint for unit in plan.units if unit.change}
    rows = sum(len(unit.change.writes) for unit in plan.units if unit.change)
    units = tuple(_unit(unit, labels[unit.id]) for unit in plan.units[:SHOWN])
    more = max(0, len(plan.units) - SHOWN)
    return Opened(run.id, units, more, rows, fingerprint_of(changes) if changes else "")


def _past(run: Run, undone_by: str) -> Past:
    outcomes = Counter(entry.outcome for entry in run.entries)
    left = [f"{count:,} {name}" for name, count in outcomes.items() if name != "applied"]
    people = sorted({visible(entry.by) for entry in run.entries if entry.by})
    return Past(
        run=run.id,
        time=visible(run.time),
        action=visible(run.action),
        by=", ".join(people),
        units=len(run.entries),
        applied=outcomes["applied"],
        rows=sum(len(entry.writes) for entry in run.applied),
        left=visible(", ".join(left)),
        backup=visible(Path(run.backup).name) if run.backup else "",
        undoes=visible(run.undoes or ""),
        undone_by=visible(undone_by),
        finished=run.finished,
    )


def _entry(entry: Entry) -> PastUnit:
    return PastUnit(
        visible(entry.unit),
        _label(entry.kind, entry.writes),
        entry.outcome,
        visible(entry.detail, LONG),
        diff_rows(entry.writes),
    )


def _unit(unit: Unit, label: str) -> PastUnit:
    why = _join(finding.cause for finding in unit.findings)
    rows = diff_rows(unit.change.writes) if unit.change else ()
    return PastUnit(visible(unit.id), label, "ready" if unit.change else "left alone", why, rows)


def _label(kind: UnitKind, writes: Iterable[RowWrite]) -> str:
    if kind is UnitKind.USER:
        return "user row"
    for write in writes:
        if write.key.startswith(LINK):
            table, id_ = split_link_key(write.key)
            return visible(f"{table} {quote_id(id_)}", LONG)
        key = parse_key(write.key)
        if key.family == CHAT and not key.is_placeholder:
            return visible(f"{quote_odd(key.chat_id)} of {quote_odd(key.user)}")
        rows = load_records([(write.key, write.after or write.before)]).rooms
        if row := rows.get(key.room_id):
            return visible(f"{quote_odd(row.chat_id)} of {quote_odd(row.matrix_user_id)}")
    return ""


def _join(causes: Iterable[str]) -> str:
    return visible("; ".join(dict.fromkeys(causes)), LONG)
