"""What stands in an SQLite file that no mapping describes yet: its tables, and some rows of each. Only reads.

Views are left out: no bot writes there, and to read a few rows of one may take as long as all.
"""

import re
import sqlite3
from pathlib import Path
from typing import Any

from toolkit.database.admission import list_tables, unique_indexes
from toolkit.database.connection import Database
from toolkit.database.key_value import KeyValueRows
from toolkit.database.mapped_admission import COLUMNS, MADE_BY, TableColumn, unique_sets
from toolkit.database.sample import LONGEST, SAMPLED, Column, Sample, Survey, untold
from toolkit.database.sql import Table, quote
from toolkit.database.store import SQLiteStore
from toolkit.errors import StoreError


class FileSite:
    """A file that is looked into; a bot may have it open."""

    remark = ""

    def __init__(self, path: Path, busy_timeout: float = 5.0) -> None:
        self._path, self._busy_timeout = path, busy_timeout

    @property
    def name(self) -> str:
        return str(self._path)

    @property
    def setting(self) -> str:
        return str(self._path)

    async def survey(self) -> Survey:
        async with _Surveyed(self._path, self._busy_timeout) as store:
            return store.found.survey

    def store(self, **settings: Any) -> SQLiteStore:
        return SQLiteStore(self._path, read_only=True, **settings)


class _Look(KeyValueRows):
    """Asks nothing of the tables, and looks at all of them instead."""

    survey = Survey(())

    async def admit(self, database: Database, *, read_only: bool) -> bool:
        views = {name for (name,) in await database.fetch(_VIEWS, doing="open")}
        names = [name for name in await list_tables(database) if name not in views]
        found = {name: await _sample(database, name) for name in names}
        samples = tuple(sample for sample in found.values() if sample)
        unread = [name for name in found if found[name] is None]
        self.survey = Survey(samples, (untold(unread, "couldn't be read"),) if unread else ())
        return False


class _Surveyed(SQLiteStore):
    def __init__(self, path: Path, busy_timeout: float) -> None:
        super().__init__(path, read_only=True, busy_timeout=busy_timeout)
        self._rows = self.found = _Look(Table("kv", "key", "value"))


async def _sample(database: Database, name: str) -> Sample | None:
    """None for a table that can't be read, such as a virtual one whose module isn't there."""
    try:
        [(_, made)] = await database.fetch(MADE_BY, (name,), doing="read")
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
        columns=tuple(_as_mapped(column, columns) for column in columns),
        unique=tuple(dict.fromkeys(frozenset(spelt[name] for name in names) for names in unique)),
        rows=tuple(rows[:SAMPLED]),
        whole=len(rows) <= SAMPLED,
    )


async def _rows(
    database: Database, name: str, columns: list[TableColumn], made: str
) -> list[tuple[Any, ...]]:
    """The first rows, and of a table that numbers them the last ones; one more than `SAMPLED` if there are more."""
    cells = ", ".join(map(_cell, columns))
    table = quote(name)
    if _UNNUMBERED.search(made):
        return await database.fetch(f"SELECT {cells} FROM {table} LIMIT {SAMPLED + 1}")  # noqa: S608  # quoted
    half, taken = SAMPLED // 2, {column.name.lower() for column in columns}
    number = min({"rowid", "_rowid_", "oid"} - taken, default="rowid")
    numbered = f"SELECT {number}, {cells} FROM {table} ORDER BY {number}"  # noqa: S608  # quoted
    first = await database.fetch(f"{numbered} LIMIT {half}")
    last = await database.fetch(f"{numbered} DESC LIMIT {half + 1}")
    found = {row[0]: row[1:] for row in (*first, *reversed(last))}
    return list(found.values())


def _as_mapped(column: TableColumn, columns: list[TableColumn]) -> Column:
    primary = [one for one in columns if one.primary]
    numbered = primary == [column] and column.type.upper() == "INTEGER"
    given = column.default is not None or column.generated or numbered
    return Column(
        column.name,
        integer=column.integer,
        boolean="BOOL" in column.type.upper(),
        needed=bool(column.required) and not given,
    )


def _cell(column: TableColumn) -> str:
    name = quote(column.name)
    return (
        f"CASE typeof({name}) WHEN 'text' THEN substr({name}, 1, {LONGEST}) "
        f"WHEN 'blob' THEN CASE WHEN length({name}) <= {LONGEST} THEN {name} END ELSE {name} END"
    )


_VIEWS = "SELECT name FROM sqlite_master WHERE type = 'view'"
_UNNUMBERED = re.compile(r"\bWITHOUT\s+ROWID\b|^\s*CREATE\s+VIRTUAL\b", re.IGNORECASE)
