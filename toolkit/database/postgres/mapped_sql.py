"""Statements on mapped tables as a server reads them. Pure.

Every parameter is sent as text and cast to its column's type, and every mapped column is compared as text, to the
byte: so a column of any type can be mapped, and none is compared by rules of its own. Only a key is also
asked for as what it is, so that its index is used.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from toolkit.database.dialect import Dialect, Statement
from toolkit.database.postgres.connection import quote, quote_table
from toolkit.database.postgres.table import why_not_storable
from toolkit.database.virtual_rows import Part, Table
from toolkit.layout import as_integer

INTEGERS = frozenset({"smallint", "integer", "bigint"})
TEXTS = frozenset({"text", "character varying"})


class PostgreSQL(Dialect):
    """A column has one type, also in an answer with rows of several tables."""

    quote, quote_table = staticmethod(quote), staticmethod(quote_table)
    quote_child = staticmethod(str)  # it comes in quotes

    def columns(self, tables: Sequence[Table], place: int) -> list[str]:
        """Each table has columns of its own in the answer, one after the other's."""
        cells = [
            self.shown(table, part) if table is tables[place] else f"NULL::{_kind(table, part)}"
            for table in tables
            for part in table.parts
        ]
        return [f"{place}::int", *cells]

    def cells(self, tables: Sequence[Table]) -> list[slice]:
        ends = accumulate((len(table.parts) for table in tables), initial=0)
        return [slice(start, end) for start, end in pairwise(ends)]

    def shown(self, table: Table, part: Part) -> str:
        return f"{quote(part.column)}::{_kind(table, part)}"

    def given(self, table: Table, column: str, cell: Any) -> Statement:
        return Statement(_cast(table, column), (_told(cell),))

    def same(self, table: Table, column: str, cell: Any) -> Statement:
        """A key also so that its index is used."""
        exact = f'{quote(column)}::text COLLATE "C" IS NOT DISTINCT FROM %s::text'
        told = _told(cell)
        if told is None or column not in table.key_columns or not _indexed(table, column, told):
            return Statement(exact, (told,))
        return Statement(f"{quote(column)} = {_cast(table, column)} AND {exact}", (told, told))

    def named(self, table: Table, part: Part, name: str) -> Statement:
        told = _told(name.removeprefix(part.prefix))
        kind, column = table.types[part.column], quote(part.column)
        if kind in INTEGERS:
            number = as_integer(str(told))
            if number is None:
                return Statement("false")
            return Statement(f"{column} = %s::bigint", (number,))
        as_text = "" if kind in TEXTS else "::text"
        return Statement(f"{column}{as_text} = %s::text", (told,))

    def naming(self, part: Part, names: Sequence[str]) -> list[Statement]:
        """A homeserver may name what no row holds."""
        term = f'{quote(part.column)}::text COLLATE "C" = %s::text'
        return [Statement(term, (name,)) for name in names if not why_not_storable(name)]

    def untouched(self, column: str, default: str) -> str:
        return f"{quote(column)}::text IS NOT DISTINCT FROM {default}"


def _kind(table: Table, part: Part) -> str:
    """As what a cell is read: an integer, a truth, or whatever else as the text that the server writes."""
    kind = table.types[part.column]
    return "bigint" if kind in INTEGERS else "boolean" if kind == "boolean" else "text"


def _indexed(table: Table, column: str, told: str) -> bool:
    kind = table.types[column]
    return kind in TEXTS or (kind in INTEGERS and as_integer(told) is not None)


def _cast(table: Table, column: str) -> str:
    return f"CAST(%s::text AS {table.types[column]})"


def _told(cell: Any) -> str | None:
    """A cell as the text that the server reads; ValueError for what it can't hold."""
    if cell is None:
        return None
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int | float):
        return repr(cell)
    if why := why_not_storable(cell):
        raise ValueError(why)
    return str(cell)
