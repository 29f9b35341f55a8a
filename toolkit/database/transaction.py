"""What a store writes as one: an open transaction."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from toolkit.aside import finish
from toolkit.database.connection import Database
from toolkit.database.joining import Running
from toolkit.database.sql import RowChange
from toolkit.errors import StoreError
from toolkit.records import Names, Raw


class Transaction:
    """An open transaction of a `SQLiteStore`: all that it writes is committed, or nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._open = True
        self._committed = False
        self._savepoints = 0

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows, or those about some names, with what this transaction wrote."""
        return await self.connection().load_rows(about)

    async def version(self) -> tuple[int, int]:
        """The store's token; equal to one from before the transaction if nobody wrote since."""
        return await self.connection().version()

    async def rows_of(self, keys: Sequence[str]) -> dict[str, Raw]:
        """The rows of these keys, with what this transaction wrote, and those of keys that the table
        takes for the same."""
        database = self.connection()
        return await database.rows.some(database, keys)

    async def has_triggers(self) -> bool:
        """Whether a row may not be as it was written, so that it has to be read back."""
        database = self.connection()
        return await database.rows.has_triggers(database)

    async def note(self, run: str, outcome: Callable[[], str]) -> bool:
        """The journal is a file, and no part of a transaction."""
        return False

    async def committed(self) -> bool:
        """Whether it was; SQLite's answer is never lost, since nothing lies in between."""
        return self._committed

    @property
    def given_up(self) -> bool:
        """Whether SQLite has rolled back everything by itself, as on some errors it does."""
        return self._open and not self._database.in_transaction

    async def write(self, rows: Sequence[RowChange]) -> bool:
        """Write each row if it still is as in `before`; False if one isn't, and then roll back.

        `before` None inserts, `after` None deletes; a stored NULL is a row like any other. A
        False leaves some rows written: call it in a `savepoint()` and leave that by an exception.
        """
        if len({row.key for row in rows}) < len(rows):
            raise ValueError("a key occurs twice in one write; write its last value only")
        database = self.connection()
        return await database.rows.change(database, rows)

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is written in here stays if it ends normally and is undone if it raises.

        They nest, but belong to one task at a time: SQLite keeps a single stack of them.
        """
        self._savepoints += 1
        name = f"unit_{self._savepoints}"
        try:
            await self.connection().run(f"SAVEPOINT {name}")
            yield
            await self.connection().run(f"RELEASE {name}")
        except BaseException:
            await finish(self._database.roll_back_to(name))
            raise

    def connection(self) -> Database:
        """The connection, if the transaction is still on.

        After some errors (a full disk) SQLite has rolled everything back by itself. What came next
        would be written one by one, and stay.
        """
        if not self._open:
            raise StoreError("This transaction has ended: start another.")
        if not self._database.in_transaction:
            raise StoreError(
                "SQLite gave up this transaction: nothing of it is written; start again."
            )
        return self._database

    def is_open_on(self, connection: object) -> bool:
        """Whether it runs on this very connection."""
        return self._open and self._database is connection

    async def begin(self) -> None:
        """Take the right to write now: taken later, it can be refused because of what was read."""
        await self._database.begin()

    async def commit(self) -> None:
        """Make everything last, even if we are cancelled meanwhile."""
        database, self._open = self.connection(), False
        await finish(self._commit(database))

    async def _commit(self, database: Database) -> None:
        await database.run("COMMIT")
        self._committed = True

    async def roll_back(self) -> None:
        """Undo everything, even if we are cancelled meanwhile; nothing if nothing was begun."""
        self._open = False
        await finish(self._database.roll_back())


RUNNING = Running[Transaction]("transactions")
