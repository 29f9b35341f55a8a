"""Bots and users with rooms on a real Synapse, nio clients that are measured, and the bot's database."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nio
import pytest

import toolkit.cli
from tests.clients import nio_client
from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManager
from toolkit.database.store import SQLiteStore
from toolkit.reconcile import reconcile_matrix_state
from toolkit.records import chat_key, new_chat_row, room_key, user_key
from toolkit.testing import ApiUser, RecordingProxy, Synapse
from toolkit.writing.report import Report

API, VERSIONS = "/_matrix/client/v3", "/_matrix/client/versions"
SLIDING = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"
SLIDING_BODY = (
    b'{"conn_id":"matrix-drift","lists":{"rooms":{"ranges":[[0,999]],'
    b'"required_state":[["*","*"]],"timeline_limit":0}}}'
)
WRITTEN = (
    "restored_user_meta",
    "repaired_user_meta",
    "restored_room_meta",
    "repaired_room_meta",
    "restored_chat_rows",
    "repaired_chat_rows",
)
Rows = dict[str, dict[str, Any]]


@dataclass
class Home:
    """A bot on the shared Synapse, with users of its own and rooms by label."""

    hs: Synapse
    bot: ApiUser
    people: Mapping[str, ApiUser]
    rooms: dict[str, str] = field(default_factory=dict)

    @property
    def via(self) -> dict[str, Any]:
        return {"via": [self.hs.server_name]}

    def user(self, name: str) -> str:
        return self.people[name].user_id

    def space(self, name: str, version: str = "12", join: bool = True, **more: Any) -> str:
        made = self.bot.create_room(
            name=f"Чаты {name}",
            room_version=version,
            creation_content={"type": "m.space"},
            invite=[self.user(name)],
            **more,
        )
        if join:
            self.people[name].join(made)
        self.rooms[f"{name}/space"] = made
        return made

    def chat(
        self, name: str, number: int, version: str = "12", space: str = "space", **more: Any
    ) -> str:
        space = self.rooms[f"{name}/{space}"]
        parent = {"type": "m.space.parent", "state_key": space, "content": self.via}
        made = self.bot.create_room(
            name=f"Чат {number}",
            room_version=version,
            invite=[self.user(name)],
            initial_state=[parent],
            **more,
        )
        self.bot.put_state(space, "m.space.child", self.via, made)
        self.rooms[f"{name}/{number}"] = made
        return made

    def room_row(self, name: str, number: int, space: str = "space") -> dict[str, Any]:
        return {
            "room_type": "chat",
            "chat_id": f"C{number}",
            "display_name": f"Чат {number}",
            "matrix_user_id": self.user(name),
            "space_id": self.rooms[f"{name}/{space}"],
        }

    def rows(self, name: str, *numbers: int) -> Rows:
        """A user's right rows."""
        user, space = self.user(name), self.rooms[f"{name}/space"]
        rows: Rows = {user_key(user): {"space_id": space, "next_chat_index": len(numbers) + 1}}
        for number in numbers:
            room, id_ = self.rooms[f"{name}/{number}"], f"C{number}"
            rows[room_key(room)] = self.room_row(name, number)
            rows[chat_key(user, id_)] = new_chat_row(user, id_, "matrix", room, f"Чат {number}")
        return rows

    def powers(self, name: str, version: str, bot: int = 100) -> dict[str, Any]:
        """Power 100 for a user; creators have more in version 12, and may not be named there."""
        users = {self.user(name): 100} | ({} if version == "12" else {self.bot.user_id: bot})
        return {"users": users, "events": {"m.room.tombstone": 100}}

    def labels(self, room_ids: Any) -> set[str]:
        by_id = {room: label for label, room in self.rooms.items()}
        by_id |= {person.user_id: name for name, person in self.people.items()}
        return {by_id[room_id] for room_id in room_ids}


def event_ids(bot: ApiUser, rooms: Mapping[str, str]) -> dict[str, list[str]]:
    """The whole state of every room that the bot ever made or met."""
    return {
        label: sorted(event["event_id"] for event in bot.state(room))
        for label, room in rooms.items()
    }


