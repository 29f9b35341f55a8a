"""A homeserver with a nio client, beside an empty database."""

from collections.abc import AsyncIterator
from pathlib import Path

import nio
import pytest

from tests.bench import BOT, Bench
from toolkit.testing import FakeHomeserver


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bot.db")


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, BOT) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    found = nio.AsyncClient(server.url, BOT)
    found.restore_login(BOT, server.device_id, server.access_token)
    yield found
    await found.close()
