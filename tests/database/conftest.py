"""The two stores, and the database that one of them is opened on."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.database.other_program import raw
from toolkit.database.contract import Store
from toolkit.database.store import InMemoryStore, SQLiteStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bot's database with one row of each family."""
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        rows = [("chat:a", '{"n":1}'), ("matrix_room:a", '{"n":2}'), ("matrix_user:a", '{"n":3}')]
        connection.executemany("INSERT INTO kv VALUES (?, ?)", rows)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore(path, busy_timeout=0.05) as store:
        yield store


@pytest.fixture(params=["SQLiteStore", "InMemoryStore"])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "InMemoryStore":
        yield InMemoryStore()
        return
    async with SQLiteStore(tmp_path / "any.db") as store:
        yield store
