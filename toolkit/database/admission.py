"""What a table must be before anything is read from it, looked at once when it is opened.

A table that isn't ours is refused as a whole: a row that we wrote there, the bot would never see.
"""

import re
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from toolkit.database.connection import ENDS, Database, with_null
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
from toolkit.database.sql import Table, key_range
from toolkit.errors import NoDatabase, StoreError
from toolkit.records import FAMILIES, Raw


async def admit(database: Database, *, read_only: bool) -> bool:
    """Make sure that this is the bot's table; an empty database opened for writing gets it.

    Returns whether it did.
    """
    [(encoding,)] = await _look(database, "PRAGMA encoding")
    if encoding != "UTF-8":
        raise StoreError(f"Can't use the database {database.path}: its text isn't UTF-8.")
    tables = [str(name) for (name,) in await _look(database, _TABLES)]
    made = not tables and not read_only
    if made:
        await database.run(database.table.create)
    columns = [Column(*row) for row in await _look(database, _COLUMNS, database.table.name)]
    _check_columns(database, columns, tables)
    await _check_keys(database, columns)
    await _check_values(database)
    if not read_only:
        _check_writable(database, columns)
        # A savepoint keeps the pages as they were. Else they go through a temporary file, which costs
        # half as much as the writing, and puts the bot's rows into another folder.
        await database.run("PRAGMA temp_store = MEMORY")
    return made


async def _look(database: Database, sql: str, *parameters: Raw) -> list[tuple[Any, ...]]:
    return await database.fetch(sql, parameters, doing="open")


def _check_columns(database: Database, columns: Sequence[Column], tables: Sequence[str]) -> None:
    name = database.table.name
    if not columns:
        others = f"only {_listed(tables)}" if tables else "it is empty"
        raise (StoreError if tables else NoDatabase)(
            f"The database {database.path} has no table {name!r}, {others}: check path and table."
        )
    there = {column.name.lower() for column in columns}
    if missing := [column for column in database.table.needed if column.lower() not in there]:
        raise StoreError(
            f"The table {name!r} of {database.path} has no column {_listed(missing)}, it has "
            f"{_listed([column.name for column in columns])}: name the right ones with key_column "
            "and value_column (--key-column, --value-column)."
        )


async def _check_keys(database: Database, columns: Sequence[Column]) -> None:
    """Refuse a table where a key may stand for several rows, or isn't text."""
    table = database.table
    made = dict(await _look(database, _MADE_BY, table.name))  # nothing for SQLite's own tables
    database.is_view = "view" in made
    if database.is_view:
        if await _look(database, table.repeated, *ENDS * 2):
            database.refuse(REPEATED)
    elif why := why_keys_repeat(columns, await _indexes(database), table.key_column):
        database.refuse(why)
    elif _OWN_WAY.search(made.get("table") or ""):
        database.table = Table(table.name, *table.needed, or_abort=True)
    for key, _ in await _look(database, table.odd_keys, *ENDS):
        database.refuse(why_odd_key(key))


async def _indexes(database: Database) -> list[UniqueIndex]:
    rows = await _look(database, _INDEXES, database.table.name)
    return [
        UniqueIndex(name, bool(partial), tuple(column for *_, column in group))
        for (name, partial), group in groupby(rows, key=lambda row: row[:2])
    ]


async def _check_values(database: Database) -> None:
    """Refuse a table without JSON objects; of each family, as a rule, its first rows tell."""
    seen: list[tuple[str, Raw]] = []
    for family in FAMILIES:
        for limit in (4, 100, -1):
            sample = (*key_range(family), limit)
            rows = with_null(await _look(database, database.table.sample, *sample))
            if len(rows) != limit or any(is_object(raw) for _, raw in rows):
                break
        seen += rows
    if why := why_no_objects(seen):
        database.refuse(why)


def _check_writable(database: Database, columns: Sequence[Column]) -> None:
    table = database.table
    if why := why_not_writable(columns, table.needed, view=database.is_view):
        raise StoreError(
            f"Can't write the table {table.name!r} of {database.path}: {why}; open it with "
            "read_only=True to look only, or name the table that the bot itself writes."
        )


def _listed(names: Sequence[str]) -> str:
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
