"""An open connection to a SQLite database; the only module that imports aiosqlite.

Errors come out as a `StoreError` that says what was being done, what happened and what to try.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextvars import ContextVar
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

import aiosqlite

from toolkit.errors import StoreError
from toolkit.records import FAMILIES, NULL, Raw
from toolkit.table import Table, decode, key_range

T = TypeVar("T")

_lock_until: ContextVar[float | None] = ContextVar("lock_until", default=None)


class Database:
    """An open connection: each call crosses into SQLite's thread once, errors come in words."""

    def __init__(self, path: Path, table: Table, connection: aiosqlite.Connection) -> None:
        self.path = path
        self.table = table
        self._connection = connection
        self._rollbacks = 0

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    async def fetch(self, sql: str, parameters: tuple[Raw, ...] = ()) -> list[tuple[Any, ...]]:
        """All rows of one query, and so of one moment; what isn't UTF-8 comes as surrogate escapes.

        One such row makes the whole query fail. Then it is asked again, through a slower decoder.
        """
        with explained(self.path, "read"):
            try:
                return await self._fetch(sql, parameters)
            except sqlite3.OperationalError as error:
                if not str(error).startswith("Could not decode to UTF-8"):
                    raise
            self._connection.text_factory = decode
            try:
                return await self._fetch(sql, parameters)
            finally:
                self._connection.text_factory = str

    async def _fetch(self, sql: str, parameters: tuple[Raw, ...]) -> list[tuple[Any, ...]]:
        # Closed also if it fails: until then SQLite would keep its lock on the file for reading, and
        # aiosqlite's thread its last answer, which may be the whole table.
        async with self._connection.execute(sql, parameters) as cursor:
            return cast(list[tuple[Any, ...]], await cursor.fetchall())

    async def run(self, sql: str, parameters: tuple[Raw, ...] = ()) -> None:
        with explained(self.path, "write"):
            await self._connection.execute_fetchall(sql, parameters)

    async def run_many(self, sql: str, parameters: list[tuple[Raw, ...]]) -> int:
        """Run it once for each of the parameters; returns how many rows changed in all."""
        with explained(self.path, "write"):
            cursor = await self._connection.executemany(sql, parameters)
            return cursor.rowcount

    async def load_rows(self) -> list[tuple[str, Raw]]:
        ends = tuple(chain.from_iterable(map(key_range, FAMILIES)))
        rows = cast(list[tuple[str, Raw]], await self.fetch(self.table.families, ends))
        for place, (key, raw) in enumerate(rows):
            if raw is None:
                rows[place] = key, NULL
        return rows

    async def version(self) -> tuple[int, int]:
        """`data_version` counts other connections' commits, `total_changes()` our own writes.

        A rollback changes rows back without counting, so those are added.
        """
        sql = "SELECT data_version, total_changes() FROM pragma_data_version"
        [(others, own)] = await self.fetch(sql)
        return others, own + self._rollbacks

    async def begin(self) -> None:
        """Take the lock for writing, which is waited for no longer than `waiting_until` allows."""
        if (until := _lock_until.get()) is None:
            await self.run("BEGIN IMMEDIATE")
            return
        [(usual,)] = await self.fetch("PRAGMA busy_timeout")
        left = max(0, int((until - time.monotonic()) * 1000))
        await self._fetch(f"PRAGMA busy_timeout = {min(left, int(usual))}", ())
        try:
            await self.run("BEGIN IMMEDIATE")
        finally:
            await self._fetch(f"PRAGMA busy_timeout = {int(usual)}", ())

    async def roll_back(self) -> None:
        self._rollbacks += 1
        # What can't be rolled back now, SQLite rolls back when the file is opened next.
        with contextlib.suppress(sqlite3.Error):
            await self._connection.rollback()

    async def roll_back_to(self, savepoint: str) -> None:
        self._rollbacks += 1
        # There is no such savepoint if SQLite has rolled back everything by itself.
        with contextlib.suppress(sqlite3.Error):
            await self._connection.execute(f"ROLLBACK TO {savepoint}")
            await self._connection.execute(f"RELEASE {savepoint}")

    async def size(self) -> int:
        """In bytes, with what is still in the write-ahead log."""
        sql = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size"
        [(size,)] = await self.fetch(sql)
        return int(size)

    async def copy_into(self, copy: sqlite3.Connection) -> None:
        """SQLite's online backup, in one step."""
        with explained(self.path, "back up"):
            await self._connection.backup(copy, pages=-1, progress=_refuse_to_wait)

    async def prepare(self, read_only: bool) -> None:
        """Make sure that this is the bot's table; an empty database opened for writing gets it."""
        with explained(self.path, "open"):
            [(encoding,)] = await self._fetch("PRAGMA encoding", ())
            if encoding != "UTF-8":
                raise StoreError(f"Can't use the database {self.path}: its text isn't UTF-8.")
            tables = await self._names(_TABLES)
            if not tables and not read_only:
                await self.run(self.table.create)
            await self._check_columns(tables)
            if not read_only:
                await self._check_upsert()
                # A savepoint keeps the pages as they were. Else they go through a temporary file,
                # which costs half as much as the writing, and puts the bot's rows into another folder.
                await self.run("PRAGMA temp_store = MEMORY")

    async def _check_columns(self, tables: list[str]) -> None:
        name, wanted = self.table.name, (self.table.key_column, self.table.value_column)
        found = await self._names(_COLUMNS, name)
        if not found:
            others = f"only {_listed(tables)}" if tables else "it is empty"
            raise StoreError(
                f"The database {self.path} has no table {name!r}, {others}: check path and table."
            )
        there = {column.lower() for column in found}
        if missing := [column for column in wanted if column.lower() not in there]:
            raise StoreError(
                f"The table {name!r} of {self.path} has no column {_listed(missing)}, it has "
                f"{_listed(found)}: name the right ones with key_column and value_column "
                "(--key-column, --value-column)."
            )

    async def _names(self, sql: str, *parameters: str) -> list[str]:
        return [str(name) for (name,) in await self._fetch(sql, parameters)]

    async def _check_upsert(self) -> None:
        """EXPLAIN compiles the statement without running it, and that needs a unique key."""
        try:
            await self._fetch(f"EXPLAIN {self.table.upsert}", (b"", b""))
        except sqlite3.OperationalError as error:
            if "ON CONFLICT" not in str(error):
                raise
            raise StoreError(
                f"The table {self.table.name!r} of {self.path} can't be written: "
                f"its column {self.table.key_column!r} must be the PRIMARY KEY, or UNIQUE."
            ) from error

    async def close(self) -> None:
        with explained(self.path, "close"):
            await self._connection.close()


