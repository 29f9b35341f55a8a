"""The seam below a store on a server: what it asks of whatever knows where the rows stand, and owns the SQL."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from toolkit.database.postgres.connection import Connection
from toolkit.database.sql import RowChange
from toolkit.layout import Layout, TableFacts
from toolkit.records import Names, Raw


class Copied(NamedTuple):
    """A table as a backup takes it: its name and its columns, as SQL."""

    table: str
    columns: str


class Rows(Protocol):
    """The rows of one database while it is open; `admit` comes first. Raises `StoreError`."""

    @property
    def settings(self) -> dict[str, Any]:
        """With which names another store on the same rows is made."""

    @property
    def label(self) -> str:
        """The first table, as it was named: what tells these rows from others in the same database."""

    @property
    def layout(self) -> Layout:
        """Where they stand."""

    @property
    def facts(self) -> TableFacts:
        """What the open database says of a table of links; nothing for other rows."""

    @property
    def create(self) -> str:
        """What makes the table in an empty database; nothing where that is the bot's own affair."""

    @property
    def lock(self) -> str:
        """What keeps every other writer waiting."""

    @property
    def copied(self) -> Sequence[Copied]:
        """What a backup takes."""

    async def admit(self, connection: Connection, *, read_only: bool) -> None:
        """Make sure, once, that these are rows which this toolkit can use, or refuse them in words."""

    async def load(self, connection: Connection, about: Names | None) -> list[tuple[str, Raw]]:
        """All rows at one moment, or those that concern some names and perhaps some more."""

    async def get(self, connection: Connection, key: str) -> Raw:
        """The row of this key; None if there is none."""

    async def some(self, connection: Connection, keys: Sequence[str]) -> dict[str, Raw]:
        """The rows of these keys, and of those that the table takes for the same."""

    async def keys(self, connection: Connection, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, in no particular order."""

    async def put(self, connection: Connection, key: str, value: Mapping[str, Any]) -> None:
        """Write a whole row, new or not."""

    async def change(self, connection: Connection, changes: Sequence[RowChange]) -> bool:
        """Write each row if it still is as it must be found; False if one isn't.

        Called within a savepoint, which a False rolls back.
        """

    async def has_triggers(self, connection: Connection) -> bool:
        """Whether a row may be stored otherwise than it was written: by a trigger, or as jsonb."""
