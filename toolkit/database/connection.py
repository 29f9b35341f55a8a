"""An open connection to a SQLite database; the only module that imports aiosqlite.

Errors come out as a `StoreError` that says what was being done, what happened and what to try.
"""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextvars import ContextVar
from itertools import chain, count
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import aiosqlite

from toolkit.aside import aside
from toolkit.database.foreign_table import (
    NAME_ANOTHER,
    REPEATED,
    refusal,
    why_no_objects,
    why_odd_key,
)
from toolkit.database.sql import Table, decode, encode, key_range, set_parameters
from toolkit.errors import StoreError
from toolkit.records import FAMILIES, NULL, Names, Raw

T = TypeVar("T")

_opened = count()
_lock_until: ContextVar[float | None] = ContextVar("lock_until", default=None)


class Database:
    """An open connection: each call crosses into SQLite's thread once, errors come in words."""

    def __init__(self, path: Path, table: Table, connection: aiosqlite.Connection) -> None:
        self.path = path
        self.table = table
        self._connection = connection
        self._rollbacks = 0
        self._opened = next(_opened) << 32
        self.is_view = False

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

    async def set(self, key: str, text: str) -> None:
        """Write a row: one that is there is updated, so that nothing is asked of its other columns."""
        parameters, alone = set_parameters(key, text), not self.in_transaction
        if await self.run_many(self.table.update, [parameters]):
            return
        try:
            taken = await self.run_many(self.table.insert, [parameters])
        except StoreError as error:
            # Another program may have been faster; and its row needs no other column from us.
            refused = isinstance(error.__cause__, sqlite3.IntegrityError)
            if not (refused and alone and await self.run_many(self.table.update, [parameters])):
                raise
            return
        if not taken and await self.fetch(self.table.get, (encode(key),)) not in _forms(text):
            raise StoreError(
                f"Can't write the row {key!r} of {self.path}: a trigger or constraint of the table "
                "ignored it."
            )

    async def rows_of(self, keys: Sequence[str]) -> dict[str, Raw]:
        """The rows of these keys, and of those that the table takes for the same."""
        found: dict[str, Raw] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = tuple(map(encode, keys[start : start + _AT_ONCE]))
            found.update(with_null(await self.fetch(self.table.among(len(some)), some)))
        return found

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows of the three families, or those that concern these names (and perhaps some more).

        Raises `StoreError` where they aren't ours to read, as far as this is seen.
        """
        if about is not None:
            return list(dict(with_null(await self.fetch(*self.table.about(about)))).items())
        return await aside(self._checked, await self.fetch(self.table.families, ENDS * 2))

    def _checked(self, found: list[tuple[Any, ...]]) -> list[tuple[str, Raw]]:
        if odd := next((key for key, _ in found if type(key) is bytes), None):
            self.refuse(why_odd_key(odd))
        rows = with_null(found)
        if self.is_view and len(dict(rows)) < len(rows):
            self.refuse(REPEATED)
        if why := why_no_objects(rows):
            self.refuse(why)
        return rows

    async def has_triggers(self) -> bool:
        """Whether the table does more than it is told."""
        return bool(await self.fetch(_TRIGGERS, (self.table.name,)))

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

    def refuse(self, why: str) -> NoReturn:
        """Say that the table, as it is, can't be used at all."""
        raise StoreError(
            refusal(f"the table {self.table.name!r} of {self.path}", why, NAME_ANOTHER)
        )

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


ENDS = tuple(chain.from_iterable(map(key_range, FAMILIES)))
_AT_ONCE = 500  # parameters of one statement; older versions of SQLite take 999
_TRIGGERS = """SELECT 1 FROM sqlite_master
    WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE LIMIT 1"""
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


def _forms(text: str) -> list[list[tuple[Raw]]]:
    """How a single row with this value may come back."""
    return [[(text,)], [(encode(text),)]]


def with_null(rows: list[tuple[Any, ...]]) -> list[tuple[str, Raw]]:
    """Rows as SQLite gives them, where None is a stored NULL."""
    for place, (key, raw) in enumerate(rows):
        if raw is None:
            rows[place] = key, NULL
    return cast(list[tuple[str, Raw]], rows)


def _refuse_to_wait(status: int, remaining: int, total: int) -> None:
    """End a backup that is locked out: SQLite waited its time, Python would try forever."""
    if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        raise sqlite3.OperationalError(_LOCKED)
