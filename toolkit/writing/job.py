"""One run of the writer: the look that it starts from, what it shall write, and what came of it.

Only values, and what every run begins with; the writing is in `apply`.
"""

import secrets
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import msgspec

from toolkit.database.look import Look
from toolkit.errors import ToolkitError
from toolkit.model import Plan, Unit
from toolkit.progress import Progress, watcher


class Outcome(msgspec.Struct, frozen=True):
    """What became of one unit: `applied`, `stale`, or `failed`, and why."""

    state: str
    detail: str = ""

    @property
    def applied(self) -> bool:
        return self.state == "applied"


APPLIED = Outcome("applied")
LATE = Outcome("stale", "the deadline passed before it was written")


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

    @property
    def late(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def report(self, done: int, word: str = "") -> None:
        """Tell whoever waits how many units are done."""
        if self.progress:
            self.progress(done, len(self.units), word)


class Result(msgspec.Struct, frozen=True):
    """Outcome by unit id; where the backup is, and the run's name for `undo`.

    `warning` is set where the rows are written and the journal could not be told.
    """

    outcomes: dict[str, Outcome]
    run: str | None = None
    backup: Path | None = None
    warning: str = ""


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
) -> Job:
    """A job with a name of its own: the time, and four digits against two in one second."""
    return Job(
        plan=plan,
        units=tuple(units),
        look=look,
        action=action,
        run=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        now=now,
        by=by or {},
        until=until,
        undoes=undoes,
        backup_dir=backup_dir,
        progress=progress or watcher(),
    )


def check_size(units: Iterable[Unit], max_changes: int | None) -> None:
    """Raise `ToolkitError` if these units would write more rows than `max_changes`; None is no bound."""
    if max_changes is None:
        return
    rows = {write.key for unit in units if unit.change for write in unit.change.writes}
    if len(rows) > max_changes:
        raise ToolkitError(
            f"This would write {len(rows)} rows, and no more than {max_changes} are allowed "
            "(`max_changes`, or --max-changes); nothing was written. Look at the plan first."
        )
