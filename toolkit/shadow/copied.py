"""A bot's own tables as a copy of the whole database: its function works there by any SQL that it likes.

What such a function writes goes past every store, so that the database has to be another one.
"""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

from toolkit.aside import aside
from toolkit.database.elsewhere import OTHER_COLUMNS, digest_elsewhere
from toolkit.database.look import Look, load_look
from toolkit.database.store import SQLiteStore
from toolkit.writing.job import new_name


class CopiedTables:
    """The copy that a function gets as its `store`, and what it leaves there."""

    def __init__(self, store: SQLiteStore, look: Look, elsewhere: dict[str, str]) -> None:
        self.store, self.look, self._elsewhere = store, look, elsewhere

    async def look_again(self) -> Look:
        """The rows as they are by now, by a connection of its own. Raises `StoreError`."""
        async with SQLiteStore(self.store.path, read_only=True, **self.store.settings) as store:
            return await load_look(store)

    async def changed_elsewhere(self, after: Look) -> tuple[str, ...]:
        """What was written that the mapping doesn't name. A row more or less has other columns too."""
        before, now = self._elsewhere, await _digest(self.store)
        changed = {name for name in before.keys() | now.keys() if before.get(name) != now.get(name)}
        if after.rows.keys() != self.look.rows.keys():
            changed.discard(OTHER_COLUMNS)
        return tuple(sorted(changed))


@asynccontextmanager
async def open_copy(store: SQLiteStore) -> AsyncIterator[CopiedTables]:
    """A copy as of one moment, for its owner's eyes alone, which is gone afterwards. Raises `StoreError`."""
    with tempfile.TemporaryDirectory(prefix="matrix-drift-", ignore_cleanup_errors=True) as folder:
        backup = await store.backup(Path(folder), name=new_name(datetime.now(UTC)))
        path = backup.rename(backup.with_name(store.path.name))
        async with SQLiteStore(path, **store.settings) as copy:
            yield CopiedTables(copy, await load_look(copy), await _digest(copy))


async def _digest(store: SQLiteStore) -> dict[str, str]:
    link = store.layout.link
    return await aside(digest_elsewhere, store.path, link.table, link.columns)
