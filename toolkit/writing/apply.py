"""The only writer: carries out changes that were planned and agreed to, and nothing else.

On a store with transactions everything happens in one; a unit is written whole or not at all, and
one that can't be written doesn't stop its neighbours. Backup and journal come before the first
write. A cancelled run keeps the units that are finished, a crash keeps none. A run that wrote nothing
leaves no backup, which would only push out one that is worth something.
"""

import asyncio
import contextlib
import os
from collections.abc import Coroutine
from typing import Any

import msgspec

from toolkit.aside import aside, finish
from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import (
    Place,
    Store,
    StoreTransaction,
    TransactionalStore,
    transactional,
)
from toolkit.database.journal import (
    BY_BOT,
    Run,
    State,
    entries_of,
    outcome_line,
    work_out,
)
from toolkit.database.waiting import waiting_until
from toolkit.errors import OutcomeUnknown, StoreError
from toolkit.model import Unit, UnitKind
from toolkit.records import Raw
from toolkit.writing.chat_rows import (
    LEFT_WRONG,
    ChatRows,
    ManagerFailed,
    chat_insert,
    make_chat,
    points_at,
    who_makes_chat_rows,
)
from toolkit.writing.job import LATE, Job, Outcome, Result
from toolkit.writing.plain_store import write_plainly
from toolkit.writing.savepoints import GivenUp, Savepoints
from toolkit.writing.staleness import Moved, compare_rows, why_stale
from toolkit.writing.tally import Tally

TOGETHER = 256  # units in one savepoint: each crosses into SQLite's thread a few times


async def apply_changes(job: Job, store: Store, chat_mgr: ChatManagerLike | None) -> Result:
    """Write the units of a job, user rows first. Raises `StoreError` if nothing can be written.

    `chat_mgr` restores missing chat rows; without one they are written like the others.
    """
    if not job.units:
        return Result({})
    order = sorted(job.units, key=lambda unit: (unit.kind is UnitKind.ROOM, unit.id))
    job = msgspec.structs.replace(job, units=tuple(order))
    if transactional(store):
        return await _Writer(job, store, chat_mgr).write()
    return await write_plainly(job, store, chat_mgr)


class _Rehearsed(Exception):
    """Nothing was wrong, and nothing of it is to stay."""


