"""An open connection to a SQLite database; the only module that imports aiosqlite.

Errors come out as a `StoreError` that says what was being done, what happened and what to try.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import aiosqlite

from toolkit.database.sql import decode
from toolkit.database.waiting import lock_until
from toolkit.errors import StoreError
from toolkit.records import Names, Raw

if TYPE_CHECKING:
    from toolkit.database.rows import Rows

_opened = count()


class Database:
    """An open connection: each call crosses into SQLite's thread once, errors come in words."""

    def __init__(
        self, path: Path, rows: "Rows[Database]", connection: aiosqlite.Connection
    ) -> None:
        self.path = path
        self.rows = rows
        self._connection = connection
        self._rollbacks = 0
        self._opened = next(_opened) << 32

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    async def fetch(
        self, sql: str, parameters: tuple[Raw, ...] = (), doing: str = "read"
    ) -> list[tuple[Any, ...]]:
        """All rows of one query, and so of one moment; what isn't UTF-8 comes as surrogate escapes.

        One such row makes the whole query fail. Then it is asked again, through a slower decoder.
        """
        with explained(self.path, doing):
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

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows, or those that concern these names (and perhaps some more).

        Raises `StoreError` where they aren't ours to read, as far as this is seen.
        """
        return await self.rows.load(self, about)

    async def version(self) -> tuple[int, int]:
        """`data_version` counts other connections' commits, `total_changes()` our own writes.

        A rollback changes rows back without counting, so those are added. Each connection counts in
        numbers of its own, so that none can be taken for one of an earlier connection.
        """
        sql = "SELECT data_version, total_changes() FROM pragma_data_version"
        [(others, own)] = await self.fetch(sql)
        return others + self._opened, own + self._rollbacks

    async def begin(self) -> None:
        """Take the lock for writing, which is waited for no longer than `waiting_until` allows."""
        if (until := lock_until()) is None:
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

    async def close(self) -> None:
        with explained(self.path, "close"):
            await self._connection.close()


async def connect(path: Path, mode: str, rows: "Rows[Database]", busy_timeout: float) -> Database:
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
    return Database(path, rows, connection)


async def _open(connection: aiosqlite.Connection) -> None:
    await connection


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
        raise StoreError(
            f"Can't {doing} the database {path}: {_reason(error)}.",
            concerns_all=_concerns_all(error),
        ) from error


def _concerns_all(error: sqlite3.Error) -> bool:
    """A full disk or a read-only file; what constraints, triggers and columns refuse is a row's own."""
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF not in _OF_A_ROW  # not by its name: Python doesn't know all of them


_OF_A_ROW = {
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_ERROR,
    sqlite3.SQLITE_MISMATCH,
    sqlite3.SQLITE_TOOBIG,
}


def _reason(error: sqlite3.Error) -> str:
    """By SQLite's name of the error, such as SQLITE_READONLY_ROLLBACK, or its first two words."""
    name: str = getattr(error, "sqlite_errorname", "")
    general = "_".join(name.split("_")[:2])
    return _REASONS.get(name) or _REASONS.get(general) or f"SQLite says {str(error)!r}"


def _refuse_to_wait(status: int, remaining: int, total: int) -> None:
    """End a backup that is locked out: SQLite waited its time, Python would try forever."""
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise sqlite3.OperationalError(_LOCKED)
