"""The statements on the bot's table, and how keys and values become their parameters. Pure.

Text goes to SQLite as bytes in a `CAST(? AS TEXT)` where it may not be UTF-8, so that such a row can
be compared and repaired as well; bytes alone would be a BLOB, which equals no text.
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

from toolkit.errors import StoreError
from toolkit.records import (
    CHAT,
    FAMILIES,
    NULL,
    ROOM,
    USER,
    Names,
    Raw,
    chat_key,
    parse_key,
    room_key,
    user_key,
)


class RowChange(NamedTuple):
    """A row as it must be found, and as it is to be left; None is no row, NULL a stored NULL."""

    key: str
    before: Raw
    after: Raw


_TEXT = "CAST(? AS TEXT)"
_NO_ROW, _PLAIN, _CAST = "NULL", "?{}", "CAST(?{} AS TEXT)"
_A_FEW = 1000  # rows are looked at to see how a family's values are stored


class Table:
    """The names of the bot's table and columns, and the statements on them.

    `or_abort` is for a table that settles conflicts in its own way, such as by deleting another row.
    """

    def __init__(
        self, name: str, key_column: str, value_column: str, *, or_abort: bool = False
    ) -> None:
        self.name, self.key_column, self.value_column = name, key_column, value_column
        self._columns = table, key, value = quote(name), quote(key_column), quote(value_column)
        self._or = " OR ABORT" if or_abort else ""
        within = self._within("?", "?")
        family = f"SELECT {key}, {value} FROM {table} WHERE {within}"
        # Each BLOB sorts after all text, so that these are no text keys.
        odd = f"SELECT {key}, NULL FROM {table} WHERE {key} >= ? AND {key} < ?"
        self.create = f"CREATE TABLE IF NOT EXISTS {table} ({key} TEXT PRIMARY KEY, {value} TEXT)"
        self.get = f"SELECT {value} FROM {table} WHERE {key} = {_TEXT}"
        self.keys = f"SELECT {key} FROM {table} WHERE {within}"
        self.sample = f"{family} LIMIT ?"
        self.families = _union([family, odd])
        self.odd_keys = _union([odd])
        self.repeated = (
            f"SELECT 1 FROM ({self.families}) GROUP BY {key} COLLATE BINARY HAVING count(*) > 1"
        )
        self.update = f"UPDATE{self._or} {table} SET {value} = {self._as_it_was()} {self._keyed()}"
        self.insert = (
            f"INSERT{self._or} INTO {table} ({key}, {value}) "
            f"SELECT CAST(?1 AS TEXT), {self._as_others()} WHERE true "
            f"ON CONFLICT ({key}) DO UPDATE SET {value} = excluded.{value} "
            f"WHERE {table}.{key} = excluded.{key}"  # an index may ignore case where the column doesn't
        )

    @property
    def needed(self) -> tuple[str, str]:
        """The two columns that it must have."""
        return self.key_column, self.value_column

    def among(self, count: int) -> str:
        """The rows under so many keys, and under those that the table takes for the same."""
        table, key, value = self._columns
        keys = ", ".join([_TEXT] * count)
        return f"SELECT {key}, {value} FROM {table} WHERE {key} IN ({keys})"

    def about(self, names: Names) -> tuple[str, tuple[Raw, ...]]:
        """The rows that concern these rooms and users, found by key, by prefix and by what they hold; and
        how each family stores its values, which new rows must be like. With its parameters.
        """
        keys = [*map(room_key, sorted(names.rooms)), *map(user_key, sorted(names.users))]
        parts: list[tuple[str, tuple[Raw, ...]]] = [(self.among(len(keys)), _encoded(keys))]
        parts += [self.prefixed(chat_key(user, "")) for user in sorted(names.users)]
        named = {CHAT: names.rooms, USER: names.rooms, ROOM: names.users}
        parts += [self._holding(family, ids) for family, ids in named.items() if ids]
        parts += [self._first(family) for family in FAMILIES]
        sql = " UNION ALL ".join(f"SELECT * FROM ({part})" for part, _ in parts)
        return sql, tuple(value for _, values in parts for value in values)

    def prefixed(self, prefix: str) -> tuple[str, tuple[Raw, ...]]:
        """The rows whose keys begin so, with its parameters."""
        table, key, value = self._columns
        within = self._within("?", "?")
        return f"SELECT {key}, {value} FROM {table} WHERE {within}", key_range(prefix)

    def _holding(self, family: str, ids: Iterable[str]) -> tuple[str, tuple[Raw, ...]]:
        """Rows of a family in whose text one of the ids may stand. No index tells, but to look at a
        row's text takes a tenth of fetching and reading it."""
        patterns = list(map(like_pattern, sorted(ids)))
        rows, ends = self.prefixed(family)
        # Only as text: on BLOBs, LIKE may be built to find nothing.
        text = f"CAST({self._columns[2]} AS TEXT) LIKE ?"
        return f"{rows} AND ({' OR '.join([text] * len(patterns))})", (*ends, *patterns)

    def _first(self, family: str) -> tuple[str, tuple[Raw, ...]]:
        """A row of the family that is text, or if there is none, a BLOB."""
        rows, ends = self.prefixed(family)
        texts, blobs = (f"{rows} AND typeof({self._columns[2]}) = '{t}'" for t in ("text", "blob"))
        sql = (
            f"SELECT * FROM ({texts} LIMIT 1) UNION ALL "
            f"SELECT * FROM ({blobs} AND NOT EXISTS ({texts}) LIMIT 1)"
        )
        return sql, ends * 3

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
                f"INSERT{self._or} INTO {table} ({key_column}, {value}) SELECT {key}, {after} "
                f"WHERE ?2 IS NULL ON CONFLICT ({key_column}) DO NOTHING"
            )
        if after == _NO_ROW:
            return f"DELETE FROM {table} {where} AND ?3 IS NULL"
        return f"UPDATE{self._or} {table} SET {value} = {after} {where}"

    def _within(self, start: str, end: str) -> str:
        """A range of keys. One without an end ends at x'', because all text sorts before any BLOB.

        LIKE would be no prefix search: it ignores case, and `_` stands for any character.
        """
        exact = f"{self._columns[1]} COLLATE BINARY"
        return f"{exact} >= CAST({start} AS TEXT) AND {exact} < coalesce(CAST({end} AS TEXT), x'')"

    def _keyed(self) -> str:
        return f"WHERE {self._columns[1]} = CAST(?1 AS TEXT)"

    # What is set as ?2 is text or a BLOB, as the row was or, with none of them, as others of its family
    # (from ?3 to ?4) are: a bot may read only one of the two.

    def _as_it_was(self) -> str:
        kind = f"typeof({self._columns[2]})"
        return (
            f"CASE {kind} WHEN 'text' THEN CAST(?2 AS TEXT) WHEN 'blob' THEN ?2 "
            f"ELSE {self._as_others()} END"
        )

    def _as_others(self) -> str:
        every = " OR ".join(self._within(*map(_literal, key_range(f))) for f in FAMILIES)
        kind = f"coalesce({self._kind(self._within('?3', '?4'))}, {self._kind(every)})"
        return f"CASE {kind} WHEN 'blob' THEN ?2 ELSE CAST(?2 AS TEXT) END"

    def _kind(self, where: str) -> str:
        table, _, value = self._columns
        some = f"SELECT typeof({value}) AS kind FROM {table} WHERE {where} LIMIT {_A_FEW}"
        found = f"EXISTS (SELECT 1 FROM ({some}) WHERE kind = "
        return f"CASE WHEN {found}'text') THEN 'text' WHEN {found}'blob') THEN 'blob' END"


