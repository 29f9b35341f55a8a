"""What a review shows and does, without a widget: every view of a session asks and tells this.

It decides nothing about a room: the planner says what may be picked and what comes of it, the session
keeps the decisions and applies them. Whatever a view sends is checked here, whoever sent it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import msgspec

from toolkit.board.applying import Applying, HowFar
from toolkit.board.details import Details
from toolkit.board.events import Event, Home, Listener, Listeners
from toolkit.board.from_browser import Refused, read_choices, read_vote
from toolkit.board.history import Opened, Past, list_past, open_run, open_undo
from toolkit.board.in_sync import Quiet
from toolkit.board.items import LONG, Answer, Item, Result, refused, say_causes
from toolkit.board.listing import Listing
from toolkit.board.looking import Looking
from toolkit.board.marks import Mark
from toolkit.board.opening import Opening
from toolkit.board.picks import Drafts
from toolkit.board.stale import see
from toolkit.board.tally import Counts
from toolkit.board.views import Wanted
from toolkit.board.windows import Query, Window
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import join_choices, say_choices, why_unfit
from toolkit.errors import ToolkitError
from toolkit.model import Choices, Status
from toolkit.session.decided import Decided
from toolkit.session.results import Applied
from toolkit.session.session import Session
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.words import Words

SHOWN = 100
"""Units that a question tells one by one."""
_OF_ITS_OWN = "that want a decision of their own"
_DONE = {
    Vote.REJECTED: "Skipped {}: its rows stay as they are.",
    Vote.DEFERRED: "Put off {}.",
    Vote.IGNORED: "Ignored {}: its rows stay as they are, and it counts as no drift.",
    Vote.PENDING: "Pending again: {}.",
}


class Batch(NamedTuple):
    """What approving a whole filter or group would mean; `changes` names what was counted, `what` says it in words,
    and `shown` are the first units of it, each with its change on a line."""

    units: int
    rows: int
    changes: Mapping[str, str]
    what: Mapping[str, int]
    shown: tuple[tuple[str, tuple[Mark, ...]], ...] = ()


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
        return self._answer(lambda: self._pick(unit, choices))

    def _pick(self, unit: str, choices: Choices | Mapping[str, Any] | None) -> Answer:
        known = self._listing.item(unit)
        if choices is None:
            self._drafts.drop(unit)
            return Answer(f"Nothing is picked for {known.label}.")
        new = read_choices(choices)
        road, local = self.session.road, self.session.state.local
        if why := road.why_no_pick(local, new):
            raise Refused(f"Not for {known.label}: {visible(why, LONG)}.")
        picked = join_choices(self._drafts.of(unit), new)
        found, _ = self._drafts.try_out(known, picked)
        if found is not None and (why := why_unfit(found, new)):
            raise Refused(f"Not for {known.label}: {visible(why, LONG)}.")
        self._drafts.keep(unit, picked)
        return Answer(
            f"Picked for {known.label}: {say_choices(picked, self.words.id)}. Nothing is decided yet."
        )

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
            lambda: self._decide(unit, read_vote(vote), choices, change, reason, until)
        )

    def _decide(
        self,
        unit: str,
        vote: Vote,
        choices: Choices | Mapping[str, Any] | None,
        change: str | None,
        reason: str,
        until: str,
    ) -> Answer:
        known = self._listing.item(unit)
        picked = self._drafts.of(unit) if choices is None else read_choices(choices)
        found, made = self._drafts.try_out(known, picked)
        if change is not None and change not in (known.change, made.change):
            raise Refused(f"{known.label} has changed since it was shown; look at it again.")
        if vote is not Vote.APPROVED:
            decided = self._take(unit, vote, reason, until)
        elif known.barred:
            raise Refused(f"Not approved: {known.label}: {known.barred}.")
        elif found is not None and not made.change:
            why = why_unfit(found, picked) or say_causes(found)
            raise Refused(
                f"Not approved: {known.label}: {visible(why, LONG)}. Next: {made.action}."
            )
        else:
            decided = self.session.approve(unit, **msgspec.structs.asdict(picked))
        if decided.refused:
            why = "; ".join(decided.refused.values()) or "there is nothing to write"
            raise Refused(f"Not approved: {known.label}: {visible(why, LONG)}.")
        self._drafts.drop(unit)
        return Answer(_say(decided, known.label))

    def _take(self, unit: str | list[str], vote: Vote, reason: str, until: str) -> Decided:
        if vote is Vote.IGNORED:
            return self.session.ignore(unit, reason=reason, until=until)
        if vote is Vote.REJECTED:
            return self.session.reject(unit)
        return self.session.defer(unit) if vote is Vote.DEFERRED else self.session.withdraw(unit)

    def would_approve(
        self, status: Status | str | None = None, text: str = "", group: str = ""
    ) -> Batch:
        """What `approve_all` with the same filter is about: pending units that need nobody's eye."""
        ready = self._ready(status, text, group)
        changes = {item.unit: item.change for item in ready}
        what = Counter(item.action for item in ready)
        shown = tuple((item.label, item.marks) for item in ready[:SHOWN])
        return Batch(len(ready), sum(item.rows for item in ready), changes, what, shown)

    def approve_all(
        self,
        status: Status | str | None = None,
        text: str = "",
        group: str = "",
        *,
        changes: Mapping[str, str] | None = None,
    ) -> Answer:
        """Approve what `would_approve` has counted; with its `changes`, exactly that or nothing."""
        return self._answer(lambda: self._approve_all(self._ready(status, text, group), changes))

    def _approve_all(self, ready: list[Item], changes: Mapping[str, str] | None) -> Answer:
        if changes is not None and dict(changes) != {item.unit: item.change for item in ready}:
            raise Refused("The list has changed since it was counted; count it again.")
        if not ready:
            raise Refused("There is nothing here that could be approved together.")
        decided = self.session.approve([item.unit for item in ready])
        words = _say(decided, count_of(len(decided.units), "unit"))
        if decided.refused:
            words += f" Not approved: {count_of(len(decided.refused), 'unit')}."
        return Answer(words)

    def _ready(self, status: Status | str | None, text: str, group: str = "") -> list[Item]:
        found = self._listing.items(status, text, Vote.PENDING, group)
        return [item for item in found if self._is_ready(item)]

    def _is_ready(self, item: Item) -> bool:
        """Whether it may be approved together with others."""
        return item.approvable and not item.needs_human and item.unit not in self._drafts.picked

    def decide_many(
        self, changes: Mapping[str, str], vote: Vote | str, *, reason: str = "", until: str = ""
    ) -> Answer:
        """Decide alike about units that somebody has selected, each with the `Item.change` that was on display.

        Of those that are to be approved, what needs a person's eye is left, and waits for a decision of its own.
        """
        return self._answer(lambda: self._decide_many(changes, read_vote(vote), reason, until))

    def _decide_many(
        self, changes: Mapping[str, str], vote: Vote, reason: str, until: str
    ) -> Answer:
        found = [(self._listing.find(unit), change) for unit, change in changes.items()]
        items = [item for item, change in found if item and item.change == change]
        moved, left = len(found) - len(items), 0
        if vote is Vote.APPROVED:
            ready = [item for item in items if self._is_ready(item)]
            items, left = ready, len(items) - len(ready)
        words = [
            f"Left: {count_of(count, 'unit')} {why}."
            for count, why in ((left, _OF_ITS_OWN), (moved, "changed since they were shown"))
            if count
        ]
        if not items:
            raise Refused(" ".join(["Nothing is decided.", *words]))
        units = [item.unit for item in items]
        decided = (
            self.session.approve(units)
            if vote is Vote.APPROVED
            else self._take(units, vote, reason, until)
        )
        for unit in units:
            self._drafts.drop(unit)
        words += [f"Not decided: {count_of(n, 'unit')}." for n in [len(decided.refused)] if n]
        return Answer(" ".join([_say(decided, count_of(len(decided.units), "unit")), *words]))

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


def _say(decided: Decided, label: str) -> str:
    rows = sum(len(unit.writes) for unit in decided.units)
    words = f"Approved {label}: {count_of(rows, 'row')} to write."
    if decided.vote in _DONE:
        words = _DONE[decided.vote].format(label)
    if decided.reopened:
        units = ", ".join(visible(unit) for unit in decided.reopened)
        words += f" Pending again, since what would be written changed: {units}."
    return words
