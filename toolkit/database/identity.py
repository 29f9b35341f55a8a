"""What tells one database file from another that takes its name later, without writing anything into it.

SQLite gives a file no name of its own. Its time of birth does; the inode alone is given to the next file
soon, so that it counts only where a system tells no birth. The change counter in SQLite's header
(file format, 1.3.7) only ever grows, and goes along with a copy.
"""

import ctypes
import os
import sys
from pathlib import Path
from typing import NamedTuple

_HERE, _BIRTH, _AT = (
    -100,
    0x800,
    80,
)  # AT_FDCWD, STATX_BTIME, where stx_btime begins (Linux, statx(2))


class Identity(NamedTuple):
    """A file at a moment: `inode`, `birth` in nanoseconds or 0, and how often it was changed."""

    inode: int
    birth: int
    changes: int

    def is_same(self, other: "Identity") -> bool:
        """Whether both are one file, at whatever moment."""
        if self.birth and other.birth:
            return self.birth == other.birth
        return self.inode == other.inode

    def may_copy(self, other: "Identity") -> bool:
        """Whether this may be a copy of the other as it was then, or of what became of it."""
        return self.changes >= other.changes

    def __str__(self) -> str:
        return f"{self.inode}.{self.birth}.{self.changes}"

    @classmethod
    def read(cls, told: str | None) -> "Identity | None":
        """From what `str` has made of one; None for anything else.

        >>> Identity.read("12.1700000000000000000.3")
        Identity(inode=12, birth=1700000000000000000, changes=3)
        """
        parts = (told or "").split(".")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            return None
        return cls(*map(int, parts))


def identify(path: Path) -> Identity | None:
    """The file that has this name now; None if there is none, or none that may be looked at."""
    try:
        found = path.stat()
        with open(path, "rb") as file:
            header = file.read(28)
    except OSError:
        return None
    return Identity(found.st_ino, _birth(path, found), int.from_bytes(header[24:28], "big"))


def name_file(path: Path) -> str | None:
    """The same as a text, for a journal."""
    found = identify(path)
    return None if found is None else str(found)


def _birth(path: Path, found: os.stat_result) -> int:
    if (born := getattr(found, "st_birthtime_ns", None)) is not None:  # Python 3.12 on Windows
        return int(born)
    if (born := getattr(found, "st_birthtime", None)) is not None:  # BSD, macOS
        return int(born * 1e9)
    return _statx(path) if sys.platform == "linux" else 0


def _statx(path: Path) -> int:
    """Linux tells it by a call of its own, which Python has from 3.15 on only."""
    told = ctypes.create_string_buffer(256)
    try:
        failed = ctypes.CDLL(None).statx(_HERE, os.fsencode(path), 0, _BIRTH, told)
    except (AttributeError, OSError):
        return 0
    mask = int.from_bytes(told.raw[:4], sys.byteorder)
    if failed or not mask & _BIRTH:
        return 0
    seconds = int.from_bytes(told.raw[_AT : _AT + 8], sys.byteorder, signed=True)
    return seconds * 10**9 + int.from_bytes(told.raw[_AT + 8 : _AT + 12], sys.byteorder)
