"""What tables of a bot's own must be before rows are read from them, looked at once when they are opened.

A mapping that doesn't fit is refused in one sentence: what was found, and what to do.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NoReturn

import msgspec
from msgspec.structs import replace

from toolkit.database.admission import keep_in_memory, list_tables, listed, unique_indexes
from toolkit.database.connection import Database
from toolkit.database.foreign_table import UniqueIndex
from toolkit.database.virtual_rows import Table, tables_of
from toolkit.errors import StoreError
from toolkit.layout import Layout, TableFacts


class TableColumn(msgspec.Struct, frozen=True):
    """A column, as SQLite's `table_xinfo` tells it."""

    name: str
    type: str
    required: int
    default: str | None
    primary: int
    hidden: int

    @property
    def generated(self) -> bool:
        """Worked out from other columns."""
        return self.hidden in (2, 3)

    @property
    def integer(self) -> bool:
        """Whether it holds integers (SQLite, "Determination of column affinity")."""
        return "INT" in self.type.upper()

    @property
    def real(self) -> bool:
        """Whether it makes floating point numbers of integers."""
        words = ("CHAR", "CLOB", "TEXT", "INT")
        told = self.type.upper()
        return not any(w in told for w in words) and any(
            w in told for w in ("REAL", "FLOA", "DOUB")
        )

    @property
    def textual(self) -> bool:
        """Whether a number that is put there becomes a text."""
        return not self.integer and any(w in self.type.upper() for w in ("CHAR", "CLOB", "TEXT"))


async def admit(
    database: Database, layout: Layout, *, read_only: bool
) -> tuple[dict[str, Table], TableFacts]:
    """The tables, with what the database adds to the mapping; `StoreError` for one that doesn't fit."""
    names = await list_tables(database)
    found: dict[str, Table] = {}
    facts = TableFacts()
    for family, table in tables_of(layout).items():
        look = _Look(database, table, layout, names)
        found[family], facts = await look.admit(read_only=read_only)
    if any([await _has_keys(database, names, table) for table in found.values()]):
        await database.run("PRAGMA foreign_keys = ON")
    if not read_only:
        await keep_in_memory(database)
    return found, facts


