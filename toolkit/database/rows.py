"""The seam below the store: what it asks of whatever knows where the rows stand, and owns the SQL on them.

Everything above sees rows as a key and a text. In the key-value table they are stored so; over tables of a
bot's own they are made of columns when they are read, and come back as statements when they are written.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from toolkit.database.connection import Database
from toolkit.database.sql import RowChange
from toolkit.layout import Layout, TableFacts
from toolkit.records import Names, Raw

C_contra = TypeVar("C_contra", contravariant=True)


class Rows(Protocol[C_contra]):
    """The rows of one database while it is open, over a connection to it. Raises `StoreError`."""

    @property
    def settings(self) -> dict[str, Any]:
        """With which names another store on the same rows is made."""

    @property
    def layout(self) -> Layout:
        """Where they stand."""

    @property
    def facts(self) -> TableFacts:
        """What the open database says of a table of links; nothing for other rows."""

    async def load(self, database: C_contra, about: Names | None) -> list[tuple[str, Raw]]:
        """All rows at one moment, or those that concern some names and perhaps some more."""

    async def get(self, database: C_contra, key: str) -> Raw:
        """The row of this key; None if there is none."""

    async def some(self, database: C_contra, keys: Sequence[str]) -> dict[str, Raw]:
        """The rows of these keys, and of those that the table takes for the same."""

    async def keys(self, database: C_contra, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, in no particular order."""

    async def put(self, database: C_contra, key: str, value: Mapping[str, Any]) -> None:
        """Write a whole row, new or not."""

    async def change(self, database: C_contra, changes: Sequence[RowChange]) -> bool:
        """Write each row if it still is as it must be found; False if one isn't.

        Called within a savepoint, which a False rolls back.
        """

    async def has_triggers(self, database: C_contra) -> bool:
        """Whether a row may not be as it was written, so that it has to be read back."""


class FileRows(Rows[Database], Protocol):
    """Those in a SQLite database."""

    async def admit(self, database: Database, *, read_only: bool) -> bool:
        """Make sure, once, that these are rows which this toolkit can use, or refuse them in words.

        Returns whether it made the table for them.
        """
