"""New files that hold what is in the bot's database: open to nobody who can't open the database.

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
