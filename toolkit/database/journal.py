"""What was written, by whom and why: JSON Lines that a store keeps, only ever appended to.

A run's intent is on disk before its first write and its outcome after the commit. If the second is
missing, the process died in between; comparing the rows with both texts tells what happened.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from toolkit.aside import aside, finish
from toolkit.database.journal_file import JournalFile
from toolkit.model import RowWrite, Unit, UnitKind
from toolkit.records import Raw, pack_raw, unpack_raw

S = TypeVar("S", bound=msgspec.Struct)


class State(StrEnum):
    """What became of a unit. The writer says the first four; the others are worked out by the rows."""

    APPLIED = "applied"
    STALE = "stale"
    FAILED = "failed"
    NOT_REACHED = "not reached"
    NOT_APPLIED = "not applied"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


BY_BOT = frozenset({"start-up", "single room"})
"""What the bot does by itself, in the words of a run's `action`; the rest, a person has begun."""

RESTORE = "restore"
"""The `action` of a run that put a backup in the database's place, so that no row of it is in the journal."""

_LEFT_ALONE = frozenset({State.STALE, State.FAILED, State.NOT_REACHED, State.NOT_APPLIED})


class Entry(msgspec.Struct, frozen=True):
    """One unit of a run: what it wrote, and what became of it: a `State`, or a later version's word.

    `made` is the chat row that the bot's own chat manager wrote before the others, if it did.
    """

    unit: str
    kind: UnitKind
    writes: tuple[RowWrite, ...]
    by: str
    evidence: tuple[str, ...] = ()
    outcome: str = State.UNKNOWN
    detail: str = ""
    made: str = ""


class Run(msgspec.Struct, frozen=True):
    """One run of the writer. `time` is ISO 8601 in UTC, `undoes` the run that it took back.

    `database` says which file it wrote to, `goes_on` which ones that file took the place of without being
    another database.
    """

    id: str
    time: str
    action: str
    entries: tuple[Entry, ...]
    backup: str | None = None
    undoes: str | None = None
    finished: bool = False
    database: str | None = None
    goes_on: tuple[str, ...] = ()

    @property
    def applied(self) -> tuple[Entry, ...]:
        return tuple(entry for entry in self.entries if entry.outcome == State.APPLIED)

    @property
    def wrote_nothing(self) -> bool:
        """Whether it is known that no row is otherwise by it; such a run keeps no backup."""
        if not self.finished or self.backup is not None or not self.entries:
            return False
        return all(entry.outcome in _LEFT_ALONE for entry in self.entries)


class RunJournal(ABC):
    """The journal of a store as lines of ASCII, only ever appended to, wherever it keeps them.

    It may be asked while the store isn't open, and from any event loop. Raises `StoreError` if it can't be read or
    written.
    """

    @abstractmethod
    async def append(self, line: str) -> None:
        """Put a line after the others. It lasts once this has returned, whatever is rolled back since."""

    @abstractmethod
    async def lines(self) -> list[str]:
        """All lines, oldest first; also what a crash cut short."""

    async def begin(self, run: Run) -> None:
        """Put the intent there; a second time for texts that only became known in between."""
        await self.append(await aside(_line, "intent", run))

    async def finish(self, run: Run) -> None:
        """Put the outcome there, with the texts that were really written."""
        await self.append(await aside(outcome_line, run))

    async def runs(self, rows: Mapping[str, Raw] | None = None) -> list[Run]:
        """All runs but those that wrote nothing, oldest first, of whatever database had the name.

        With `rows`, what became of an interrupted one is worked out.
        """
        return await aside(runs_in, await self.lines(), rows)


class JournalBeside(RunJournal):
    """That beside a database file; the event loop goes on while the disk works.

    `is_file` says whether there is a database of that name, whose rights it gets; else it is ours alone.
    """

    def __init__(self, database: Path, *, is_file: bool = True) -> None:
        self._file = JournalFile(database, is_file=is_file)

    async def append(self, line: str) -> None:
        await finish(aside(self._file.append, line))

    async def lines(self) -> list[str]:
        return await aside(self._file.lines)


class Journal:
    """The journal beside a database file, for who has no store on it."""

    def __init__(self, database: Path) -> None:
        self._file = JournalFile(database)
        self.path = self._file.path

    def finish(self, run: Run) -> None:
        self._file.append(outcome_line(run))

    def runs(self, rows: Mapping[str, Raw] | None = None) -> list[Run]:
        return runs_in(self._file.lines(), rows)


