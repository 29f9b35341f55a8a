"""History of the writer's runs, and taking one back: a plan like any other, by the same writer.

Undo puts back the rows as they were, and deletes only what its run inserted, each only while the
row is to the byte as the run left it (rules 4).
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from toolkit.database.contract import Store, TransactionalStore, transactional
from toolkit.database.journal import RESTORE, Entry, Run
from toolkit.database.look import load_look
from toolkit.errors import StoreError
from toolkit.layout import Layout
from toolkit.model import Change, Code, Finding, Plan, RowWrite, Status, Unit
from toolkit.progress import Progress
from toolkit.quotes import quote_odd
from toolkit.records import LINK, Raw, split_link_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import Result, new_job
from toolkit.writing.lineage import Past, load_past
from toolkit.writing.turns import one_at_a_time


async def history(store: TransactionalStore) -> list[Run]:
    """All runs that wrote to this database, oldest first; reads only.

    What became of a run that was cut short is worked out from the rows as they are now.
    """
    look = await load_look(store)
    return (await load_past(store, look.rows)).runs


async def plan_undo(store: TransactionalStore, run_id: str) -> Plan:
    """What taking back this run would write; reads only. Raises `StoreError` for an unknown run."""
    look = await load_look(store)
    run = find_run(await load_past(store, look.rows), run_id)
    return plan_reversal(run, look.rows, layout_of(store))


async def undo(
    store: TransactionalStore,
    run_id: str,
    *,
    by: str = "",
    backup_dir: Path | None = None,
    progress: Progress | None = None,
) -> tuple[Plan, Result]:
    """Take back what a run wrote, unit by unit, where the rows are still as it left them."""
    async with one_at_a_time(store):
        look = await load_look(store)
        run = find_run(await load_past(store, look.rows), run_id)
        plan = plan_reversal(run, look.rows, layout_of(store))
        units = [unit for unit in plan.units if unit.change]
        job = new_job(
            plan,
            units,
            look,
            "undo",
            datetime.now(UTC),
            by=dict.fromkeys((unit.id for unit in units), by),
            undoes=run.id,
            backup_dir=backup_dir,
            progress=progress,
        )
        return plan, await apply_changes(job, store, None)


def layout_of(store: Store | None) -> Layout:
    """Where a store's rows stand, as far as it says so."""
    return store.layout if store is not None and transactional(store) else Layout()


def plan_reversal(run: Run, rows: Mapping[str, Raw], layout: Layout) -> Plan:
    """The plan that takes back a run: every applied unit's rows, the other way round.

    A database may have several mappings, and one journal: rows of another one aren't seen here. Raises
    `StoreError` for one that replaced the whole database.
    """
    if run.action == RESTORE:
        raise StoreError(
            f"Run {quote_odd(run.id)} went back to a backup, and has no rows of its own to take back: "
            f"`matrix-drift restore {quote_odd(run.id)}` goes forward again."
        )
    reversed_ = (_reverse(entry, rows, layout) for entry in run.applied)
    units = tuple(sorted(reversed_, key=lambda unit: unit.id))
    return Plan(account="", joined=(), units=units)


def _reverse(entry: Entry, rows: Mapping[str, Raw], layout: Layout) -> Unit:
    back = tuple(RowWrite(w.key, w.after, w.before) for w in reversed(entry.writes))
    moved = [w.key for w in back if rows.get(w.key) != w.before]
    undone = all(rows.get(w.key) == w.after for w in back)
    cause = _UNDONE if undone else _MOVED
    if others := [key for key in moved if not _shows(layout, key)]:
        cause = _ELSEWHERE.format(_whose(others[0]))
    findings = tuple(
        Finding(unit=entry.unit, code=Code.STALE_PLAN, key=key, cause=cause) for key in moved
    )
    return Unit(
        id=entry.unit,
        kind=entry.kind,
        status=Status.CONFLICT if moved else Status.MISMATCHED,
        findings=findings,
        change=None if moved else Change(back),
    )


def _shows(layout: Layout, key: str) -> bool:
    """Whether a row of this key would be seen by this layout; all but rows of links are of shape chats."""
    if not key.startswith(LINK):
        return not layout.links
    return layout.links and split_link_key(key)[0] == layout.link.table


def _whose(key: str) -> str:
    return quote_odd(split_link_key(key)[0]) if key.startswith(LINK) else "the shape chats"


def find_run(past: Past, run_id: str) -> Run:
    """The run of this name. Raises `StoreError` if there is none, with those that there are, and for one
    of a database that this one has replaced."""
    runs = past.runs
    for run in runs:
        if run.id == run_id:
            return run
    if any(run.id == run_id for run in past.older):
        raise StoreError(say_older(run_id))
    known = ", ".join(run.id for run in runs[-5:]) or "none"
    raise StoreError(
        f"There is no run {quote_odd(run_id)} in the journal; the latest are: {known}."
    )


def say_older(run_id: str) -> str:
    """Why nothing can be done with a run of another database."""
    return (
        f"Run {quote_odd(run_id)} wrote to an older database of this name, which this one has replaced: "
        "nothing of it is here to be taken back; to restore its backup, move this one away before."
    )


_UNDONE = "the row is already as it was before the run; there is nothing to take back"
_ELSEWHERE = "the row is none of this mapping: take the run back with the one of {}"
_MOVED = "the row was written again after the run; undoing it would lose that, so it stays as it is"
