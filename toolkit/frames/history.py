"""The runs that wrote, as a frame."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from toolkit.database.journal import Run
from toolkit.frames.columns import build_lines
from toolkit.frames.frame import Frame


def history_frame(runs: Sequence[Run]) -> Frame:
    """A line per run, in the order of the journal: `COLUMNS["history"]`.

    Of a backup only the file's name is told: where it lies is nobody's business.
    """
    undone = {run.undoes: run.id for run in runs if run.undoes}
    return build_lines("history", (_line(run, undone.get(run.id)) for run in runs))


def _line(run: Run, undone_by: str | None) -> tuple[Any, ...]:
    outcomes = Counter(entry.outcome for entry in run.entries)
    people = sorted({entry.by for entry in run.entries if entry.by})
    return (
        run.id,
        _milliseconds(run.time),
        run.action,
        len(run.entries),
        *(outcomes[name] for name in ("applied", "stale", "failed")),
        ", ".join(people) or None,
        run.undoes,
        undone_by,
        run.finished,
        _file_name(run.backup),
    )


def _milliseconds(time: str) -> int | None:
    """A journal is a file that anybody may have edited."""
    try:
        moment = datetime.fromisoformat(time)
    except (ValueError, TypeError):
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _file_name(path: str | None) -> str | None:
    return path.replace("\\", "/").rpartition("/")[2] if path else None
