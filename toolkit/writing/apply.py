"""The only writer: carries out changes that were planned and agreed to, and nothing else.

On a store with transactions everything happens in one; a unit is written whole or not at all, and
one that can't be written doesn't stop its neighbours. Backup and journal come before the first
write. A cancelled run keeps the units that are finished, a crash keeps none.
"""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.connection import waiting_until
from toolkit.database.sql import RowChange
from toolkit.database.store import Store, TransactionalStore, transactional
from toolkit.database.transaction import Transaction
from toolkit.errors import StoreError
from toolkit.model import RowWrite, Unit, UnitKind
from toolkit.records import Raw, decode_object, repair_row
from toolkit.writing.chat_rows import (
    LEFT_WRONG,
    ChatRows,
    ManagerFailed,
    chat_insert,
    left_out,
    make_chat,
    points_at,
    who_makes_chat_rows,
)
from toolkit.writing.job import APPLIED, LATE, Job, Outcome, Result
from toolkit.writing.journal import Entry, Journal, Run, State, entries_of
from toolkit.writing.plain_store import write_plainly
from toolkit.writing.read_back import NotTaken, concerns_all, holds, why_not_taken
from toolkit.writing.staleness import Moved, compare_rows, why_stale

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


class _LeftWrong(Exception):
    """A manager made another row than it was asked for; the savepoint rolls back."""


class _GivenUp(Exception):
    """SQLite has rolled back the whole transaction because of one of the units, in its words."""


class _Rehearsed(Exception):
    """Nothing was wrong, and nothing of it is to stay."""


