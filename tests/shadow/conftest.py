"""Both sides of a shadow run, and what must hold after it."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import nio
import pytest

from tests.bench import BOT, Bench, small_rows
from tests.clients import TOKEN, nio_client
from tests.shadow.functions import A1, USER
from toolkit import SQLiteStore
from toolkit.records import room_key
from toolkit.testing import FakeHomeserver


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's user row and a room row of hers are gone, Bob's room row is poisoned."""
    found = Bench(tmp_path / "bot.db")
    rows = {key: row for key, row in small_rows().items() if key not in (A1, USER)}
    found.fill(rows | {room_key("!b1"): "{", "config:bot": {"colour": "red"}, "junk:1": b"\xff"})
    return found


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[SQLiteStore]:
    """Opened for writing: the shadow doesn't rely on the database to refuse."""
    async with SQLiteStore(bench.path) as found:
        yield found


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, user_id=BOT, access_token=TOKEN) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    async with nio_client(server.url, BOT) as found:
        yield found


@pytest.fixture
def folder(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Where a command is run, with a bot's module that is still to be written; all else is named."""
    found = tmp_path / "bot"
    found.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.chdir(found)
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    monkeypatch.delenv("COLUMNS", raising=False)
    return found


@pytest.fixture
def nothing_but_reads_reached_the_homeserver(server: FakeHomeserver) -> Iterator[None]:
    yield
    assert {each.method for each in server.requests} <= {"GET"}
