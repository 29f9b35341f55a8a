"""How a session comes to what it shows: looks that somebody asks for, those of its watch, and rows after a run.

What is seen becomes the state of `deciding`, with the decisions that are there by then.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

from toolkit.aside import aside
from toolkit.frames import Shelf
from toolkit.model import Plan, RemoteState
from toolkit.planning.links.rows import Local
from toolkit.progress import Progress
from toolkit.records import Raw
from toolkit.repairs import Picked, Road, load_past_of
from toolkit.session.deciding import Deciding
from toolkit.session.running import Running
from toolkit.session.watching import Watching
from toolkit.watch.watch import Look
from toolkit.writing.lineage import Past


class Looking:
    """The looks of one session, one at a time: when the last one was, and the frames of what it saw."""

    def __init__(self, road: Road, deciding: Deciding, running: Running) -> None:
        self._road, self._deciding, self._running = road, deciding, running
        self.looked: datetime | None = None
        self.shelf = Shelf()
        self._seen: datetime | None = None
        self._lock = asyncio.Lock()
        self._watching: Watching | None = None

    async def reload(self, progress: Progress | None = None) -> None:
        """As `Session.reload` says."""
        async with self._lock:
            began = datetime.now(UTC)
            remote, rows = await self._road.look(progress)
            self.looked = began
            self.see(rows, await self._load_past(rows), remote)

    async def see_rows(self, rows: Mapping[str, Raw]) -> None:
        """Plan anew from these rows, with the runs that there are by now."""
        self.see(rows, await self._load_past(rows))

    def see(self, rows: Mapping[str, Raw], past: Past, remote: RemoteState | None = None) -> None:
        """As `Session.see` says."""
        self._show(remote or self._deciding.state.remote, self._road.read(rows), past)

    def watch(self, every: float | None) -> Watching:
        """As `Session.watch` says."""
        if self._watching is None or not self._watching.running:
            self._watching = Watching(self._road, self._see_look, self._turn, every)
        return self._watching

    async def end_watch(self) -> None:
        """Cancel it, if there is one, and wait until it is over."""
        if self._watching is not None:
            self._watching.cancel()
            await self._watching.ended()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """For a look of the watch: neither beside another, nor while rows are being written."""
        await self._running.over()
        async with self._lock:
            yield

    async def _see_look(self, look: Look) -> bool:
        """False if rows may have been written, or others have been seen, since it began."""
        state = self._deciding.state
        planned = None
        if (look.remote, look.rows) != (state.remote, state.local.rows):
            past = await self._load_past(look.rows)
            planned = await aside(self._plan, look, state.ledger.choices, past)
        if self._running.going or (self._seen is not None and self._seen > look.began):
            return False
        self.looked = look.began
        if planned is None:
            self._deciding.tell()  # of the time of the look
        else:
            self._show(look.remote, *planned)
        return True

    def _plan(
        self, look: Look, picked: Picked, past: Past
    ) -> tuple[Local, Past, list[tuple[Picked, Plan]]]:
        """All that takes its time, for a thread."""
        local = self._road.read(look.rows)
        return local, past, [(picked, self._deciding.plan_for(picked, look.remote, local, past))]

    async def _load_past(self, rows: Mapping[str, Raw]) -> Past:
        return await load_past_of(self._road.sides, rows)

    def _show(
        self,
        remote: RemoteState,
        local: Local,
        past: Past,
        planned: Sequence[tuple[Picked, Plan]] = (),
    ) -> None:
        self.shelf = Shelf()
        self._deciding.look(remote, local, past, planned)
        self._seen = datetime.now(UTC)
