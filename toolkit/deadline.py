"""A bound in seconds on a whole call, and what went wrong last when it passes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar

from toolkit.errors import RemoteIncomplete

_troubles: ContextVar[list[str]] = ContextVar("_troubles")
"""What went wrong last within a deadline, also in the tasks that were begun there."""


@asynccontextmanager
async def within(seconds: float | None, doing: str) -> AsyncIterator[None]:
    """Bound a whole read; past the deadline the remote side counts as incomplete."""
    token = _troubles.set([])
    try:
        async with asyncio.timeout(seconds) as limit:
            yield
    except TimeoutError:
        if not limit.expired():
            raise
        last = f" ({trouble[-1]})" if (trouble := _troubles.get()) else ""
        raise RemoteIncomplete(
            f"The deadline of {seconds:.3g} s passed while {doing}{last}; nothing was written. "
            "Give it more time, or try when the homeserver is less busy."
        ) from None
    finally:
        _troubles.reset(token)


def tell_trouble(trouble: str) -> None:
    """Remember what is in the way, in case the deadline passes over it."""
    _troubles.get([])[:] = [trouble]
