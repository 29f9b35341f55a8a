"""A bot's event loop stands still for no more than 50 ms at a time, at ten thousand chats (rules 5).

Counted in CPU time of the loop's own thread. Half the bound is asked for here, so that a slow machine is
no failure.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state, reconcile_single_room
from toolkit.benchmark.event_loop import longest_step, synced_client
from toolkit.benchmark.serving import serving
from toolkit.benchmark.stages import fill
from toolkit.benchmark.worlds import scale_rooms

CHATS = 10_000
BOUND = 0.025

Call = Callable[[Any, SQLiteStore], Awaitable[Any]]


async def start_up(client: Any, store: SQLiteStore) -> Any:
    return await reconcile_matrix_state(client, store, ChatManager(store))


async def meet(client: Any, store: SQLiteStore) -> Any:
    room_id = next(room_id for room_id in client.rooms if room_id.startswith("!chat"))
    manager = ChatManager(store)
    return await reconcile_single_room(client, store, manager, room_id, "@user0:example.org")


@pytest.fixture(scope="module")
def rooms() -> dict[str, bytes]:
    return dict(scale_rooms(CHATS))


@contextmanager
def heap_at_rest() -> Iterator[None]:
    """What this test run holds besides is no concern of the bot's garbage collector."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.parametrize(
    ("call", "drift_every", "restored"),
    [(start_up, 0, 0), (start_up, 20, CHATS // 20), (meet, 20, 1)],
    ids=["in sync", "repairing", "one room"],
)
def test_it_never_stands_still_for_long(
    rooms: dict[str, bytes], tmp_path: Path, call: Call, drift_every: int, restored: int
) -> None:
    database = tmp_path / "bot.db"
    fill(database, CHATS, drift_every=drift_every)

    async def run(url: str, token: str) -> tuple[Any, float]:
        client = synced_client(url, token, rooms.items())
        async with SQLiteStore(database) as store:
            with heap_at_rest(), longest_step() as longest:
                report = await call(client, store)
        await client.close()
        return report, longest[0]

    with serving(rooms) as served:
        report, longest = asyncio.run(run(served.server.url, served.server.access_token))
    assert len(report["restored_room_meta"]) == restored
    assert longest < BOUND


def test_a_blocked_loop_is_seen() -> None:
    async def block() -> None:
        sum(range(3_000_000))

    with longest_step() as longest:
        asyncio.run(block())
    assert longest[0] > BOUND
