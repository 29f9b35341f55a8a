"""Who decodes and plans what was gathered of a bot: this process, or others beside it where there are cores for it.

Where a homeserver offers sliding sync that is half of what a bot costs the processor, and it holds up the event loop
that reads for all the others. One loop feeds two such processes at most (`toolkit/docs/fleet.md` has the figures).
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import BrokenExecutor
from contextlib import asynccontextmanager
from importlib import import_module
from threading import Thread
from typing import Any, ParamSpec, Protocol, TypeVar

from loky import ProcessPoolExecutor, cpu_count

P = ParamSpec("P")
T = TypeVar("T")

MOST = 2
ROUNDS = 3
"""Of bots that run at once: in more of them such a process saves more than its start takes."""

_WORK = "toolkit.fleet.task"
"""What takes its time to load."""


class Judges(Protocol):
    """Who does the work; what it takes and gives can be pickled, and holds no token."""

    async def judge(
        self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Do it, and give back what it gives or raises."""


class Here:
    """This process, whose loop goes on while threads compute."""

    async def judge(
        self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await work(*args, **kwargs)


class Beside(Here):
    """Processes of their own. Until they are up, and if they are lost, it is done here."""

    def __init__(self, processes: int) -> None:
        # loky's don't run the program that started them a second time, as those of the standard library do.
        self._pool = ProcessPoolExecutor(processes, initializer=_begin, initargs=(os.getpid(),))
        self._up = asyncio.wrap_future(self._pool.submit(_load))

    async def judge(
        self, work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        if self._up.done():
            try:
                return await asyncio.wrap_future(self._pool.submit(_run, work, *args, **kwargs))
            except BrokenExecutor:  # killed, most likely for want of memory
                pass
        return await super().judge(work, *args, **kwargs)

    def close(self) -> None:
        """End them, whatever they do."""
        if not self._up.cancel() and not self._up.cancelled():
            self._up.exception()  # if they never came up, that was no loss
        self._pool.shutdown(wait=True, kill_workers=True)


@asynccontextmanager
async def judges(bots: int, at_once: int, processes: int | None) -> AsyncIterator[Judges]:
    """So many `processes` beside this one; None for as many as are worth it."""
    if processes is None:
        processes = min(cpu_count() - 1, MOST) if bots > ROUNDS * at_once else 0
    if not processes:
        yield Here()
        return
    beside = Beside(processes)
    try:
        yield beside
    finally:
        beside.close()


def _begin(starter: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is for who started them
    Thread(target=_end_with, args=(starter,), daemon=True).start()


def _end_with(starter: int) -> None:
    """A killed process can't end those that it started."""
    while os.getppid() == starter:
        time.sleep(0.5)
    os._exit(1)


def _load() -> None:
    import_module(_WORK)


def _run(work: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    return asyncio.run(work(*args, **kwargs))
