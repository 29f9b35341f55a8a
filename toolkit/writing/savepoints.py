"""Units in savepoints of one transaction: each is written whole or not at all, beside its neighbours."""

from collections.abc import Sequence
from dataclasses import dataclass

from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import StoreTransaction
from toolkit.database.journal import State
from toolkit.database.sql import RowChange
from toolkit.errors import StoreError
from toolkit.model import Unit
from toolkit.records import decode_object, repair_row
from toolkit.writing.chat_rows import (
    LEFT_WRONG,
    ChatRows,
    ManagerFailed,
    chat_insert,
    left_out,
    make_chat,
    points_at,
)
from toolkit.writing.job import APPLIED, Outcome
from toolkit.writing.read_back import NotTaken, changed_fields, holds, why_not_taken
from toolkit.writing.tally import Tally


class _LeftWrong(Exception):
    """A manager made another row than it was asked for; the savepoint rolls back."""


class GivenUp(Exception):
    """The database has rolled back the whole transaction because of one of the units, in its words."""


@dataclass
class Savepoints:
    """Writes units into one transaction, and keeps count of what became of them."""

    transaction: StoreTransaction
    tally: Tally
    chat_rows: ChatRows
    chat_mgr: ChatManagerLike | None
    until: float | None
    triggers: bool

    async def write(self, units: Sequence[Unit]) -> None:
        """Write units in one savepoint; if one can't be, halve until it stands alone."""
        try:
            async with self.transaction.savepoint():
                await self._write_rows(units)
                if self.chat_rows is not ChatRows.OURS:
                    await self._take_managers_rows(units)
                if self.triggers:
                    await self._read_back(units)
        except (_LeftWrong, NotTaken, ManagerFailed, StoreError) as error:
            if isinstance(error, StoreError) and error.concerns_all:
                raise
            if self.transaction.given_up:
                raise GivenUp(str(error)) from error
            if len(units) == 1:
                self.tally.outcomes[units[0].id] = await _outcome(error, self.transaction)
                return
            middle = len(units) // 2
            await self.write(units[:middle])
            await self.write(units[middle:])
        else:
            self.tally.outcomes.update(dict.fromkeys((unit.id for unit in units), APPLIED))

    async def _write_rows(self, units: Sequence[Unit]) -> None:
        """All at once; those of a single unit one by one, so that we know which isn't taken."""
        rows = [change for unit in units for change in self._changes(unit)]
        if len(units) > 1:
            if not await self.transaction.write(rows):
                raise NotTaken
            return
        for row in rows:
            if not await self.transaction.write([row]):
                raise NotTaken(row)

    async def _read_back(self, units: Sequence[Unit]) -> None:
        """See what triggers made of the rows; fields that they add are theirs to add."""
        rows = [change for unit in units for change in self._changes(unit)]
        now = await self.transaction.rows_of([row.key for row in rows])
        for row in rows:
            stored = now.get(row.key)
            if not holds(stored, row.after):
                raise NotTaken(row, changed=changed_fields(stored, row.after))
            if stored != row.after:
                self.tally.texts[row.key] = stored

    def _changes(self, unit: Unit) -> list[RowChange]:
        """What we write ourselves: all rows, save the chat row that a manager makes."""
        made = None if self.chat_rows is ChatRows.OURS else chat_insert(unit)
        return [RowChange(w.key, w.before, w.after) for w in unit.writes if w is not made]

    async def _take_managers_rows(self, units: Sequence[Unit]) -> None:
        """Let a joined manager make its rows; look at them, and complete what any manager left out."""
        for unit in units:
            write = chat_insert(unit)
            if write is None:
                continue
            if self.chat_rows is ChatRows.JOINED:
                assert self.chat_mgr is not None
                await make_chat(self.chat_mgr, write, self.until)
            made = (await self.transaction.rows_of([write.key])).get(write.key)
            if not points_at(write.key, made, unit.id):
                raise _LeftWrong(LEFT_WRONG)
            if missing := left_out(decode_object(made), write):
                row = RowChange(write.key, made, repair_row(made, missing))
                if not await self.transaction.write([row]):
                    raise NotTaken(row)
            self.tally.made[write.key] = unit.id


async def _outcome(error: Exception, transaction: StoreTransaction) -> Outcome:
    """Why a single unit wasn't written."""
    if isinstance(error, NotTaken):
        keys = [error.row.key] if error.row else []
        return why_not_taken(error, await transaction.rows_of(keys))
    state = State.STALE if isinstance(error, _LeftWrong) else State.FAILED
    return Outcome(state, str(error))
