"""Ids that a bot's table tells of, for a shell that completes them: quick, and of nobody else's locks.

Whatever can't be read in a moment is no name: nobody waits for an error behind a half-typed word.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from toolkit.database.sql import Table
from toolkit.records import CHAT, ROOM, USER, decode_object, parse_key

MANY = 5_000
"""Rows of a family that are looked at; with what is typed of an id, those that begin so."""
PATIENCE = 0.2


def local_names(database: Path, table: Table, begun: str) -> list[str]:
    """Users and rooms that begin so: by the keys of their rows, and by where chat rows point."""
    found: set[str] = set()
    with contextlib.suppress(sqlite3.Error, OSError, ValueError):
        uri = f"{database.resolve().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=PATIENCE)) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            for name in _names(connection, table, begun):
                found.add(name)
    return sorted(name for name in found if name.startswith(begun))


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
