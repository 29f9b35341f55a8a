"""The bot's key-value table: each row as it is stored. What is asked of it when it is opened is in `admission`."""

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from toolkit.aside import aside
from toolkit.database.admission import admit
from toolkit.database.connection import Database
from toolkit.database.foreign_table import (
    NAME_ANOTHER,
    REPEATED,
    refusal,
    why_no_objects,
    why_odd_key,
)
from toolkit.database.sql import (
    ENDS,
    RowChange,
    Table,
    encode,
    key_range,
    set_parameters,
    with_null,
)
from toolkit.errors import StoreError
from toolkit.layout import Layout, TableFacts
from toolkit.records import NULL, Names, Raw, encode_row


class KeyValueRows:
    """Rows of the three families in one table, under its key and value columns."""

    layout, facts = Layout(), TableFacts()

    def __init__(self, table: Table) -> None:
        self.table = table
        self.is_view = False

    @property
    def settings(self) -> dict[str, Any]:
        table = self.table
        return {
            "table": table.name,
            "key_column": table.key_column,
            "value_column": table.value_column,
        }

    async def admit(self, database: Database, *, read_only: bool) -> bool:
        return await admit(database, self, read_only=read_only)

    async def load(self, database: Database, about: Names | None) -> list[tuple[str, Raw]]:
        if about is not None:
            return list(dict(with_null(await database.fetch(*self.table.about(about)))).items())
        return await aside(
            self._checked, database, await database.fetch(self.table.families, ENDS * 2)
        )

    def _checked(self, database: Database, found: list[tuple[Any, ...]]) -> list[tuple[str, Raw]]:
        if odd := next((key for key, _ in found if type(key) is bytes), None):
            self.refuse(database, why_odd_key(odd))
        rows = with_null(found)
        if self.is_view and len(dict(rows)) < len(rows):
            self.refuse(database, REPEATED)
        if why := why_no_objects(rows):
            self.refuse(database, why)
        return rows

    async def get(self, database: Database, key: str) -> Raw:
        rows = await database.fetch(self.table.get, (encode(key),))
        if not rows:
            return None
        return NULL if rows[0][0] is None else rows[0][0]

    async def some(self, database: Database, keys: Sequence[str]) -> dict[str, Raw]:
        found: dict[str, Raw] = {}
        for start in range(0, len(keys), _AT_ONCE):
            some = tuple(map(encode, keys[start : start + _AT_ONCE]))
            found.update(with_null(await database.fetch(self.table.among(len(some)), some)))
        return found

    async def keys(self, database: Database, prefix: str) -> list[str]:
        return [key for (key,) in await database.fetch(self.table.keys, key_range(prefix))]

    async def put(self, database: Database, key: str, value: Mapping[str, Any]) -> None:
        """One that is there is updated, so that nothing is asked of its other columns."""
        text = encode_value(key, value)
        parameters, alone = set_parameters(key, text), not database.in_transaction
        if await database.run_many(self.table.update, [parameters]):
            return
        try:
            taken = await database.run_many(self.table.insert, [parameters])
        except StoreError as error:
            # Another program may have been faster; and its row needs no other column from us.
            refused = isinstance(error.__cause__, sqlite3.IntegrityError)
            if not (refused and alone and await database.run_many(self.table.update, [parameters])):
                raise
            return
        if not taken and await database.fetch(self.table.get, (encode(key),)) not in _forms(text):
            raise StoreError(
                f"Can't write the row {key!r} of {database.path}: a trigger or constraint of the table "
                "ignored it."
            )

    async def change(self, database: Database, changes: Sequence[RowChange]) -> bool:
        """Many rows in one call are cheap, many calls aren't: each crosses into SQLite's thread."""
        for sql, parameters in self.table.changes(changes):
            if await database.run_many(sql, parameters) != len(parameters):
                return False
        return True

    async def has_triggers(self, database: Database) -> bool:
        """Whether the table does more than it is told."""
        return bool(await database.fetch(TRIGGERS, (self.table.name,)))

    def refuse(self, database: Database, why: str) -> NoReturn:
        """Say that the table, as it is, can't be used at all."""
        raise StoreError(
            refusal(f"the table {self.table.name!r} of {database.path}", why, NAME_ANOTHER)
        )


def encode_value(key: str, value: Mapping[str, Any]) -> str:
    """A row's text; `StoreError` for what JSON can't hold."""
    try:
        return encode_row(value)
    except ValueError as error:
        raise StoreError(f"Can't write the row {key!r}: {error}.") from None


def _forms(text: str) -> list[list[tuple[Raw]]]:
    """How a single row with this value may come back."""
    return [[(text,)], [(encode(text),)]]


TRIGGERS = """SELECT 1 FROM sqlite_master
    WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE LIMIT 1"""
_AT_ONCE = 500  # parameters of one statement; older versions of SQLite take 999
