"""What rows a unit writes, what a run wrote and left, and what comes next, as text for a terminal.

Every text from the homeserver or the rows passes `visible`, and none is ever read as markup.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toolkit.cli.case_tables import LONG
from toolkit.model import RowWrite
from toolkit.repairs import AnyReport
from toolkit.text.advice import changed_fields, row_name, verb
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.writing.job import Result
from toolkit.writing.report import stale_units
from toolkit.writing.restore import Restore


def render_writes(writes: Iterable[RowWrite]) -> RenderableType:
    """Rows before and after, field by field."""
    return Group(*(part for write in writes for part in _write(write)))


def _write(write: RowWrite) -> Iterator[RenderableType]:
    mark = "+" if write.before is None else "-" if write.after is None else "~"
    yield Text(f"{mark} {verb(write)} {row_name(write.key)} {visible(write.key, LONG)}")
    fields = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    fields.add_column()
    fields.add_column(overflow="fold")
    for name, before, after in changed_fields(write):
        change = Text()
        if before:
            change.append(visible(before, LONG), "red").append(" → ")
        change.append(visible(after, LONG) if after else "(nothing)", "green")
        fields.add_row(Text(visible(name or "(the whole row)")), change)
    yield Padding(fields, (0, 0, 0, 2))


def render_refusals(refused: Mapping[str, str]) -> Iterator[RenderableType]:
    """Units that were asked for and aren't written, and why."""
    for unit_id, why in refused.items():
        yield Text(f"Not written: {visible(unit_id)}: {visible(why, LONG)}", "red")


def render_report(report: AnyReport, units: Iterable[str]) -> Iterator[RenderableType]:
    """What a run wrote, and which of these units it did not."""
    written = _written({**report})
    yield Text(f"Written: {written}.", "green" if written != _NOTHING else "")
    yield from render_refusals(stale_units(report, units))


def render_result(result: Result) -> Iterator[RenderableType]:
    """What an undo wrote back."""
    yield Text(f"Written back: {count_of(len(result.applied), 'unit')}.")
    yield from render_refusals(result.left)
    if result.warning:
        yield Text(visible(result.warning, LONG), "red")


def render_aftermath(run: str, backup: object, wrote: bool) -> Iterator[RenderableType]:
    """Where the backup is, how to go back, and what a bot that is running doesn't know."""
    yield Text(f"Backup: {visible(str(backup), LONG)}")
    if wrote:
        yield Text(f"To take it back: matrix-drift undo {visible(run)}")
        yield Text(
            "A running bot still has the old rows in memory: let it reload them, or restart it."
        )


def render_restore(planned: Restore) -> Iterator[RenderableType]:
    """What going back to a backup would do."""
    yield Text(f"Database: {visible(str(planned.database), LONG)}")
    yield Text(f"Backup:   {visible(str(planned.backup), LONG)}")
    yield Text(
        f"It is of {visible(planned.time[:19])} UTC, before run {visible(planned.run)}. What anybody has "
        "written since, the bot included, will not be in the database."
    )


def render_restored(planned: Restore, replaced: bool) -> Iterator[RenderableType]:
    """Where everything is now, and what comes next."""
    yield Text(
        f"Restored: {visible(str(planned.database), LONG)} is as before run {visible(planned.run)}.",
        "green",
    )
    if replaced:
        yield Text(f"What it was until now is kept: {visible(str(planned.kept), LONG)}")
        yield Text(f"To go forward again: matrix-drift restore {visible(planned.name)}")
    yield Text("Now look at it with matrix-drift check, then start the bot.")


_NOTHING = "nothing"
_ROWS = {"user_meta": "user row", "room_meta": "room row", "chat_rows": "chat row", "links": "row"}


def _written(report: Mapping[str, Any]) -> str:
    words = [
        f"{count_of(len(rows), name)} {did}"
        for did in ("restored", "repaired")
        for family, name in _ROWS.items()
        if (rows := report.get(f"{did}_{family}"))
    ]
    return ", ".join(words) or _NOTHING
