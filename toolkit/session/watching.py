"""A session that looks again by itself: a task beside the notebook's cells, and how it is going."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.repairs import Repairs, Road
from toolkit.text.visible import visible
from toolkit.watch.troubles import OVER
from toolkit.watch.watch import See, Watch

LONG = 2_000


class Watching:
    """A watch of one session: it goes on until `cancel()`, or until the homeserver refuses the token.

    Awaited, it ends as the watch does; `trouble` is what is in its way now, mostly nothing.
    """

    def __init__(
        self,
        road: Road,
        see: See,
        turn: Callable[[], AbstractAsyncContextManager[object]],
        every: float | None,
    ) -> None:
        self.since, self.trouble = datetime.now(UTC), ""
        if not isinstance(road, Repairs) or road.sides.snapshot is not None:
            raise ToolkitError("Only a homeserver and a database can be watched.")
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            raise ToolkitError("Watching needs a running event loop, as a notebook has.") from None
        watch = Watch(road, tell=self._tell, every=every, turn=turn)
        self._task = loop.create_task(self._run(watch, see))
        self._task.add_done_callback(_take_exception)

    @property
    def running(self) -> bool:
        """Whether it goes on."""
        return not self._task.done()

    def cancel(self) -> None:
        """End it; the session shows what it was shown last."""
        self._task.cancel()

    async def ended(self) -> None:
        """Wait until it is over, however it ends."""
        await asyncio.wait([self._task])

    def __await__(self) -> Generator[Any, None, None]:
        return self._task.__await__()

    def __repr__(self) -> str:
        since = self.since.strftime("%H:%M:%S UTC")
        if self.running:
            return f"Watching since {since}" + (f"; now: {self.trouble}" if self.trouble else ".")
        return f"Watched since {since}, and ended{f': {self.trouble}' if self.trouble else '.'}"

    async def _run(self, watch: Watch, see: See) -> None:
        try:
            await watch.run(see)
        except Exception as error:
            self._tell(str(error) if isinstance(error, ToolkitError) else type(error).__name__)
            raise

    def _tell(self, words: str) -> None:
        self.trouble = "" if words == OVER else visible(words, LONG)


def _take_exception(task: "asyncio.Task[None]") -> None:
    """It is shown: asyncio needn't complain that nobody asked for it."""
    if not task.cancelled():
        task.exception()
