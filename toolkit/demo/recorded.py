"""The demo's world as it once was on a real Synapse: shipped with the package, the same for everybody.

`demo.snapshot` holds both sides, `demo.json` what a snapshot has no place for: which room is whose, and
the bot's rows that are none of the toolkit's business. `python -m toolkit.demo.record` makes both.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

from toolkit.demo.world import DemoWorld
from toolkit.records import NULL, Raw
from toolkit.sources.snapshot import Snapshot, load_snapshot
from toolkit.testing.fake import FakeHomeserver
from toolkit.testing.synapse import Account
from toolkit.testing.world import Event

SNAPSHOT = Path(__file__).with_name("demo.snapshot")
LABELS = Path(__file__).with_name("demo.json")

_DEVICE = "RECORDED"


class Served(NamedTuple):
    """What a bot is given: where its homeserver is, its access token, its database."""

    url: str
    token: str
    database: Path


@dataclass(frozen=True, slots=True)
class Recorded:
    """Both sides; `users` and `rooms` by label as in `DEMO_DRIFT`, `others` rows of no family."""

    snapshot: Snapshot
    users: Mapping[str, str]
    rooms: Mapping[str, str]
    others: Mapping[str, Raw]

    @classmethod
    def load(cls) -> Self:
        """The one that is shipped."""
        return cls(load_snapshot(SNAPSHOT), **json.loads(LABELS.read_bytes()))

    @property
    def rows(self) -> dict[str, Raw]:
        """Every row of the bot's database, in the order of the keys."""
        return dict(sorted({**self.snapshot.rows, **self.others}.items()))

    def write_database(self, path: Path) -> None:
        """Make the bot's database; what a row holds is as it was, be it JSON or not."""
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
            rows = [(key, None if raw is NULL else raw) for key, raw in self.rows.items()]
            database.executemany("INSERT INTO kv VALUES (?, ?)", rows)

    def world(self, served: Served) -> DemoWorld:
        """The same as a real demo has, with what a planner must say about it."""
        users = {name: Account(mxid, _DEVICE, "") for name, mxid in self.users.items()}
        bot = Account(self.snapshot.account, _DEVICE, served.token)
        return DemoWorld(served.url, bot, users, self.rooms, served.database)


@contextmanager
def serve_recorded(directory: Path, recorded: Recorded | None = None) -> Iterator[Served]:
    """Serve the recorded rooms on 127.0.0.1, with a fresh database in `directory`."""
    recorded = recorded or Recorded.load()
    database = directory / "bot.db"
    recorded.write_database(database)
    with serve_rooms(recorded.snapshot.rooms, recorded.snapshot.account) as server:
        yield Served(server.url, server.access_token, database)


@contextmanager
def serve_rooms(
    rooms: Mapping[str, bytes] | Mapping[str, list[Event]], account: str
) -> Iterator[FakeHomeserver]:
    """Serve rooms to an account, with a new token.

    A thread with a loop of its own serves, so that whoever blocks his own is answered all the same:
    a cell with `!matrix-drift check` in it, say.
    """
    token = secrets.token_hex(16)
    server = FakeHomeserver(dict(rooms), user_id=account, access_token=token, device_id=_DEVICE)
    with _running_loop() as loop:
        asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result()
        try:
            yield server
        finally:
            asyncio.run_coroutine_threadsafe(server.__aexit__(None, None, None), loop).result()


@contextmanager
def _running_loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    # A daemon: Python waits for other threads before it runs what `atexit` holds, the end of this one.
    thread = threading.Thread(target=loop.run_forever, name="recorded homeserver", daemon=True)
    thread.start()
    try:
        yield loop
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
