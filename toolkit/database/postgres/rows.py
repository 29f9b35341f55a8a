"""The seam below a store on a server: what it asks of whatever knows where the rows stand, and owns the SQL."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from toolkit.database.postgres.connection import Connection
from toolkit.database.rows import Rows


class Copied(NamedTuple):
    """A table as a backup takes it: its name and its columns, as SQL."""

    table: str
    columns: str


class ServerRows(Rows[Connection], Protocol):
    """The rows of one database while it is open; `admit` comes first. Raises `StoreError`."""

    @property
    def label(self) -> str:
        """The first table, as it was named: what tells these rows from others in the same database."""

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
