"""A backup of a bot's rows on a server: what COPY tells of its tables, as a script that `psql` can read.

It is made by the client and needs no right but to read, since a bot's role often may not make a table. Only the
mapped columns of the bot's own tables are in it: `psql -f` puts them into empty tables of the same names.
"""

import asyncio
import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import psycopg

from toolkit.aside import aside
from toolkit.database.backup import backup_path, new_locked, remove_stale
from toolkit.database.postgres.connection import as_query, cut, explain, lock_timeout, said_to
from toolkit.database.postgres.copying import copy_out
from toolkit.database.postgres.dsn import Address
from toolkit.database.postgres.rows import Copied
from toolkit.errors import StoreError


class Backup:
    """One backup while it is made: in a thread, over a connection of its own, since COPY tells row by row."""

    def __init__(
        self, address: Address, copied: Sequence[Copied], target: Path, lock_patience: float
    ) -> None:
        self._address, self._copied, self._target = address, copied, target
        self._lock_patience = lock_patience
        self._rows = 0
        self._number: int | None = None

    async def make(self, beside: Path, patience: float) -> None:
        """Write it under its name, open to its owner alone; whole or not at all.

        A server that says nothing for so many seconds is cut off.
        """
        work = asyncio.ensure_future(aside(self._make, beside))
        seen = -1
        while not (await asyncio.wait({work}, timeout=patience))[0]:
            if self._rows == seen and self._number is not None:
                cut(self._number)
            seen = self._rows
        await work

    def _make(self, beside: Path) -> None:
        try:
            remove_stale(beside, self._target.parent)
            with _new_file(self._target) as file, _connected(self._address) as connection:
                self._number = connection.fileno()
                file.write(_HEAD.encode())
                connection.execute(as_query(lock_timeout(self._lock_patience)))
                connection.execute(_SNAPSHOT)
                for table in self._copied:
                    self._copy(connection, table, file)
                file.write(_TAIL.encode())
        except psycopg.Error as error:
            raise explain(self._address.name, "back up", error) from error
        except OSError as error:
            raise StoreError(
                f"Can't back up {self._address.name} to {self._target}: {error.strerror}.",
                concerns_all=True,
            ) from error

    def _copy(self, connection: psycopg.Connection, table: Copied, file: BinaryIO) -> None:
        # COPY takes no parameters, and so its % isn't one.
        head = f"COPY {table.table} ({table.columns})".replace("%%", "%")
        file.write(f"{head} FROM stdin;\n".encode())
        for row in copy_out(connection, f"{head} TO STDOUT"):
            file.write(row)
            self._rows += 1
        file.write(b"\\.\n")


def new_backup_path(beside: Path, directory: Path | None, name: str, *, by_bot: bool) -> Path:
    """Where the backup of a run goes; the folder of one's own state is made if it isn't there."""
    if directory is None:
        make_folder(beside.parent)
    return backup_path(beside, directory, name, by_bot=by_bot)


def make_folder(folder: Path) -> None:
    """For us alone; where it can't be made, whoever needs it says so."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.contextmanager
def _connected(address: Address) -> Iterator[psycopg.Connection]:
    try:
        connection = psycopg.connect(**said_to(address), autocommit=True)
    except psycopg.Error as error:
        failed = explain(address.name, "back up", error)
    else:
        try:
            yield connection
        finally:
            connection.close()
        return
    raise failed  # out here, without the error, which knows how we came in


@contextlib.contextmanager
def _new_file(target: Path) -> Iterator[BinaryIO]:
    """Until it is whole it is called `….partial`, and is locked, so that `remove_stale` lets it be."""
    partial = target.with_name(f"{target.name}.partial")
    handle = new_locked(partial)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            yield file
            file.flush()
            os.fsync(handle)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_HEAD = "SET client_encoding = 'UTF8';\nBEGIN;\n"
_TAIL = "COMMIT;\n"
