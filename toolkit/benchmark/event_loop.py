"""How long a bot's event loop stands still at a time while the toolkit works in it.

Counted in CPU seconds of the loop's own thread, so that neither a busy neighbour nor a thread beside the
loop is taken for a blocked one.
"""

import json
import time
from asyncio import events
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import nio

from toolkit.benchmark.worlds import BOT


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
