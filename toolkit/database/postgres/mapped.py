"""Rows in tables of a bot's own on a server, as its mapping says."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from toolkit.aside import aside
from toolkit.database.mapped import Mapped
from toolkit.database.postgres import mapped_sql
from toolkit.database.postgres.connection import Connection, quote_table
from toolkit.database.postgres.mapped_admission import admit
from toolkit.database.postgres.rows import Copied
from toolkit.database.virtual_rows import Table, gather
from toolkit.records import Names, Raw


class MappedRows(Mapped):
    """Rows of the tables that a layout names."""

    sql = mapped_sql
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

    async def load(self, connection: Connection, about: Names | None) -> list[tuple[str, Raw]]:
        tables = list(self.tables.values())
        found = await connection.fetch(*mapped_sql.select_all(tables, about))
        return await aside(_gather_all, tables, found)


def _gather_all(tables: Sequence[Table], rows: Sequence[tuple[Any, ...]]) -> list[tuple[str, Raw]]:
    """Each table has columns of its own in the answer, one after the other's."""
    ends = list(accumulate(len(table.parts) for table in tables))
    starts = [0, *ends]
    shown = (tables[place].show(cells[starts[place] : ends[place]]) for place, *cells in rows)
    return gather(shown)
