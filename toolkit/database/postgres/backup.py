"""A backup of a bot's rows on a server: what COPY tells of its tables, as a script that `psql` can read.

It is made by the client and needs no right but to read, since a bot's role often may not make a table. Only the
mapped columns of the bot's own tables are in it: `psql -f` puts them into empty tables of the same names.
"""

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

from toolkit.aside import aside
from toolkit.database.backup import backup_path, new_locked, remove_stale
from toolkit.database.postgres.connection import Connection
from toolkit.database.postgres.rows import Copied
from toolkit.errors import StoreError

Write = Callable[[bytes], Coroutine[Any, Any, None]]


async def back_up(
    connection: Connection, copied: Sequence[Copied], beside: Path, target: Path
) -> None:
    """Write a backup of one moment under this name, open to its owner alone; whole or not at all."""
    try:
        remove_stale(beside, target.parent)
        async with _new_file(target) as write:
            await write(_HEAD.encode())
            await connection.run(_SNAPSHOT, doing="back up")
            try:
                for table, columns in copied:
                    await write(
                        f"COPY {table} ({columns}) FROM stdin;\n".replace("%%", "%").encode()
                    )
                    async for piece in connection.copy_out(f"COPY {table} ({columns}) TO STDOUT"):
                        await write(piece)
                    await write(b"\\.\n")
            finally:
                with contextlib.suppress(StoreError):
                    await connection.run("ROLLBACK")
            await write(_TAIL.encode())
    except OSError as error:
        raise StoreError(
            f"Can't back up {connection.name} to {target}: {error.strerror}.", concerns_all=True
        ) from error


def new_backup_path(beside: Path, directory: Path | None, name: str, *, by_bot: bool) -> Path:
    """Where the backup of a run goes; the folder of one's own state is made if it isn't there."""
    if directory is None:
        make_folder(beside.parent)
    return backup_path(beside, directory, name, by_bot=by_bot)


def make_folder(folder: Path) -> None:
    """For us alone; where it can't be made, whoever needs it says so."""
    with contextlib.suppress(OSError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)


@contextlib.asynccontextmanager
async def _new_file(target: Path) -> AsyncIterator[Write]:
    """Until it is whole it is called `….partial`, and is locked, so that `remove_stale` lets it be."""
    partial = target.with_name(f"{target.name}.partial")
    handle = new_locked(partial)
    try:
        with os.fdopen(handle, "wb", closefd=False) as file:

            async def write(piece: bytes) -> None:
                await aside(_write, file, piece)

            yield write
            file.flush()
            await aside(os.fsync, handle)
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def _write(file: Any, piece: bytes) -> None:
    file.write(piece)


_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_HEAD = "SET client_encoding = 'UTF8';\nBEGIN;\n"
_TAIL = "COMMIT;\n"
