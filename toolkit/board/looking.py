"""Looking again from a review: both sides anew, in a task whose end is told, and what has moved since.

The session looks; what was decided stays decided for as long as the same would be written.
"""

import asyncio
from collections.abc import Callable

from toolkit.board.applying import HowFar, take_exception
from toolkit.board.events import Event, Home
from toolkit.board.items import LONG, Answer, refused
from toolkit.decisions.ledger import Vote
from toolkit.errors import ToolkitError
from toolkit.session.session import Session
from toolkit.session.state import SessionState
from toolkit.text.summary import count_of
from toolkit.text.visible import visible


class Looking:
    """The last look that a view has asked for, be it over or not."""

    def __init__(
        self,
        session: Session,
        home: Home,
        tell: Callable[[Answer], object],
        notify: Callable[[Event], object],
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self.progress = HowFar()
        self._session, self._home = session, home
        self._tell, self._notify = tell, notify

    @property
    def running(self) -> bool:
        """Whether it is going on."""
        return self.task is not None

    def start(self) -> "asyncio.Task[None]":
        """Look in a task of its own, or return the one that is at it."""
        if self.task is None:
            loop = self._home.loop()
            if loop is None:
                raise ToolkitError("Looking needs a running event loop: `await session.reload()`.")
            self.progress = HowFar()
            self.task = loop.create_task(self._look())
            self.task.add_done_callback(take_exception)
            self._tell(Answer("Looking again…"))
        return self.task

    def cancel(self) -> Answer:
        """End it; what is shown stays as it was."""
        assert self.task is not None  # else there is nothing to cancel
        self.task.cancel()
        return Answer("Cancelling the look.")

    async def _look(self) -> None:
        before = self._session.state
        try:
            await self._session.reload(self._advance)
        except asyncio.CancelledError:
            self._end(refused("The look was cancelled: what is shown is as of the one before."))
            raise
        except Exception as error:
            name = "" if isinstance(error, ToolkitError) else f"{type(error).__name__}: "
            words = f"What is shown is as of the look before: {name}{error}"
            self._end(refused(visible(words, LONG)))
            raise
        self._end(Answer(say_what_moved(before, self._session.state)))

    def _end(self, answer: Answer) -> None:
        self.task = None
        self._tell(answer)

    def _advance(self, done: int, total: int, word: str) -> None:
        before, self.progress = self.progress, HowFar(done, total, visible(word))
        if before.percent != self.progress.percent or before.word != self.progress.word:
            self._notify(Event.PROGRESS)


def say_what_moved(before: SessionState, after: SessionState) -> str:
    """What a look has found that wasn't there before, in units."""
    was, now = before.plan.places.keys(), after.plan.places.keys()
    approved = [unit for unit, vote in before.votes.items() if vote is Vote.APPROVED]
    again = [u for u in approved if u in now and after.votes[u] is not Vote.APPROVED]
    other = [u for u in was & now if before.plan.unit(u) != after.plan.unit(u)]
    told = [
        f"{count_of(len(units), 'unit')} {words}"
        for units, words in (
            (was - now, "no longer in the list"),
            (now - was, "new"),
            (other, "changed"),
            (again, "no longer approved"),
        )
        if units
    ]
    return f"Looked again: {', '.join(told) or 'nothing has changed'}."
