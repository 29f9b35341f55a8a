"""Rows of a bot that has to be stopped: nothing is written for people while another program has them open."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

import toolkit.database.restore as restoring
from tests.clients import TOKEN, nio_client
from tests.tables import TICKETS, Desk
from toolkit import Layout, Session, StoreError, reconcile_links
from toolkit.convention import Convention
from toolkit.sources.sides import Sides
from toolkit.testing import FakeHomeserver, World

BOT = "@bot:hs"
ROWS = {"link": {"table": "tickets", "id": "id", "room": "user_room_id"}}
HOLD = (
    "import sqlite3, sys; d = sqlite3.connect(sys.argv[1]); d.execute('SELECT * FROM tickets').fetchall();"
    "print('open', flush=True); sys.stdin.read()"
)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    layout = Layout.of({"kind": "links", "stopped": True}, ROWS, [{"name": "Ticket #{id} .+"}])
    return Desk(tmp_path / "own.db", TICKETS, layout)


@contextmanager
def running_bot(desk: Desk) -> Iterator[None]:
    """A bot that is connected, and idle."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(desk.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as bot:
        assert bot.stdout and bot.stdout.readline() == "open\n"
        yield
        bot.communicate()


async def test_a_person_writes_only_when_the_bot_is_stopped(desk: Desk) -> None:
    world = World(BOT)
    world.room("!one", name="Ticket #1 (Anna)")
    async with (
        FakeHomeserver(world.rooms, BOT, access_token="secret") as homeserver,
        desk.store() as store,
    ):
        told: dict[str, Any] = {"homeserver": homeserver.url, "access_token": "secret"}
        session = await Session.open(store=store, **told)
        session.approve("!one")
        before = desk.dump()
        with running_bot(desk), pytest.raises(StoreError, match="has it open: stop it first"):
            await session.apply()
        assert desk.dump() == before
        assert (await session.apply()).rows == 1
        with running_bot(desk), pytest.raises(StoreError, match="must be stopped"):
            await session.undo()
        await session.undo()
        assert desk.dump() == before


async def test_the_bots_own_start_may_write(desk: Desk) -> None:
    world = World(BOT)
    world.room("!one", name="Ticket #1 (Anna)")
    async with (
        desk.store() as store,
        FakeHomeserver(world.rooms, BOT, access_token=TOKEN) as homeserver,
        nio_client(homeserver.url, BOT) as client,
    ):
        with running_bot(desk):
            report = await reconcile_links(client, store, desk.layout)
    assert [link["room_id"] for link in report["repaired_links"]] == ["!one"]


async def write(desk: Desk, layout: Layout) -> None:
    sides = Sides(Convention(), database=desk.path, table={"layout": layout})
    async with sides.open_store(read_only=False):
        pass


async def test_where_no_processes_are_seen_locks_tell(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "_find_holders", lambda _: [])
    await write(desk, desk.layout)
    held = "d.execute('BEGIN IMMEDIATE'); print"
    with monkeypatch.context() as patch:
        patch.setitem(globals(), "HOLD", HOLD.replace("print", held, 1))
        with running_bot(desk), pytest.raises(StoreError, match="another program is connected"):
            await write(desk, desk.layout)


async def test_reading_and_other_mappings_ask_nothing(desk: Desk) -> None:
    with running_bot(desk), closing(sqlite3.connect(desk.path)):
        sides = Sides(Convention(), database=desk.path, table={"layout": desk.layout})
        async with sides.open_store(read_only=True):
            pass
        await write(desk, Layout.of({"kind": "links"}, ROWS))


async def test_a_database_that_is_gone_is_told_as_ever(desk: Desk) -> None:
    desk.path.unlink()
    with pytest.raises(StoreError, match="no such file"):
        await write(desk, desk.layout)
    restoring.check_unused(desk.path, ours=False)


def test_it_may_be_said_of_either_shape() -> None:
    assert Layout.of({"stopped": True}).shape.stopped
