"""Bots of a yard that share a database, each in a table of its own."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing

import psycopg

from tests.bench import text
from tests.fleet.yard import Yard, adrift_rows
from toolkit.testing.postgres import Postgres

SHARED = ("one", "two", "three", "four")
ON_SERVER = ("red", "green", "blue")


def share_file(yard: Yard, url: str) -> None:
    """Four bots in one file, which one of them calls by another name."""
    path = yard.folder / "shared.db"
    (yard.folder / "also.db").symlink_to(path)
    with closing(sqlite3.connect(path)) as database, database:
        for name in SHARED:
            database.execute(f"CREATE TABLE rows_{name} (key TEXT PRIMARY KEY, value TEXT)")
            rows = [(key, text(row)) for key, row in adrift_rows().items()]
            database.executemany(f"INSERT INTO rows_{name} VALUES (?, ?)", rows)
            _add(yard, name, url, "also.db" if name == "two" else "shared.db")
    yard.write()


def share_server(yard: Yard, url: str, dsn: str, names: Iterable[str] = ON_SERVER) -> None:
    """Bots with tables of their own in one database on a server, whose password is in the environment."""
    with psycopg.connect(dsn, autocommit=True) as database:
        for name in names:
            database.execute(f"CREATE TABLE rows_{name} (key text PRIMARY KEY, value text)")
            for key, row in adrift_rows().items():
                database.execute(f"INSERT INTO rows_{name} VALUES (%s, %s)", (key, text(row)))
            _add(yard, name, url, dsn.replace(f":{Postgres.PASSWORD}", ""))
    yard.write()


def _add(yard: Yard, name: str, url: str, database: str) -> None:
    yard.tables[name] = {
        "homeserver": url,
        "database": database,
        "table": f"rows_{name}",
        "access_token_file": "token",
    }


def in_file(yard: Yard, name: str) -> dict[str, str]:
    with closing(sqlite3.connect(yard.folder / "shared.db")) as database:
        return dict(database.execute(f"SELECT key, value FROM rows_{name}").fetchall())


def on_server(dsn: str, name: str) -> dict[str, str]:
    with psycopg.connect(dsn) as database:
        return dict(database.execute(f"SELECT key, value FROM rows_{name}").fetchall())
