"""How long a bot's event loop stands still at a time while the toolkit works in it.

Counted in CPU seconds of the loop's own thread, so that neither a busy neighbour nor a thread beside the
loop is taken for a blocked one.
"""

import asyncio
import json
import tempfile
import time
from asyncio import events
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nio

from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state
from toolkit.benchmark.lines import Line
from toolkit.benchmark.serving import serving
from toolkit.benchmark.stages import fill
from toolkit.benchmark.worlds import BOT, DRIFT_EVERY, scale_rooms
from toolkit.testing.fake import FakeHomeserver


@contextmanager
def longest_step() -> Iterator[list[float]]:
    """The one number is the longest step of this thread's event loop so far, in CPU seconds."""
    longest, run = [0.0], events.Handle._run

    def timed(handle: Any) -> None:
        begun = time.thread_time()
        run(handle)
        longest[0] = max(longest[0], time.thread_time() - begun)

    with patch.object(events.Handle, "_run", timed):
        yield longest


def measure_event_loop(chats: int, bound: float) -> Iterator[Line]:
    """The longest step of a start-up that finds everything in sync, and of one that repairs 5 %."""
    rooms = dict(scale_rooms(chats))
    for what, drift_every in (("in sync", 0), ("repairing", DRIFT_EVERY)):
        with tempfile.TemporaryDirectory() as folder, serving(rooms) as served:
            database = Path(folder) / "bot.db"
            fill(database, chats, drift_every=drift_every)
            longest = asyncio.run(_start_up(served.server, rooms, database))
        what = f"start-up, {what}: longest step of the event loop"
        yield Line(chats, what, 1000 * longest, bound=bound, unit="ms")


async def _start_up(server: FakeHomeserver, rooms: dict[str, bytes], database: Path) -> float:
    client = synced_client(server.url, server.access_token, rooms.items())
    async with SQLiteStore(database) as store:
        with longest_step() as longest:
            await reconcile_matrix_state(client, store, ChatManager(store))
    await client.close()
    return longest[0]


def synced_client(url: str, token: str, rooms: Iterable[tuple[str, bytes]]) -> nio.AsyncClient:
    """nio's client as it is after a full sync of these rooms, without the sync's time."""
    client = nio.AsyncClient(url, BOT)
    client.user_id, client.access_token = BOT, token
    client.rooms.update((room_id, _remember(room_id, body)) for room_id, body in rooms)
    return client


def _remember(room_id: str, body: bytes) -> nio.MatrixRoom:
    room = nio.MatrixRoom(room_id, BOT)
    for event in json.loads(body):
        content, key = event["content"], event["state_key"]
        match event["type"]:
            case "m.room.create":
                room.room_type, room.creator = content.get("type", ""), event["sender"]
            case "m.room.name":
                room.name = content["name"]
            case "m.room.member":
                room.add_member(key, content["displayname"], None)
            case "m.space.child":
                room.children.add(key)
            case "m.space.parent":
                room.parents.add(key)
    return room
