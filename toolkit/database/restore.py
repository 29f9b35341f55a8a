"""Going back to a backup as a whole: the database is replaced while nobody has it open.

That is told in two ways. A process that has the file open is found by /proc, where there is one and it
may be looked at. And SQLite's own locks, which any program holds while it reads or writes, and in WAL
mode as long as it is connected, are taken from the moment of looking until the new file is in place.
"""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from toolkit.database.files import share_like, sync_folder
from toolkit.errors import StoreError

_LOCKS = 0x40000000, 512  # the bytes that SQLite locks, also where the file ends before them
_LOGS = ("-wal", "-journal")


def replace_database(database: Path, backup: Path, kept: Path) -> None:
    """Put a copy of `backup` in the place of `database`, which stays as `kept`. Raises `StoreError`.

    Before the last step nothing is lost, and that is one rename. A log that can't be played into the
    database, since that is damaged, is kept beside it, where SQLite would find it.
    """
    database = database.resolve()
    try:
        with _alone(database):
            new = database.with_name(f"{kept.name}.partial")
            try:
                _copy(backup, new, database)
                _keep(database, kept)
                new.replace(database)
            finally:
                new.unlink(missing_ok=True)
            sync_folder(database.parent)
    except OSError as error:
        raise StoreError(
            f"Can't go back to {backup}: {error.strerror} ({error.filename or database})."
        ) from error


@contextlib.contextmanager
def _alone(database: Path) -> Iterator[None]:
    """Nobody has it open, and no program of SQLite's can read or write it as long as this lasts."""
    if not database.exists():
        yield
        return
    if pids := _find_holders(database):
        raise _in_use(database, _say_open(pids))
    _play_log(database)
    with _locked(database) as free:
        if not free:
            raise _in_use(database, _CONNECTED)
        yield


def check_unused(database: Path, *, ours: bool) -> None:
    """Raise `StoreError` if another program has it open, as far as that can be told.

    For a bot that has to be stopped before its rows are written. `ours` says that this process may have
    it open: to close a second descriptor would drop the locks of its own connections.
    """
    database = database.resolve()
    if not database.exists():
        return
    pids, why = _find_holders(database), ""
    if others := [pid for pid in pids if pid != os.getpid()]:
        why = _say_open(others)
    elif not (pids or ours) and os.access(
        database, os.W_OK
    ):  # who can't write learns it when trying
        with _locked(database) as free:
            why = "" if free else _CONNECTED
    if why:
        raise StoreError(
            f"The mapping says that the bot must be stopped before its rows are written (shape.stopped), "
            f"and {why}: stop it first. Nothing was written to {database}."
        )


@contextlib.contextmanager
def _locked(database: Path) -> Iterator[bool]:
    """Whether SQLite's own locks could be had, for as long as this lasts."""
    import fcntl  # as late as in `lock_file`

    handle = os.open(database, os.O_RDWR)
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCKS[1], _LOCKS[0])
        except (BlockingIOError, PermissionError):
            yield False
        else:
            yield True
    finally:
        os.close(handle)


def _say_open(pids: Sequence[int]) -> str:
    return f"process {', '.join(map(str, pids))} has it open"


_CONNECTED = "another program is connected to it"


def _find_holders(database: Path) -> list[int]:
    """The processes that have it open, of those that we may look at (Linux; elsewhere none is seen)."""
    like, found = database.stat(), set()
    for link in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if os.path.samestat(link.stat(), like):
                found.add(int(link.parts[2]))
    return sorted(found)


def _play_log(database: Path) -> None:
    """Have SQLite finish what a crash left in its logs, so that the file alone is the whole database."""
    uri = f"{database.as_uri()}?mode=rw"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=0)) as connection:
            connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            [(busy, *_)] = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        # Damaged is what going back is for; its logs are kept with it.
        busy = getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
    if busy:
        raise _in_use(database, "another program holds its lock")


def _copy(backup: Path, new: Path, database: Path) -> None:
    """The whole backup on disk under a new name, with the owner and rights of the database."""
    with backup.open("rb") as source:
        handle = os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(handle, "wb") as target:
            share_like(handle, database if database.exists() else backup)
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fsync(handle)


def _keep(database: Path, kept: Path) -> None:
    """The database under its other name, with logs that it needs; none of its logs stays behind.

    A log that stayed would be played into the new file.
    """
    if database.exists():
        _also_called(database, kept)
    for log in _LOGS:
        if (found := Path(f"{database}{log}")).exists():
            if found.stat().st_size:
                _also_called(found, Path(f"{kept}{log}"))
            found.unlink()
    Path(f"{database}-shm").unlink(missing_ok=True)


def _also_called(path: Path, name: Path) -> None:
    """A second name of the same file; a copy where the disk knows no such thing."""
    try:
        os.link(path, name)
    except PermissionError:
        shutil.copy2(path, name)


def _in_use(database: Path, why: str) -> StoreError:
    return StoreError(
        f"Can't go back while somebody uses {database}: {why}; stop the bot and close notebooks on "
        "this database first. Nothing was written."
    )