def outcome_line(run: Run) -> str:
    """What the journal is told after a run."""
    return _line("outcome", run)


def runs_in(lines: Iterable[str], rows: Mapping[str, Raw] | None = None) -> list[Run]:
    """The runs that a journal's lines tell of, but those that wrote nothing; what can't be read is none."""
    found: dict[str, Run] = {}
    for run in filter(None, map(_parse, lines)):
        found[run.id] = run
    runs = [run for run in found.values() if not run.wrote_nothing]
    return runs if rows is None else resolve_all(runs, rows)


def entries_of(
    units: Sequence[Unit], by: Mapping[str, str], made: Mapping[str, str]
) -> tuple[Entry, ...]:
    """The intent of a run over these units; `by` says who agreed to which, `made` as in `Entry`."""
    return tuple(
        Entry(
            unit.id,
            unit.kind,
            unit.writes,
            by.get(unit.id, ""),
            (unit.evidence.rung.value, *unit.evidence.events),
            made=made.get(unit.id, ""),
        )
        for unit in units
    )


def resolve_all(runs: Sequence[Run], rows: Mapping[str, Raw]) -> list[Run]:
    """Work out interrupted runs by the rows as they were then: from now back through later runs."""
    then = dict(rows)
    resolved = []
    for run in reversed(runs):
        run = work_out(run, then)
        resolved.append(run)
        then |= {write.key: write.before for entry in run.applied for write in entry.writes}
    return resolved[::-1]


def work_out(run: Run, rows: Mapping[str, Raw]) -> Run:
    """The run with what became of it, by the rows as it left them; as it is if it was finished."""
    if run.finished:
        return run
    entries = []
    for entry in run.entries:
        outcome, detail = _outcome(entry, rows)
        entries.append(msgspec.structs.replace(entry, outcome=outcome, detail=detail))
    return msgspec.structs.replace(run, entries=tuple(entries))


def _outcome(entry: Entry, rows: Mapping[str, Raw]) -> tuple[State, str]:
    """What an interrupted run did: a unit is written whole or not at all, save a manager's row."""
    if all(rows.get(write.key) == write.after for write in entry.writes):
        return State.APPLIED, ""
    if all(rows.get(write.key) == write.before for write in entry.writes):
        return State.NOT_APPLIED, ""
    others = [write for write in entry.writes if write.key != entry.made]
    if entry.made and all(rows.get(write.key) == write.before for write in others):
        why = "only the bot's chat manager wrote its row; the next run does the rest"
        return State.UNFINISHED, why
    return State.UNKNOWN, "the rows were written again since"


def _line(kind: str, run: Run) -> str:
    """ASCII, which holds what isn't UTF-8."""
    return json.dumps({kind: _run_json(run)}, separators=(",", ":"))


def _run_json(run: Run) -> dict[str, Any]:
    return msgspec.structs.asdict(run) | {"entries": list(map(_entry_json, run.entries))}


def _entry_json(entry: Entry) -> dict[str, Any]:
    writes = [
        {"key": w.key, "before": pack_raw(w.before), "after": pack_raw(w.after)}
        for w in entry.writes
    ]
    return msgspec.structs.asdict(entry) | {"writes": writes}


def _parse(line: str) -> Run | None:
    """The run that a line tells of; None for one that a crash cut short, or that isn't ours."""
    try:
        [(kind, value)] = json.loads(line).items()
        entries = tuple(map(_entry_from, value["entries"]))
        goes_on = tuple(map(str, value.get("goes_on", ())))
        return _known(Run, value, entries=entries, finished=kind == "outcome", goes_on=goes_on)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _entry_from(value: dict[str, Any]) -> Entry:
    writes = tuple(
        RowWrite(write["key"], unpack_raw(write["before"]), unpack_raw(write["after"]))
        for write in value["writes"]
    )
    kind = UnitKind(value["kind"])
    return _known(Entry, value, kind=kind, writes=writes, evidence=tuple(value["evidence"]))


def _known(type_: type[S], value: dict[str, Any], **read: Any) -> S:
    """A value from its JSON; fields that a later version adds are passed over."""
    found = {name: value[name] for name in type_.__struct_fields__ if name in value} | read
    for field in msgspec.structs.fields(type_):
        told = found.get(field.name)
        if field.type in (str, str | None) and not isinstance(told, str | None):
            raise TypeError(f"{field.name} is no text")
    return type_(**found)
