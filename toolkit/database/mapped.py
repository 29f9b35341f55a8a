"""Rows in tables of a bot's own, as its mapping says: read as keys and texts, written as statements.

How they are shown is in `virtual_rows`, the statements in `dialect` and `mapped_sql`, what is asked of the tables
in `mapped_admission`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from toolkit.aside import aside
from toolkit.database.connection import Database
from toolkit.database.dialect import Dialect, Statement
from toolkit.database.mapped_admission import admit
from toolkit.database.mapped_sql import SQLite
from toolkit.database.sql import RowChange
from toolkit.database.virtual_rows import Table, gather, tables_of
from toolkit.errors import StoreError
from toolkit.layout import Layout, TableFacts
from toolkit.quotes import quote_odd
from toolkit.records import Names, Raw, decode_object, encode_row


class Asked(Protocol):
    """What is asked of an open connection, to whatever database."""

    async def fetch(
        self, sql: str, parameters: tuple[Raw, ...] = (), doing: str = "read"
    ) -> list[tuple[Any, ...]]: ...

    async def run_many(self, sql: str, parameters: list[tuple[Raw, ...]]) -> int: ...


class Mapped:
    """Rows of the tables that a layout names, in any database."""

    sql: Dialect

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.tables = tables_of(layout)
        self.facts = TableFacts()

    @property
    def settings(self) -> dict[str, Any]:
        return {"layout": self.layout}

    async def load(self, database: Asked, about: Names | None) -> list[tuple[str, Raw]]:
        tables = list(self.tables.values())
        found = await database.fetch(*self.sql.select_all(tables, about))
        return await aside(_gather_all, tables, self.sql.cells(tables), found)

    async def get(self, database: Asked, key: str) -> Raw:
        return (await self.some(database, [key])).get(key)

    async def some(self, database: Asked, keys: Sequence[str]) -> dict[str, Raw]:
        found: dict[str, Raw] = {}
        for table, mine in self._by_table(keys):
            for start in range(0, len(mine), _AT_ONCE):
                rows = await database.fetch(
                    *self.sql.select_some(table, mine[start : start + _AT_ONCE])
                )
                found.update(gather(map(table.show, rows)))
        return found

    async def keys(self, database: Asked, prefix: str) -> list[str]:
        return [key for key, _ in await self.load(database, None) if key.startswith(prefix)]

    async def put(self, database: Asked, key: str, value: Mapping[str, Any]) -> None:
        table = self._table(key)
        if strange := value.keys() - {*table.fixed, *(p.field for p in table.parts if p.shown)}:
            raise _refused(key, f"the mapping has no column for {min(strange)}")
        before = await self.get(database, key)
        after = dict.fromkeys(p.field for p in table.parts if p.shown) | dict(value)
        if before is not None and decode_object(before) == decode_object(before) | after:
            return
        if not await self.change(database, [RowChange(key, before, encode_row(after))]):
            raise _refused(key, "somebody wrote it meanwhile; try again")

    async def change(self, database: Asked, changes: Sequence[RowChange]) -> bool:
        """In the order in which they come: a room may have to be taken from one row before another gets it."""
        waiting: list[tuple[Raw, ...]] = []
        last = ""
        for change in changes:
            statement = self._statement(change)
            if statement.sql != last and waiting:
                if await database.run_many(last, waiting) != len(waiting):
                    return False
                waiting = []
            last = statement.sql
            waiting.append(statement.parameters)
        if not waiting or await database.run_many(last, waiting) == len(waiting):
            return True
        if changes[-1].after is None:
            await self._explain_kept(database, changes[-1])
        return False

    async def has_triggers(self, database: Asked) -> bool:
        """Always looked at: a column may make another value of what it is given."""
        return True

    def _statement(self, change: RowChange) -> Statement:
        table = self._table(change.key)
        try:
            if change.before is None:
                return self.sql.insert(table, table.cells(change.key, change.after))
            before = table.cells(change.key, change.before)
            if change.after is None:
                return self.sql.delete(table, before)
            return self.sql.update(table, before, table.cells(change.key, change.after))
        except ValueError as error:
            raise _refused(change.key, str(error)) from None

    async def _explain_kept(self, database: Asked, change: RowChange) -> None:
        """A row that isn't deleted although it is as it was, as far as it is mapped."""
        table = self._table(change.key)
        if await database.fetch(
            *self.sql.still_there(table, table.cells(change.key, change.before))
        ):
            raise _refused(change.key, _IN_USE)

    def _by_table(self, keys: Sequence[str]) -> list[tuple[Table, list[str]]]:
        found: dict[str, list[str]] = {}
        for key in keys:
            found.setdefault(self._table(key).family, []).append(key)
        return [(self.tables[family], mine) for family, mine in found.items()]

    def _table(self, key: str) -> Table:
        for family, table in self.tables.items():
            if key.startswith(family):
                return table
        raise _refused(key, "it belongs to no table of the mapping")


class MappedRows(Mapped):
    """The same in a SQLite database."""

    sql = SQLite()

    async def admit(self, database: Database, *, read_only: bool) -> bool:
        self.tables, self.facts = await admit(database, self.layout, read_only=read_only)
        return False


def _gather_all(
    tables: Sequence[Table], places: Sequence[slice], rows: Sequence[tuple[Any, ...]]
) -> list[tuple[str, Raw]]:
    shown = (tables[place].show(cells[places[place]]) for place, *cells in rows)
    return gather(shown)


def _refused(key: str, why: str) -> StoreError:
    return StoreError(f"Can't use the row {quote_odd(key)}: {why}.")


_AT_ONCE = 200
_IN_USE = (
    "something was put into its other columns, or another row names it, since it was inserted; to "
    "take it back would lose that"
)
