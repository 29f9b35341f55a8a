"""A fleet's folder, and a homeserver that answers all of its bots."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench import BOT, small_world
from tests.fleet.yard import TOKEN, Yard
from toolkit.testing import FakeHomeserver


@pytest.fixture
def yard(tmp_path: Path) -> Yard:
    return Yard(tmp_path)


@pytest.fixture
async def homeserver() -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(small_world().rooms, BOT, TOKEN) as server:
        yield server
