"""The statements on mapped tables, and their parameters. Pure.

An UPDATE sets the columns that change and no other; every mapped column is compared first. `OR ABORT` keeps
a table from settling a conflict in its own way, such as by deleting another row.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from toolkit.database.sql import encode, quote
from toolkit.database.virtual_rows import Part, Table
from toolkit.layout import as_integer
from toolkit.records import FAMILIES, Names, Raw


class Statement(NamedTuple):
    """SQL with the parameters of one row."""

    sql: str
    parameters: tuple[Raw, ...]


def select_all(tables: Sequence[Table], about: Names | None = None) -> Statement:
    """The rows of all tables at one moment; the first column is the table's place among them.

    With `about`, those that name one of these rooms or users, in the columns that do.
    """
    width = max(len(table.columns) for table in tables)
    selects, parameters = list[str](), list[Raw]()
    for place, table in enumerate(tables):
        padding = ["NULL"] * (width - len(table.columns))
        columns = ", ".join([str(place), *map(quote, table.columns), *padding])
        where, values = _where(table)
        if about is not None:
            named, names = _naming(table, about)
            where, values = f"{where} AND ({named})", [*values, *names]
        selects.append(f"SELECT {columns} FROM {quote(table.name)} WHERE {where}")
        parameters += values
    return Statement(" UNION ALL ".join(selects), tuple(parameters))


def select_some(table: Table, keys: Sequence[str]) -> Statement:
    """The rows of some keys; an id that may be text or integer is looked for as both."""
    where, parameters = _where(table)
    names, values = list[str](), list[Raw]()
    for key in keys:
        told = dict(zip(table.keys, table.split(key), strict=True))
        parts = [part for part in table.parts if part.field in told]
        terms = [_named(part, told[part.field]) for part in parts]
        names.append(f"({' AND '.join(sql for sql, _ in terms)})")
        values += [value for _, found in terms for value in found]
    columns = ", ".join(map(quote, table.columns))
    sql = f"SELECT {columns} FROM {quote(table.name)} WHERE {where} AND ({' OR '.join(names)})"
    return Statement(sql, (*parameters, *values))


def update(table: Table, before: Mapping[str, Any], after: Mapping[str, Any]) -> Statement:
    """Set what differs, if the row still is as before. ValueError if nothing differs."""
    changed = {name: cell for name, cell in after.items() if not same_cell(before.get(name), cell)}
    if not changed:
        raise ValueError("nothing that a column holds is to be changed")
    if moved := [name for name in table.key_columns if name in changed]:
        raise ValueError(f"{moved[0]} is part of the key, which stays")
    sets, values = list[str](), list[Raw]()
    for name, cell in changed.items():
        term, value = _bound(cell)
        sets.append(f"{quote(name)} = {term}")
        values += value
    where, parameters = _as_it_was(table, before)
    sql = f"UPDATE OR ABORT {quote(table.name)} SET {', '.join(sets)} WHERE {where}"
    return Statement(sql, (*values, *parameters))


def insert(table: Table, after: Mapping[str, Any]) -> Statement:
    """A new row, if there is none of its key; what isn't given is left to the table."""
    given = {name: cell for name, cell in after.items() if cell is not None}
    row: dict[str, Any] = {**table.constants, **table.where, **given}
    terms = [_bound(cell) for cell in row.values()]
    keyed = [_equals(quote(name), row.get(name)) for name in table.key_columns]
    where, parameters = _where(table)
    there = " AND ".join([where, *(sql for sql, _ in keyed)])
    sql = (
        f"INSERT OR ABORT INTO {quote(table.name)} ({', '.join(map(quote, row))}) "
        f"SELECT {', '.join(sql for sql, _ in terms)} "
        f"WHERE NOT EXISTS (SELECT 1 FROM {quote(table.name)} WHERE {there})"
    )
    values = [value for _, found in terms for value in found]
    return Statement(sql, (*values, *parameters, *(v for _, found in keyed for v in found)))


