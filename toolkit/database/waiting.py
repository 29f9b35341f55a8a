"""How long a lock for writing is waited for, whatever database keeps it."""

import contextlib
from collections.abc import AsyncIterator
from contextvars import ContextVar

_lock_until: ContextVar[float | None] = ContextVar("lock_until", default=None)


@contextlib.asynccontextmanager
async def waiting_until(until: float | None) -> AsyncIterator[None]:
    """No lock for writing is waited for past this `time.monotonic()`; None is the usual patience."""
    token = _lock_until.set(until)
    try:
        yield
    finally:
        _lock_until.reset(token)


def lock_until() -> float | None:
    """Until when the running task may wait; None is as long as the store does by itself."""
    return _lock_until.get()
