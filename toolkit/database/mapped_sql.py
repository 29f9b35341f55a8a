"""Statements on mapped tables as SQLite reads them. Pure.

`OR ABORT` keeps a table from settling a conflict in its own way, such as by deleting another row.
"""

from collections.abc import Sequence
from typing import Any

from toolkit.database.dialect import Dialect, Statement
from toolkit.database.sql import encode, quote
from toolkit.database.virtual_rows import Part, Table
from toolkit.layout import as_integer


class SQLite(Dialect):
    """A column may hold a cell of any type; text that isn't UTF-8 is told as its bytes."""

    at_conflict = " OR ABORT"
    quote = quote_table = quote_child = staticmethod(quote)

    def columns(self, tables: Sequence[Table], place: int) -> list[str]:
        mine = [quote(column) for column in tables[place].columns]
        width = max(len(table.columns) for table in tables)
        return [str(place), *mine, *["NULL"] * (width - len(mine))]

    def cells(self, tables: Sequence[Table]) -> list[slice]:
        return [slice(len(table.columns)) for table in tables]

    def shown(self, table: Table, part: Part) -> str:
        return quote(part.column)

    def given(self, table: Table, column: str, cell: Any) -> Statement:
        return _bound(cell)

    def same(self, table: Table, column: str, cell: Any) -> Statement:
        return _equals(quote(column), cell)

    def was(self, table: Table, part: Part, cell: Any) -> Statement:
        column = quote(part.column)
        if cell is None:
            return _equals(
                f"+{column}", None
            )  # no index: it would find every other row that has none
        if part.prefix:  # a number without its prefix may be stored as either
            return _equals(f"CAST({column} AS TEXT)", str(cell))
        return _equals(column, cell)

    def named(self, table: Table, part: Part, name: str) -> Statement:
        cell = name.removeprefix(part.prefix)
        column = quote(part.column)
        if (number := as_integer(cell)) is None:
            return Statement(f"{column} = CAST(? AS TEXT)", (encode(cell),))
        return Statement(f"{column} IN (CAST(? AS TEXT), ?)", (encode(cell), number))

    def naming(self, part: Part, names: Sequence[str]) -> list[Statement]:
        if not names:
            return []
        places = ", ".join(["CAST(? AS TEXT)"] * len(names))
        return [Statement(f"{quote(part.column)} IN ({places})", tuple(map(encode, names)))]

    def untouched(self, column: str, default: str) -> str:
        return f"{quote(column)} IS {default}"


def _equals(term: str, cell: Any) -> Statement:
    sql, values = _bound(cell)
    exact = " COLLATE BINARY" if isinstance(cell, str) else ""
    return Statement(f"{term}{exact} IS {sql}", values)


def _bound(cell: Any) -> Statement:
    if isinstance(cell, str):
        try:
            cell.encode()
        except UnicodeEncodeError:
            return Statement("CAST(? AS TEXT)", (encode(cell),))
    return Statement("?", (cell,))
