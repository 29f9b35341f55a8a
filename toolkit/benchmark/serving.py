"""A fake homeserver in a thread of its own, so that what it costs isn't the client's."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from toolkit.benchmark.worlds import BOT
from toolkit.testing.fake import FakeHomeserver


class Served:
    """The server, and CPU seconds of all of this process but the server's thread."""

    def __init__(self, server: FakeHomeserver, thread: threading.Thread) -> None:
        self.server = server
        assert thread.ident is not None
        self._clock = time.pthread_getcpuclockid(thread.ident)

    def client_cpu(self) -> float:
        """So far; what counts are differences."""
        return time.process_time() - time.clock_gettime(self._clock)


@contextmanager
def serving(rooms: dict[str, bytes], *, sliding_sync: bool = False) -> Iterator[Served]:
    """Serve these rooms on loopback until the end of the block."""
    server = FakeHomeserver(rooms, BOT, sliding_sync=sliding_sync)
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
        yield Served(server, thread)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