def settle(hs: Synapse, bot: str, *names: str) -> Home:
    """A bot and its users, with ids that no other bot's users have."""
    return Home(
        hs,
        ApiUser(hs.url, hs.register(bot)),
        {name: ApiUser(hs.url, hs.register(f"{name}.{bot}")) for name in names},
    )


@dataclass
class Measured:
    """A client behind the proxy, and what it asked since it was ready."""

    client: nio.AsyncClient
    proxy: RecordingProxy

    @property
    def paths(self) -> list[str]:
        """Only reads, with nothing in the query (no `since`, no filter, no presence), and no body but the
        one that asks for all rooms at once."""
        for request in self.proxy.requests:
            sent = ("POST", SLIDING_BODY) if request.path == SLIDING else ("GET", b"")
            assert (request.method, request.body, request.query) == (*sent, {})
            assert request.headers["Authorization"] == "Bearer ***"
        paths = [request.path.removeprefix(API) for request in self.proxy.requests]
        known = ("/joined_rooms", "/account/whoami", VERSIONS, SLIDING)
        assert all(path in known or path.endswith("/state") for path in paths)
        return paths


async def never_synced(client: nio.AsyncClient, bot: ApiUser, room: str) -> None:
    assert not client.rooms


async def synced(client: nio.AsyncClient, bot: ApiUser, room: str) -> None:
    await sync(client, full_state=True)
    assert room in client.rooms


async def restarted(client: nio.AsyncClient, bot: ApiUser, room: str) -> None:
    """From a stored token, after one message: `client.rooms` holds one thin room."""
    await sync(client)
    token = client.next_batch
    client.rooms.clear()
    bot.send_text(room, "Привет")
    client.next_batch = ""
    await sync(client, since=token)
    assert list(client.rooms) == [room] and client.rooms[room].room_type is None


async def sync(client: nio.AsyncClient, **options: Any) -> None:
    answer = await client.sync(timeout=0, set_presence="offline", **options)
    assert isinstance(answer, nio.SyncResponse)


Start = Callable[[nio.AsyncClient, ApiUser, str], Awaitable[None]]
STARTS = pytest.mark.parametrize("start", [never_synced, synced, restarted])


@asynccontextmanager
async def measured(bot: ApiUser, start: Start, room: str) -> AsyncIterator[Measured]:
    async with (
        RecordingProxy(bot.url) as proxy,
        nio_client(
            proxy.url, bot.user_id, bot.account.access_token, bot.account.device_id
        ) as client,
    ):
        await start(client, bot, room)
        proxy.requests.clear()
        yield Measured(client, proxy)


def write_database(path: Path, rows: Rows) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        values = [(key, json.dumps(row, ensure_ascii=False)) for key, row in rows.items()]
        database.executemany("INSERT INTO kv VALUES (?, ?)", values)
    return path


def read_database(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT key, value FROM kv"))


def rows_in(path: Path) -> Rows:
    return {key: json.loads(value) for key, value in read_database(path).items()}


async def run(seen: Measured, path: Path, convention: Convention | None = None) -> Report:
    async with SQLiteStore(path) as store:
        manager = ChatManager(store)
        return await reconcile_matrix_state(seen.client, store, manager, convention=convention)


async def reconcile(
    home: Home, path: Path, start: Start = never_synced, convention: Convention | None = None
) -> Report:
    """One start of the bot, from which nothing but reads came."""
    async with measured(home.bot, start, next(iter(home.rooms.values()))) as seen:
        report = await run(seen, path, convention)
        assert seen.paths
    return report


def wrote_nothing(report: Report) -> bool:
    return not any(found for key, found in report.items() if key in WRITTEN)


def conflicts(report: Report) -> set[tuple[str, str]]:
    """(room or key, code) of every conflict."""
    return {(c.get("room_id") or c["key"], c["code"]) for c in report["conflicts"]}


def check(
    home: Home,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *options: str,
) -> tuple[int, Any]:
    """Exit code and plan of `matrix-drift check --json`."""
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("MATRIX_HOMESERVER", home.bot.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", home.bot.account.access_token)
    capsys.readouterr()
    code = toolkit.cli.run(["check", "--json", "--database", str(path), *options])
    return code, json.loads(capsys.readouterr().out)
