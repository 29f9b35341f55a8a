"""Whose turn it is to write for a person: one apply or undo at a time on a database file, across processes.

The lock is on a small file beside the database, never on the database: to close a second descriptor
of that would drop SQLite's own locks. The system releases it with the process, however that ends. Only
its owner can open it: whoever else could, could hold it for ever. The bot's two functions don't ask for
it; they wait for SQLite's lock.
"""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from toolkit.database.contract import BUSY
from toolkit.database.files import is_at, lock_file
from toolkit.errors import ToolkitError

SUFFIX = ".matrix-drift.lock"

_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def hold_lock(database: Path) -> Iterator[None]:
    """Be the only one who writes for a person; raises `ToolkitError` at once if somebody else does.

    So it does for a file of another account, or what is none. The file is gone afterwards. Where it can't
    be made, nothing is held: who can't write beside the database can't write to it either, and learns that
    when trying.
    """
    database = database.resolve()
    path = database.with_name(database.name + SUFFIX)
    handle = _take(path, database)
    try:
        yield
    finally:
        if handle is not None:
            with contextlib.suppress(OSError):
                path.unlink()  # while it is still locked: nobody can hold this very file by then
            os.close(handle)


def _take(path: Path, database: Path) -> int | None:
    """The file, open and locked; None where there can be none."""
    while True:
        try:
            handle = os.open(path, _FLAGS, 0o600)
        except OSError:
            _refuse_foreign(path, database)
            return None
        try:
            _refuse_foreign(path, database)
            lock_file(handle)
        except BlockingIOError:
            os.close(handle)
            raise ToolkitError(BUSY) from None
        except OSError:  # no locks here: one run per process, as everywhere
            return handle
        except ToolkitError:
            os.close(handle)
            raise
        if is_at(handle, path):
            with contextlib.suppress(OSError):  # root's may be the database owner's file
                os.fchmod(handle, 0o600)
            return handle
        os.close(handle)  # its holder has just removed it: make another


def _refuse_foreign(path: Path, database: Path) -> None:
    """Raise `ToolkitError` for what an account put there that is neither ours nor the database's."""
    try:
        found = path.lstat()
        owners = {os.geteuid(), database.stat().st_uid}
    except OSError:  # nothing is there, which the run itself explains
        return
    if not stat.S_ISREG(found.st_mode):
        raise ToolkitError(f"{path} is no lock file: remove it. Nothing was written.")
    if found.st_uid not in owners or not os.access(path, os.W_OK):
        raise ToolkitError(
            f"The lock file {path} belongs to another account (uid {found.st_uid}), which writes to this "
            "database now, or has left it there: wait, or remove it if nobody writes. Nothing was written."
        )
