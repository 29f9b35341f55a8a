"""The apply and the undo of a review: one at a time on a database, with progress, and a result per unit.

The session writes; here is a task around it, whose end is always told and never lost.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

from toolkit.board.events import Event, Home
from toolkit.board.items import LONG, Answer, Result, refused
from toolkit.board.stale import Seen
from toolkit.errors import ToolkitError
from toolkit.progress import Progress
from toolkit.session.results import Applied
from toolkit.session.session import Session
from toolkit.text.visible import visible

_tasks: WeakValueDictionary[object, asyncio.Task[Applied]] = WeakValueDictionary()
"""The apply of each database in this process, whichever view of whichever session has started it."""

BUSY = "An apply or undo is already running on this database; wait for it, or cancel it there."


Work = Callable[[Progress], Awaitable[Applied]]


class HowFar(NamedTuple):
    """How much of an apply is done; `word` is about waiting, and mostly empty."""

    done: int = 0
    total: int = 0
    word: str = ""

    @property
    def percent(self) -> int:
        """-1 before anybody knows how much there is to do."""
        return 100 * self.done // self.total if self.total else -1


class Applying:
    """The last apply of one session, be it over or not."""

    def __init__(
        self,
        session: Session,
        home: Home,
        tell: Callable[[Answer], object],
        notify: Callable[[Event], object],
    ) -> None:
        self.task: asyncio.Task[Applied] | None = None
        self.progress = HowFar()
        self.results: dict[str, Result] = {}
        self.seen: Mapping[str, Seen] = {}
        self.run = ""
        self.running = False
        self._session, self._home = session, home
        self._tell, self._notify = tell, notify
        self._cancel_wanted = False

    def start(self, work: Work, seen: Mapping[str, Seen], words: str) -> "asyncio.Task[Applied]":
        """Do it in a task of its own, or return the one that is running on this database."""
        key = self._database()
        if (task := _tasks.get(key)) and not task.done():
            if task is not self.task:
                self._tell(refused(BUSY))
            return task
        loop = self._home.loop()
        if loop is None:
            raise ToolkitError("Applying needs a running event loop: use `await session.apply()`.")
        self._cancel_wanted = False
        self.progress, self.results, self.seen, self.running = HowFar(), {}, seen, True
        self.run = ""
        self.task = _tasks[key] = loop.create_task(self._carry_out(work))
        self.task.add_done_callback(take_exception)
        self._tell(Answer(words))
        return self.task

    def cancel(self) -> Answer:
        """End it after the units that are finished."""
        if not self.running:
            return refused("Nothing is being applied.")
        self._cancel_wanted = not self._session.cancel()  # then as soon as it has begun
        return Answer("Cancelling: what is finished stays written.")

    async def _carry_out(self, work: Work) -> Applied:
        try:
            applied = await work(self._advance)
        except asyncio.CancelledError:
            self._end(refused(_INTERRUPTED))
            raise
        except ToolkitError as error:
            self._end(refused(visible(str(error), LONG)))
            raise
        except Exception as error:
            self._end(refused(visible(f"The run failed: {type(error).__name__}: {error}", LONG)))
            raise
        self.results = self._outcomes(applied)
        self.run = applied.run if applied.run and applied.rows and not applied.is_undo else ""
        accepted = not applied.stale and not applied.cancelled
        self._end(Answer(applied.say("History takes this back"), accepted=accepted))
        return applied

    def _end(self, answer: Answer) -> None:
        self.running = False
        self._tell(answer)

    def _advance(self, done: int, total: int, word: str) -> None:
        """A view hears of each percent, not of each room."""
        if self._cancel_wanted:
            self._cancel_wanted = False
            self._session.cancel()
        before, self.progress = self.progress, HowFar(done, total, visible(word))
        if before.percent != self.progress.percent or before.word != self.progress.word:
            self._notify(Event.PROGRESS)

    def _outcomes(self, applied: Applied) -> dict[str, Result]:
        """By the journal; where there is none, what didn't go stale was written, if anything was."""
        found = {unit: Result("stale", visible(why, LONG)) for unit, why in applied.stale.items()}
        for entry in applied.entries:
            outcome = (
                "taken back" if applied.is_undo and entry.outcome == "applied" else entry.outcome
            )
            found.setdefault(entry.unit, Result(outcome, visible(entry.detail, LONG)))
        untold = applied.entries or applied.cancelled or not applied.rows
        rest = Result("not applied") if untold else Result("applied")
        plan = self._session.state.plan
        others = {unit: rest if plan.unit(unit) or not untold else _THERE for unit in self.seen}
        return others | found

    def _database(self) -> object:
        return self._session.road.sides.identity


def take_exception(task: "asyncio.Task[Any]") -> None:
    """Its end has been told: asyncio needn't complain that nobody asked for the exception."""
    if not task.cancelled():
        task.exception()


_THERE = Result("not applied", "somebody else has written it meanwhile: it is in sync")
_INTERRUPTED = (
    "Interrupted: what was finished stays written. Look again with `await session.reload()`."
)
