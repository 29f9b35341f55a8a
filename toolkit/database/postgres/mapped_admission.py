"""What tables of a bot's own on a server must be before rows are read from them, looked at once when opened.

A mapping that doesn't fit is refused in one sentence: what was found, and what to do.
"""

import re
from collections.abc import Sequence
from typing import NoReturn

from msgspec.structs import replace

from toolkit.database.postgres.admission import LOOK_ONLY, Found, check_columns, find_table, listed
from toolkit.database.postgres.connection import Connection, as_sql, quote, quote_table
from toolkit.database.postgres.mapped_sql import INTEGERS
from toolkit.database.postgres.rows import Copied
from toolkit.database.virtual_rows import Table, tables_of
from toolkit.errors import StoreError
from toolkit.layout import Layout, TableFacts


async def admit(
    connection: Connection, layout: Layout, *, read_only: bool
) -> tuple[dict[str, Table], TableFacts, list[Copied]]:
    """The tables, with what the database adds to the mapping, and what of them a backup takes.

    `StoreError` for one that doesn't fit.
    """
    found: dict[str, Table] = {}
    facts, copied = TableFacts(), list[Copied]()
    for family, table in tables_of(layout).items():
        found[family], facts, copy = await _admit(connection, table, layout, read_only=read_only)
        copied.append(copy)
    return found, facts, copied


async def _admit(
    connection: Connection, table: Table, layout: Layout, *, read_only: bool
) -> tuple[Table, TableFacts, Copied]:
    where = f"[rows.{_FAMILIES.get(table.family, 'link')}]"
    advice = f"check the DSN, and table in {where}"
    found = await find_table(connection, table.name, advice=advice, read_only=read_only)
    wanted = [*table.columns, *table.where, *table.constants]
    check_columns(connection, table.name, found, wanted, f"name the right ones in {where}")
    look = _Look(connection, table, layout, found, where)
    look.check_unique()
    why_no_write = look.why_no_write()
    if why_no_write and not read_only:
        look.refuse(why_no_write, f"{LOOK_ONLY} in {where}")
    why = why_no_write or look.why_no_insert()
    if why and not read_only and not layout.links:
        look.refuse(f"nothing can be inserted there: {why}", f"give it in insert of {where}")
    types = {name: as_sql(column.type) for name, column in found.columns.items()}
    children = await connection.fetch(_CHILDREN, (found.oid,), doing="open")
    admitted = replace(
        table,
        texts=frozenset(name for name, kind in types.items() if kind not in INTEGERS),
        types=types,
        fresh=look.fresh(),
        children=tuple(
            (as_sql(child), tuple(zip(own, theirs, strict=True))) for child, own, theirs in children
        ),
    )
    integers = frozenset(name for name in table.columns if types[name] in INTEGERS)
    stored = [quote(name) for name, column in found.columns.items() if not column.generated]
    copied = Copied(quote_table(table.name), ", ".join(stored))
    return admitted, TableFacts(why, integers, why_no_write), copied


class _Look:
    """One table, while it is looked at."""

    def __init__(
        self, connection: Connection, table: Table, layout: Layout, found: Found, where: str
    ) -> None:
        self.name, self.table, self.layout = connection.name, table, layout
        self.found, self.where = found, where

    def check_unique(self) -> None:
        """A row must be told by what is mapped."""
        table = self.table
        mapped = {*(table.columns if self.layout.links else table.key_columns), *table.where}
        if any(columns <= mapped for columns in self.found.unique):
            return
        why = "neither the id nor the room is unique in it"
        if any(columns <= mapped for columns in self.found.partial):
            why = "its rows are unique only among some of them (an index is partial)"
        elif self.found.unique:
            why = f"its rows are unique only together with {listed(sorted(self.found.unique[0] - mapped))}"
        self.refuse(
            why, f"name in {self.where} the columns that tell its rows apart, or all of them"
        )

    def why_no_write(self) -> str:
        """Why its rows can only be looked at; empty if they can be written."""
        link = self.layout.rows.link
        written = (link.room,) if link else self.table.columns
        generated = [name for name in written if self.found.columns[name].generated]
        own = f"its column {generated[0]!r} is generated from others" if generated else ""
        return self.found.why_no_write or own

    def why_no_insert(self) -> str:
        """Why no row can be made by what is mapped; empty if one can."""
        table, columns = self.table, self.found.columns
        given = self._given()
        for name in given:
            if columns[name].generated:
                return f"its column {name!r} is generated from others"
            if self.layout.links and (columns[name].identity or _is_counted(columns[name].default)):
                return f"its column {name!r} is numbered by the database itself"
        told = {*given, *table.where}
        if not any(unique <= told for unique in self.found.unique):
            return "nothing keeps a second row of the same id away"
        told |= {*table.constants}
        needed = [
            column.name
            for column in columns.values()
            if column.name not in told and column.required and column.default is None
            if not (column.generated or column.identity)
        ]
        return f"its column {listed(needed)} needs a value" if needed else ""

    def fresh(self) -> dict[str, str]:
        """What an inserted row holds in columns that nobody gives, as far as that stands there as a constant."""
        told = {*self.table.columns, *self.table.where, *self.table.constants}
        return {
            column.name: as_sql(f"({column.default or 'NULL'})::{column.type}::text")
            for column in self.found.columns.values()
            if column.name not in told and not (column.generated or column.identity)
            if column.default is None or _CONSTANT.fullmatch(column.default)
        }

    def refuse(self, why: str, advice: str) -> NoReturn:
        raise StoreError(
            f"Can't use the table {self.table.name!r} of {self.name}: {why}; {advice}."
        )

    def _given(self) -> Sequence[str]:
        link = self.layout.rows.link
        return (*link.ids, link.room) if link else self.table.columns


def _is_counted(default: str | None) -> bool:
    return default is not None and default.startswith("nextval(")


_FAMILIES = {"chat:": "chat", "matrix_room:": "room", "matrix_user:": "user"}
_CONSTANT = re.compile(
    r"(?:NULL|true|false|\(?-?[0-9.]+\)?|'(?:[^']|'')*')(?:::[a-z ]+(?:\([0-9, ]+\))?(?:\[\])?)?"
)
_CHILDREN = """SELECT c.conrelid::regclass::text,
    array(SELECT a.attname::text FROM unnest(c.conkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.conrelid AND a.attnum = k.number ORDER BY k.place),
    array(SELECT a.attname::text FROM unnest(c.confkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute AS a ON a.attrelid = c.confrelid AND a.attnum = k.number ORDER BY k.place)
    FROM pg_constraint AS c WHERE c.contype = 'f' AND c.confrelid = %s ORDER BY c.oid"""