class _Look:
    """One table, while it is looked at."""

    def __init__(
        self, database: Database, table: Table, layout: Layout, names: Sequence[str]
    ) -> None:
        self.database, self.table, self.layout, self.names = database, table, layout, names
        self.columns: dict[str, TableColumn] = {}

    async def admit(self, *, read_only: bool) -> tuple[Table, TableFacts]:
        name = self.table.name
        rows = await self.fetch(COLUMNS, name)
        self.columns = {row[0].lower(): TableColumn(*row) for row in rows}
        self._check_columns()
        made = await self.fetch(MADE_BY, name)
        is_view = any(kind == "view" for kind, _ in made)
        deferred = any(_DEFERRED.search(sql or "") for _, sql in made)
        indexes = await unique_indexes(self.database, name)
        if not is_view:
            self._check_unique(indexes)
        why_no_write = self._why_no_write(is_view=is_view, deferred=deferred)
        if why_no_write and not read_only:
            self.refuse(why_no_write, _LOOK_ONLY)
        why = why_no_write or self._why_no_insert(indexes)
        if why and not read_only and not self.layout.links:
            self.refuse(f"nothing can be inserted there: {why}", _CONSTANTS)
        mapped = {column.lower() for column in self.table.columns}
        table = replace(
            self.table,
            texts=frozenset(c for c in self.table.columns if self.columns[c.lower()].textual),
            fresh=self._fresh(mapped),
            children=await self._children(),
        )
        integers = frozenset(c for c in self.table.columns if self.columns[c.lower()].integer)
        return table, TableFacts(why, integers, why_no_write)

    async def fetch(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        return await self.database.fetch(sql, parameters, doing="open")

    def _check_columns(self) -> None:
        if not self.columns:
            others = f"only {listed(self.names)}" if self.names else "it is empty"
            raise StoreError(
                f"The database {self.database.path} has no table {self.table.name!r}, {others}: "
                f"check the path, and table in {self._where}."
            )
        table = self.table
        wanted = [*table.columns, *table.where, *table.constants]
        if missing := [column for column in wanted if column.lower() not in self.columns]:
            raise StoreError(
                f"The table {table.name!r} of {self.database.path} has no column {listed(missing)}, it "
                f"has {listed([c.name for c in self.columns.values()])}: name the right ones in "
                f"{self._where}."
            )

    def _check_unique(self, indexes: Sequence[UniqueIndex]) -> None:
        table = self.table
        wanted = (*(table.columns if self.layout.links else table.key_columns), *table.where)
        mapped = {column.lower() for column in wanted}
        if not any(columns <= mapped for columns in self._unique(indexes)):
            self.refuse(self._why_repeated(indexes, mapped), _TELL_APART)

    def _unique(self, indexes: Sequence[UniqueIndex]) -> list[set[str]]:
        return unique_sets(self.columns, indexes)

    def _why_repeated(self, indexes: Sequence[UniqueIndex], mapped: set[str]) -> str:
        for index in indexes:
            if index.partial and {(name or "").lower() for name in index.columns} <= mapped:
                return f"its rows are unique only among some of them (the index {index.name!r} is partial)"
        for columns in self._unique(indexes):
            others = [self.columns[name].name for name in sorted(columns - mapped)]
            return f"its rows are unique only together with {listed(others)}"
        return "neither the id nor the room is unique in it"

    def _why_no_write(self, *, is_view: bool, deferred: bool) -> str:
        """Why its rows can only be looked at; empty if they can be written."""
        if is_view:
            return "it is a view, which can only be read"
        if deferred:
            return _WHEN_IT_ENDS
        table, link = self.table, self.layout.rows.link
        written = (link.room,) if link else table.columns
        generated = [name for name in written if self.columns[name.lower()].generated]
        return f"its column {generated[0]!r} is generated from others" if generated else ""

    def _why_no_insert(self, indexes: Sequence[UniqueIndex]) -> str:
        """Why no row can be made by what is mapped; empty if one can."""
        table, link = self.table, self.layout.rows.link
        given = (*link.ids, link.room) if link else table.columns
        for name in given:
            column = self.columns[name.lower()]
            if column.generated:
                return f"its column {column.name!r} is generated from others"
            if link and name in link.ids and column.real:
                return f"its column {column.name!r} holds floating point numbers, which are no ids"
            if link and column.type.upper() == "INTEGER" and self._is_number_of_row(column):
                return f"its column {column.name!r} is numbered by the database itself"
        told = {name.lower() for name in (*given, *table.where)}
        if not any(columns <= told for columns in self._unique(indexes)):
            return "nothing keeps a second row of the same id away"
        told |= {name.lower() for name in table.constants}
        needed = [
            column.name
            for name, column in self.columns.items()
            if name not in told and column.required and column.default is None
            if not (column.generated or self._is_number_of_row(column))
        ]
        return f"its column {listed(needed)} needs a value" if needed else ""

    def _is_number_of_row(self, column: TableColumn) -> bool:
        """An INTEGER PRIMARY KEY, which SQLite fills in itself."""
        primary = [c for c in self.columns.values() if c.primary]
        return primary == [column] and column.type.upper() == "INTEGER"

    def _fresh(self, mapped: set[str]) -> dict[str, str]:
        """What an inserted row holds in columns that nobody gives, as far as that stands there as a constant."""
        told = mapped | {name.lower() for name in (*self.table.where, *self.table.constants)}
        return {
            column.name: column.default or "NULL"
            for name, column in self.columns.items()
            if name not in told and not column.generated and not self._is_number_of_row(column)
            if column.default is None or _CONSTANT.fullmatch(column.default)
        }

    async def _children(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """Columns of other tables that name rows of this one, of each foreign key."""
        primary = sorted((c.primary, c.name) for c in self.columns.values() if c.primary)
        found: dict[tuple[str, int], list[tuple[str, str]]] = {}
        for child in self.names:
            for number, place, column, parent in await self.fetch(
                _POINTING, child, self.table.name
            ):
                pairs = found.setdefault((child, number), [])
                pairs.append((column, parent or primary[place][1]))
        return tuple((child, tuple(pairs)) for (child, _), pairs in found.items())

    @property
    def _where(self) -> str:
        families = {"chat:": "chat", "matrix_room:": "room", "matrix_user:": "user"}
        return f"[rows.{families.get(self.table.family, 'link')}]"

    def refuse(self, why: str, advice: str) -> NoReturn:
        raise StoreError(
            f"Can't use the table {self.table.name!r} of {self.database.path}: {why}; "
            f"{advice.format(self._where)}."
        )


def unique_sets(
    columns: Mapping[str, TableColumn], indexes: Sequence[UniqueIndex]
) -> list[set[str]]:
    """The sets of columns, in small letters, that are never the same in two rows."""
    primary = {name for name, column in columns.items() if column.primary}
    found = [primary] if primary else []
    for index in indexes:
        names = {(name or "").lower() for name in index.columns}
        if not index.partial and "" not in names:
            found.append(names)
    return found


async def _has_keys(database: Database, names: Iterable[str], table: Table) -> bool:
    """Whether the table has foreign keys, or another has one on it."""
    if table.children:
        return True
    return bool(await database.fetch(_KEYS, (table.name,), doing="open"))


_TELL_APART = "name in {} the columns that tell its rows apart (a further one may stand in show), or all of them"
_WHEN_IT_ENDS = (
    "its foreign keys are looked at when a transaction ends, where one wrong row would "
    "take all others with it"
)
_LOOK_ONLY = (
    "open it with read_only=True to look only, or name the table that the bot itself writes in {}"
)
_CONSTANTS = "give it in insert = {{ column = value }} of {}"
COLUMNS = """SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)
    WHERE hidden <> 1"""
MADE_BY = """SELECT type, sql FROM sqlite_master
    WHERE type IN ('table', 'view') AND name = ? COLLATE NOCASE"""
_KEYS = "SELECT 1 FROM pragma_foreign_key_list(?) LIMIT 1"
_POINTING = """SELECT id, seq, "from", "to" FROM pragma_foreign_key_list(?)
    WHERE "table" = ? COLLATE NOCASE ORDER BY id, seq"""
_DEFERRED = re.compile(r"\bINITIALLY\s+DEFERRED\b", re.IGNORECASE)
_CONSTANT = re.compile(
    r"NULL|TRUE|FALSE|[-+]?\s*[0-9.]+(?:e[-+]?[0-9]+)?|'(?:[^']|'')*'|x'[0-9a-f]*'", re.IGNORECASE
)
