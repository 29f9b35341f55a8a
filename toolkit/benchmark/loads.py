"""What a whole load of rooms costs the client: by sliding sync, against one `/state` a room.

The homeserver is the fake one on loopback, in a thread of its own: only the CPU seconds of the client's
thread are counted, which fetches, decodes and checks.
"""

import asyncio
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.benchmark.worlds import BOT, scale_rooms
from toolkit.convention import Convention
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.transport import PlainClient
from toolkit.model import RemoteState
from toolkit.testing.fake import FakeHomeserver


def measure_load(chats: int, rounds: int) -> tuple[float, float]:
    """Medians of CPU seconds: by sliding sync, and by `/state`."""
    times: dict[bool, list[float]] = {True: [], False: []}
    with _serving(dict(scale_rooms(chats))) as server:
        for _ in range(rounds):  # in turn, so that a busy neighbour hits both
            remotes = []
            for sliding_sync, taken in times.items():
                begun = time.thread_time()
                remotes.append(asyncio.run(_load(server, sliding_sync)))
                taken.append(time.thread_time() - begun)
            assert remotes[0] == remotes[1], "both must read the same"
    return statistics.median(times[True]), statistics.median(times[False])


async def _load(server: FakeHomeserver, sliding_sync: bool) -> RemoteState:
    async with PlainClient(server.url, server.access_token) as client:
        return await load_remote(client, Convention(), local_rows=True, sliding_sync=sliding_sync)


@contextmanager
def _serving(rooms: dict[str, bytes]) -> Iterator[FakeHomeserver]:
    server = FakeHomeserver(rooms, BOT, sliding_sync=True)
    ready, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with server:
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
