"""Which runs of a journal are of the database that has its name now, and which of one that it replaced.

The journal outlives a database that is deleted and made anew. A run says which file it wrote to
(`toolkit.database.identity`), if it was one. That another file is the same database after all, moved or
copied, shows in what a run has left in it: rows to the byte, in a file that was changed at least as often.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from toolkit.database.contract import TransactionalStore
from toolkit.database.identity import Identity
from toolkit.database.journal import Run, resolve_all, work_out
from toolkit.records import Raw


class Past(NamedTuple):
    """The runs of this database, and those of an older one of its name; each oldest first."""

    runs: list[Run]
    older: list[Run]


async def load_past(store: TransactionalStore, rows: Mapping[str, Raw] | None) -> Past:
    """What the journal of a store tells; with `rows`, what became of an interrupted run is worked out.

    Raises `StoreError` if the journal can't be read.
    """
    runs = await store.journal.runs()
    return tell_apart(runs, Identity.read(await store.birthmark()), rows)


def tell_apart(runs: Sequence[Run], now: Identity | None, rows: Mapping[str, Raw] | None) -> Past:
    """All runs, sorted out. Without a file, or rows to compare with, nothing is known to be of another.

    Nor is it of runs that don't say which file they wrote to, as earlier versions didn't; save those before
    a run that is of another.
    """
    if now is None or rows is None:
        return Past(list(runs) if rows is None else resolve_all(runs, rows), [])
    same = _find_same(runs, now, rows)
    mine = [_is_of(run, same) for run in runs]
    last = max((at for at, is_mine in enumerate(mine) if not is_mine), default=-1)
    ours, older = list[Run](), list[Run]()
    for at, run in enumerate(runs):
        (ours if mine[at] and (run.database or at > last) else older).append(run)
    return Past(resolve_all(ours, rows), older)


def _find_same(runs: Sequence[Run], now: Identity, rows: Mapping[str, Raw]) -> list[Identity]:
    """The files that this one goes on from, itself among them; from now back through the runs."""
    same, then = [now], dict(rows)
    for run in reversed(runs):
        run = work_out(run, then)
        file = Identity.read(run.database)
        if not _is_of(run, same) and not (file and now.may_copy(file) and _is_there(run, then)):
            continue
        same += filter(None, map(Identity.read, (run.database, *run.goes_on)))
        then |= {write.key: write.before for entry in run.applied for write in entry.writes}
    return same


def _is_of(run: Run, same: Sequence[Identity]) -> bool:
    file = Identity.read(run.database)
    return file is None or any(file.is_same(one) for one in same)


def _is_there(run: Run, rows: Mapping[str, Raw]) -> bool:
    """Whether anything that it wrote is in these rows as it left it; what it deleted tells nothing."""
    return any(
        any(write.after is not None for write in entry.writes)
        and all(rows.get(write.key) == write.after for write in entry.writes)
        for entry in run.applied
    )
