"""Work that a bot's event loop doesn't stand still for.

What computes for long is pure, or has files of its own: in a thread it touches no client, no store and
nothing of asyncio.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

SLICE = 100
"""So many steps at a time, where something must be done on the loop itself."""


async def aside(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do it in a thread. Who is cancelled meanwhile waits no longer; the thread ends by itself."""
    done: list[T] = []  # asyncio's futures would keep it until the garbage collector comes
    await asyncio.to_thread(lambda: done.append(work(*args, **kwargs)))
    return done.pop()


async def finish(work: Coroutine[Any, Any, T]) -> T:
    """Wait until it is done, however often we are cancelled; only then be cancelled."""
    task = asyncio.create_task(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        raise


async def in_slices(items: Iterable[T]) -> AsyncIterator[T]:
    """All of them, letting others have their turn in between."""
    left = iter(items)
    while some := list(islice(left, SLICE)):
        for item in some:
            yield item
        await asyncio.sleep(0)


@asynccontextmanager
async def unwrapped() -> AsyncIterator[None]:
    """A task group wraps what its tasks raise; callers want the first error itself."""
    try:
        yield
    except BaseExceptionGroup as group:
        raise group.exceptions[0] from None
