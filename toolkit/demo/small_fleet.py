"""Six small bots in one `fleet.toml`: the world of lesson 7. One is well, three are adrift, two can't be looked at."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.demo.recorded import serve_rooms
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing.world import World

_USERS = ("anna", "ben", "carl")
_NAMES = ("desk", "events", "news", "sales", "shop", "wiki")
_FAILING = {"news": 'access_token_command = "false"', "wiki": 'access_token_env = "WIKI_TOKEN"'}
"""A command that fails, and a variable that nobody has set."""


@dataclass(frozen=True, slots=True)
class SmallFleet:
    """Where its file is; shown as one line that is the same every time."""

    file: Path

    def __repr__(self) -> str:
        return f"A fleet of {len(_NAMES)} bots: {', '.join(_NAMES)}."


@contextmanager
def serve_fleet(directory: Path) -> Iterator[SmallFleet]:
    """Serve each bot's rooms on 127.0.0.1, with its database in `directory` and its table in `fleet.toml`."""
    tables = []
    with ExitStack() as served:
        for name in _NAMES:
            world = _make_rooms(name)
            server = served.enter_context(serve_rooms(world.rooms, world.bot))
            (directory / f"{name}.token").write_text(server.access_token)
            _write_database(directory / f"{name}.db", _rows(name))
            token = _FAILING.get(name, f'access_token_file = "{name}.token"')
            where = f'homeserver = "{server.url}"\ndatabase = "{name}.db"\n'
            tables.append(f"[bots.{name}]\n{where}{token}\n")
        file = directory / "fleet.toml"
        file.write_text("\n".join(tables), encoding="utf-8")
        yield SmallFleet(file)


def _make_rooms(name: str) -> World:
    """A Space and two chats for each user."""
    world = World(f"@{name}:example.org")
    for user, owner, space in _people(name):
        world.space(space, owner=owner)
        for number in (1, 2):
            world.chat(f"!{name}-{user}-{number}", space, f"Чат {number}", owner=owner)
    return world


def _rows(name: str) -> dict[str, Any]:
    """Two users of `shop` have lost their room rows, one of `events` points at another room and of `sales` all is gone,
    with a row that can't be read."""
    rows: dict[str, Any] = {}
    for user, owner, space in _people(name):
        rows[user_key(owner)] = {"space_id": space, "next_chat_index": 3}
        for number in (1, 2):
            room = f"!{name}-{user}-{number}"
            rows |= _chat_rows(owner, space, room, number)
    if name == "shop":
        for user in ("anna", "ben"):
            for number in (1, 2):
                del rows[room_key(f"!shop-{user}-{number}")]
    if name == "events":
        rows[chat_key("@anna:example.org", "C1")]["surface_ref"] = "!gone"
    if name == "sales":
        rows = {key: row for key, row in rows.items() if "anna" not in key}
        rows[room_key("!sales-ben-1")] = "{half a row"
    return rows


def _people(name: str) -> list[tuple[str, str, str]]:
    return [(user, f"@{user}:example.org", f"!{name}-{user}") for user in _USERS]


def _chat_rows(owner: str, space: str, room: str, number: int) -> dict[str, dict[str, Any]]:
    chat_id, called = f"C{number}", f"Чат {number}"
    return {
        room_key(room): {
            "room_type": "chat",
            "chat_id": chat_id,
            "display_name": called,
            "matrix_user_id": owner,
            "space_id": space,
        },
        chat_key(owner, chat_id): {
            "user_id": owner,
            "chat_id": chat_id,
            "platform": "matrix",
            "surface_ref": room,
            "name": called,
        },
    }


def _write_database(path: Path, rows: Mapping[str, Any]) -> None:
    texts = [
        (key, row if isinstance(row, str) else json.dumps(row, ensure_ascii=False))
        for key, row in rows.items()
    ]
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        database.executemany("INSERT INTO kv VALUES (?, ?)", texts)
