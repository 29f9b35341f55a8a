"""A tombstone without a body, on a real Synapse: nio drops it, so only who reads the room knows of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.homes import (
    Home,
    Start,
    conflicts,
    measured,
    never_synced,
    read_database,
    reconcile,
    restarted,
    run,
    settle,
    synced,
    write_database,
)
from toolkit import ChatManager, SQLiteStore, reconcile_single_room
from toolkit.testing import Synapse


@pytest.fixture(scope="module")
def home(synapse: Synapse) -> Home:
    home = settle(synapse, "bot-tombstones", "tom")
    home.space("tom")
    for number in (1, 2):
        home.people["tom"].join(home.chat("tom", number))
    bare = {"replacement_room": "!elsewhere:localhost"}
    home.bot.put_state(home.rooms["tom/2"], "m.room.tombstone", bare)
    return home


@pytest.mark.parametrize("start", [never_synced, restarted])
async def test_whoever_reads_the_room_says_that_it_was_replaced(
    home: Home, tmp_path: Path, start: Start
) -> None:
    path = write_database(tmp_path / "bot.db", home.rows("tom", 1, 2))
    report = await reconcile(home, path, start)
    assert conflicts(report) == {(home.rooms["tom/2"], "not_a_chat")}
    assert home.labels(report["unchanged_rooms"]) == {"tom/1"}


async def test_a_synced_client_knows_nothing_of_it_until_the_first_access(
    home: Home, tmp_path: Path
) -> None:
    path = write_database(tmp_path / "bot.db", home.rows("tom", 1, 2))
    before, room = read_database(path), home.rooms["tom/2"]
    async with measured(home.bot, synced, room) as seen:
        assert seen.client.rooms[room].replacement_room is None
        report = await run(seen, path)
        assert seen.paths == ["/joined_rooms"]
        assert home.labels(report["unchanged_rooms"]) == {"tom/1", "tom/2"}
        async with SQLiteStore(path) as store:
            manager, tom = ChatManager(store), home.user("tom")
            report = await reconcile_single_room(seen.client, store, manager, room, tom)
    assert conflicts(report) == {(room, "not_a_chat")}
    assert read_database(path) == before
