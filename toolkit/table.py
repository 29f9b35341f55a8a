"""The statements on the bot's table, and how keys and values become their parameters. Pure.

Text goes to SQLite as bytes in a `CAST(? AS TEXT)` where it may not be UTF-8, so that such a row can
be compared and repaired as well; bytes alone would be a BLOB, which equals no text.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from toolkit.errors import StoreError
from toolkit.records import FAMILIES, NULL, Raw


class RowChange(NamedTuple):
    """A row as it must be found, and as it is to be left; None is no row, NULL a stored NULL."""

    key: str
    before: Raw
    after: Raw


_TEXT = "CAST(? AS TEXT)"
_NO_ROW, _PLAIN, _CAST = "NULL", "?{}", "CAST(?{} AS TEXT)"


class Table:
    """The names of the bot's table and columns, and the statements on them."""

    def __init__(self, name: str, key_column: str, value_column: str) -> None:
        self.name, self.key_column, self.value_column = name, key_column, value_column
        self._columns = table, key, value = _quote(name), _quote(key_column), _quote(value_column)
        # LIKE would be no prefix search: it ignores case, and `_` stands for any character. A range
        # without an end ends at x'', because all text sorts before any BLOB.
        exact = f"{key} COLLATE BINARY"
        within = f"{exact} >= {_TEXT} AND {exact} < coalesce({_TEXT}, x'')"
        family = f"SELECT {key}, {value} FROM {table} WHERE {within}"
        self.create = f"CREATE TABLE IF NOT EXISTS {table} ({key} TEXT PRIMARY KEY, {value} TEXT)"
        self.get = f"SELECT {value} FROM {table} WHERE {key} = {_TEXT}"
        self.keys = f"SELECT {key} FROM {table} WHERE {within}"
        self.families = " UNION ALL ".join([family] * len(FAMILIES))
        self.upsert = (
            f"INSERT INTO {table} ({key}, {value}) VALUES ({_TEXT}, {_TEXT}) "
            f"ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value}"
        )

    def changes(self, rows: Sequence[RowChange]) -> list[tuple[str, list[tuple[Raw, ...]]]]:
        """The few statements that make these changes, each with the parameters of all its rows."""
        grouped: dict[tuple[str, ...], list[tuple[Raw, ...]]] = {}
        for row in rows:
            grouped.setdefault(tuple(map(_kind, row)), []).append(row)
        return [(self._change(*kinds), _bind(kinds, group)) for kinds, group in grouped.items()]

    def _change(self, *kinds: str) -> str:
        """The SQL of one kind of change; its parameters are 1 key, 2 before, 3 after."""
        table, key_column, value = self._columns
        key, before, after = (kind.format(number) for number, kind in enumerate(kinds, 1))
        where = f"WHERE {key_column} = {key} AND {value} IS {before}"
        if before == after == _NO_ROW:
            raise ValueError("a change from no row to no row is none")
        if before == _NO_ROW:
            return (
                f"INSERT INTO {table} ({key_column}, {value}) SELECT {key}, {after} "
                f"WHERE ?2 IS NULL ON CONFLICT ({key_column}) DO NOTHING"
            )
        if after == _NO_ROW:
            return f"DELETE FROM {table} {where} AND ?3 IS NULL"
        return f"UPDATE {table} SET {value} = {after} {where}"


def key_range(prefix: str) -> tuple[bytes, bytes | None]:
    """The first text with this prefix, and the first one after all of them (None: there is none).

    SQLite compares text by its bytes, so the end is the prefix with its last byte increased.
    """
    start = encode(prefix)
    body = start.rstrip(b"\xff")
    return start, body[:-1] + bytes([body[-1] + 1]) if body else None


def _kind(raw: Raw) -> str:
    """How a value is bound, as SQL to be numbered."""
    if raw is None:
        return _NO_ROW
    if raw is NULL:
        return _CAST  # which leaves NULL what it is
    if isinstance(raw, str):
        try:
            raw.encode()
        except UnicodeEncodeError:
            return _CAST
    return _PLAIN


def _bind(kinds: tuple[str, ...], group: list[tuple[Raw, ...]]) -> list[tuple[Raw, ...]]:
    """The rows as parameters: themselves, but for NULL and for text that isn't UTF-8."""
    if _CAST not in kinds:
        return group
    return [tuple(map(_bind_one, kinds, row)) for row in group]


def _bind_one(kind: str, raw: Raw) -> Raw:
    if raw is NULL:
        return None
    return encode(raw) if isinstance(raw, str) and kind == _CAST else raw


def encode(text: str) -> bytes:
    """The bytes of a text, surrogate escapes included; no row can hold any other surrogate."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise StoreError("A key or value that holds a lone surrogate can't be stored.") from None


decode = partial(str, encoding="utf-8", errors="surrogateescape")


def _quote(name: str) -> str:
    """A table or column name, whatever is in it, as SQL."""
    return '"' + name.replace('"', '""') + '"'