def key_range(prefix: str) -> tuple[bytes, bytes | None]:
    """The first text with this prefix, and the first one after all of them (None: there is none).

    SQLite compares text by its bytes, so the end is the prefix with its last byte increased.
    """
    start = encode(prefix)
    body = start.rstrip(b"\xff")
    return start, body[:-1] + bytes([body[-1] + 1]) if body else None


def like_pattern(text: str) -> str:
    """What any row's text matches in which this id stands, however it is escaped there.

    Encoders write letters, digits and these signs as they are; of the rest each has its own opinion.

    >>> like_pattern("!a-b:hs"), like_pattern("@жора/1:hs")
    ('%!a-b:hs%', '%@%1:hs%')
    """
    return f"%{_MAY_BE_ESCAPED.sub('%', text)}%"


def with_null(rows: list[tuple[Any, ...]]) -> list[tuple[str, Raw]]:
    """Rows as SQLite gives them, where None is a stored NULL."""
    for place, (key, raw) in enumerate(rows):
        if raw is None:
            rows[place] = key, NULL
    return cast(list[tuple[str, Raw]], rows)


def set_parameters(key: str, text: str) -> tuple[Raw, ...]:
    """What `update` and `insert` need to set a row."""
    return encode(key), encode(text), *key_range(parse_key(key).family)


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


def _encoded(texts: Iterable[str]) -> tuple[Raw, ...]:
    return tuple(map(encode, texts))


ENDS = tuple(end for family in FAMILIES for end in key_range(family))
_MAY_BE_ESCAPED = re.compile(r"[^A-Za-z0-9.:@!_-]+")

decode = partial(str, encoding="utf-8", errors="surrogateescape")


def _union(selects: Sequence[str]) -> str:
    """Each of these for each of the families; the parameters are the families' ends, as often."""
    return " UNION ALL ".join(select for select in selects for _ in FAMILIES)


def _literal(text: bytes | None) -> str:
    return "NULL" if text is None else f"x'{text.hex()}'"


def quote(name: str) -> str:
    """A table or column name, whatever is in it, as SQL."""
    return '"' + name.replace('"', '""') + '"'
