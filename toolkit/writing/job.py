"""One run of the writer: the look that it starts from, what it shall write, and what came of it.

Only values, and what every run begins with; the writing is in `apply`.
"""

import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from toolkit.database.journal import Run, State
from toolkit.database.look import Look
from toolkit.errors import ToolkitError
from toolkit.model import Plan, Unit
from toolkit.progress import Progress, watcher

Told = Callable[[Run], object]
"""Called with a run whenever the journal is told of it: also one that is cancelled has its result so."""


class Outcome(msgspec.Struct, frozen=True):
    """What became of one unit: applied, stale, or failed, and why."""

    state: State
    detail: str = ""

    @property
    def applied(self) -> bool:
        return self.state is State.APPLIED


APPLIED = Outcome(State.APPLIED)
LATE = Outcome(State.STALE, "the deadline passed before it was written")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to write, from which look it was planned, and what the journal shall say about it."""

    plan: Plan
    units: tuple[Unit, ...]
    look: Look
    action: str
    run: str
    now: datetime
    by: Mapping[str, str] = {}
    undoes: str | None = None
    backup_dir: Path | None = None
    until: float | None = None  # time.monotonic() past which no further unit is begun
    progress: Progress | None = None
    told: Told | None = None

    @property
    def late(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def report(self, done: int, word: str = "") -> None:
        """Tell whoever waits how many units are done."""
        if self.progress:
            self.progress(done, len(self.units), word)


class Result(msgspec.Struct, frozen=True):
    """What became of each unit, by its id, and the run as the journal has it.

    `record` is None where nothing had to be written, and for a store that has no journal. `warning`
    is set where the rows are written and the journal could not be told.
    """

    outcomes: dict[str, Outcome]
    record: Run | None = None
    warning: str = ""

    @property
    def run(self) -> str | None:
        """The run's name, for `undo`; None for one that wrote nothing."""
        return self.record.id if self.record and not self.record.wrote_nothing else None

    @property
    def backup(self) -> Path | None:
        """Where the copy of the database is that was made before."""
        return Path(self.record.backup) if self.record and self.record.backup else None

    @property
    def applied(self) -> list[str]:
        """The units that are written."""
        return [unit for unit, outcome in self.outcomes.items() if outcome.applied]

    @property
    def left(self) -> dict[str, str]:
        """The units that aren't, and why."""
        return {unit: out.detail for unit, out in self.outcomes.items() if not out.applied}

    @property
    def reasons(self) -> dict[str, str | None]:
        """Unit -> why it isn't written, None if it is; as a report is told of them."""
        return dict.fromkeys(self.outcomes) | self.left


def new_job(
    plan: Plan,
    units: Sequence[Unit],
    look: Look,
    action: str,
    now: datetime,
    *,
    by: Mapping[str, str] | None = None,
    until: float | None = None,
    undoes: str | None = None,
    backup_dir: Path | None = None,
    progress: Progress | None = None,
    told: Told | None = None,
) -> Job:
    """A job with a name of its own."""
    return Job(
        plan=plan,
        units=tuple(units),
        look=look,
        action=action,
        run=new_name(now),
        now=now,
        by=by or {},
        until=until,
        undoes=undoes,
        backup_dir=backup_dir,
        progress=progress or watcher(),
        told=told,
    )


def new_name(now: datetime) -> str:
    """A run's name: the time, and four digits against two in one second."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def check_size(units: Iterable[Unit], max_changes: int | None) -> None:
    """Raise `ToolkitError` if these units would write more rows than `max_changes`; None is no bound."""
    if max_changes is None:
        return
    rows = {write.key for unit in units for write in unit.writes}
    if len(rows) > max_changes:
        raise ToolkitError(
            f"This would write {len(rows)} rows, and no more than {max_changes} are allowed "
            "(`max_changes`, or --max-changes); nothing was written. Look at the plan first."
        )
