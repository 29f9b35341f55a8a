"""Another program at the bot's database: what it stores there, and what it finds."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolkit.records import NULL, Raw

RUN = "20261122T220345Z-3f2a"
NOT_UTF8 = b'{"name": "\xff"}'
ESCAPED = NOT_UTF8.decode("utf-8", "surrogateescape")
BAD_KEY = b"matrix_room:\xff".decode("utf-8", "surrogateescape")


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, which commits each statement."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as connection:
        yield connection


class Stop(Exception):
    """Leaves a transaction or savepoint, as an error in it would."""


def stopped() -> pytest.RaisesExc[Stop]:
    return pytest.raises(Stop)


def put(path: Path, key: Raw, value: Raw, sql: str = "INSERT INTO kv VALUES (?, ?)") -> None:
    with raw(path) as connection:
        connection.execute(sql, (key, None if value is NULL else value))


def put_text(path: Path, key: bytes, value: bytes) -> None:
    put(path, key, value, "INSERT INTO kv VALUES (CAST(? AS TEXT), CAST(? AS TEXT))")


def stored(path: Path) -> list[tuple[Any, Any]]:
    with raw(path) as connection:
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        rows = connection.execute("SELECT key, value FROM kv ORDER BY key").fetchall()
    return [(key, NULL if value is None else value) for key, value in rows]
