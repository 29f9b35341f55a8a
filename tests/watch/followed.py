"""A watch that goes on beside a test, on a thread and a loop of its own, and what it saw."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from toolkit.model import Plan, RemoteState
from toolkit.repairs import Repairs
from toolkit.watch.watch import Look, Watch

PATIENCE = 10.0  # seconds; what is promised is two, on a machine that isn't busy


@dataclass(frozen=True)
class Seen:
    """What a look said."""

    look: Look
    plan: Plan

    @property
    def remote(self) -> RemoteState:
        return self.look.remote

    def named(self, room_id: str) -> str | None:
        """A room's name; None too for one that isn't known yet."""
        room = self.remote.rooms.get(room_id)
        return room.name if room else None

    def codes(self, unit: str) -> set[str]:
        """What is the matter with a unit."""
        found = self.plan.unit(unit)
        return {finding.code.value for finding in found.findings} if found else set()


class Followed:
    """Use it as a context: it begins with a first look, and is over at the end."""

    def __init__(self, road: Repairs, *, every: float | None = None) -> None:
        self.road, self.every = road, every
        self.looks: list[Look] = []
        self.told: list[str] = []
        self.error: BaseException | None = None
        self.last: Seen | None = None
        self._news = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._live)

    def __enter__(self) -> Self:
        self._thread.start()
        self.until(lambda seen: True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._task is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def until(self, fits: Callable[[Seen], bool], seconds: float = PATIENCE) -> float:
        """Wait for a look that says so; returns for how long it was waited."""
        began = time.monotonic()
        with self._news:
            done = self._news.wait_for(
                lambda: self.error or (self.last is not None and fits(self.last)), seconds
            )
        assert self.error is None, self.error
        assert done, "no look said so"
        return time.monotonic() - began

    def until_told(self, words: str, seconds: float = PATIENCE) -> None:
        """Wait until something is said to be in the way, or to be over."""
        with self._news:
            assert self._news.wait_for(lambda: any(words in t for t in self.told), seconds), words

    def until_over(self, seconds: float = PATIENCE) -> BaseException:
        """Wait until it ends by itself; returns what it ended with."""
        self._thread.join(seconds)
        assert self.error is not None
        return self.error

    def _live(self) -> None:
        try:
            asyncio.run(self._run())
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            with self._news:
                self.error = error
                self._news.notify_all()

    async def _run(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        await Watch(self.road, tell=self._tell, every=self.every).run(self._see)

    def _tell(self, words: str) -> None:
        with self._news:
            self.told.append(words)
            self._news.notify_all()

    async def _see(self, look: Look) -> bool:
        plan = self.road.plan(look.remote, self.road.read(look.rows), {})
        with self._news:
            self.looks.append(look)
            self.last = Seen(look, plan)
            self._news.notify_all()
        return True
