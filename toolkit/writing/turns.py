"""Whose turn it is in this process: calls for one database run one after the other.

Who writes for a person also asks the store to be `alone`, which other processes respect.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary, WeakValueDictionary

from toolkit.database.contract import Store, transactional
from toolkit.deadline import within

_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[object, asyncio.Lock]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def one_at_a_time(store: Store, deadline: float | None = None) -> AsyncIterator[None]:
    """Calls for one database in one process run one after the other (rules 5)."""
    locks = _locks.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    key = store.identity if transactional(store) else id(store)
    lock = locks.get(key) or locks.setdefault(key, asyncio.Lock())
    async with within(deadline, "waiting for another run on this database"):
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()
