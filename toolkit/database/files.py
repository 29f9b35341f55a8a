"""New files beside the bot's database: whose they are, who may open them, and who holds them.

The person who runs the toolkit need not be the account that the bot runs as, and their own group may
hold people whom the database's doesn't.
"""

import contextlib
import os
import stat
from pathlib import Path


def share_like(handle: int, database: Path, bits: int = 0o666) -> None:
    """Give a file that was just made, and is still empty, the owner, group and rights of the database.

    `bits` are the rights that it may have at most. Only root can give a file away; whoever can't give
    it to the database's group keeps it from his own. SQLite does the same with its -wal and -journal.
    """
    like, own = database.stat(), os.fstat(handle)
    bits &= stat.S_IMODE(like.st_mode)
    for owner, group in ((like.st_uid, like.st_gid), (-1, like.st_gid)):
        with contextlib.suppress(OSError):
            os.fchown(handle, owner, group)
            break
    if os.fstat(handle).st_gid != like.st_gid:
        bits &= ~stat.S_IRWXG
    if own.st_uid == os.fstat(handle).st_uid != like.st_uid:
        bits |= 0o600  # it stays ours, so that we can read it again
    os.fchmod(handle, bits)


def lock_file(handle: int, *, wait: bool = False) -> None:
    """Lock an open file until it is closed, or this process ends however it does.

    Raises `BlockingIOError` if somebody else holds it and we don't wait, another `OSError` where there
    are no locks.
    """
    try:
        import fcntl
    except ImportError:
        raise OSError("this system has no flock") from None
    fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def is_at(handle: int, path: Path) -> bool:
    """Whether an open file still has this name, and not one that took its place."""
    try:
        return os.path.samestat(os.fstat(handle), path.lstat())
    except FileNotFoundError:
        return False


def sync_folder(folder: Path) -> None:
    """Put a new file's name on disk as well (POSIX, fsync); not every system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
