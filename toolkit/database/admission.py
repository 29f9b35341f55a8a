"""What a table must be before anything is read from it, looked at once when it is opened.

A table that isn't ours is refused as a whole: a row that we wrote there, the bot would never see.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from toolkit.database.connection import Database
from toolkit.database.foreign_table import (
    REPEATED,
    Column,
    UniqueIndex,
    is_object,
    why_keys_repeat,
    why_no_objects,
    why_not_writable,
    why_odd_key,
)
from toolkit.database.sql import ENDS, Table, key_range, with_null
from toolkit.errors import NoDatabase, StoreError
from toolkit.records import FAMILIES, Raw

if TYPE_CHECKING:
    from toolkit.database.key_value import KeyValueRows


async def admit(database: Database, rows: "KeyValueRows", *, read_only: bool) -> bool:
    """Make sure that this is the bot's table; an empty database opened for writing gets it.

    Returns whether it did.
    """
    tables = await list_tables(database)
    made = not tables and not read_only
    if made:
        await database.run(rows.table.create)
    columns = [Column(*row) for row in await _look(database, _COLUMNS, rows.table.name)]
    _check_columns(database, rows, columns, tables)
    await _check_keys(database, rows, columns)
    await _check_values(database, rows)
    if not read_only:
        _check_writable(database, rows, columns)
        await keep_in_memory(database)
    return made


async def list_tables(database: Database) -> list[str]:
    """The tables and views that there are; refuses a database whose text isn't UTF-8."""
    [(encoding,)] = await _look(database, "PRAGMA encoding")
    if encoding != "UTF-8":
        raise StoreError(f"Can't use the database {database.path}: its text isn't UTF-8.")
    return [str(name) for (name,) in await _look(database, _TABLES)]


async def keep_in_memory(database: Database) -> None:
    """Have a savepoint keep the pages as they were in memory.

    Else they go through a temporary file, which costs half as much as the writing, and puts the bot's
    rows into another folder.
    """
    await database.run("PRAGMA temp_store = MEMORY")


async def _look(database: Database, sql: str, *parameters: Raw) -> list[tuple[Any, ...]]:
    return await database.fetch(sql, parameters, doing="open")


def _check_columns(
    database: Database, rows: "KeyValueRows", columns: Sequence[Column], tables: Sequence[str]
) -> None:
    name = rows.table.name
    if not columns:
        others = f"only {listed(tables)}" if tables else "it is empty"
        own = ", or let `matrix-drift fit` propose a mapping of tables of its own" if tables else ""
        raise (StoreError if tables else NoDatabase)(
            f"The database {database.path} has no table {name!r}, {others}: check path and table{own}."
        )
    there = {column.name.lower() for column in columns}
    if missing := [column for column in rows.table.needed if column.lower() not in there]:
        raise StoreError(
            f"The table {name!r} of {database.path} has no column {listed(missing)}, it has "
            f"{listed([column.name for column in columns])}: name the right ones with key_column "
            "and value_column (--key-column, --value-column)."
        )


async def _check_keys(database: Database, rows: "KeyValueRows", columns: Sequence[Column]) -> None:
    """Refuse a table where a key may stand for several rows, or isn't text."""
    table = rows.table
    made = dict(await _look(database, _MADE_BY, table.name))  # nothing for SQLite's own tables
    rows.is_view = "view" in made
    if rows.is_view:
        if await _look(database, table.repeated, *ENDS * 2):
            rows.refuse(database, REPEATED)
    elif why := why_keys_repeat(
        columns, await unique_indexes(database, table.name), table.key_column
    ):
        rows.refuse(database, why)
    elif _OWN_WAY.search(made.get("table") or ""):
        rows.table = Table(table.name, *table.needed, or_abort=True)
    for key, _ in await _look(database, table.odd_keys, *ENDS):
        rows.refuse(database, why_odd_key(key))


async def unique_indexes(database: Database, table: str) -> list[UniqueIndex]:
    """What keeps the rows of a table apart, but for an INTEGER PRIMARY KEY."""
    rows = await _look(database, _INDEXES, table)
    return [
        UniqueIndex(name, bool(partial), tuple(column for *_, column in group))
        for (name, partial), group in groupby(rows, key=lambda row: row[:2])
    ]


async def _check_values(database: Database, rows: "KeyValueRows") -> None:
    """Refuse a table without JSON objects; of each family, as a rule, its first rows tell."""
    seen: list[tuple[str, Raw]] = []
    for family in FAMILIES:
        for limit in (4, 100, -1):
            sample = (*key_range(family), limit)
            found = with_null(await _look(database, rows.table.sample, *sample))
            if len(found) != limit or any(is_object(raw) for _, raw in found):
                break
        seen += found
    if why := why_no_objects(seen):
        rows.refuse(database, why)


def _check_writable(database: Database, rows: "KeyValueRows", columns: Sequence[Column]) -> None:
    table = rows.table
    if why := why_not_writable(columns, table.needed, view=rows.is_view):
        raise StoreError(
            f"Can't write the table {table.name!r} of {database.path}: {why}; open it with "
            "read_only=True to look only, or name the table that the bot itself writes."
        )


def listed(names: Sequence[str]) -> str:
    """Names as they can stand in a sentence."""
    return ", ".join(map(repr, names))


_TABLES = """SELECT name FROM sqlite_master
    WHERE type IN ('table', 'view') AND name NOT GLOB 'sqlite_*' ORDER BY name"""
# `table_info` leaves out generated columns. What is hidden in a virtual table is no column of ours.
_COLUMNS = "SELECT name, pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1"
_INDEXES = """SELECT list.name, list.partial, info.name
    FROM pragma_index_list(?) AS list, pragma_index_xinfo(list.name) AS info
    WHERE list."unique" AND info.key ORDER BY list.seq, info.seqno"""
_MADE_BY = """SELECT type, sql FROM sqlite_master
    WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"""
# Where a row is in the way, such a table deletes it, or says nothing, or ends the whole transaction.
_OWN_WAY = re.compile(r"\bON\s+CONFLICT\s+(REPLACE|IGNORE|ROLLBACK)\b", re.IGNORECASE)
