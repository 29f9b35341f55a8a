"""The bot's key-value table: the stores that keep it in SQLite and in memory.

`SQLiteStore` keeps the whole contract; whatever is about a file stays in here and below, what every store on
a connection does in `connected`. It works on the bot's own database and never changes its journal mode; where
its rows stand, and the SQL on them, is the affair of a `Rows`, its connection is in `connection`, what it
writes as one in `transaction`. `InMemoryStore` is for tests.
"""

import asyncio
import contextlib
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from toolkit.aside import finish
from toolkit.database.address import read_path
from toolkit.database.backup import backup_path, check_space, new_backup, remove_stale
from toolkit.database.connected import ConnectedStore
from toolkit.database.connection import Database, connect
from toolkit.database.identity import name_file
from toolkit.database.journal import JournalBeside
from toolkit.database.key_value import KeyValueRows, encode_value
from toolkit.database.lock import hold_lock
from toolkit.database.mapped import MappedRows
from toolkit.database.rows import FileRows
from toolkit.database.sql import Table
from toolkit.database.transaction import RUNNING, Transaction
from toolkit.errors import NoDatabase, StoreError
from toolkit.layout import Layout
from toolkit.records import decode_object


def check_there(path: str | os.PathLike[str]) -> None:
    """Raise StoreError if there is no such database.

    For writing, the bot's own store makes one; a repair of one that is gone would make a bot forget
    everything else.
    """
    if not os.path.exists(path):
        raise StoreError(
            f"Can't open the database {os.fspath(path)}: there is no such file; check it."
        )