class _Writer:
    """One run on a store with transactions."""

    def __init__(
        self, job: Job, store: TransactionalStore, chat_mgr: ChatManagerLike | None
    ) -> None:
        self.job, self.store, self.chat_mgr = job, store, chat_mgr
        self.chat_rows = who_makes_chat_rows(chat_mgr, store)
        self.journal = Journal(store.path)
        self.outcomes: dict[str, Outcome] = {}
        self.made: dict[str, str] = {}  # chat row that a manager made -> its unit
        self.texts: dict[str, Raw] = {}  # rows that are otherwise than we would have written them
        self.triggers = False

    async def write(self) -> Result:
        if not await self._ready(self.store):
            return Result(self.outcomes)
        job = self.job
        backup = await self.store.backup(job.backup_dir, name=job.run)
        run = Run(
            job.run,
            job.now.isoformat(),
            job.action,
            entries_of(job.units, job.by, self._made_before()),
            str(backup),
            job.undoes,
        )
        self._begin(run)
        await self._call_foreign_manager()
        cancelled = await self._transact(run)
        run = self._with_outcomes(run)
        warning = self._finish(run)
        if cancelled:
            raise cancelled
        return Result(self.outcomes, run, warning)

    # -- what may still be written ----------------------------------------------------------------

    async def _ready(self, source: TransactionalStore | Transaction) -> list[Unit]:
        """The units that still rest on what they were planned from; the others get an outcome."""
        moved = await self._moved(source)
        if not (moved.keys or self.outcomes or self.job.late):
            return list(self.job.units)
        return [unit for unit in self.job.units if not self._refuse(unit, moved)]

    async def _moved(self, source: TransactionalStore | Transaction) -> Moved:
        """Compare with the look that was planned from; nothing is read again if nobody wrote."""
        look = self.job.look
        if not self.made and look.token is not None and await source.version() == look.token:
            return _NOTHING_MOVED
        now = dict(await source.load_rows(look.about))
        for key, unit_id in self.made.items():
            if not points_at(key, now.get(key), unit_id):
                self.outcomes[unit_id] = Outcome(State.STALE, LEFT_WRONG)
        return compare_rows(look.rows, now, own=self.made)

    def _refuse(self, unit: Unit, moved: Moved) -> bool:
        if unit.id in self.outcomes:
            return True
        if self.job.late:
            self.outcomes[unit.id] = LATE
        elif why := why_stale(unit, self.job.plan, moved):
            self.outcomes[unit.id] = Outcome(State.STALE, f"{why}; look again")
        return unit.id in self.outcomes

    # -- a manager with its own connection --------------------------------------------------------

    def _made_before(self) -> dict[str, str]:
        """Unit -> the chat row that is made before the transaction."""
        units = self.job.units if self.chat_rows is ChatRows.FOREIGN else ()
        return {unit.id: write.key for unit in units if (write := chat_insert(unit))}

    async def _call_foreign_manager(self) -> None:
        if self.chat_rows is not ChatRows.FOREIGN:
            return
        for unit in await self._ready(self.store):
            if not (write := chat_insert(unit)):
                continue
            if self.job.late:
                self.outcomes[unit.id] = LATE
                continue
            try:
                await self._make_chat(write)
            except ManagerFailed as error:
                self.outcomes[unit.id] = Outcome(State.FAILED, str(error))
            else:
                self.made[write.key] = unit.id

    async def _make_chat(self, write: RowWrite) -> None:
        assert self.chat_mgr is not None
        await make_chat(self.chat_mgr, write, self.job.until)

    # -- the transaction --------------------------------------------------------------------------

    async def _transact(self, run: Run) -> asyncio.CancelledError | None:
        """Everything in one transaction; what was finished when a cancellation came is kept.

        A unit for which SQLite gives up all of it is found, and left out the second time.
        """
        try:
            return await self._write_in_one(run)
        except _GivenUp:
            await self._rehearse()
        try:
            return await self._write_in_one(run)
        except _GivenUp as error:
            raise StoreError(f"SQLite gave up the run, and nothing is written. {error}") from error

    async def _write_in_one(self, run: Run) -> asyncio.CancelledError | None:
        cancelled: asyncio.CancelledError | None = None
        ended, state = False, self._state()
        try:
            async with waiting_until(self.job.until), self.store.transaction() as transaction:
                self.triggers = await transaction.has_triggers()
                cancelled = await self._write_all(transaction)
                if cancelled or self.made or self.triggers:
                    self._take_stock(dict(await transaction.load_rows(self.job.look.about)))
                if self.texts:
                    self._begin(self._with_texts(run))  # should we die before `finish`
                ended = True
        except _GivenUp:
            self.outcomes, self.made, self.texts = state
            raise
        except asyncio.CancelledError as error:
            if not ended:
                raise
            cancelled = error  # a cancelled commit is finished all the same
        return cancelled

    def _state(self) -> tuple[dict[str, Outcome], dict[str, str], dict[str, Raw]]:
        return dict(self.outcomes), dict(self.made), dict(self.texts)

    async def _rehearse(self) -> None:
        """Write each unit by itself and take it back, to find those for which SQLite gives up."""
        for unit in await self._ready(self.store):
            if self.job.late:
                return
            failed, state = "", self._state()
            try:
                async with waiting_until(self.job.until), self.store.transaction() as transaction:
                    await self._write_units([unit], transaction)
                    raise _Rehearsed
            except _Rehearsed:
                pass
            except _GivenUp as error:
                failed = str(error)
            self.outcomes, self.made, self.texts = state
            if failed:
                self.outcomes[unit.id] = Outcome(State.FAILED, failed)

    async def _write_all(self, transaction: Transaction) -> asyncio.CancelledError | None:
        try:
            ready = await self._ready(transaction)
            size = TOGETHER if self.chat_rows is ChatRows.OURS else 1
            for start in range(0, len(ready), size):
                units = ready[start : start + size]
                if self.job.late:
                    self.outcomes.update(dict.fromkeys((unit.id for unit in units), LATE))
                else:
                    await self._write_units(units, transaction)
                self.job.report(len(self.outcomes))
        except asyncio.CancelledError as error:
            return error
        return None

    async def _write_units(self, units: Sequence[Unit], transaction: Transaction) -> None:
        """Write units in one savepoint; if one can't be, halve until it stands alone."""
        try:
            async with transaction.savepoint():
                await self._write_rows(units, transaction)
                if self.chat_rows is not ChatRows.OURS:
                    await self._take_managers_rows(units, transaction)
                if self.triggers:
                    await self._read_back(units, transaction)
        except (_LeftWrong, NotTaken, ManagerFailed, StoreError) as error:
            if isinstance(error, StoreError) and concerns_all(error):
                raise
            if transaction.given_up:
                raise _GivenUp(str(error)) from error
            if len(units) == 1:
                self.outcomes[units[0].id] = await _outcome(error, transaction)
                return
            middle = len(units) // 2
            await self._write_units(units[:middle], transaction)
            await self._write_units(units[middle:], transaction)
        else:
            self.outcomes.update(dict.fromkeys((unit.id for unit in units), APPLIED))

    async def _write_rows(self, units: Sequence[Unit], transaction: Transaction) -> None:
        """All at once; those of a single unit one by one, so that we know which isn't taken."""
        rows = [change for unit in units for change in self._changes(unit)]
        if len(units) > 1:
            if not await transaction.write(rows):
                raise NotTaken
            return
        for row in rows:
            if not await transaction.write([row]):
                raise NotTaken(row)

    async def _read_back(self, units: Sequence[Unit], transaction: Transaction) -> None:
        """See what triggers made of the rows; fields that they add are theirs to add."""
        rows = [change for unit in units for change in self._changes(unit)]
        now = await transaction.rows_of([row.key for row in rows])
        for row in rows:
            stored = now.get(row.key)
            if not holds(stored, row.after):
                raise NotTaken(row, changed=True)
            if stored != row.after:
                self.texts[row.key] = stored

    def _changes(self, unit: Unit) -> list[RowChange]:
        return [RowChange(write.key, write.before, write.after) for write in self._rows(unit)]

    def _rows(self, unit: Unit) -> Sequence[RowWrite]:
        """What we write ourselves: all rows, save those that a manager makes."""
        made = self._made_elsewhere(unit)
        return [write for write in unit.writes if write is not made] if made else unit.writes

    def _made_elsewhere(self, unit: Unit) -> RowWrite | None:
        """The chat row that a manager makes."""
        return None if self.chat_rows is ChatRows.OURS else chat_insert(unit)

    async def _take_managers_rows(self, units: Sequence[Unit], transaction: Transaction) -> None:
        """Let a joined manager make its rows; look at them, and complete what any manager left out."""
        for unit in units:
            write = chat_insert(unit)
            if write is None:
                continue
            if self.chat_rows is ChatRows.JOINED:
                await self._make_chat(write)
            made = (await transaction.rows_of([write.key])).get(write.key)
            if not points_at(write.key, made, unit.id):
                raise _LeftWrong(LEFT_WRONG)
            if missing := left_out(decode_object(made), write):
                row = RowChange(write.key, made, repair_row(made, missing))
                if not await transaction.write([row]):
                    raise NotTaken(row)
            self.made[write.key] = unit.id

    # -- what the journal is told -----------------------------------------------------------------

    def _take_stock(self, rows: Mapping[str, Raw]) -> None:
        """How managers and triggers left the rows, since undo compares byte by byte; and a unit is
        finished too if the cancellation came between its last row and our knowing of it."""
        self.texts |= {key: rows[key] for key in self.made if key in rows}
        others: dict[str, Raw] = {}
        for unit in self.job.units:
            writes = unit.writes
            if all(rows.get(w.key) == self.texts.get(w.key, w.after) for w in writes):
                self.outcomes.setdefault(unit.id, APPLIED)
            if self.outcomes.get(unit.id) == APPLIED:
                others |= {w.key: w.after for w in writes if rows.get(w.key, w.after) != w.after}
        self.texts = {key: rows[key] for key in (*self.made, *others) if key in rows}

    def _with_texts(self, run: Run) -> Run:
        entries = tuple(
            msgspec.structs.replace(entry, writes=tuple(map(self._as_written, entry.writes)))
            for entry in run.entries
        )
        return msgspec.structs.replace(run, entries=entries)

    def _as_written(self, write: RowWrite) -> RowWrite:
        return msgspec.structs.replace(write, after=self.texts.get(write.key, write.after))

    def _begin(self, run: Run) -> None:
        self.journal.begin(run)
        self._tell(run)

    def _tell(self, run: Run) -> None:
        if self.job.told:
            self.job.told(run)

    def _with_outcomes(self, run: Run) -> Run:
        run = self._with_texts(run)
        entries = tuple(map(self._with_outcome, run.entries))
        return msgspec.structs.replace(run, entries=entries, finished=True)

    def _finish(self, run: Run) -> str:
        """Put the outcome on disk. If that fails the rows are written all the same, so it is a
        warning: comparing the rows with the intent still tells what happened."""
        self._tell(run)
        try:
            self.journal.finish(run)
        except StoreError as error:
            return f"The rows are written, but: {error}"
        return ""

    def _with_outcome(self, entry: Entry) -> Entry:
        outcome = self.outcomes.get(entry.unit, _NOT_REACHED)
        return msgspec.structs.replace(entry, outcome=outcome.state, detail=outcome.detail)


async def _outcome(error: Exception, transaction: Transaction) -> Outcome:
    """Why a single unit wasn't written."""
    if isinstance(error, NotTaken):
        keys = [error.row.key] if error.row else []
        return why_not_taken(error, await transaction.rows_of(keys))
    state = State.STALE if isinstance(error, _LeftWrong) else State.FAILED
    return Outcome(state, str(error))


_NOTHING_MOVED = compare_rows({}, {})
_NOT_REACHED = Outcome(State.NOT_REACHED, "the run was cancelled before")
