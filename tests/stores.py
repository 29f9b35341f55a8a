"""Databases that the contract of a store is tested on, each with what another program does to it.

Another kind of store takes part by a class of its own in `PLACES`: `tests/database/test_contract*` run on each.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from toolkit.database.contract import TransactionalStore
from toolkit.database.store import SQLiteStore

ODD_TEXTS = [
    '{"n": 1,  "n": 2}',
    '{"z": 1, "a": 1.0, "e": 1E2}',
    '{"o": "\\u0000\\ud800", "t": "\\ttab\u2028"}',
    '  {"a":"é\U0001f600"}\n',
    '{"deep": ' + "[" * 60 + "]" * 60 + "}",
    "{",
    "null",
    "[]",
    "",
    "NULL",
    '{"n": NaN}',
]
"""Texts that a bot's row may hold, of which a store must keep each to the letter."""


class Place(Protocol):
    """A database with the bot's empty table, as this program and another one reach it."""

    odd: Sequence[str | bytes]
    """Rows that another program may have written there, and that must stay as they are."""

    def store(self, **options: Any) -> TransactionalStore:
        """A store on it, which isn't open; it waits for a lock no longer than a moment."""

    def put(self, rows: Mapping[str, str | bytes | None]) -> None:
        """Write rows as another program; None deletes."""

    def texts(self) -> dict[str, str | bytes]:
        """All rows, as another program reads them."""

    def change_by_trigger(self) -> None:
        """Have the database itself add a field `seen` to each row that is written from now on."""

    def refuse_by_trigger(self, key: str) -> None:
        """Have the database itself refuse whatever is written under this key from now on."""

    def locked(self) -> AbstractContextManager[None]:
        """Another program is writing, and takes its time."""

    def backups(self) -> set[str]:
        """The backups that there are, as the store names them."""

    def elsewhere(self) -> Place:
        """Another database of the same kind."""

    def absent(self) -> TransactionalStore:
        """A store on a database, or a table, that isn't there."""


class SQLitePlace:
    """A file."""

    odd: Sequence[str | bytes] = [*ODD_TEXTS, b'{"blob": 1}', b"\xff\x00"]

    def __init__(self, folder: Path) -> None:
        self.path = folder / "bot.db"
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")

    def store(self, **options: Any) -> TransactionalStore:
        return SQLiteStore(self.path, **{"busy_timeout": 0.05, **options})

    def put(self, rows: Mapping[str, str | bytes | None]) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            gone = [(key,) for key, text in rows.items() if text is None]
            database.executemany("DELETE FROM kv WHERE key = ?", gone)
            there = [(key, text) for key, text in rows.items() if text is not None]
            database.executemany("INSERT OR REPLACE INTO kv VALUES (?, ?)", there)

    def texts(self) -> dict[str, str | bytes]:
        with closing(sqlite3.connect(self.path)) as database:
            return dict(database.execute("SELECT key, value FROM kv"))

    def change_by_trigger(self) -> None:
        change = "UPDATE kv SET value = json_set(value, '$.seen', 1) WHERE key = NEW.key"
        with closing(sqlite3.connect(self.path)) as database, database:
            for when in ("INSERT", "UPDATE"):
                database.execute(f"CREATE TRIGGER on_{when} AFTER {when} ON kv BEGIN {change}; END")

    def refuse_by_trigger(self, key: str) -> None:
        refuse = f"WHEN NEW.key = '{key}' BEGIN SELECT RAISE(ABORT, 'no'); END"
        with closing(sqlite3.connect(self.path)) as database, database:
            for when in ("INSERT", "UPDATE"):
                database.execute(f"CREATE TRIGGER no_{when} BEFORE {when} ON kv {refuse}")

    @contextmanager
    def locked(self) -> Iterator[None]:
        with closing(sqlite3.connect(self.path, isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            yield

    def backups(self) -> set[str]:
        return {str(path) for path in self.path.parent.glob("*.backup")}

    def elsewhere(self) -> Place:
        folder = self.path.parent / "elsewhere"
        folder.mkdir()
        return SQLitePlace(folder)

    def absent(self) -> TransactionalStore:
        return SQLiteStore(self.path.with_name("absent.db"))


PLACES: dict[str, type[Any]] = {"sqlite": SQLitePlace}
"""By name; each is made from an empty folder."""
