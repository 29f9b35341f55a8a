"""The run of a session, of which there is one at a time on a database: awaited, waited for, cancelled."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from weakref import WeakValueDictionary

from toolkit.errors import ToolkitError
from toolkit.repairs import Road

T = TypeVar("T")
_tasks: WeakValueDictionary[object, asyncio.Task[Any]] = WeakValueDictionary()
"""The run on each database of this process, whatever cell or click has started it."""


class Running:
    """The running or last run of one session."""

    def __init__(self, road: Road) -> None:
        self._road = road
        self._task: asyncio.Task[Any] | None = None

    @property
    def going(self) -> bool:
        """Whether rows may be written now."""
        return self._task is not None and not self._task.done()

    async def alone(self, work: Coroutine[Any, Any, T]) -> T | None:
        """One run at a time on a database; None if `cancel` has ended it."""
        key = self._road.sides.identity
        if (other := _tasks.get(key)) and not other.done():
            work.close()
            raise ToolkitError(
                "A run is already writing to this database; wait for it, or session.cancel() it."
            )
        self._task = _tasks[key] = task = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if waiter and waiter.cancelling():  # whoever awaits us was cancelled as well
                raise
            return None

    def cancel(self) -> bool:
        """As `Session.cancel` says."""
        return self._task is not None and not self._task.done() and self._task.cancel()

    async def over(self) -> None:
        """Wait until nothing is running, however it ends."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