@contextlib.asynccontextmanager
async def waiting_until(until: float | None) -> AsyncIterator[None]:
    """No lock for writing is waited for past this `time.monotonic()`; None is the usual patience."""
    token = _lock_until.set(until)
    try:
        yield
    finally:
        _lock_until.reset(token)


async def connect(path: Path, mode: str, table: Table, busy_timeout: float) -> Database:
    """Open the file in SQLite's mode `ro`, `rw` or `rwc`; looks at nothing in it yet."""
    # isolation_level=None: Python begins no transactions of its own.
    connection = aiosqlite.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
    )
    # A store that nobody closed must not keep a script or a notebook kernel from exiting.
    thread: Any = getattr(connection, "_thread", connection)  # before 0.22 it is the thread
    thread.daemon = True
    opening = asyncio.create_task(_open(connection))
    with explained(path, "open"):
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:  # its thread would call a loop that is closed by then
            await asyncio.wait([opening])
            if opening.exception() is None:
                await connection.close()
            raise
    return Database(path, table, connection)


async def _open(connection: aiosqlite.Connection) -> None:
    await connection


_TABLES = """SELECT name FROM sqlite_master
    WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' ORDER BY name"""
_COLUMNS = "SELECT name FROM pragma_table_info(?)"
_LOCKED = "another program holds its lock; try again in a moment, or stop that program first"
_UNDO = "a crash left it half written; start the bot once, which puts that right"
_REASONS = {
    "SQLITE_BUSY": _LOCKED,
    "SQLITE_LOCKED": _LOCKED,
    "SQLITE_READONLY": "it was opened with read_only=True, or the file or its folder isn't "
    "writable; check which",
    "SQLITE_READONLY_DBMOVED": "the file was moved or replaced; open the store again",
    "SQLITE_READONLY_DIRECTORY": "a file beside it (-journal, -wal, -shm) is needed and its folder "
    "isn't writable; make it so, or look at a backup",
    "SQLITE_READONLY_RECOVERY": _UNDO,
    "SQLITE_READONLY_ROLLBACK": _UNDO,
    "SQLITE_FULL": "the disk is full; nothing of this was written; free some space and try again",
    "SQLITE_CORRUPT": "the file is damaged; stop the bot and go back to a backup",
    "SQLITE_NOTADB": "the file is not a database (or an encrypted one); check the path",
    "SQLITE_CANTOPEN": "the file, or one beside it (-journal, -wal, -shm), can't be opened or "
    "created; check the permissions of file and folder",
    "SQLITE_IOERR": "the disk failed; look into the system's log",
}


@contextlib.contextmanager
def explained(path: Path, doing: str) -> Iterator[None]:
    """SQLite's errors as a StoreError: what was being done, what happened, what to try."""
    try:
        yield
    except sqlite3.Error as error:
        raise StoreError(f"Can't {doing} the database {path}: {_reason(error)}.") from error


def _reason(error: sqlite3.Error) -> str:
    """By SQLite's name of the error, such as SQLITE_READONLY_ROLLBACK, or its first two words."""
    name: str = getattr(error, "sqlite_errorname", "")
    general = "_".join(name.split("_")[:2])
    return _REASONS.get(name) or _REASONS.get(general) or f"SQLite says {str(error)!r}"


def _refuse_to_wait(status: int, remaining: int, total: int) -> None:
    """End a backup that is locked out: SQLite waited its time, Python would try forever."""
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise sqlite3.OperationalError(_LOCKED)


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Wait until it is done, however often we are cancelled; only then be cancelled."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))
