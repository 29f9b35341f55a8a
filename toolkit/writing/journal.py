"""What was written, by whom and why: JSON Lines beside the database, only ever appended to.

A run's intent is on disk before its first write and its outcome after the commit. If the second is
missing, the process died in between; comparing the rows with both texts tells what happened.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from toolkit.database.files import share_like, sync_folder
from toolkit.errors import StoreError
from toolkit.model import RowWrite, Unit, UnitKind
from toolkit.records import Raw, pack_raw, unpack_raw

SUFFIX = ".matrix-drift.jsonl"
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


class Journal:
    """The journal of one database. Raises `StoreError` if it can't be read or appended to."""

    def __init__(self, database: Path) -> None:
        # Through a link, too, there is one journal for one database; SQLite does the same.
        self._database = database.resolve()
        self.path = self._database.with_name(self._database.name + SUFFIX)

    def begin(self, run: Run) -> None:
        """Put the intent on disk; a second time for texts that only became known in between."""
        self._append({"intent": _run_json(run)})

    def finish(self, run: Run) -> None:
        """Put the outcome on disk, with the texts that were really written."""
        self._append({"outcome": _run_json(run)})

    def runs(self, rows: Mapping[str, Raw] | None = None) -> list[Run]:
        """All runs but those that wrote nothing, oldest first, of whatever database had the name.

        With `rows`, what became of an interrupted one is worked out.
        """
        found: dict[str, Run] = {}
        for run in self._read():
            found[run.id] = run
        runs = [run for run in found.values() if not run.wrote_nothing]
        return runs if rows is None else resolve_all(runs, rows)

    def _read(self) -> Iterator[Run]:
        """Every line that can be read; no write followed one that a crash cut short."""
        try:
            text = self.path.read_text(encoding="ascii", errors="replace")
        except FileNotFoundError:
            return
        except OSError as error:
            raise StoreError(f"Can't read the journal {self.path}: {error.strerror}.") from None
        for line in text.splitlines():
            if run := _parse(line):
                yield run

    def _append(self, value: object) -> None:
        line = json.dumps(value, separators=(",", ":")) + "\n"  # ASCII: holds what isn't UTF-8
        try:
            is_new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if is_new:
                    share_like(handle, self._database)
                _write(handle, (_mend(handle) + line).encode("ascii"))
                os.fsync(handle)
            finally:
                os.close(handle)
            if is_new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise StoreError(
                f"Can't write the journal {self.path} ({error.strerror}); nothing more is written "
                "without it. Make its folder writable, with space on its disk."
            ) from None


def _write(handle: int, data: bytes) -> None:
    """All of it: a disk that is nearly full takes the first part without a word."""
    while data:
        data = data[os.write(handle, data) :]


def _mend(handle: int) -> str:
    """A line break, if a crash left the last line without one."""
    size = os.lseek(handle, 0, os.SEEK_END)
    return "" if size == 0 or os.pread(handle, 1, size - 1) == b"\n" else "\n"


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


def _run_json(run: Run) -> dict[str, Any]:
    value: dict[str, Any] = msgspec.to_builtins(run)
    for told, entry in zip(value["entries"], run.entries, strict=True):
        told["writes"] = [
            {"key": w.key, "before": pack_raw(w.before), "after": pack_raw(w.after)}
            for w in entry.writes
        ]
    return value


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