class SQLiteStore(ConnectedStore[Database]):
    """The bot's table in its SQLite database; `async with`, or `open()` and `close()`.

    Opened for writing, an empty or absent database gets the table, as at a bot's first start. A table
    that isn't the bot's own (keys that aren't unique, values that are no JSON) is refused as a whole.
    `read_only=True` creates no database, and leaves no `-wal` or `-shm` file that wasn't there.
    While it is open, a database in WAL mode does need these two, so their folder must be writable
    unless the bot is running; and if the bot stops meanwhile, they stay until its next start.

    With a `layout` whose rows stand in tables of their own, these are shown as rows of a key and a text.
    Such tables must be there, and must fit the layout.

    `busy_timeout`, in seconds, is how long to wait for another program's lock. `backup_dir` is
    where backups go that name no folder; None is beside the database. Many tasks may use one
    store: while one of them is in `transaction()`, the others wait. Raises StoreError.
    """

    _rows: FileRows

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        read_only: bool = False,
        table: str = "kv",
        key_column: str = "key",
        value_column: str = "value",
        layout: Layout | None = None,
        busy_timeout: float = 5.0,
        backup_dir: Path | None = None,
    ) -> None:
        self._path = read_path(path)
        rows: FileRows
        if layout is None or not layout.mapped:
            rows = KeyValueRows(Table(table, key_column, value_column))
        else:
            rows = MappedRows(layout)
        super().__init__(rows, read_only=read_only, backup_dir=backup_dir)
        self._busy_timeout = busy_timeout
        self._found_wal = False
        self._file: tuple[int, int] | None = None

    @property
    def path(self) -> Path:
        return self._path

    @property
    def name(self) -> str:
        return str(self._path.absolute())

    @property
    def identity(self) -> Path:
        """The file, by whichever link it was named."""
        return self._path.resolve()

    @property
    def address(self) -> Path:
        return self._path

    @property
    def beside(self) -> Path:
        return self._path

    @property
    def file(self) -> Path:
        return self._path

    @property
    def made(self) -> bool:
        """Whether opening it made the file, or the first table in it."""
        return self._made

    @property
    def settings(self) -> dict[str, Any]:
        """With which names and patience another store on the same rows is made."""
        return {**self._rows.settings, "busy_timeout": self._busy_timeout}

    async def open(self, *, make: bool = True) -> None:
        """Connect and look at the table; nothing if it is open already.

        Without `make`, a file that isn't there is refused, where a bot's first start would make it.
        """
        if not make:
            check_there(self._path)
        async with self._lock:
            if self._connection is None:
                self._found_wal = os.path.exists(f"{self._path}-wal")
                self._connection, self._made = await self._connect()
                self._file = _identity(self._path)

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Write the whole row as compact JSON, new or not; inside a transaction, as part of it.

        It is stored as the row was, text or BLOB, and a new one as others of its family are.
        """
        async with self._turn() as database:
            await self._rows.put(database, key, value)

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, sorted; surrogate escapes for non-UTF-8."""
        async with self._turn() as database:
            return sorted(await self._rows.keys(database, prefix))

    async def version(self) -> tuple[int, int]:
        """A token that differs from an earlier one if anybody, also this store, wrote in between.

        Take it *before* `load_rows`: if a later token is equal, nobody wrote since the first one,
        so the rows are still as loaded. (A token taken after loading would miss a write between
        the two.) It can be compared while the store stays open; it may differ without a change.
        """
        async with self._turn() as database:
            return await database.version()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Several reads and writes as one: committed on normal exit, rolled back on any exception.

        Nobody else can write meanwhile. This task, and tasks started in here, join it when they use
        the store; others wait. Inside another transaction of this store it is a savepoint of it.
        Cancelled while the commit is running, it is committed nevertheless.
        """
        if outer := self._joined():
            async with outer.savepoint():
                yield outer
            return
        async with self._lock, RUNNING.begun(Transaction(await self._alive())) as transaction:
            yield transaction
            await self._alive()  # it may have been replaced meanwhile

    async def backup(
        self, directory: Path | None = None, *, name: str, by_bot: bool = False
    ) -> Path:
        """Copy the database, as of one moment, to `{database}.{name}.backup`; returns its path.

        `name` is the run's (`20261122T220345Z-3f2a`), `by_bot` whether the bot began it by itself. It is
        readable by its owner alone, and removes no other: a run does that once it has written. In one
        step: in several, a bot that writes would restart it each time.
        """
        self._check_outside("back up", "do it before")
        target = backup_path(self._path, directory or self._backup_dir, name, by_bot=by_bot)
        async with self._turn() as database:
            try:
                remove_stale(self._path, target.parent)
                check_space(self._path, target, await database.size())
                with new_backup(self._path, target) as copy:
                    await finish(database.copy_into(copy))
            except OSError as error:
                raise StoreError(
                    f"Can't back up {self._path} to {target}: {error.strerror}."
                ) from error
        return target.absolute()

    @property
    def journal(self) -> JournalBeside:
        """The JSON Lines beside the database."""
        return JournalBeside(self._path)

    async def birthmark(self) -> str | None:
        """The file's inode, birth and changes; None if there is no file."""
        return name_file(self._path)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold the lock file beside the database; `ToolkitError` at once if somebody else does."""
        with hold_lock(self._path):
            yield

    @property
    def _home(self) -> Path:
        return self._path

    @property
    def _called(self) -> str:
        return str(self._path)

    def _told(self, key: str) -> str:
        return f"the row {key!r} of {self._path}"

    def _joined(self) -> Transaction | None:
        return RUNNING.on(self._connection)

    async def _alive(self) -> Database:
        database = self._opened()
        if _identity(self._path) != self._file:
            # SQLite goes on with the old file, in WAL mode without a word: what is written there,
            # nobody reads again.
            raise StoreError(
                f"The database {self._path} was moved, replaced or deleted since it was opened: "
                "open the store again. Nothing was written."
            )
        return database

    async def _connect(self) -> tuple[Database, bool]:
        database = await connect(self._path, self._mode(), self._rows, self._busy_timeout)
        try:
            return database, await self._rows.admit(database, read_only=self._read_only)
        except BaseException:
            await self._disconnect(database)
            raise

    async def _disconnect(self, connection: Database) -> None:
        await finish(connection.close())
        if self._read_only and not self._found_wal and _left_empty_wal(self._path):
            await asyncio.to_thread(_remove_empty_wal, self._path)

    def _mode(self) -> str:
        """SQLite's own mode for this path; StoreError where it would create what it shouldn't."""
        path = self._path
        if str(path) == ":memory:":
            raise StoreError("A :memory: database can't be shared with a bot: use InMemoryStore.")
        if os.path.isdir(path):
            raise StoreError(f"Can't open the database {path}: it is a folder; name a file in it.")
        if os.path.exists(path):
            return "ro" if self._read_only else "rw"
        if self._read_only or self.layout.mapped:  # a bot makes its own tables
            raise NoDatabase(f"Can't open the database {path}: there is no such file; check it.")
        if not os.path.isdir(path.parent):
            raise StoreError(f"Can't create the database {path}: there is no folder {path.parent}.")
        return "rwc"


class InMemoryStore:
    """Rows in a dict, for tests: the same answers as a database, but no transactions.

    They are kept as JSON, so that nothing is shared with the caller, and what a database would
    refuse is refused here too.
    """

    def __init__(self, rows: Mapping[str, Mapping[str, Any]] | None = None) -> None:
        self._rows = {key: encode_value(key, value) for key, value in (rows or {}).items()}

    async def get(self, key: str) -> dict[str, Any] | None:
        """A copy of the row, None if there is no such row."""
        text = self._rows.get(key)
        return None if text is None else decode_object(text)

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep a copy of the whole row; StoreError for what JSON can't hold."""
        self._rows[key] = encode_value(key, value)

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, sorted."""
        return sorted(key for key in self._rows if key.startswith(prefix))


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file this is, whatever it is called; None if there is none."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _left_empty_wal(path: Path) -> bool:
    log = Path(f"{path}-wal")
    return log.exists() and not log.stat().st_size


def _remove_empty_wal(path: Path) -> None:
    """Remove the two files that a read-only look at a database in WAL mode leaves behind.

    SQLite itself does it, under its own locks, when the last connection that may write is closed;
    with an empty log there is nothing to write. If the bot has started meanwhile, they stay.
    """
    with contextlib.suppress(sqlite3.Error):
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
