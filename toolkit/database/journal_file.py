"""The journal of a database file: lines beside it, each on disk before anything goes on."""

import os
from pathlib import Path

from toolkit.database.files import share_like, sync_folder
from toolkit.errors import StoreError

SUFFIX = ".matrix-drift.jsonl"


class JournalFile:
    """The lines beside one database. Raises `StoreError` if they can't be read or appended to."""

    def __init__(self, database: Path, *, is_file: bool = True) -> None:
        self._is_file = is_file
        # Through a link, too, there is one journal for one database; SQLite does the same.
        self._database = database.resolve()
        self.path = self._database.with_name(self._database.name + SUFFIX)

    def lines(self) -> list[str]:
        """All of them, oldest first; no write followed one that a crash cut short."""
        try:
            return self.path.read_text(encoding="ascii", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StoreError(f"Can't read the journal {self.path}: {error.strerror}.") from None

    def append(self, line: str) -> None:
        """Put a line of ASCII on disk."""
        try:
            is_new = not self.path.exists()
            handle = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                if is_new and self._is_file:
                    share_like(handle, self._database)
                _write(handle, (_mend(handle) + line + "\n").encode("ascii"))
                os.fsync(handle)
            finally:
                os.close(handle)
            if is_new:
                sync_folder(self.path.parent)
        except OSError as error:
            raise StoreError(
                f"Can't write the journal {self.path} ({error.strerror}); nothing more is written "
                "without it. Make its folder writable, with space on its disk."
            ) from None


def _write(handle: int, data: bytes) -> None:
    """All of it: a disk that is nearly full takes the first part without a word."""
    while data:
        data = data[os.write(handle, data) :]


def _mend(handle: int) -> str:
    """A line break, if a crash left the last line without one."""
    size = os.lseek(handle, 0, os.SEEK_END)
    return "" if size == 0 or os.pread(handle, 1, size - 1) == b"\n" else "\n"
