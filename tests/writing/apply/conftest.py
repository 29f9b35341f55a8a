"""A bench in both journal modes, and the bot's database on it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.bench import A1, CB, Bench, small_rows
from tests.writing.apply.runs import without
from toolkit import SQLiteStore


@pytest.fixture(params=["DELETE", "WAL"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bot.db")


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[SQLiteStore]:
    """The bot's database, where Alice's first room row and Bob's only chat row are gone."""
    bench.fill(without(small_rows(), A1, CB))
    async with SQLiteStore(bench.path) as found:
        yield found
