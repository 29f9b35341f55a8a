"""A homeserver with one user's rooms, and how long homeservers are waited for."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.clients import TOKEN, TRANSPORTS, chosen
from tests.homeserver.illness import ALICE, CHATS, SPACE
from toolkit.homeserver import retries as patience
from toolkit.homeserver import server as matrix
from toolkit.testing import FakeHomeserver, World


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short, but a healthy answer has time also on a machine that stalls."""
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 20.0)
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 10.0)


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short, and so is the patience with a client that hangs."""
    monkeypatch.setattr(patience, "FIRST_WAIT", 0.001)
    monkeypatch.setattr(patience, "LONGEST_WAIT", 0.005)
    monkeypatch.setattr(matrix, "REQUEST_SECONDS", 2.0)


@pytest.fixture
def impatient(quick: None, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a server keeps one waiting, only then, it isn't waited for long."""
    waits = "throttles_for_ever", "falls_silent", "slow", "hang", "drip"
    if any(wait in request.node.name for wait in waits):
        monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.8)
        monkeypatch.setattr(matrix, "REQUEST_SECONDS", 0.25)


@pytest.fixture
def discreet(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever happens, the token is in no log record."""
    caplog.set_level(logging.DEBUG)
    yield
    assert TOKEN not in caplog.text
    assert all(TOKEN not in repr(vars(record)) for record in caplog.records)


@pytest.fixture
def world() -> World:
    world = World()
    world.space(SPACE, owner=ALICE)
    for number, room_id in enumerate(CHATS, 1):
        world.chat(room_id, SPACE, f"Чат {number}", owner=ALICE)
    return world


@pytest.fixture
async def server(world: World) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(world.rooms, access_token=TOKEN) as server:
        yield server


@pytest.fixture(scope="module", params=list(TRANSPORTS))
def transport(request: pytest.FixtureRequest) -> Iterator[str]:
    """The name of the transport that `any_client` then gives: one set of tests for both."""
    chosen.append(request.param)
    yield request.param
    chosen.pop()
