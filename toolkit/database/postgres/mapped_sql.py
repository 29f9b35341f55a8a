"""The statements on mapped tables on a server, and their parameters. Pure.

Every parameter is sent as text and cast to its column's type, and every mapped column is compared as text, to the
byte: so a column of any type can be mapped, and none is compared by rules of its own. Only a key is also
asked for as what it is, so that its index is used.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.database.mapped_sql import NAMES, Statement, same_cell
from toolkit.database.postgres.connection import quote, quote_table
from toolkit.database.postgres.table import why_not_storable
from toolkit.database.virtual_rows import Part, Table
from toolkit.layout import as_integer
from toolkit.records import FAMILIES, Names, Raw

INTEGERS = frozenset({"smallint", "integer", "bigint"})
TEXTS = frozenset({"text", "character varying"})


def select_all(tables: Sequence[Table], about: Names | None = None) -> Statement:
    """The rows of all tables at one moment: the first column is the table's place among them, and each table has
    columns of its own in the answer, since one column has one type."""
    selects, parameters = list[str](), list[Raw]()
    for place, table in enumerate(tables):
        cells = [
            _shown(other, part, absent=other is not table)
            for other in tables
            for part in other.parts
        ]
        where, values = _where(table)
        if about is not None:
            named, names = _naming(table, about)
            where, values = f"{where} AND ({named})", [*values, *names]
        columns = ", ".join([f"{place}::int", *cells])
        selects.append(f"SELECT {columns} FROM {quote_table(table.name)} WHERE {where}")
        parameters += values
    return Statement(" UNION ALL ".join(selects), tuple(parameters))


def select_some(table: Table, keys: Sequence[str]) -> Statement:
    """The rows of some keys."""
    where, parameters = _where(table)
    names, values = list[str](), list[Raw]()
    for key in keys:
        told = dict(zip(table.keys, table.split(key), strict=True))
        terms = [
            _named(table, part, told[part.field]) for part in table.parts if part.field in told
        ]
        names.append(f"({' AND '.join(sql for sql, _ in terms)})")
        values += [value for _, found in terms for value in found]
    columns = ", ".join(_shown(table, part) for part in table.parts)
    sql = (
        f"SELECT {columns} FROM {quote_table(table.name)} WHERE {where} AND ({' OR '.join(names)})"
    )
    return Statement(sql, (*parameters, *values))


def update(table: Table, before: Mapping[str, Any], after: Mapping[str, Any]) -> Statement:
    """Set what differs, if the row still is as before. ValueError if nothing differs."""
    changed = {name: cell for name, cell in after.items() if not same_cell(before.get(name), cell)}
    if not changed:
        raise ValueError("nothing that a column holds is to be changed")
    if moved := [name for name in table.key_columns if name in changed]:
        raise ValueError(f"{moved[0]} is part of the key, which stays")
    sets = [f"{quote(name)} = {_cast(table, name)}" for name in changed]
    values = [_told(cell) for cell in changed.values()]
    where, parameters = _as_it_was(table, before)
    sql = f"UPDATE {quote_table(table.name)} SET {', '.join(sets)} WHERE {where}"
    return Statement(sql, (*values, *parameters))


def insert(table: Table, after: Mapping[str, Any]) -> Statement:
    """A new row, if there is none of its key; what isn't given is left to the table."""
    given = {name: cell for name, cell in after.items() if cell is not None}
    row: dict[str, Any] = {**table.constants, **table.where, **given}
    where, parameters = _where(table)
    keyed = [_is(table, name, row.get(name)) for name in table.key_columns]
    there = " AND ".join([where, *(sql for sql, _ in keyed)])
    name = quote_table(table.name)
    sql = (
        f"INSERT INTO {name} ({', '.join(map(quote, row))}) "
        f"SELECT {', '.join(_cast(table, column) for column in row)} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {there})"
    )
    values = [_told(cell) for cell in row.values()]
    return Statement(sql, (*values, *parameters, *(v for _, found in keyed for v in found)))


