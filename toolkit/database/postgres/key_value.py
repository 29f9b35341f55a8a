"""The bot's key-value table on a server: each row as its text."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from toolkit.aside import aside
from toolkit.database.foreign_table import NAME_ANOTHER, is_object, refusal, why_no_objects
from toolkit.database.key_value import encode_value
from toolkit.database.postgres.admission import Found, check_columns, find_table, has_triggers
from toolkit.database.postgres.connection import Connection, quote
from toolkit.database.postgres.rows import Copied
from toolkit.database.postgres.table import Table, with_null
from toolkit.database.sql import RowChange
from toolkit.errors import StoreError
from toolkit.layout import Layout, TableFacts
from toolkit.records import FAMILIES, Names, Raw


class KeyValueRows:
    """Rows of the three families in one table, under its key and value columns."""

    layout, facts = Layout(), TableFacts()

    def __init__(self, table: str, key_column: str, value_column: str) -> None:
        self._named = table
        self.table = Table(table, key_column, value_column)
        self._oid = 0
        self._rewrites = False

    @property
    def settings(self) -> dict[str, Any]:
        key_column, value_column = self.table.needed
        return {"table": self._named, "key_column": key_column, "value_column": value_column}

    @property
    def label(self) -> str:
        return self._named

    @property
    def create(self) -> str:
        return self.table.create

    @property
    def lock(self) -> str:
        return self.table.lock

    @property
    def copied(self) -> Sequence[Copied]:
        """The two columns; what else a bot keeps there is never written."""
        return [Copied(self.table.quoted, ", ".join(map(quote, self.table.needed)))]

    async def admit(self, connection: Connection, *, read_only: bool) -> None:
        advice = f"check the DSN, or {NAME_ANOTHER}"
        found = await find_table(
            connection, self._named, advice=advice, read_only=read_only, of_others=_OWN_TABLES
        )
        key, value = self.table.needed
        check_columns(connection, self._named, found, (key, value), NAME_ANOTHER)
        if why := _why_not(found, key, value, read_only=read_only):
            self._refuse(connection, why)
        kind = found.columns[value].base
        self.table = Table(found.name, key, value, schema=found.schema, value_type=kind)
        self._oid, self._rewrites = found.oid, kind == "jsonb"
        await self._check_values(connection)

    async def load(self, connection: Connection, about: Names | None) -> list[tuple[str, Raw]]:
        found = await connection.fetch(*self.table.select(about))
        if about is not None:
            return with_null(found)
        return await aside(self._checked, connection, found)

    def _checked(
        self, connection: Connection, found: list[tuple[Any, ...]]
    ) -> list[tuple[str, Raw]]:
        rows = with_null(found)
        if why := why_no_objects(rows):
            self._refuse(connection, why)
        return rows

    async def get(self, connection: Connection, key: str) -> Raw:
        return (await self.some(connection, [key])).get(key)

    async def some(self, connection: Connection, keys: Sequence[str]) -> dict[str, Raw]:
        return dict(with_null(await connection.fetch(*self.table.among(keys))))

    async def keys(self, connection: Connection, prefix: str) -> list[str]:
        return [key for (key,) in await connection.fetch(*self.table.prefixed(prefix))]

    async def put(self, connection: Connection, key: str, value: Mapping[str, Any]) -> None:
        """One that is there is updated, so that nothing is asked of its other columns."""
        update, insert = self.table.set(key, encode_value(key, value))
        changed, _ = await connection.run(*update)
        if changed:
            return
        changed, _ = await connection.run(*insert)
        if not changed:
            raise StoreError(
                f"Can't write the row {key!r} of {connection.name}: a trigger or constraint of the table "
                "ignored it."
            )

    async def change(self, connection: Connection, changes: Sequence[RowChange]) -> bool:
        """All of a kind by one statement, which tells what it has taken."""
        for statement, keys in self.table.changes(changes):
            told = await connection.fetch(*statement, doing="write")
            if len(told) != len(keys):
                return False
        return True

    async def has_triggers(self, connection: Connection) -> bool:
        """Also one that was made since the table was opened; and `jsonb` always writes in its own way."""
        name = self.table.quoted.replace("%%", "%")
        return await has_triggers(connection, self._oid, name) or self._rewrites

    async def _check_values(self, connection: Connection) -> None:
        """Refuse a table without JSON objects; of each family, as a rule, its first rows tell."""
        seen = [row for family in FAMILIES for row in await self._first(connection, family)]
        if why := why_no_objects(seen):
            self._refuse(connection, why)

    async def _first(self, connection: Connection, family: str) -> list[tuple[str, Raw]]:
        """The first rows of a family, as far as the first object if there is one."""
        for limit in (4, 100):
            found = with_null(
                await connection.fetch(*self.table.sample(family, limit), doing="open")
            )
            if len(found) < limit or any(is_object(raw) for _, raw in found):
                return found
        return with_null(await connection.fetch(*self.table.sample(family, None), doing="open"))

    def _refuse(self, connection: Connection, why: str) -> NoReturn:
        what = f"the table {self._named!r} of {connection.name}"
        raise StoreError(refusal(what, why, NAME_ANOTHER))


def _why_not(found: Found, key: str, value: str, *, read_only: bool) -> str | None:
    """What speaks against these two columns."""
    if found.columns[key].base not in _KEYS:
        return f"its column {key!r} is of type {found.columns[key].type}, and no text"
    if found.columns[value].base not in _VALUES:
        return f"its column {value!r} is of type {found.columns[value].type}, and neither text nor JSON"
    if not any(names == {key} for names in found.unique):
        for names in found.unique:
            if others := sorted(names - {key}) if key in names else []:
                return f"its keys are unique only together with {', '.join(map(repr, others))}"
        if any(names == {key} for names in found.partial):
            return "its keys are unique only among some rows (an index is partial)"
        return f"its column {key!r} is neither the PRIMARY KEY, nor UNIQUE at once"
    for name in (key, value):
        if found.columns[name].generated and not read_only:
            return f"its column {name!r} is generated from others"
    return None


_OWN_TABLES = ", or let `matrix-drift fit` propose a mapping of tables of its own"
_KEYS = {"text", "varchar"}
_VALUES = {"text", "varchar", "json", "jsonb"}
