"""A small bot for tests of the writer: a world, a database file to the byte, and one run over both."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

from tests.scenario import right_rows
from toolkit import ChatManager
from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatContext
from toolkit.database.contract import Store
from toolkit.database.look import Look, load_look
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Choices, Plan, RemoteState, Unit
from toolkit.planning.plan import plan_repairs
from toolkit.records import Raw, chat_key, load_records, new_chat_row, room_key, user_key
from toolkit.testing import World
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import Result, new_job

BOT, ALICE, BOB = "@bot:hs", "@alice:hs", "@bob:hs"
TOKEN = "fake-token"
A1, A2, B1 = room_key("!a1"), room_key("!a2"), room_key("!b1")
C1, C2, CB = chat_key(ALICE, "C1"), chat_key(ALICE, "C2"), chat_key(BOB, "C1")
UA, UB = user_key(ALICE), user_key(BOB)
NOW = datetime(2026, 11, 22, 22, 3, 45, tzinfo=UTC)
Rows = dict[str, Any]


def small_world() -> World:
    """Alice with two chats, Bob with one."""
    world = World(BOT)
    world.space("!alice", owner=ALICE)
    world.chat("!a1", "!alice", "Чат 1", owner=ALICE)
    world.chat("!a2", "!alice", "Чат 2", owner=ALICE)
    world.space("!bob", owner=BOB)
    world.chat("!b1", "!bob", "Чат 1", owner=BOB)
    return world


def small_rows() -> Rows:
    """All rows of the small world, right."""
    alice = right_rows(ALICE, "!alice", {"C1": "!a1", "C2": "!a2"})
    return {**alice, **right_rows(BOB, "!bob", {"C1": "!b1"})}


def text(row: Any) -> Raw:
    """A row as the bot's own json.dumps writes it, other values as they are."""
    return json.dumps(row, ensure_ascii=False) if isinstance(row, Mapping) else row


@dataclass
class Bench:
    """The bot's two sides, and what a test does to them."""

    path: Path
    world: World = field(default_factory=small_world)
    convention: Convention = field(default_factory=Convention)
    _seconds: Iterator[int] = field(default_factory=count)

    def fill(self, rows: Mapping[str, Any], mode: str = "DELETE") -> None:
        """Make the database file."""
        with closing(sqlite3.connect(self.path)) as database:
            database.execute(f"PRAGMA journal_mode={mode}")
            database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        self.put(rows)

    def put(self, rows: Mapping[str, Any]) -> None:
        """Write rows as the bot does, on a connection of its own; None deletes."""
        with closing(sqlite3.connect(self.path)) as database, database:
            for key, row in rows.items():
                raw = text(row)
                if raw is None:
                    database.execute("DELETE FROM kv WHERE key = ?", (key,))
                    continue
                value = "CAST(? AS TEXT)" if isinstance(raw, str) else "?"
                if isinstance(raw, str):
                    raw = raw.encode("utf-8", "surrogateescape")
                database.execute(f"INSERT OR REPLACE INTO kv VALUES (?, {value})", (key, raw))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL on a connection of its own."""
        with closing(sqlite3.connect(self.path)) as database, database:
            return database.execute(statement).fetchall()

    def bytes(self) -> dict[str, tuple[str, bytes]]:
        """Every row: SQLite's type of the value, and its bytes."""
        found = self.sql("SELECT key, typeof(value), CAST(value AS BLOB) FROM kv")
        return {key: (kind, value) for key, kind, value in found}

    def row(self, key: str) -> Any:
        """One row as its bot reads it, None if it isn't there."""
        found = self.bytes().get(key)
        return None if found is None else json.loads(found[1])

    @property
    def journal(self) -> Path:
        return self.path.with_name(f"{self.path.name}.matrix-drift.jsonl")

    def backups(self) -> list[Path]:
        return sorted(self.path.parent.glob("*.backup"))

    def remote(self) -> RemoteState:
        """The homeserver's side, through the real decoder."""
        rooms = {
            room_id: decode_room(room_id, self.world.state(room_id), None)
            for room_id in self.world.rooms
        }
        return RemoteState(BOT, rooms)

    def plan(self, look: Look, *, choices: Mapping[str, Choices] | None = None) -> Plan:
        local = load_records(look.rows.items())
        return plan_repairs(self.remote(), local, self.convention, choices, lower_counters=True)

    async def run(
        self,
        store: Store,
        chat_mgr: Any = None,
        *,
        meanwhile: Callable[[], object] = lambda: None,
        choices: Mapping[str, Choices] | None = None,
        only: Iterable[str] | None = None,
        **more: Any,
    ) -> Result:
        """Look, plan, let something happen, and apply all changes, or `only` those of some units."""
        look = await load_look(store)
        plan = self.plan(look, choices=choices)
        meanwhile()
        units: list[Unit] = [unit for unit in plan.units if unit.change]
        if only is not None:
            units = [unit for unit in units if unit.id in set(only)]
        now = NOW + timedelta(seconds=next(self._seconds))  # a run's name tells the second
        return await apply_changes(new_job(plan, units, look, "test", now, **more), store, chat_mgr)


def states(result: Result) -> dict[str, str]:
    """What became of each unit, in a word."""
    return {unit: outcome.state for unit, outcome in result.outcomes.items()}


class SyncManager:
    """A bot's own manager: no relation to the toolkit's, its own connection, its own text."""

    def __init__(self, path: Path, **wrong: str) -> None:
        self.path, self.wrong = path, wrong
        self.called: list[str] = []

    def get_or_create(
        self, user_id: str, chat_id: str, platform: str, surface_ref: str, name: str | None = None
    ) -> None:
        self.called.append(surface_ref)
        row = new_chat_row(user_id, chat_id, platform, surface_ref, name or "") | self.wrong
        with closing(sqlite3.connect(self.path, timeout=1)) as database, database:
            pair = (chat_key(user_id, chat_id), json.dumps({"mine": 1.0, **row}))
            database.execute("INSERT INTO kv VALUES (?, ?) ON CONFLICT DO NOTHING", pair)


class Mine(ChatManager):
    """The toolkit's manager with something of the bot's around it."""

    async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
        context = await super().get_or_create(*args, **named)
        await self.store.set(f"audit:{context.chat_id}", {"room": context.surface_ref})
        return context
