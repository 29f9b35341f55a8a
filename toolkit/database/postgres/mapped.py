"""Rows in tables of a bot's own on a server, as its mapping says."""

from collections.abc import Sequence

from toolkit.database.mapped import Mapped
from toolkit.database.postgres.connection import Connection, quote_table
from toolkit.database.postgres.mapped_admission import admit
from toolkit.database.postgres.mapped_sql import PostgreSQL
from toolkit.database.postgres.rows import Copied


class MappedRows(Mapped):
    """Rows of the tables that a layout names."""

    sql = PostgreSQL()
    create = ""
    copied: Sequence[Copied] = ()
    """All columns of each table: a row without the others could not be put back."""

    @property
    def label(self) -> str:
        return next(iter(self.tables.values())).name

    @property
    def lock(self) -> str:
        """All tables, always in one order."""
        names = sorted(quote_table(table.name) for table in self.tables.values())
        return f"LOCK TABLE {', '.join(names)} IN EXCLUSIVE MODE"

    async def admit(self, connection: Connection, *, read_only: bool) -> None:
        found = await admit(connection, self.layout, read_only=read_only)
        self.tables, self.facts, self.copied = found
