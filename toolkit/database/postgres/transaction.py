"""What a store on a server writes as one: an open transaction."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import tenacity

from toolkit.aside import finish
from toolkit.database.joining import Running
from toolkit.database.postgres.connection import Connection
from toolkit.database.postgres.journal import Ledger
from toolkit.database.postgres.rows import ServerRows
from toolkit.database.sql import RowChange
from toolkit.database.waiting import lock_until
from toolkit.errors import OutcomeUnknown, StoreError
from toolkit.records import Names, Raw

LOCK_MS = 50
"""How long a try for the lock waits: as long everybody else queues behind it."""
PAUSE = 0.05, 0.15
"""Seconds between two tries, at random, so that others have their turn."""
ASKED_AGAIN = 30.0
"""Seconds in which a server that was lost is asked what became of a transaction."""

Reconnect = Callable[[], Awaitable[Connection]]


class Transaction:
    """An open transaction of a `PostgresStore`: all that it writes is committed, or nothing.

    Each statement is waited for even if we are cancelled: one that is cut short would end everything.
    """

    given_up = False  # a server rolls nothing back by itself but what is lost as a whole

    def __init__(
        self,
        connection: Connection,
        rows: ServerRows,
        ledger: Ledger,
        reconnect: Reconnect,
        *,
        patience: float,
    ) -> None:
        self._connection, self._rows = connection, rows
        self._ledger, self._reconnect, self._patience = ledger, reconnect, patience
        self._open = True
        self._savepoints = 0
        self._number: str | None = None  # the server's own, of one that may have written
        self._line: int | None = None  # of the journal, which is committed with the rows
        self._committed: bool | None = False  # None: the answer was lost

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows, or those about some names, with what this transaction wrote."""
        return await finish(self._rows.load(self.connection(), about))

    async def version(self) -> tuple[int, int, str]:
        """The store's token; equal to one from before the transaction if nobody wrote since."""
        return await finish(version_of(self.connection(), self._ledger))

    async def rows_of(self, keys: Sequence[str]) -> dict[str, Raw]:
        """The rows of these keys, with what this transaction wrote, and those of keys that the table
        takes for the same."""
        return await finish(self._rows.some(self.connection(), keys))

    async def has_triggers(self) -> bool:
        """Whether a row may not be as it was written, so that it has to be read back."""
        return await finish(self._rows.has_triggers(self.connection()))

    async def write(self, rows: Sequence[RowChange]) -> bool:
        """Write each row if it still is as in `before`; False if one isn't, and then roll back."""
        if len({row.key for row in rows}) < len(rows):
            raise ValueError("a key occurs twice in one write; write its last value only")
        self.connection().writes += 1
        return await finish(self._rows.change(self.connection(), rows))

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is written in here stays if it ends normally and is undone if it raises. They nest."""
        self._savepoints += 1
        name = f"unit_{self._savepoints}"
        await finish(self.connection().run(f"SAVEPOINT {name}"))
        try:
            yield
        except BaseException:
            await finish(self._roll_back_to(name))
            raise
        # Outside: to go back to one that is gone, as when we are cancelled here, would end everything.
        await finish(self.connection().run(f"RELEASE {name}"))

    async def note(self, run: str, outcome: Callable[[], str]) -> bool:
        """Put a run's last line into the journal as part of this transaction, if that is in the database."""
        noted = await self._ledger.note(self.connection(), run, outcome)
        if noted is None:
            return False
        self._line, self._number = noted
        return True

    async def committed(self) -> bool:
        """Whether it was committed, once it has ended; a server whose answer was lost is asked again.

        Raises `StoreError` if that can't be had in good time.
        """
        if self._committed is None:
            self._committed = await self._ask()
        return self._committed

    def connection(self) -> Connection:
        """The connection, if the transaction is still on."""
        if not self._open:
            raise StoreError("This transaction has ended: start another.", concerns_all=True)
        return self._connection

    def is_open_on(self, connection: object) -> bool:
        """Whether it runs on this very connection."""
        return self._open and self._connection is connection

    async def begin(self) -> None:
        """Take the lock: in short tries, since behind one that waits long all other writers queue."""
        until = time.monotonic() + self._patience
        if (given := lock_until()) is not None:
            until = min(until, given)
        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(_Taken),
            stop=lambda state: time.monotonic() > until,
            wait=tenacity.wait_random(*PAUSE),
            reraise=True,
        )
        try:
            await tries(self._try)
        except _Taken as error:
            refused = error.refused
        else:
            return
        raise refused

    async def _try(self) -> None:
        lock = f"{_BEGIN}; SET LOCAL lock_timeout = {LOCK_MS}; {self._rows.lock}; {_USUAL}"
        try:
            await self._connection.run(lock)
        except StoreError as error:
            if getattr(error.__cause__, "sqlstate", None) not in _TAKEN:
                raise
            refused = error
        else:
            return
        await self._undo()
        raise _Taken(refused)

    async def commit(self) -> None:
        """Make everything last, even if we are cancelled meanwhile. Raises `OutcomeUnknown`."""
        connection, self._open = self.connection(), False
        await finish(self._commit(connection))

    async def _commit(self, connection: Connection) -> None:
        if self._number is None:
            [(self._number,)] = await connection.fetch(_NUMBER, doing="write")
        try:
            _, said = await connection.run("COMMIT")
        except StoreError as error:
            if not connection.lost or self._number is None:
                raise
            failed = error
        else:
            if said != "COMMIT":
                raise StoreError(
                    f"Can't write the database {connection.name}: the server rolled everything back.",
                    concerns_all=True,
                )
            self._committed = True
            return
        self._committed = None
        raise OutcomeUnknown(
            f"The answer to COMMIT was lost, and nobody can tell yet whether anything was written. {failed}"
        ) from failed

    async def roll_back(self) -> None:
        """Undo everything, even if we are cancelled meanwhile; nothing if nothing was begun."""
        self._open = False
        await finish(self._undo())

    async def _undo(self) -> None:
        # What can't be rolled back now, the server rolls back when it sees that we are gone.
        with contextlib.suppress(StoreError):
            if not self._connection.lost and self._connection.in_transaction:
                await self._connection.run("ROLLBACK")

    async def _roll_back_to(self, name: str) -> None:
        with contextlib.suppress(StoreError):
            await self._connection.run(f"ROLLBACK TO {name}; RELEASE {name}")

    async def _ask(self) -> bool:
        """A transaction that the server is still ending is waited for."""
        until = time.monotonic() + ASKED_AGAIN
        while True:
            with contextlib.suppress(StoreError):
                connection = await self._reconnect()
                try:
                    if (found := await self._ask_once(connection)) is not None:
                        return found
                finally:
                    await connection.close()
            if time.monotonic() > until:
                break
            await asyncio.sleep(0.25)
        raise StoreError(
            "The answer to COMMIT was lost, and the server can't be asked what became of it: once it "
            "can, `matrix-drift history` tells.",
            concerns_all=True,
        )

    async def _ask_once(self, connection: Connection) -> bool | None:
        """The journal's line counts, where there is one: a crash may give the same number out again."""
        try:
            [(status,)] = await connection.fetch(_STATUS, (self._number,))
        except StoreError as error:
            if getattr(error.__cause__, "sqlstate", None) != _NEVER_HEARD_OF:
                raise
            return False  # the server has crashed before, or it is another that takes its place
        if status == "in progress":
            return None
        if self._line is not None:
            return await self._ledger.has(connection, self._line)
        return None if status is None else bool(status == "committed")


class _Taken(Exception):
    """Somebody else holds a lock on the table."""

    def __init__(self, refused: StoreError) -> None:
        super().__init__("taken")
        self.refused = refused


async def version_of(connection: Connection, ledger: Ledger) -> tuple[int, int, str]:
    """Two equal snapshots see the same rows; any write in the whole cluster makes it another.

    But for our own, which a snapshot within our transaction doesn't show; and what the journal is told before a
    run is no write. With the connection's number: after a crash a server may count the same numbers again.
    """
    [(snapshot,)] = await connection.fetch("SELECT pg_current_snapshot()::text")
    return connection.number, connection.writes, ledger.without_own(snapshot)


_BEGIN = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
_USUAL = "SET LOCAL lock_timeout = '5s'"  # rows of other tables, which foreign keys look at
_TAKEN = {"55P03", "40P01"}  # lock_not_available, deadlock_detected
_NUMBER = "SELECT pg_current_xact_id_if_assigned()::text"
_NEVER_HEARD_OF = "22023"  # such a number is still to come
_STATUS = "SELECT pg_xact_status(%s::text::xid8)"
RUNNING = Running[Transaction]("postgres_transactions")