class _Writer:
    """One run on a store with transactions."""

    def __init__(
        self, job: Job, store: TransactionalStore, chat_mgr: ChatManagerLike | None
    ) -> None:
        self.job, self.store, self.chat_mgr = job, store, chat_mgr
        self.chat_rows = who_makes_chat_rows(chat_mgr, store)
        self.journal = store.journal
        self.tally = Tally()
        self.triggers = False
        self.touched = False  # whether a row may be otherwise by now
        self.noted: Run | None = None  # as the journal was told in the transaction, where it can be

    async def write(self) -> Result:
        if not await self._ready(self.store):
            return Result(self.tally.outcomes)
        job = self.job
        by_bot = job.action in BY_BOT
        backup = await self.store.backup(job.backup_dir, name=job.run, by_bot=by_bot)
        run = Run(
            job.run,
            job.now.isoformat(),
            job.action,
            entries_of(job.units, job.by, self._made_before()),
            os.fspath(backup),
            job.undoes,
            database=await self.store.birthmark(),
        )
        try:
            await self._begin(run)
            await self._call_foreign_manager()
            cancelled = await self._transact(run)
        except BaseException:
            await finish(self._forget(run, backup))
            raise
        run = self.tally.with_outcomes(run)
        wrote = bool(run.applied or self.tally.made)
        if wrote:
            await self.store.remove_older(backup)
        else:
            run = msgspec.structs.replace(run, backup=None)
            await self.store.discard_backup(backup)
        warning = await self._finish(run)
        if cancelled:
            raise cancelled
        return Result(self.tally.outcomes, run, warning if wrote else "")

    # -- what may still be written ----------------------------------------------------------------

    async def _ready(self, source: TransactionalStore | StoreTransaction) -> list[Unit]:
        """The units that still rest on what they were planned from; the others get an outcome."""
        moved = await self._moved(source)
        if not (moved.keys or self.tally.outcomes or self.job.late):
            return list(self.job.units)
        return [unit for unit in self.job.units if not self._refuse(unit, moved)]

    async def _moved(self, source: TransactionalStore | StoreTransaction) -> Moved:
        """Compare with the look that was planned from; nothing is read again if nobody wrote."""
        look = self.job.look
        if not self.tally.made and look.token is not None and await source.version() == look.token:
            return _NOTHING_MOVED
        now = dict(await source.load_rows(look.about))
        for key, unit_id in self.tally.made.items():
            if not points_at(key, now.get(key), unit_id):
                self.tally.outcomes[unit_id] = Outcome(State.STALE, LEFT_WRONG)
        return await aside(compare_rows, look.rows, now, own=self.tally.made)

    def _refuse(self, unit: Unit, moved: Moved) -> bool:
        if unit.id in self.tally.outcomes:
            return True
        if self.job.late:
            self.tally.outcomes[unit.id] = LATE
        elif why := why_stale(unit, self.job.plan, moved):
            self.tally.outcomes[unit.id] = Outcome(State.STALE, f"{why}; look again")
        return unit.id in self.tally.outcomes

    # -- a manager with its own connection --------------------------------------------------------

    def _made_before(self) -> dict[str, str]:
        """Unit -> the chat row that is made before the transaction."""
        units = self.job.units if self.chat_rows is ChatRows.FOREIGN else ()
        return {unit.id: write.key for unit in units if (write := chat_insert(unit))}

    async def _call_foreign_manager(self) -> None:
        if self.chat_rows is not ChatRows.FOREIGN:
            return
        assert self.chat_mgr is not None
        for unit in await self._ready(self.store):
            if not (write := chat_insert(unit)):
                continue
            if self.job.late:
                return  # in the transaction all that is left is refused as late
            self.touched = True
            try:
                await make_chat(self.chat_mgr, write, self.job.until)
            except ManagerFailed as error:
                self.tally.outcomes[unit.id] = Outcome(State.FAILED, str(error))
            else:
                self.tally.made[write.key] = unit.id

    # -- the transaction --------------------------------------------------------------------------

    async def _transact(self, run: Run) -> asyncio.CancelledError | None:
        """Everything in one transaction; what was finished when a cancellation came is kept.

        A unit for which the database gives up all of it is found, and left out the second time.
        """
        try:
            return await self._write_in_one(run)
        except GivenUp:
            await self._rehearse()
        try:
            return await self._write_in_one(run)
        except GivenUp as error:
            raise StoreError(
                f"The database gave up the run, and nothing is written. {error}"
            ) from error

    async def _write_in_one(self, run: Run) -> asyncio.CancelledError | None:
        cancelled: asyncio.CancelledError | None = None
        ended, before = False, self.tally.copy()
        self.noted = None
        try:
            async with waiting_until(self.job.until), self.store.transaction() as transaction:
                self.touched = True
                self.triggers = await transaction.has_triggers()
                cancelled = await self._write_all(transaction)
                if cancelled or self.tally.made or self.triggers:
                    rows = dict(await transaction.load_rows(self.job.look.about))
                    self.tally.take_stock(self.job.units, rows)
                cancelled = await _to_its_end(finish(self._note(transaction, run))) or cancelled
                if self.tally.texts and self.noted is None:
                    # Should we die before `finish`.
                    cancelled = (
                        await _to_its_end(self._begin(self.tally.with_texts(run))) or cancelled
                    )
                ended = True
        except GivenUp:
            self.tally = before
            raise
        except asyncio.CancelledError as error:
            if not (ended and await finish(transaction.committed())):
                raise
            cancelled = error  # a cancelled commit is finished all the same
        except OutcomeUnknown:
            if not await finish(transaction.committed()):
                raise
        return cancelled

    async def _note(self, transaction: StoreTransaction, run: Run) -> None:
        """Have the outcome committed with the rows, where the journal is in the database."""

        def outcome() -> str:
            nonlocal run
            run = self.tally.with_outcomes(run)
            return outcome_line(run)

        if await transaction.note(run.id, outcome):
            self.noted = run

    async def _rehearse(self) -> None:
        """Write each unit by itself and take it back, to find those for which the database gives up."""
        for unit in await self._ready(self.store):
            if self.job.late:
                return
            failed, before = "", self.tally.copy()
            try:
                async with waiting_until(self.job.until), self.store.transaction() as transaction:
                    await self._savepoints(transaction).write([unit])
                    raise _Rehearsed
            except _Rehearsed:
                pass
            except GivenUp as error:
                failed = str(error)
            self.tally = before
            if failed:
                self.tally.outcomes[unit.id] = Outcome(State.FAILED, failed)

    async def _write_all(self, transaction: StoreTransaction) -> asyncio.CancelledError | None:
        try:
            ready = await self._ready(transaction)
            savepoints = self._savepoints(transaction)
            size = TOGETHER if self.chat_rows is ChatRows.OURS else 1
            for start in range(0, len(ready), size):
                units = ready[start : start + size]
                if self.job.late:
                    self.tally.outcomes.update(dict.fromkeys((unit.id for unit in units), LATE))
                else:
                    await savepoints.write(units)
                self.job.report(len(self.tally.outcomes))
        except asyncio.CancelledError as error:
            return error
        return None

    def _savepoints(self, transaction: StoreTransaction) -> Savepoints:
        return Savepoints(
            transaction, self.tally, self.chat_rows, self.chat_mgr, self.job.until, self.triggers
        )

    # -- what the journal is told -----------------------------------------------------------------

    async def _begin(self, run: Run) -> None:
        await finish(self.journal.begin(run))
        self._tell(run)

    async def _forget(self, run: Run, backup: Place) -> None:
        """After an error: a run that left every row as it was is no work, and needs no backup.

        What can't be read, or isn't as it was, is left to be looked into, with the backup.
        """
        with contextlib.suppress(StoreError, OSError):
            rows: dict[str, Raw] = {w.key: w.before for e in run.entries for w in e.writes}
            if self.touched:
                rows = dict(await self.store.load_rows(self.job.look.about))
            run = msgspec.structs.replace(work_out(run, rows), backup=None, finished=True)
            if run.wrote_nothing:
                await self.store.discard_backup(backup)
                await self.journal.finish(run)
                self._tell(run)

    def _tell(self, run: Run) -> None:
        if self.job.told:
            self.job.told(run)

    async def _finish(self, run: Run) -> str:
        """Put the outcome on disk. If that fails the rows are written all the same, so it is a
        warning: comparing the rows with the intent still tells what happened."""
        self._tell(run)
        if run == self.noted:
            return ""
        try:
            await finish(self.journal.finish(run))
        except StoreError as error:
            return f"The rows are written, but: {error}"
        return ""


async def _to_its_end(work: Coroutine[Any, Any, None]) -> asyncio.CancelledError | None:
    """Do it whole; a cancellation that came meanwhile is for later."""
    try:
        await work
    except asyncio.CancelledError as error:
        return error
    return None


_NOTHING_MOVED = compare_rows({}, {})
