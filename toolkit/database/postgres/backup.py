"""A backup of a bot's rows on a server: what COPY tells of its tables, as a script that `psql` can read.

It is made by the client and needs no right but to read, since a bot's role often may not make a table. Only the
mapped columns of the bot's own tables are in it: `psql -f` puts them into empty tables of the same names.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import BinaryIO

from toolkit.database.backup import backup_path, new_locked, remove_stale
from toolkit.database.postgres.connection import Connection
from toolkit.database.postgres.copying import Copying
from toolkit.database.postgres.rows import Copied
from toolkit.errors import StoreError


async def make_backup(
    connection: Connection, copied: Sequence[Copied], target: Path, beside: Path
) -> None:
    """Write it under its name, open to its owner alone; whole or not at all."""
    try:
        await connection.copy(partial(_write, copied, target, beside))
    except OSError as error:
        raise StoreError(
            f"Can't back up {connection.name} to {target}: {error.strerror}.", concerns_all=True
        ) from error


def _write(copied: Sequence[Copied], target: Path, beside: Path, copying: Copying) -> None:
    remove_stale(beside, target.parent)
    with _new_file(target) as file:
        file.write(_HEAD)
        for table in copied:
            _copy(copying, table, file)
        file.write(_TAIL)


def _copy(copying: Copying, table: Copied, file: BinaryIO) -> None:
    # COPY takes no parameters, and so its % isn't one.
    head = f"COPY {table.table} ({table.columns})".replace("%%", "%")
    file.write(f"{head} FROM stdin;\n".encode())
    copying.copy(f"{head} TO STDOUT", file.write)
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
def _new_file(target: Path) -> Iterator[BinaryIO]:
    """Until it is whole it is called `….partial`, and is locked, so that `remove_stale` lets it be."""
    unfinished = target.with_name(f"{target.name}.partial")
    handle = new_locked(unfinished)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:
            yield file
            file.flush()
            os.fsync(handle)
        unfinished.replace(target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


_HEAD = b"SET client_encoding = 'UTF8';\nBEGIN;\n"
_TAIL = b"COMMIT;\n"
