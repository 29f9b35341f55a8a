"""Ids that a bot's table tells of, for a shell that completes them: quick, and of nobody else's locks.

Whatever can't be read in a moment is no name: nobody waits for an error behind a half-typed word.
"""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from toolkit.database.sql import Table, quote
from toolkit.layout import Cell, Layout
from toolkit.records import CHAT, ROOM, USER, decode_object, parse_key

MANY = 5_000
"""Rows of a family that are looked at; with what is typed of an id, those that begin so."""
PATIENCE = 0.2


def local_names(database: Path, table: Table, begun: str) -> list[str]:
    """Users and rooms that begin so: by the keys of their rows, and by where chat rows point."""
    found: set[str] = set()
    with contextlib.suppress(*_UNREADABLE), _opened(database) as connection:
        for name in _names(connection, table, begun):
            found.add(name)
    return sorted(name for name in found if name.startswith(begun))


def mapped_names(database: Path, layout: Layout, begun: str) -> list[str]:
    """Users and rooms in the columns of a mapping that hold what units are called by."""
    return _cells(database, list(_naming(layout)), begun)


def local_ids(database: Path, layout: Layout, before: Sequence[str], begun: str) -> list[str]:
    """Ids of a table of links; of a composite one the next part, after those that stand `before` it."""
    link = layout.link
    if len(before) >= len(link.ids):
        return []
    given: dict[str, Cell] = dict(zip(link.ids, before, strict=False))
    return _cells(database, [(link.table, link.ids[len(before)], {**link.where, **given})], begun)


_UNREADABLE = (sqlite3.Error, OSError, ValueError)
_Column = tuple[str, str, dict[str, Cell]]
"""A table, one of its columns, and what must stand in others of the row."""


def _naming(layout: Layout) -> Iterator[_Column]:
    if layout.links:
        yield layout.link.table, layout.link.room, layout.link.where
    for table in layout.families.values():
        for name, place in table.fields.items():
            if name in ("user_id", "room_id", "surface_ref") and place.column:
                yield table.table, place.column, table.where


def _cells(database: Path, columns: Iterable[_Column], begun: str) -> list[str]:
    """The texts and numbers there that begin so; of each column a few thousand."""
    found: set[str] = set()
    with contextlib.suppress(*_UNREADABLE), _opened(database) as connection:
        for table, column, where in columns:
            name = f"CAST({quote(column)} AS TEXT)"
            terms = [f"substr({name}, 1, ?) = ?"]
            # As texts: an id is typed as one, whatever its column holds.
            terms += [f"CAST({quote(other)} AS TEXT) IS CAST(? AS TEXT)" for other in where]
            sql = f"SELECT DISTINCT {name} FROM {quote(table)} WHERE {' AND '.join(terms)} LIMIT {MANY}"  # noqa: S608  # quoted
            rows = connection.execute(sql, (len(begun), begun, *where.values()))
            found.update(cell for (cell,) in rows)
    return sorted(found)


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    uri = f"{database.resolve().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as connection:
        connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
        yield connection


def _names(connection: sqlite3.Connection, table: Table, begun: str) -> Iterator[str]:
    for family in (USER, ROOM):
        for key, _ in _rows(connection, table, family + begun):
            yield key.removeprefix(family)
    for key, value in _rows(connection, table, CHAT):
        yield parse_key(key).user or ""
        with contextlib.suppress(ValueError, TypeError):
            yield str((decode_object(value) or {}).get("surface_ref") or "")


def _rows(
    connection: sqlite3.Connection, table: Table, prefix: str
) -> Iterator[tuple[str, str | bytes]]:
    rows = connection.execute(*table.prefixed(prefix))
    yield from ((str(key), value) for key, value in islice(rows, MANY))
