"""Backups of the bot's database: where they go, who may read them, how many stay.

SQLite's online backup does the copying, and `store.py` starts it: a plain copy of the file of a
running bot is torn, and no integrity check can see it. Here is everything around it.
"""

import contextlib
import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from toolkit.database.files import is_at, lock_file, share_like
from toolkit.errors import StoreError

KEEP = 5
"""So many backups stay of what people began, and as many of what the bot did by itself."""

_RUN = r"[0-9]{8}T[0-9]{6}Z-[0-9a-f]+"
_BOT = ".bot"


def backup_path(database: Path, directory: Path | None, name: str, *, by_bot: bool = False) -> Path:
    """Where the backup of this run goes: `{database}.{name}.backup` beside it, or into `directory`.

    That of a run that the bot began by itself ends in `.bot.backup`: a bot that repairs at each of its
    starts must not push out what a person may want to go back to.

    There the database's place is told as well, in six digits (`bot.db-3f2a1b.….backup`): two bots may
    put backups into one folder, and most databases are called bot.db.

    `name` is the run's, such as `20261122T220345Z-3f2a`; another form is a ValueError, because
    `remove_older` wouldn't know the file again. StoreError if there is no such folder, or there is
    such a file.
    """
    if not re.fullmatch(_RUN, name):
        raise ValueError(f"a backup is named after a run, like 20261122T220345Z-3f2a, not {name!r}")
    folder = database.parent if directory is None else directory
    if not folder.is_dir():
        raise StoreError(f"Can't back up {database}: there is no folder {folder}; create it first.")
    target = folder / f"{_stem(database, folder)}.{name}{_BOT if by_bot else ''}.backup"
    if target.exists():
        raise StoreError(f"Can't back up {database}: {target} is there already; try again.")
    return target


def _stem(database: Path, folder: Path) -> str:
    """How this database's backups in a folder begin, and no other's."""
    home = database.resolve()
    if folder.resolve() == home.parent:
        return home.name
    place = hashlib.sha256(os.fsencode(home)).hexdigest()[:6]
    return f"{home.name}-{place}"


def check_space(database: Path, target: Path, needed: int) -> None:
    """Raise StoreError if fewer than `needed` bytes are free where `target` is to go.

    A disk that fills up in the middle would stop the bot too.
    """
    free = shutil.disk_usage(target.parent).free
    if free < needed:
        raise StoreError(
            f"Can't back up {database}: it needs {needed:,} bytes and {target.parent} has "
            f"{free:,} free; free some space or name a folder on another disk."
        )


@contextlib.contextmanager
def new_backup(database: Path, target: Path) -> Iterator[sqlite3.Connection]:
    """An empty database to copy into; it becomes `target` on normal exit and vanishes on any other.

    Open to its owner alone, and never wider than the database, from before the first byte. Until it
    is whole it is called `….partial`: not even a crash leaves half a file that looks like a backup.
    As long as we live it is locked, so that `remove_stale` knows it from what a crash left.
    """
    partial = target.with_name(f"{target.name}.partial")
    handle = new_locked(partial)
    try:
        share_like(handle, database, 0o600)
        with contextlib.closing(_connect(partial)) as connection:
            yield connection
        partial.replace(target)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    finally:
        os.close(handle)


def new_locked(path: Path) -> int:
    """A new file for us alone, which nobody took for a stale one before it was locked."""
    while True:
        handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        with contextlib.suppress(OSError):  # no locks here: then nothing counts as stale either
            lock_file(handle, wait=True)
        if is_at(handle, path):
            return handle
        os.close(handle)


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that the store's thread may fill; no journal: there is nothing to go back to."""
    # Nobody else opens it, and on some systems SQLite's locks would wait for ours.
    uri = f"{path.absolute().as_uri()}?mode=rw&nolock=1"
    connection = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
    connection.execute("PRAGMA journal_mode=OFF")
    return connection


def remove_older(database: Path, newest: Path, keep: int = KEEP) -> None:
    """Remove the oldest backups of this database that are of the same kind as `newest`, which stays.

    The age is the one in the name. What another account put there counts for nothing: a folder may be
    open to others, whose names could be newer than all of ours. One that can't be removed stays.
    """
    kind = _BOT if newest.name.endswith(f"{_BOT}.backup") else ""
    with contextlib.suppress(OSError):
        older = _found(database, newest.parent, f"{kind}.backup") - {newest}
        for path in sorted(older, reverse=True)[keep - 1 :]:
            with contextlib.suppress(OSError):
                path.unlink()


def remove_stale(database: Path, folder: Path) -> None:
    """Remove what backups of this database that were killed left half written in a folder.

    One that is being written stays, and so does one that can't be removed.
    """
    for kind in ("", _BOT):
        for path in _found(database, folder, f"{kind}.backup.partial"):
            with contextlib.suppress(OSError):
                _remove_unlocked(path)


def _remove_unlocked(path: Path) -> None:
    handle = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        lock_file(handle)
        if is_at(handle, path):  # else somebody else has just removed it
            path.unlink()
    finally:
        os.close(handle)


def _found(database: Path, folder: Path, ending: str) -> set[Path]:
    """The files in a folder that are called like this database's backups and are its owner's, or ours."""
    pattern = re.compile(rf"{re.escape(_stem(database, folder))}\.{_RUN}{re.escape(ending)}")
    owners = {os.geteuid()}
    with contextlib.suppress(FileNotFoundError):  # what stands on a server has no file here
        owners.add(database.stat().st_uid)
    return {
        path for path in folder.iterdir() if pattern.fullmatch(path.name) and _owner(path) in owners
    }


def _owner(path: Path) -> int | None:
    """None if it is gone: another process has just removed it."""
    try:
        return path.lstat().st_uid
    except FileNotFoundError:
        return None
