"""`matrix-drift history`: the runs that wrote to the database, and the rows of one of them."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from toolkit.cli.case_tables import LONG
from toolkit.cli.json_forms import history_json, run_json
from toolkit.cli.look import IN_SYNC
from toolkit.cli.options import Where
from toolkit.cli.output import say, show, show_json, show_long
from toolkit.cli.render_written import render_writes
from toolkit.database.journal import RESTORE, Entry, Run, State
from toolkit.repairs import load_history
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.writing.lineage import Past
from toolkit.writing.undo import find_run


def history(where: Where, *, with_older: bool, as_json: bool) -> int:
    """Say what was written to this database, and with `with_older` to those that it replaced."""
    past = asyncio.run(load_history(where.sides()))
    older = past.older if with_older else []
    if as_json:
        show_json(history_json(past.runs, older))
        return IN_SYNC
    show(render_history(past.runs))
    if older:
        show([Text(), Text("Of an older database of this name, which this one replaced:")])
        show(render_history(older))
    elif past.older:
        say(
            f"{count_of(len(past.older), 'run')} of an older database of this name left out: "
            "`matrix-drift history --all` lists them."
        )
    return IN_SYNC


def show_run(where: Where, name: str, *, as_json: bool) -> int:
    """Say what one run wrote, unit by unit and field by field; also one of an older database."""
    past = asyncio.run(load_history(where.sides()))
    run = find_run(Past([*past.older, *past.runs], []), name)
    if as_json:
        show_json(run_json(run, older=run in past.older))
    else:
        show_long(render_run(run, past.runs, older=run in past.older))
    return IN_SYNC


def render_history(runs: Sequence[Run]) -> Iterator[RenderableType]:
    """The runs, newest last, as `undo` wants them named."""
    if not runs:
        yield Text("No run of matrix-drift is known that wrote to this database.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("RUN", "WHEN (UTC)", "WHAT"):
        table.add_column(name, no_wrap=name != "WHAT", overflow="fold")
    for run in runs:
        back = [undo for undo in runs if undo.undoes == run.id and undo.applied]
        table.add_row(Text(visible(run.id)), Text(visible(run.time[:19])), _run(run, back))
    yield table


def _run(run: Run, back: Sequence[Run]) -> Text:
    """What a run was; `back` are the runs that took something of it back."""
    outcomes = Counter(entry.outcome for entry in run.entries)
    units = ", ".join(f"{count} {visible(name)}" for name, count in sorted(outcomes.items()))
    what = "the whole database" if run.action == RESTORE else units or "nothing"
    text = Text(f"{visible(run.action)}: {what}")
    if people := sorted({entry.by for entry in run.entries if entry.by}):
        text.append(f", by {', '.join(map(visible, people))}")
    if run.undoes:
        text.append(f", takes back {visible(run.undoes)}")
    if back:
        left = {e.unit for e in run.applied} - {e.unit for undo in back for e in undo.applied}
        names = ", ".join(visible(undo.id) for undo in back)
        text.append(f", {'partly ' if left else ''}taken back by {names}")
    if not run.finished:
        text.append(" (interrupted)", "red")
    return text


def render_run(run: Run, runs: Sequence[Run], *, older: bool = False) -> Iterator[RenderableType]:
    """One run: what it was, what became of its units, and their rows before and after."""
    back = [undo for undo in runs if undo.undoes == run.id and undo.applied]
    yield Text(f"{visible(run.id)}  {visible(run.time[:19])} UTC", "bold")
    yield _run(run, back)
    if older:
        yield Text("It wrote to an older database of this name, which this one replaced.", "red")
    if run.backup:
        yield Text(f"Backup: {visible(run.backup, LONG)}")
    for entry in run.entries:
        yield ""
        yield _head(entry)
        yield Padding(render_writes(entry.writes), (0, 0, 0, 2))


def _head(entry: Entry) -> Text:
    text = Text(visible(entry.unit), "bold")
    text.append(f"  {visible(entry.outcome)}", "" if entry.outcome == State.APPLIED else "red")
    return text.append(f": {visible(entry.detail, LONG)}", "not bold") if entry.detail else text
