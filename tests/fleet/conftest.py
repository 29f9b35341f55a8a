"""A fleet's folder, and a homeserver that answers all of its bots."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.bench import BOT, small_world
from tests.fleet.yard import TOKEN, Yard
from toolkit.testing import FakeHomeserver
from toolkit.testing.postgres import Postgres


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


@pytest.fixture
async def homeserver() -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(small_world().rooms, BOT, TOKEN) as server:
        yield server


@pytest.fixture
def dsn(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty database, whose password is in the environment."""
    monkeypatch.setenv("PGPASSWORD", Postgres.PASSWORD)
    dsn = postgres.borrow_database()
    yield dsn
    postgres.give_back(dsn)