def delete(table: Table, before: Mapping[str, Any]) -> Statement:
    """Take an inserted row back, if nobody has put anything into it, and no other row names it."""
    where, parameters = _as_it_was(table, before)
    name = quote_table(table.name)
    terms, values = [where], [*parameters]
    for column, constant in table.constants.items():
        if column not in before:
            term, value = _is(table, column, constant)
            terms.append(term)
            values += value
    terms += [f"{quote(c)}::text IS NOT DISTINCT FROM {d}" for c, d in table.fresh.items()]
    for child, pairs in table.children:
        same = " AND ".join(f"child.{quote(c)} = parent.{quote(p)}" for c, p in pairs)
        terms.append(f"NOT EXISTS (SELECT 1 FROM {child} AS child WHERE {same})")
    sql = f"DELETE FROM {name} AS parent WHERE {' AND '.join(terms)}"
    return Statement(sql, tuple(values))


def still_there(table: Table, before: Mapping[str, Any]) -> Statement:
    """Whether the row is as it was, as far as it is mapped."""
    where, parameters = _as_it_was(table, before)
    return Statement(f"SELECT 1 FROM {quote_table(table.name)} WHERE {where}", tuple(parameters))


def _as_it_was(table: Table, cells: Mapping[str, Any]) -> tuple[str, list[Raw]]:
    where, parameters = _where(table)
    terms = [where]
    for part in table.parts:
        sql, values = _is(table, part.column, cells.get(part.column))
        terms.append(sql)
        parameters += values
    return " AND ".join(terms), parameters


def _where(table: Table) -> tuple[str, list[Raw]]:
    terms = [_is(table, name, cell) for name, cell in table.where.items()]
    return " AND ".join(["true", *(sql for sql, _ in terms)]), [v for _, vs in terms for v in vs]


def _is(table: Table, column: str, cell: Any) -> tuple[str, list[Raw]]:
    """To the byte, whatever the column's type and collation are; a key so that its index is used as well."""
    exact = f'{quote(column)}::text COLLATE "C" IS NOT DISTINCT FROM %s::text'
    told = _told(cell)
    if told is None or column not in table.key_columns:
        return exact, [told]
    if table.types[column] in TEXTS or (
        table.types[column] in INTEGERS and as_integer(told) is not None
    ):
        return f"{quote(column)} = {_cast(table, column)} AND {exact}", [told, told]
    return exact, [told]


def _named(table: Table, part: Part, name: str) -> tuple[str, list[Raw]]:
    """Here the column's own collation counts: what it takes for the same comes along."""
    told = _told(name.removeprefix(part.prefix))
    kind, column = table.types[part.column], quote(part.column)
    if kind in INTEGERS:
        number = as_integer(str(told))
        return (f"{column} = %s::bigint", [number]) if number is not None else ("false", [])
    return (f"{column} = %s::text" if kind in TEXTS else f"{column}::text = %s::text"), [told]


def _naming(table: Table, about: Names) -> tuple[str, list[Raw]]:
    """Where one of the names may stand; in a table of links anywhere, so that all its rows come."""
    if table.family not in FAMILIES:
        return "true", []
    terms, values = list[str](), list[Raw]()
    for part in table.parts:
        told = sorted(NAMES[part.field](about)) if part.field in NAMES else []
        for name in (n.removeprefix(part.prefix) for n in told if n.startswith(part.prefix)):
            if not why_not_storable(name):  # a homeserver may name what no row holds
                terms.append(f'{quote(part.column)}::text COLLATE "C" = %s::text')
                values.append(name)
    return " OR ".join(terms) or "false", values


def _shown(table: Table, part: Part, *, absent: bool = False) -> str:
    """A cell as it is read: an integer, a truth, or whatever else as the text that the server writes."""
    kind = table.types[part.column]
    kind = "bigint" if kind in INTEGERS else "boolean" if kind == "boolean" else "text"
    return f"NULL::{kind}" if absent else f"{quote(part.column)}::{kind}"


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
