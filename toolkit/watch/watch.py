"""The watch itself: two sides that are listened to, and one that looks whenever either has something new.

What is told only ever triggers a look, which reads and plans as any other does: the rows whole, the rooms that
changed, and now and then all of them, since not everything is told (a redaction of state never is).
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime

from toolkit.aside import unwrapped
from toolkit.errors import TokenRefused, ToolkitError
from toolkit.homeserver.changes import Changes, Unheard
from toolkit.model import RemoteState
from toolkit.records import Raw
from toolkit.repairs import Repairs
from toolkit.watch.rows import RowVersions
from toolkit.watch.troubles import Troubles
from toolkit.watch.wanted import Cause, Pending, Wanted

ROWS_SECONDS = 0.5
SETTLE_SECONDS = 0.2  # what comes in bursts is looked at together
BREATH_SECONDS, SHARE, LONGEST_BREATH = 0.3, 2.0, 20.0
EVERY_SECONDS, EVERY_WITH_LISTS = 300.0, 60.0

_EVERYTHING = Wanted(frozenset({Cause.START}), whole=True)
_ROWS = {Cause.ROWS}


@dataclass(frozen=True)
class Look:
    """Both sides as of one look, when that began, and why it was."""

    remote: RemoteState
    rows: dict[str, Raw]
    began: datetime
    causes: frozenset[Cause]


See = Callable[[Look], Awaitable[bool]]
"""Have a look seen; False if it may be of before something else that was seen, so that it is made again."""


class Watch:
    """Look, and again whenever something is new, until cancelled or the token is refused.

    Every `every` seconds it looks at everything whatever is told: by default five minutes, or one where no more
    than the list of joined rooms can be asked again and again. `tell` hears of what is in the way, in a sentence.
    `turn` is waited for before each look, and held until that was seen.
    """

    def __init__(
        self,
        road: Repairs,
        *,
        tell: Callable[[str], object],
        every: float | None = None,
        turn: Callable[[], AbstractAsyncContextManager[object]] = nullcontext,
    ) -> None:
        self._road, self._every, self._turn = road, every, turn
        self._troubles, self._pending = Troubles(tell), Pending()
        self._remote: RemoteState | None = None
        self._rows: dict[str, Raw] | None = None
        self._next_whole = 0.0

    async def run(self, see: See) -> None:
        """Have each look seen. Raises what keeps it from beginning, `TokenRefused`, and what `see` does."""
        sides = self._road.sides
        async with AsyncExitStack() as opened:
            rows = await opened.enter_async_context(RowVersions(sides))
            client = await opened.enter_async_context(sides.open_client())
            rooms = Changes(client, sides.convention, sides.layout, sliding_sync=sides.sliding_sync)
            await rooms.begin()
            await self._look(_EVERYTHING, rooms, see)
            async with unwrapped(), asyncio.TaskGroup() as group:
                group.create_task(self._follow("rows", lambda: _new_rows(rows)))
                group.create_task(self._follow("rooms", lambda: _new_rooms(rooms)))
                await self._look_on(rooms, see)

    async def _follow(self, side: str, news: Callable[[], Awaitable[Wanted]]) -> None:
        """Gather what one side tells, whatever happens to it."""
        while True:
            try:
                wanted = await news()
            except TokenRefused:
                raise
            except ToolkitError as error:
                least = error.wait if isinstance(error, Unheard) else 0.0
                await self._troubles.sit_out(side, str(error), least)
            else:
                self._troubles.end(side)
                self._pending.add(wanted)

    async def _look_on(self, rooms: Changes, see: See) -> None:
        loop = asyncio.get_running_loop()
        while True:
            if not await self._pending.wait(self._next_whole - loop.time()):
                self._pending.add(Wanted(frozenset({Cause.TIME}), whole=True))
            await asyncio.sleep(SETTLE_SECONDS)
            wanted, began = self._pending.take(), loop.time()
            slow = self._troubles.there  # then it is waited, and not worked
            try:
                asked = await self._look(wanted, rooms, see)
            except TokenRefused:
                raise
            except ToolkitError as error:
                self._pending.add(wanted)
                await self._troubles.sit_out("look", str(error))
                continue
            self._troubles.end("look")
            if asked:
                self._troubles.hurry()
            breath = 0.0 if slow else SHARE * (loop.time() - began)
            await asyncio.sleep(min(max(breath, BREATH_SECONDS), LONGEST_BREATH))

    async def _look(self, wanted: Wanted, rooms: Changes, see: See) -> bool:
        """Whether the homeserver had to be asked, and so was there."""
        async with self._turn():
            began = datetime.now(UTC)
            known = None if wanted.whole else self._remote
            if known is None:
                remote, found = await self._road.look(None)
                usual = EVERY_WITH_LISTS if rooms.only_lists else EVERY_SECONDS
                self._next_whole = asyncio.get_running_loop().time() + (self._every or usual)
            elif wanted.causes == _ROWS and await self._road.load_rows() == self._rows:
                return False  # it was another table, say
            else:
                remote, found = await self._road.look_again(known, wanted.rooms)
            self._remote, self._rows = remote, found
            if not await see(Look(remote, found, began, wanted.causes)):
                self._rows = None
                self._pending.add(wanted)
            return True


async def _new_rows(rows: RowVersions) -> Wanted:
    await asyncio.sleep(ROWS_SECONDS)
    return Wanted(frozenset({Cause.ROWS})) if await rows.changed() else Wanted()


async def _new_rooms(rooms: Changes) -> Wanted:
    told = await rooms.wait()
    if told is None:
        return Wanted(frozenset({Cause.ROOMS}), whole=True)
    return Wanted(frozenset({Cause.ROOMS}), told) if told else Wanted()
