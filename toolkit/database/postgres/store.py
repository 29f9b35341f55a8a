"""A bot's rows on a PostgreSQL server, which several workers may write at once.

It keeps the same contract as a database file, and shares with it what is in `connected`; where the rows stand
and the SQL on them is the affair of a `Rows`, what it writes as one is in `transaction`.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Hashable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from toolkit.aside import finish
from toolkit.database.connected import ConnectedStore
from toolkit.database.contract import BUSY
from toolkit.database.journal import JournalBeside
from toolkit.database.postgres.admission import admit_server
from toolkit.database.postgres.backup import make_backup, make_folder, new_backup_path
from toolkit.database.postgres.connection import Connection, connect
from toolkit.database.postgres.dsn import Address, file_name
from toolkit.database.postgres.journal import Journal, Ledger
from toolkit.database.postgres.key_value import KeyValueRows
from toolkit.database.postgres.mapped import MappedRows
from toolkit.database.postgres.rows import ServerRows
from toolkit.database.postgres.transaction import RUNNING, Transaction, version_of
from toolkit.errors import NoDatabase, ToolkitError
from toolkit.layout import Layout
from toolkit.quotes import quote_odd
from toolkit.secrecy import StaysHere


class PostgresStore(StaysHere, ConnectedStore[Connection]):
    """The bot's table on a PostgreSQL server; `async with`, or `open()` and `close()`.

    `dsn` is like `postgresql://user@host:5432/database`; the password may stand there, in PGPASSWORD or in a
    passfile, and is never shown. `table` may name a schema (`bot.kv`). Opened for writing, an empty database gets
    the table, as at a bot's first start; and at the first write a table of runs (`matrix_drift_journal`) is
    made, if the role may. A table that isn't the bot's own, or on which the promises of a writer wouldn't hold,
    is refused as a whole. With `read_only=True` the server itself refuses writes.

    `beside` is the path beside which decisions, backups and, for a role that may make no table, the journal
    go: by default one in `~/.local/state/matrix-drift` that is called like the database. `busy_timeout`,
    in seconds, is how long to try for the table's lock; `answer_timeout`, in how many a statement must be
    answered. A connection that was lost is made anew for the next call outside a transaction. Many tasks may
    use one store: while one of them is in `transaction()`, the others wait. Raises StoreError.
    """

    _rows: ServerRows
    file: Path | None = None  # no backup can take the place of a whole database
    _shown = "…"  # what can't be made is shown as well, by a traceback with its locals

    def __init__(
        self,
        dsn: str,
        *,
        read_only: bool = False,
        table: str = "kv",
        key_column: str = "key",
        value_column: str = "value",
        layout: Layout | None = None,
        busy_timeout: float = 5.0,
        answer_timeout: float = 60.0,
        backup_dir: Path | None = None,
        beside: Path | None = None,
    ) -> None:
        self._address = Address(dsn)
        rows: ServerRows
        if layout is None or not layout.mapped:
            rows = KeyValueRows(table, key_column, value_column)
        else:
            rows = MappedRows(layout)
        super().__init__(rows, read_only=read_only, backup_dir=backup_dir)
        self._busy_timeout, self._answer_timeout = busy_timeout, answer_timeout
        self._beside = beside
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ledger = Ledger(rows.label)
        self._shown = f"{self.name} {rows.label}"

    def __repr__(self) -> str:
        return f"<PostgresStore {self._shown}>"

    @property
    def name(self) -> str:
        return self._address.name

    @property
    def identity(self) -> Hashable:
        """Server, database and the bot's table, by whichever name this machine calls itself: bots with
        tables of their own write at once."""
        return *self._address.whose, self._rows.label

    @property
    def address(self) -> str:
        return self._address.uri

    @property
    def beside(self) -> Path:
        if self._beside is not None:
            return self._beside
        return self._address.default_folder() / file_name(*self._address.place, self._rows.label)

    @property
    def made(self) -> bool:
        """Whether opening it made the first table in an empty database."""
        return self._made

    @property
    def settings(self) -> dict[str, Any]:
        """With which names and patience another store on the same rows is made."""
        return {
            **self._rows.settings,
            "busy_timeout": self._busy_timeout,
            "answer_timeout": self._answer_timeout,
            "beside": self._beside,
        }

    async def open(self, *, make: bool = True) -> None:
        """Come in and look at the table; nothing if it is open already.

        Without `make`, an empty database is refused, where a bot's first start would make the table.
        """
        async with self._lock:
            if self._connection is None:
                self._connection = await self._admitted(make=make and not self._read_only)
                self._loop = asyncio.get_running_loop()
                if self._beside is None:
                    make_folder(self.beside.parent)

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Write the whole row as compact JSON, new or not; inside a transaction, as part of it."""
        async with self._turn() as connection:
            connection.writes += 1
            await self._rows.put(connection, key, value)

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, sorted."""
        async with self._turn() as connection:
            return sorted(await self._rows.keys(connection, prefix))

    async def version(self) -> Hashable:
        """A token that differs from an earlier one if anybody wrote in between, anywhere on the server.

        Take it *before* `load_rows`: if a later token is equal, the rows are still as loaded.
        """
        async with self._turn() as connection:
            return await version_of(connection, self._ledger)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several reads and writes as one: committed on normal exit, rolled back on any exception.

        Nobody else can write the table meanwhile, and everybody can read it. This task, and tasks started
        in here, join it when they use the store; others wait. Inside another transaction of this store it is
        a savepoint of it. Cancelled while the commit is running, it is committed nevertheless. Raises
        `OutcomeUnknown` where the answer to COMMIT was lost.
        """
        if outer := self._joined():
            async with outer.savepoint():
                yield outer
            return
        async with self._lock:
            transaction = Transaction(
                await self._alive(),
                self._rows,
                self._ledger,
                partial(self._connect, read_only=True),
                patience=self._busy_timeout,
            )
            async with RUNNING.begun(transaction):
                yield transaction

    async def backup(
        self, directory: Path | None = None, *, name: str, by_bot: bool = False
    ) -> Path:
        """Copy the bot's rows, as of one moment, into a file that `psql` reads; returns its path.

        `name` is the run's (`20261122T220345Z-3f2a`), `by_bot` whether the bot began it by itself.
        """
        self._check_outside("back up", "do it before")
        target = new_backup_path(self.beside, directory or self._backup_dir, name, by_bot=by_bot)
        async with self._turn() as connection:
            await finish(make_backup(connection, self._rows.copied, target, self.beside))
        return target.absolute()

    @property
    def journal(self) -> Journal:
        """A table beside the bot's, or a file for a role that may make none."""
        return Journal(
            self._ledger, self._beside_transactions, JournalBeside(self.beside, is_file=False)
        )

    async def birthmark(self) -> str | None:
        """Nothing tells a database from one that took its name: the journal goes with it."""
        return None

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold a lock that the server gives up with the connection, however that ends."""
        async with self._visiting() as connection:
            bot = await self._ledger.bot(connection)
            [(held,)] = await connection.fetch(_ALONE, (f"matrix-drift {bot}",))
            if not held:
                raise ToolkitError(BUSY)
            yield

    @asynccontextmanager
    async def _visiting(self) -> AsyncIterator[Connection]:
        connection = await self._connect()
        try:
            yield connection
        finally:
            await self._disconnect(connection)

    @asynccontextmanager
    async def _beside_transactions(self) -> AsyncIterator[Connection]:
        """A connection on which what is written lasts: our own, if it is open in this loop and free."""
        mine = self._connection is not None and self._loop is asyncio.get_running_loop()
        own = mine and not self._read_only and not self._joined()
        async with self._turn() if own else self._visiting() as connection:
            yield connection

    @property
    def _home(self) -> Path:
        return self.beside

    @property
    def _called(self) -> str:
        return self.name

    def _told(self, key: str) -> str:
        return f"the row {quote_odd(key)} of {self.name}"

    def _joined(self) -> Transaction | None:
        return RUNNING.on(self._connection)

    async def _alive(self) -> Connection:
        """Made anew if it was lost; what is on the other side is then looked at again."""
        connection = self._opened()
        if connection.lost:
            connection = self._connection = await self._admitted()
        return connection

    async def _admitted(self, *, make: bool = False) -> Connection:
        connection = await self._connect(read_only=self._read_only)
        try:
            await admit_server(connection, read_only=self._read_only)
            try:
                await self._rows.admit(connection, read_only=self._read_only)
            except NoDatabase:
                if not make or not self._rows.create:
                    raise
                await connection.run(self._rows.create)
                self._made = True
                await self._rows.admit(connection, read_only=self._read_only)
        except BaseException:
            with contextlib.suppress(asyncio.CancelledError):
                await self._disconnect(connection)
            raise
        return connection

    async def _connect(self, *, read_only: bool = False) -> Connection:
        return await connect(
            self._address,
            read_only=read_only,
            patience=self._answer_timeout,
            lock_patience=self._busy_timeout,
        )

    async def _disconnect(self, connection: Connection) -> None:
        await finish(connection.close())


_ALONE = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
