"""The statements on the bot's key-value table on a server. Pure.

Keys are compared under the collation C beside the table's own: an index serves only the latter, which may
take two keys for the same. Values are compared as text, whatever holds them: to `jsonb`, 1.0 is 1.00.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from toolkit.database.postgres.connection import quote, quote_table
from toolkit.database.sql import RowChange, like_pattern
from toolkit.errors import StoreError
from toolkit.quotes import quote_odd
from toolkit.records import (
    CHAT,
    FAMILIES,
    NULL,
    ROOM,
    USER,
    Names,
    Raw,
    chat_key,
    room_key,
    user_key,
)


class Statement(NamedTuple):
    """SQL with its parameters."""

    sql: str
    parameters: tuple[Any, ...] = ()


class Table:
    """The names of the bot's table and columns, and the statements on them.

    `schema` and the type of the value column are known once the database is open.
    """

    def __init__(
        self,
        name: str,
        key_column: str,
        value_column: str,
        *,
        schema: str = "",
        value_type: str = "text",
    ) -> None:
        self.name, self.key_column, self.value_column = name, key_column, value_column
        self.quoted = f"{quote(schema)}.{quote(name)}" if schema else quote_table(name)
        key, value = f"t.{quote(key_column)}", f"t.{quote(value_column)}"
        self.create = (
            f"CREATE TABLE {self.quoted} ({quote(key_column)} text PRIMARY KEY, "
            f"{quote(value_column)} {value_type})"
        )
        self._key, self._exact, self._text = key, f'{key} COLLATE "C"', f"{value}::text"
        self._rows = f"SELECT {key}, {self._text} FROM {self.quoted} AS t"
        self._families = " OR ".join(map(self._begins, FAMILIES))
        columns = f"{quote(key_column)}, {quote(value_column)}"
        same = f"{key} = u.key AND {self._exact} = u.key"
        as_it_was = f'{same} AND ({self._text}) COLLATE "C" IS NOT DISTINCT FROM u.before'
        told = f"RETURNING {key}, {self._text}"
        after = f"u.after::{value_type}"
        self._insert = (
            f"INSERT INTO {self.quoted} AS t ({columns}) SELECT u.key, {after} FROM {_PAIRS} "
            f"ON CONFLICT ({quote(key_column)}) DO NOTHING {told}"
        )
        self._update = (
            f"UPDATE {self.quoted} AS t SET {quote(value_column)} = {after} "
            f"FROM {_TRIPLES} WHERE {as_it_was} {told}"
        )
        self._delete = f"DELETE FROM {self.quoted} AS t USING {_TRIPLES} WHERE {as_it_was} {told}"
        self._set = (
            f"UPDATE {self.quoted} AS t SET {quote(value_column)} = {after} "
            f"FROM {_PAIRS} WHERE {same}"
        )
        self._add = (
            f"INSERT INTO {self.quoted} AS t ({columns}) SELECT u.key, {after} FROM {_PAIRS} "
            f"ON CONFLICT ({quote(key_column)}) DO UPDATE SET "
            f"{quote(value_column)} = EXCLUDED.{quote(value_column)} "
            f'WHERE {self._exact} = EXCLUDED.{quote(key_column)} COLLATE "C"'
        )

    @property
    def needed(self) -> tuple[str, str]:
        """The two columns that it must have."""
        return self.key_column, self.value_column

    @property
    def lock(self) -> str:
        """Readers go on, writers wait, and so does who has locked rows: nothing slips in, and no deadlock.

        A weaker lock lets a bot that holds `FOR UPDATE` wait for us while we wait for it.
        """
        return f"LOCK TABLE {self.quoted} IN EXCLUSIVE MODE"

    def select(self, about: Names | None) -> Statement:
        """All rows of the families, or those that concern some names. Never user by user: no index serves."""
        if about is None:
            return Statement(f"{self._rows} WHERE {self._families}")
        about = Names(frozenset(_stored(about.rooms)), frozenset(_stored(about.users)))
        keys = [*map(room_key, about.rooms), *map(user_key, about.users)]
        terms, values = [f"{self._exact} = ANY(%s::text[])"], list[Any]([sorted(keys)])
        for user in sorted(about.users):
            terms.append(f"starts_with({self._exact}, %s)")
            values.append(chat_key(user, ""))
        for family, names in ((CHAT, about.rooms), (USER, about.rooms), (ROOM, about.users)):
            if names:
                holds = f'({self._text}) COLLATE "C" LIKE ANY(%s::text[])'
                terms.append(f"({self._begins(family)} AND {holds})")
                values.append(sorted(map(like_pattern, names)))
        return Statement(f"{self._rows} WHERE {' OR '.join(terms)}", tuple(values))

    def sample(self, family: str, limit: int | None) -> Statement:
        """The first rows of a family."""
        return Statement(f"{self._rows} WHERE {self._begins(family)} LIMIT %s", (limit,))

    def among(self, keys: Sequence[str]) -> Statement:
        """The rows under these keys, and under those that the table takes for the same."""
        return Statement(
            f"{self._rows} WHERE {self._key} = ANY(%s::text[])",
            ([_storable(key, key) for key in keys],),
        )

    def prefixed(self, prefix: str) -> Statement:
        """The keys that begin so. LIKE would be no prefix search, and a range none under ICU."""
        sql = f"SELECT {self._key} FROM {self.quoted} AS t WHERE starts_with({self._exact}, %s)"
        return Statement(sql, (_storable(prefix, prefix),))

    def set(self, key: str, text: str) -> tuple[Statement, Statement]:
        """What sets a row that is there, and what makes it if none is."""
        values = ([_storable(key, key)], [_storable(key, text)])
        return Statement(self._set, values), Statement(self._add, values)

    def changes(self, rows: Sequence[RowChange]) -> list[tuple[Statement, list[str]]]:
        """The few statements that make these changes, with the keys that each must tell of."""
        kinds: dict[str, list[RowChange]] = {}
        for row in rows:
            kinds.setdefault(self._kind(row), []).append(row)
        return [
            (self._change(sql, group), [row.key for row in group]) for sql, group in kinds.items()
        ]

    def _kind(self, row: RowChange) -> str:
        if row.before is None and row.after is None:
            raise ValueError("a change from no row to no row is none")
        if row.before is None:
            return self._insert
        return self._delete if row.after is None else self._update

    def _change(self, sql: str, rows: Sequence[RowChange]) -> Statement:
        keys = [_storable(row.key, row.key) for row in rows]
        before = [_storable(row.key, row.before) for row in rows]
        after = [_storable(row.key, row.after) for row in rows]
        values = (keys, after) if sql is self._insert else (keys, before, after)
        return Statement(sql, values)

    def _begins(self, prefix: str) -> str:
        return f"starts_with({self._exact}, '{prefix}')"


def with_null(rows: list[tuple[Any, ...]]) -> list[tuple[str, Raw]]:
    """Rows as the server gives them, where None is a stored NULL."""
    for place, (key, raw) in enumerate(rows):
        if raw is None:
            rows[place] = key, NULL
    return rows


def _storable(key: str, raw: Raw) -> str | None:
    """A text as a parameter, None for NULL. `StoreError` for what SQLite may hold, and a server can't."""
    if raw is None or raw is NULL:
        return None
    if why := why_not_storable(raw):
        raise StoreError(f"Can't use the row {quote_odd(key)}: {why}.")
    return str(raw)


def _stored(names: Iterable[str]) -> list[str]:
    """Those that a row may hold at all; a homeserver may name others."""
    return [name for name in names if not why_not_storable(name)]


def why_not_storable(raw: object) -> str:
    """Why a value can't be stored as text on a server, if it can't."""
    if not isinstance(raw, str):
        return "only text can be stored there"
    if "\0" in raw:
        return "PostgreSQL stores no text with a NUL in it"
    try:
        raw.encode()
    except UnicodeEncodeError:
        return "it isn't UTF-8, and PostgreSQL stores no such text"
    return ""


# In binary: as text, psycopg would escape each quote of each row's JSON.
_PAIRS = "unnest(%b::text[], %b::text[]) AS u(key, after)"
_TRIPLES = "unnest(%b::text[], %b::text[], %b::text[]) AS u(key, before, after)"
