"""What stands in a database that no mapping describes yet: its tables, and some rows of each. Only reads."""

import re
import sqlite3
from pathlib import Path
from typing import Any

import msgspec

from toolkit.database.admission import list_tables, unique_indexes
from toolkit.database.connection import Database
from toolkit.database.key_value import KeyValueRows
from toolkit.database.mapped_admission import COLUMNS, MADE_BY, TableColumn, unique_sets
from toolkit.database.sql import Table, quote
from toolkit.database.store import SQLiteStore
from toolkit.errors import StoreError


class Sample(msgspec.Struct, frozen=True):
    """A table or view, and some of its rows: the first and the last ones, or all if there are few.

    `unique` are the sets of columns that are never the same in two rows. Longer texts are cut after `LONGEST`.
    """

    name: str
    columns: tuple[TableColumn, ...]
    unique: tuple[frozenset[str], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    whole: bool = True
    is_view: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in their order."""
        return tuple(column.name for column in self.columns)

    def cells(self, column: str) -> list[Any]:
        """What the rows hold in a column, row by row."""
        place = self.names.index(column)
        return [row[place] for row in self.rows]


class Survey(msgspec.Struct, frozen=True):
    """All that was found; `unread` are tables that SQLite couldn't read, or whose names are no UTF-8."""

    samples: tuple[Sample, ...]
    unread: tuple[str, ...] = ()


SAMPLED = 2_000
"""Rows of a table that are read at most: half of them its first, half its last."""
LONGEST = 4_000


async def survey(path: Path, busy_timeout: float = 5.0) -> Survey:
    """Look into a database, which a bot may have open; leaves nothing behind. Raises `StoreError`."""
    async with _Surveyed(path, busy_timeout) as store:
        return store.found.survey


class _Look(KeyValueRows):
    """Asks nothing of the tables, and looks at all of them instead."""

    survey = Survey(())

    async def admit(self, database: Database, *, read_only: bool) -> bool:
        samples, unread = list[Sample](), list[str]()
        for name in await list_tables(database):
            sample = await _sample(database, name)
            if sample is None:
                unread.append(name)
            else:
                samples.append(sample)
        self.survey = Survey(tuple(samples), tuple(unread))
        return False


class _Surveyed(SQLiteStore):
    def __init__(self, path: Path, busy_timeout: float) -> None:
        super().__init__(path, read_only=True, busy_timeout=busy_timeout)
        self._rows = self.found = _Look(Table("kv", "key", "value"))


async def _sample(database: Database, name: str) -> Sample | None:
    """None for a table that can't be read, such as a virtual one whose module isn't there."""
    try:
        made = await database.fetch(MADE_BY, (name,), doing="read")
        columns = [TableColumn(*row) for row in await database.fetch(COLUMNS, (name,))]
        indexes = await unique_indexes(database, name)
        rows = await _rows(database, name, columns, made)
    except StoreError as error:
        if getattr(error.__cause__, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR:
            return None
        raise
    except UnicodeEncodeError:
        return None
    spelt = {column.name.lower(): column.name for column in columns}
    unique = unique_sets({column.name.lower(): column for column in columns}, indexes)
    return Sample(
        name=name,
        columns=tuple(columns),
        unique=tuple(dict.fromkeys(frozenset(spelt[name] for name in names) for names in unique)),
        rows=tuple(rows[:SAMPLED]),
        whole=len(rows) <= SAMPLED,
        is_view=("view",) in [row[:1] for row in made],
    )


async def _rows(
    database: Database, name: str, columns: list[TableColumn], made: list[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """The first rows, and of a table that numbers them the last ones; one more than `SAMPLED` if there are more."""
    cells = ", ".join(map(_cell, columns))
    table = quote(name)
    [(kind, sql), *_] = made
    if kind == "view" or _UNNUMBERED.search(sql or ""):
        return await database.fetch(f"SELECT {cells} FROM {table} LIMIT {SAMPLED + 1}")  # noqa: S608  # quoted
    half, taken = SAMPLED // 2, {column.name.lower() for column in columns}
    number = min({"rowid", "_rowid_", "oid"} - taken, default="rowid")
    numbered = f"SELECT {number}, {cells} FROM {table} ORDER BY {number}"  # noqa: S608  # quoted
    first = await database.fetch(f"{numbered} LIMIT {half}")
    last = await database.fetch(f"{numbered} DESC LIMIT {half + 1}")
    found = {row[0]: row[1:] for row in (*first, *reversed(last))}
    return list(found.values())


def _cell(column: TableColumn) -> str:
    name = quote(column.name)
    return f"CASE WHEN typeof({name}) IN ('text', 'blob') THEN substr({name}, 1, {LONGEST}) ELSE {name} END"


_UNNUMBERED = re.compile(r"\bWITHOUT\s+ROWID\b|^\s*CREATE\s+VIRTUAL\b", re.IGNORECASE)
