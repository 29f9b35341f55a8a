"""A store on rows and one connection, to whatever database: its tasks use that in turns.

How it connects, and what it keeps beside the rows, is each store's own.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from toolkit.aside import aside, finish
from toolkit.database.backup import remove_older
from toolkit.database.contract import Place
from toolkit.database.joining import Joinable
from toolkit.database.rows import Rows
from toolkit.errors import StoreError
from toolkit.layout import Layout, TableFacts
from toolkit.records import Names, Raw, decode_object

C = TypeVar("C")


class ConnectedStore(ABC, Generic[C]):
    """What a store does alike on all databases."""

    def __init__(self, rows: Rows[C], *, read_only: bool, backup_dir: Path | None) -> None:
        self._rows = rows
        self._read_only, self._backup_dir = read_only, backup_dir
        self._made = False
        self._connection: C | None = None
        self._lock = asyncio.Lock()

    @property
    @abstractmethod
    def beside(self) -> Path:
        """The path beside which decisions and backups are kept."""

    @property
    def read_only(self) -> bool:
        return self._read_only

    @property
    def backup_dir(self) -> Path | None:
        return self._backup_dir

    @property
    def layout(self) -> Layout:
        """Where its rows stand."""
        return self._rows.layout

    @property
    def facts(self) -> TableFacts:
        """What the open database says of a table of links; nothing for other rows."""
        return self._rows.facts

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    @abstractmethod
    async def open(self, *, make: bool = True) -> None:
        """Connect and look at the table; nothing if it is open already."""

    async def close(self) -> None:
        """Disconnect, after the other tasks' transactions; nothing if it is closed already."""
        self._check_outside("close", "leave it first")
        async with self._lock:
            connection, self._connection = self._connection, None
            if connection is not None:
                await self._disconnect(connection)

    async def get(self, key: str) -> dict[str, Any] | None:
        """The row's object, None if there is no such row; StoreError if it isn't a JSON object."""
        async with self._turn() as connection:
            raw = await self._rows.get(connection, key)
        if raw is None:
            return None
        try:
            return decode_object(raw)
        except ValueError as error:
            raise StoreError(f"Can't read {self._told(key)}: {error}; repair it first.") from None

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows of the three families as stored, of one moment, in no particular order.

        With `about`, those that concern these rooms and users; some more may come along.
        """
        async with self._turn() as connection:
            return await self._rows.load(connection, about)

    async def remove_older(self, backup: Place) -> None:
        """Of the backups of this database beside this one only the latest few of its kind stay."""
        await finish(aside(remove_older, self._home, Path(backup)))

    async def discard_backup(self, backup: Place) -> None:
        """Remove it: its run wrote nothing, and it would push out one that is worth something."""
        Path(backup).unlink(missing_ok=True)

    @property
    @abstractmethod
    def _home(self) -> Path:
        """What its backups are called after, and beside which they lie unless a folder is named."""

    @property
    @abstractmethod
    def _called(self) -> str:
        """How the database is called in what goes wrong."""

    @abstractmethod
    def _told(self, key: str) -> str:
        """A row of it, likewise."""

    @abstractmethod
    def _joined(self) -> Joinable[C] | None:
        """The running task's transaction on our connection, if it is in one."""

    @abstractmethod
    async def _alive(self) -> C:
        """The connection, if it is still one to the database that was opened."""

    @abstractmethod
    async def _disconnect(self, connection: C) -> None:
        """Close it, even if we are cancelled meanwhile."""

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[C]:
        """The connection: at once inside our own transaction, else after those of other tasks."""
        if outer := self._joined():
            yield outer.connection()
        else:
            async with self._lock:
                yield await self._alive()

    def _opened(self) -> C:
        if self._connection is None:
            raise StoreError(
                f"The database {self._called} isn't open: `async with` or `open()` it."
            )
        return self._connection

    def _check_outside(self, doing: str, advice: str) -> None:
        if self._joined():
            raise StoreError(f"Can't {doing} {self._called} inside a transaction: {advice}.")