def delete(table: Table, before: Mapping[str, Any]) -> Statement:
    """Take an inserted row back, if nobody has put anything into it, and no other row names it."""
    where, parameters = _as_it_was(table, before)
    name = quote(table.name)
    terms, values = list[str](), list[Raw]()
    for column, constant in table.constants.items():
        if column not in before:
            term, value = _equals(quote(column), constant)
            terms.append(term)
            values += value
    terms += [f"{quote(column)} IS {default}" for column, default in table.fresh.items()]
    for child, pairs in table.children:
        same = " AND ".join(f"child.{quote(c)} = {name}.{quote(p)}" for c, p in pairs)
        terms.append(f"NOT EXISTS (SELECT 1 FROM {quote(child)} AS child WHERE {same})")
    sql = f"DELETE FROM {name} WHERE {' AND '.join([where, *terms])}"
    return Statement(sql, (*parameters, *values))


def still_there(table: Table, before: Mapping[str, Any]) -> Statement:
    """Whether the row is as it was, as far as it is mapped."""
    where, parameters = _as_it_was(table, before)
    return Statement(f"SELECT 1 FROM {quote(table.name)} WHERE {where}", tuple(parameters))


def _as_it_was(table: Table, cells: Mapping[str, Any]) -> tuple[str, list[Raw]]:
    where, parameters = _where(table)
    terms = [where]
    for part in table.parts:
        column, cell = quote(part.column), cells.get(part.column)
        term = column
        if cell is None:
            term = f"+{column}"  # no index: it would find every other row that has none
        elif part.prefix:  # a number without its prefix may be stored as either
            term, cell = f"CAST({column} AS TEXT)", str(cell)
        told, value = _equals(term, cell)
        terms.append(told)
        parameters += value
    return " AND ".join(terms), parameters


def _where(table: Table) -> tuple[str, list[Raw]]:
    terms = [_equals(quote(name), cell) for name, cell in table.where.items()]
    return " AND ".join(["true", *(sql for sql, _ in terms)]), [v for _, vs in terms for v in vs]


def _naming(table: Table, about: Names) -> tuple[str, list[Raw]]:
    """Where one of the names may stand; in a table of links anywhere, so that all its rows come."""
    if table.family not in FAMILIES:
        return "true", []
    terms, values = list[str](), list[Raw]()
    for part in table.parts:
        told = sorted(NAMES[part.field](about)) if part.field in NAMES else []
        names = [encode(n.removeprefix(part.prefix)) for n in told if n.startswith(part.prefix)]
        if names:
            places = ", ".join(["CAST(? AS TEXT)"] * len(names))
            terms.append(f"{quote(part.column)} IN ({places})")
            values += names
    return " OR ".join(terms) or "false", values


NAMES: Mapping[str, Callable[[Names], frozenset[str]]] = {
    **dict.fromkeys(("user_id", "matrix_user_id"), lambda about: about.users),
    **dict.fromkeys(("room_id", "space_id", "surface_ref"), lambda about: about.rooms),
}


def _named(part: Part, name: str) -> tuple[str, list[Raw]]:
    """Here the table's own collation counts: what it takes for the same comes along."""
    cell = name.removeprefix(part.prefix)
    column = quote(part.column)
    if (number := as_integer(cell)) is None:
        return f"{column} = CAST(? AS TEXT)", [encode(cell)]
    return f"{column} IN (CAST(? AS TEXT), ?)", [encode(cell), number]


def _equals(term: str, cell: Any) -> tuple[str, list[Raw]]:
    """To the byte, whatever the column's own collation is."""
    sql, values = _bound(cell)
    exact = " COLLATE BINARY" if isinstance(cell, str) else ""
    return f"{term}{exact} IS {sql}", values


def _bound(cell: Any) -> tuple[str, list[Raw]]:
    """A cell as a parameter; text that isn't UTF-8 as its bytes."""
    if isinstance(cell, str):
        try:
            cell.encode()
        except UnicodeEncodeError:
            return "CAST(? AS TEXT)", [encode(cell)]
    return "?", [cell]


def same_cell(one: Any, other: Any) -> bool:
    """Whether two cells are the same; 1 and 1.0 aren't."""
    return type(one) is type(other) and one == other
