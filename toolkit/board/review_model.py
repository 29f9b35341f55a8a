"""What a review shows and does, without a widget: every view of a session asks and tells this.

It decides nothing about a room: the planner says what may be picked and what comes of it, the session
keeps the decisions and applies them. Whatever a view sends is checked here, whoever sent it.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from toolkit.board.applying import Applying, HowFar
from toolkit.board.deciding import Batch, Deciding
from toolkit.board.details import Details
from toolkit.board.events import Event, Home, Listener, Listeners
from toolkit.board.from_browser import Refused, read_vote
from toolkit.board.history import Opened, Past, list_past, open_run, open_undo
from toolkit.board.in_sync import Quiet
from toolkit.board.items import LONG, Answer, Item, Result, refused
from toolkit.board.listing import Listing
from toolkit.board.looking import Looking
from toolkit.board.opening import Opening
from toolkit.board.picks import Drafts
from toolkit.board.stale import see
from toolkit.board.tally import Counts
from toolkit.board.views import Wanted
from toolkit.board.windows import Query, Window
from toolkit.decisions.ledger import Vote
from toolkit.errors import ToolkitError
from toolkit.model import Choices, Status
from toolkit.session.results import Applied
from toolkit.session.session import Session
from toolkit.text.visible import visible
from toolkit.words import Words


class ReviewModel:
    """The one review of a session: units, decisions, picks that are still open, and the apply.

    Views subscribe, show `items()`, `counts()`, `progress` and `message`, and call the rest. All of it
    belongs to the thread that the session lives on: a widget's handler goes through `soon`.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.message = ""
        self.failed = False
        self._listeners = Listeners()
        self._home = Home()
        self._apply = Applying(session, self._home, self._tell_of_apply, self._notify)
        self._look = Looking(session, self._home, self._tell_of_apply, self._notify)
        self._drafts = Drafts(session)
        self._listing = Listing(session, self._drafts, self._apply)
        self._deciding = Deciding(session, self._drafts, self._listing)
        self._opening = Opening(session, self._drafts, self._apply, self._listing)
        self._acting = False
        session.subscribe(self._on_session)

    @property
    def words(self) -> Words:
        """What things are called for this bot."""
        return self.session.state.plan.words

    # -- looking ----------------------------------------------------------------------------------

    def items(
        self,
        status: Status | str | None = None,
        text: str = "",
        *,
        vote: Vote | str | None = None,
    ) -> list[Item]:
        """The units in the plan's order, or those with this status, this vote and this text."""
        return self._listing.items(status, text, vote)

    def item(self, unit: str) -> Item | None:
        """One line of the list."""
        return self._listing.find(unit)

    def counts(self) -> Counts:
        """How many units there are by status and by vote, and how much is approved."""
        return self._listing.counts()

    def window(self, query: Query, start: int, count: int, keep: Iterable[str] = ()) -> Window:
        """Some lines of a list: which, in which order, and how many there are.

        `keep` names units whose lines and places are wanted wherever they are.
        """
        return self._listing.window(Wanted(query, start, count, tuple(keep)))

    @property
    def lines(self) -> Listing:
        """The lines as views ask for them."""
        return self._listing

    def details(self, unit: str, choices: Choices | Mapping[str, Any] | None = None) -> Details:
        """A unit opened: facts, rows before and after, and what may still be picked.

        With `choices`, by default those that were picked, as it would be planned then; nothing is
        decided by asking. Of a unit that the last run has finished, what that wrote. Raises `ToolkitError`
        for one that there isn't.
        """
        return self._opening.details(unit, choices)

    def _on_session(self) -> None:
        """Somebody else, a cell say, has decided, looked again or applied."""
        if not self._acting and not self.running:
            self._home.soon(lambda: self._notify(Event.ITEMS))

    def look_again(self) -> "asyncio.Task[None] | None":
        """Read both sides anew, in a task of its own; the one that is at it is returned instead.

        None while an apply is going on, which looks by itself if rows have moved.
        """
        if self.running:
            self._tell(refused("A run is going on: it looks by itself, at whatever has moved."))
            return None
        return self._look.start()

    # -- deciding ---------------------------------------------------------------------------------

    def pick(self, unit: str, choices: Choices | Mapping[str, Any] | None) -> Answer:
        """Settle a conflict for the eye: the line shows what would be written then.

        Picks add up, and wait for `decide`; None takes them back. They aren't kept on disk.
        """
        return self._answer(lambda: self._deciding.pick(unit, choices))

    def decide(
        self,
        unit: str,
        vote: Vote | str,
        *,
        choices: Choices | Mapping[str, Any] | None = None,
        change: str | None = None,
        reason: str = "",
        until: str = "",
    ) -> Answer:
        """Approve, reject, defer, ignore or withdraw one unit; returns the words to show.

        `change` is the `Item.change` that was on display: if another one is planned by now, or comes
        of the choices, nothing is decided. `choices` are by default those that were picked. `reason` and
        `until` say why and until which day it is ignored.
        """
        return self._answer(
            lambda: self._deciding.decide(unit, read_vote(vote), choices, change, reason, until)
        )

    def would_approve(
        self, status: Status | str | None = None, text: str = "", group: str = ""
    ) -> Batch:
        """What `approve_all` with the same filter is about: pending units that need nobody's eye."""
        return self._deciding.would_approve(status, text, group)

    def approve_all(
        self,
        status: Status | str | None = None,
        text: str = "",
        group: str = "",
        *,
        changes: Mapping[str, str] | None = None,
    ) -> Answer:
        """Approve what `would_approve` has counted; with its `changes`, exactly that or nothing."""
        return self._answer(lambda: self._deciding.approve_all(status, text, group, changes))

    def decide_many(
        self, changes: Mapping[str, str], vote: Vote | str, *, reason: str = "", until: str = ""
    ) -> Answer:
        """Decide alike about units that somebody has selected, each with the `Item.change` that was on display.

        Of those that are to be approved, what needs a person's eye is left, and waits for a decision of its own.
        """
        return self._answer(
            lambda: self._deciding.decide_many(changes, read_vote(vote), reason, until)
        )

    # -- writing ----------------------------------------------------------------------------------

    @property
    def task(self) -> "asyncio.Task[Applied] | None":
        """The running or last apply; awaiting it raises what went wrong."""
        return self._apply.task

    @property
    def running(self) -> bool:
        """Whether an apply of this review is going on."""
        return self._apply.running

    @property
    def busy(self) -> bool:
        """Whether an apply or a look of this review is going on."""
        return self.running or self._look.running

    @property
    def progress(self) -> HowFar:
        """How far the apply or the look is."""
        return self._look.progress if self._look.running else self._apply.progress

    @property
    def results(self) -> dict[str, Result]:
        """Unit -> what became of it in the last apply."""
        return self._apply.results

    @property
    def last_run(self) -> str:
        """The run whose results are shown, if it wrote something."""
        return self._apply.run

    @property
    def taken_back(self) -> bool:
        """Whether that one was undone since, by whomever."""
        return any(run.undoes == self.last_run for run in self.session.state.runs if run.undoes)

    def start_apply(self) -> "asyncio.Task[Applied]":
        """Write what is approved, in a task of its own; one that is running is returned instead.

        What goes wrong is told in `message` and raised by the task. Raises `ToolkitError` where no
        event loop runs, or while a look is going on.
        """
        self._refuse_while_looking()
        state = self.session.state
        seen = {
            item.unit: see(item, unit, state.local.rows)
            for item in self.items(vote=Vote.APPROVED)
            if (unit := state.plan.unit(item.unit))
        }
        return self._apply.start(self.session.apply, seen, "Applying…")

    def approved(self) -> str:
        """Names what Apply would write now, for a view to send back with the click."""
        return self._listing.approved()

    def start_undo(self, run: str, plan: str | None = None) -> "asyncio.Task[Applied]":
        """Take a run back, in a task like that of `start_apply`.

        `plan` is what `plan_undo` named; if taking it back means something else by now, it is refused.
        """
        if plan is not None and plan != self.plan_undo(run).plan:
            raise ToolkitError(
                "What taking that run back would write has changed; look at it again."
            )
        self._refuse_while_looking()
        session = self.session
        return self._apply.start(
            lambda progress: session.undo(run, progress), {}, "Taking a run back…"
        )

    def cancel(self) -> Answer:
        """End a running apply after the units that are finished, which stay written; or a look."""
        working = self._look if self._look.running else self._apply
        return self._tell(working.cancel())

    def _refuse_while_looking(self) -> None:
        """What a look that began before a run has read would pass for what the run has left."""
        if self._look.running:
            raise ToolkitError("A look is going on: wait for it, or cancel it.")

    def _tell_of_apply(self, answer: Answer) -> None:
        self._tell(answer, Event.ITEMS, Event.PROGRESS)

    def finished(self) -> list[Item]:
        """Units of the last apply that the plan no longer holds, most of them since they were written."""
        return self._listing.finished()

    # -- looking around ---------------------------------------------------------------------------

    def quiet(self) -> list[Quiet]:
        """Rooms and user rows in sync, and rooms that are skipped: nothing to decide."""
        return list(self._listing.quiet())

    def history(self) -> list[Past]:
        """The runs that wrote to this database, the latest first."""
        return list_past(self.session.state.runs)

    def open_run(self, run: str) -> Opened:
        """What a run wrote. Raises `ToolkitError` for an unknown one."""
        return open_run(self.session.state.find_run(run))

    def plan_undo(self, run: str) -> Opened:
        """What taking a run back would write. Raises `ToolkitError` for an unknown one."""
        return open_undo(self.session.state.find_run(run), self.session.plan_undo(run).value)

    # -- views ------------------------------------------------------------------------------------

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what is new; returns how to stop that."""
        return self._listeners.subscribe(listener)

    def refresh(self) -> None:
        """Let the views look again, after a cell has decided or reloaded."""
        self._home.loop()
        self._notify(Event.ITEMS)

    def soon(self, action: Callable[[], object]) -> None:
        """What a widget's handler wants, on the session's own thread; what fails becomes the message."""
        self._home.soon(lambda: self._attempt(action))

    def _attempt(self, action: Callable[[], object]) -> None:
        try:
            action()
        except ToolkitError as error:
            self._tell(refused(visible(str(error), LONG)))
        except Exception as error:
            self._tell(refused(visible(f"That failed: {type(error).__name__}: {error}", LONG)))
            raise

    def _answer(self, action: Callable[[], Answer]) -> Answer:
        self._acting = True
        try:
            answer = action()
        except Refused as error:
            answer = refused(str(error))
        except ToolkitError as error:
            answer = refused(visible(str(error), LONG))
        finally:
            self._acting = False
        return self._tell(answer, Event.ITEMS)

    def _tell(self, answer: Answer, *events: Event) -> Answer:
        self.message, self.failed = str(answer), not answer.accepted
        self._notify(*events, Event.MESSAGE)
        return answer

    def _notify(self, *events: Event) -> None:
        if broken := self._listeners.notify(*events):
            self.message = visible(f"A view broke: {type(broken).__name__}: {broken}", LONG)
            self.failed = True
