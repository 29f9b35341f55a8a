"""A watch between a fake homeserver and a bot's database, that waits for less than a person would."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from tests.bench import BOT, TOKEN, Bench
from toolkit.homeserver import changes, retries
from toolkit.repairs import Repairs
from toolkit.sources.sides import Sides
from toolkit.testing import FakeHomeserver
from toolkit.watch import troubles, watch

SECONDS = {
    changes: {"POLL_SECONDS": 1.0, "LIST_SECONDS": 0.05, "IDLE_SECONDS": 0.05},
    retries: {"FIRST_WAIT": 0.002, "LONGEST_WAIT": 0.01},
    troubles: {"FIRST": 0.05, "LONGEST": 0.1},
    watch: {"ROWS_SECONDS": 0.05, "SETTLE_SECONDS": 0.02, "BREATH_SECONDS": 0.02},
}
Until = Callable[[Callable[[], object]], Awaitable[None]]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, seconds in SECONDS.items():
        for name, value in seconds.items():
            monkeypatch.setattr(module, name, value)


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN, sliding_sync=True) as found:
        yield found


@pytest.fixture
def sides(bench: Bench, server: FakeHomeserver, quick: None) -> Sides:
    return Sides(bench.convention, server.url, TOKEN, bench.path)


@pytest.fixture
def road(sides: Sides) -> Repairs:
    return Repairs(sides)


@pytest.fixture
def until() -> Until:
    """Wait for something, and not for ever."""

    async def wait(fits: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not fits():  # noqa: ASYNC110 - of many things, some of which tell nobody
                await asyncio.sleep(0.01)

    return wait
