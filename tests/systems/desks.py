"""Two bots that are in no package index: a support bot and a help desk, as such bots are written.

Each keeps one link, makes its rooms by the API, and can end at the moment at which such bots lose one.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from toolkit.testing import ApiUser

TICKETS = """
    CREATE TABLE "Users" (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id VARCHAR(80) NOT NULL UNIQUE);
    CREATE TABLE "Tickets" (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        status VARCHAR(20) NOT NULL DEFAULT 'open',
        user_id VARCHAR(80) NOT NULL REFERENCES "Users" (user_id),
        user_room_id VARCHAR(80) UNIQUE
    );
    CREATE TABLE "Notes" (
        id INTEGER PRIMARY KEY, ticket_id INTEGER NOT NULL REFERENCES "Tickets" (id), text TEXT
    );
"""
CONVERSATIONS = """
    CREATE TABLE conversation_to_room (
        matrix_room_id TEXT UNIQUE, conversation_id INTEGER UNIQUE, last_event TEXT
    );
"""
CONVERSATION = "org.example.desk.conversation"


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("PRAGMA foreign_keys = ON")
        yield database


class SupportBot:
    """A ticket gets its number first, then the room is made, then the room is written down."""

    def __init__(self, bot: ApiUser, path: Path) -> None:
        self.bot, self.path = bot, path
        with opened(path) as database:
            database.executescript(TICKETS)

    def ticket(self, user: ApiUser, *, crash: bool = False) -> str:
        """Open one; a crash comes between making the room and writing it down."""
        login = user.user_id.partition(":")[0][1:]
        with opened(self.path) as database:
            database.execute('INSERT OR IGNORE INTO "Users" (user_id) VALUES (?)', (user.user_id,))
            told = database.execute('INSERT INTO "Tickets" (user_id) VALUES (?)', (user.user_id,))
            number = told.lastrowid
        room = self.bot.create_room(name=f"Ticket #{number} ({login})", invite=[user.user_id])
        if not crash:
            with opened(self.path) as database:
                values: tuple[Any, ...] = (room, number)
                database.execute('UPDATE "Tickets" SET user_room_id = ? WHERE id = ?', values)
        return room


class HelpDesk:
    """A user makes a room and invites the bot, which marks it and remembers it."""

    def __init__(self, bot: ApiUser, path: Path) -> None:
        self.bot, self.path, self.count = bot, path, 0
        with opened(path) as database:
            database.executescript(CONVERSATIONS)

    def conversation(self, user: ApiUser, *, crash: bool = False, **room: Any) -> str:
        """Begin one; a crash comes between marking the room and remembering it."""
        powers = {"users": {user.user_id: 100, self.bot.user_id: 50}}
        made = user.create_room(
            invite=[self.bot.user_id],
            room_version="11",
            power_level_content_override=powers,
            **room,
        )
        self.bot.join(made)
        self.count += 1
        self.mark(made, self.count)
        if not crash:
            with opened(self.path) as database:
                values = (made, self.count, "$last")
                database.execute("INSERT INTO conversation_to_room VALUES (?, ?, ?)", values)
        return made

    def mark(self, room: str, number: object) -> str:
        return self.bot.put_state(room, CONVERSATION, {"conversation_id": number})
