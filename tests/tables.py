"""A bot's own tables for tests: made by SQL, looked at to the byte, written by hand-made changes."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import NOW
from toolkit.database.look import load_look
from toolkit.database.store import SQLiteStore
from toolkit.layout import Layout
from toolkit.model import Change, Plan, RowWrite, Status, Unit, UnitKind
from toolkit.records import CHAT, ROOM, Raw, parse_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import Result, new_job
from toolkit.writing.turns import one_at_a_time

TICKETS = """
    CREATE TABLE users (id INTEGER PRIMARY KEY, login TEXT NOT NULL);
    CREATE TABLE tickets (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        user_id INTEGER NOT NULL REFERENCES users (id),
        user_room_id TEXT,
        status TEXT NOT NULL DEFAULT 'open'
    );
    INSERT INTO users VALUES (1, 'anna'), (2, 'ben');
    INSERT INTO tickets (user_id, user_room_id) VALUES (1, NULL), (1, '!two'), (2, '!three');
"""
CONVERSATIONS = """
    CREATE TABLE conversation_to_room (
        matrix_room_id TEXT UNIQUE, conversation_id INTEGER UNIQUE, last_event TEXT
    );
    INSERT INTO conversation_to_room VALUES ('!one', 1, NULL), ('!two', 2, '$x');
"""
PORTALS = """
    CREATE TABLE portal (
        gcid TEXT, gc_receiver TEXT, mxid TEXT UNIQUE, name TEXT,
        name_set BOOLEAN NOT NULL DEFAULT false, PRIMARY KEY (gcid, gc_receiver)
    );
    INSERT INTO portal (gcid, gc_receiver, mxid) VALUES ('space:a', '', '!a'), ('space:b', '', NULL);
"""


def link_layout(table: str, id: Any, room: str, **more: Any) -> Layout:
    """A mapping of one table of links, without evidence."""
    rows = {"link": {"table": table, "id": id, "room": room, **more}}
    return Layout.of(shape={"kind": "links"}, rows=rows)


def tickets(**more: Any) -> Layout:
    return link_layout("tickets", "id", "user_room_id", **more)


def conversations(**more: Any) -> Layout:
    return link_layout("conversation_to_room", "conversation_id", "matrix_room_id", **more)


def portals(**more: Any) -> Layout:
    return link_layout("portal", ["gcid", "gc_receiver"], "mxid", **more)


@dataclass
class Desk:
    """A database with a bot's own tables, and what a test does to it."""

    path: Path
    made: str
    layout: Layout
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executescript(self.made)

    def sql(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Run SQL on a connection of its own, as the bot does."""
        with closing(sqlite3.connect(self.path)) as database, database:
            return database.execute(statement, parameters).fetchall()

    def dump(self) -> list[str]:
        """Everything that the database holds, to the byte."""
        with closing(sqlite3.connect(self.path)) as database:
            return list(database.iterdump())

    def store(self, **options: Any) -> SQLiteStore:
        return SQLiteStore(self.path, layout=self.layout, busy_timeout=0.05, **options)

    async def rows(self) -> dict[str, Raw]:
        async with self.store(read_only=True) as store:
            return dict(await store.load_rows())

    async def write(self, *units: Mapping[str, Raw]) -> Result:
        """Write rows, key -> text, each unit as planned from the rows as they are."""
        async with self.store() as store, one_at_a_time(store):
            look = await load_look(store)
            made = tuple(
                Unit(
                    id=f"!unit{number}",
                    kind=UnitKind.ROOM,
                    status=Status.MISSING,
                    findings=(),
                    change=Change(
                        tuple(RowWrite(key, look.rows.get(key), raw) for key, raw in rows.items())
                    ),
                )
                for number, rows in enumerate(units)
            )
            plan = Plan(account="@bot:hs", joined=(), units=made)
            return await apply_changes(new_job(plan, made, look, "test", NOW), store, None)


def outcome(result: Result, number: int = 0) -> tuple[str, str]:
    found = result.outcomes[f"!unit{number}"]
    return found.state, found.detail


CHAT_TABLES = """
    CREATE TABLE users (mxid TEXT PRIMARY KEY, space TEXT, next INTEGER NOT NULL, vip TEXT DEFAULT 'no');
    CREATE TABLE rooms (id TEXT PRIMARY KEY, n INTEGER, title TEXT, mxid TEXT, space TEXT);
    CREATE TABLE chats (mxid TEXT, n INTEGER, room TEXT, name TEXT, bot TEXT NOT NULL, PRIMARY KEY (mxid, n));
"""
_NUMBER = {"column": "n", "prefix": "C"}
CHAT_ROWS: dict[str, Any] = {
    "user": {
        "table": "users",
        "user_id": "mxid",
        "space_id": "space",
        "next_chat_index": "next",
    },
    "room": {
        "table": "rooms",
        "room_type": {"fixed": "chat"},
        "room_id": "id",
        "chat_id": _NUMBER,
        "display_name": "title",
        "matrix_user_id": "mxid",
        "space_id": "space",
    },
    "chat": {
        "table": "chats",
        "user_id": "mxid",
        "chat_id": _NUMBER,
        "platform": {"fixed": "matrix"},
        "surface_ref": "room",
        "name": "name",
        "where": {"bot": "me"},
    },
}
CHATS = Layout.of(rows=CHAT_ROWS)


def fill_chats(desk: Desk, rows: Mapping[str, Any]) -> None:
    """The rows as the bot would have stored them."""
    for key, row in rows.items():
        name = parse_key(key)
        number = int(row["chat_id"][1:]) if "chat_id" in row else None
        if name.family == CHAT:
            told = (row["surface_ref"], row["name"])
            desk.sql("INSERT INTO chats VALUES (?, ?, ?, ?, 'me')", name.user, number, *told)
        elif name.family == ROOM:
            owned = (row["display_name"], row["matrix_user_id"], row["space_id"])
            desk.sql("INSERT INTO rooms VALUES (?, ?, ?, ?, ?)", name.room_id, number, *owned)
        else:
            told = (row["space_id"], row["next_chat_index"])
            desk.sql("INSERT INTO users (mxid, space, next) VALUES (?, ?, ?)", name.user, *told)
