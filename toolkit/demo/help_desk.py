"""A help desk whose users make the rooms, after a bad night: the world of lesson 6.

The bot marks each room by a state event, and remembers it in a row of a table of its own.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from toolkit.demo.recorded import serve_rooms
from toolkit.testing.world import World

BOT = "@desk:example.org"
TABLE = """
    CREATE TABLE conversation_to_room (
        matrix_room_id TEXT UNIQUE, conversation_id INTEGER UNIQUE, last_event TEXT
    );
"""
ROWS = (
    ("!anna:example.org", 11, "$a7"),
    ("!carl:example.org", 13, "$c4"),
    ("!dora-before:example.org", 14, "$d2"),
    ("!finn:example.org", 16, "$f9"),
)
_EVENT = "org.example.desk.conversation"


@dataclass(frozen=True, slots=True)
class HelpDesk:
    """Where its homeserver and its database are; shown as one line that is the same every time."""

    homeserver: str
    access_token: str = field(repr=False)
    database: Path
    account: str = BOT

    def __repr__(self) -> str:
        return f"A help desk: {len(make_rooms().rooms)} rooms, {len(ROWS)} rows."

    async def fit(self) -> str:
        """The mapping that `matrix-drift fit` prints for its database."""
        bot = {"MATRIX_HOMESERVER": self.homeserver, "MATRIX_ACCESS_TOKEN": self.access_token}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "import toolkit.cli; toolkit.cli.main()"),
            *("fit", str(self.database)),
            cwd=self.database.parent,  # where no settings of the reader's lie
            env={**os.environ, **bot},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        page, _ = await process.communicate()
        return page.decode()


def make_rooms() -> World:
    """Its rooms: Ben's row was never saved, Carl's room was upgraded, Dora's row is of an old backup,
    Erik's conversation has two rooms, one of which he has left, Eve forged Anna's event, and Finn's room was left."""
    world = World(BOT)
    conversations = {"anna": 11, "ben": 12, "carl": 13, "dora": 14, "erik": 15, "erik-again": 15}
    for name, number in conversations.items():
        user = f"@{name.partition('-')[0]}:example.org"
        room = world.room(f"!{name}:example.org", creator=user, members=[user], name="Help!")
        world.event(room, _EVENT, {"conversation_id": number})
    world.member("!erik:example.org", "@erik:example.org", "leave")
    world.upgrade("!carl:example.org", "!carl-upgraded:example.org", by="@carl:example.org")
    eve = "@eve:example.org"
    world.room("!eve:example.org", creator=eve, members=[eve], name="Help!")
    world.event("!eve:example.org", _EVENT, {"conversation_id": 11}, sender=eve)
    world.room("!team:example.org", name="The desk's own room")
    return world


@contextmanager
def serve_help_desk(directory: Path) -> Iterator[HelpDesk]:
    """Serve its rooms on 127.0.0.1, with its database in `directory`."""
    database = directory / "desk.db"
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.executescript(TABLE)
        connection.executemany("INSERT INTO conversation_to_room VALUES (?, ?, ?)", ROWS)
    with serve_rooms(make_rooms().rooms, BOT) as server:
        yield HelpDesk(server.url, server.access_token, database)
