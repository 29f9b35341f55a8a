"""What a review shows and does, without a widget: every view of a session asks and tells this.

It decides nothing about a room: the planner says what may be picked and what comes of it, the session
keeps the decisions and applies them. Whatever a view sends is checked here, whoever sent it.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from operator import is_
from typing import Any, NamedTuple

import msgspec

from toolkit.agreement import find_unit, why_no_unit
from toolkit.board.applying import Applying, HowFar
from toolkit.board.items import (
    LONG,
    NO_CHOICES,
    Answer,
    Counts,
    Details,
    Item,
    Lines,
    Moved,
    Result,
    count_items,
    fingerprint_of,
    make_details,
    make_item,
    refused,
    say_causes,
)
from toolkit.board.listeners import Event, Home, Listener, Listeners
from toolkit.board.moved import find_moved, finished_item, see
from toolkit.board.offers import Offering, join_choices, say_choices, why_unfit
from toolkit.board.past import Opened, Past, list_past, open_run, open_undo
from toolkit.board.quiet import Quiet, list_quiet
from toolkit.decisions import Decision
from toolkit.errors import ToolkitError
from toolkit.ledger import Vote
from toolkit.model import Choices, Status, Unit
from toolkit.session import Session
from toolkit.shown import Applied, Decided
from toolkit.summary import count_of
from toolkit.visible import visible

_VERBS = {
    "approve": Vote.APPROVED,
    "reject": Vote.REJECTED,
    "defer": Vote.DEFERRED,
    "withdraw": Vote.PENDING,
}
_DONE = {
    Vote.REJECTED: "Skipped {}: its rows stay as they are.",
    Vote.DEFERRED: "Put off {}.",
    Vote.PENDING: "Pending again: {}.",
}


class Batch(NamedTuple):
    """What approving a whole filter would mean; `changes` names what was counted, `what` says it in words."""

    units: int
    rows: int
    changes: Mapping[str, str]
    what: Mapping[str, int]


class Refused(Exception):
    """Why something that a view asked for isn't done, in words that are visible."""


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
        self._drafts: dict[str, Choices] = {}
        self._shown: tuple[Any, ...] = ()
        self._items: dict[str, Item] = {}
        self._lines = Lines(session._remote)
        self._listed: tuple[tuple[Any, ...], list[Item]] = ((), [])
        self._tried: dict[tuple[str, Choices], tuple[Unit | None, Item | None]] = {}
        self._acting = False
        session.subscribe(self._on_session)

    # -- looking ----------------------------------------------------------------------------------

    def items(
        self,
        status: Status | str | None = None,
        text: str = "",
        *,
        vote: Vote | str | None = None,
    ) -> list[Item]:
        """The units in the plan's order, or those with this status, this vote and this text."""
        return [
            item
            for item in self._all().values()
            if (not status or item.status == status)
            and (not vote or item.vote == vote)
            and (not text or item.has(text))
        ]

    def item(self, unit: str) -> Item | None:
        """One line of the list."""
        return self._all().get(unit)

    def counts(self) -> Counts:
        """How many units there are by status and by vote, and how much is approved."""
        return count_items(self._all().values())

    def details(self, unit: str, choices: Choices | Mapping[str, Any] | None = None) -> Details:
        """A unit opened: facts, rows before and after, and what may still be picked.

        With `choices`, by default those that were picked, as it would be planned then; nothing is
        decided by asking. Raises `ToolkitError` for a unit that isn't in the plan.
        """
        try:
            known = self._known(unit)
            picked = self._drafts.get(unit, NO_CHOICES) if choices is None else _read(choices)
        except Refused as error:
            raise ToolkitError(str(error)) from None
        found, made = self._try(unit, picked)
        details = make_details(self._make(made, picked, known), found) if found else Details(known)
        return replace(details, moved=self._moved(known))

    def _moved(self, known: Item) -> Moved | None:
        """Of a unit that the last apply left alone, what has moved since it was approved."""
        seen, result, session = self._apply.seen.get(known.unit), known.result, self.session
        if seen is None or result is None or result.state != "stale":
            return None
        return find_moved(seen, result.why, session._plan.unit(known.unit), session._local.rows)

    def _known(self, unit: str) -> Item:
        item = self._all().get(unit) if isinstance(unit, str) else None
        if item is not None:
            return item
        why = isinstance(unit, str) and why_no_unit(self.session._plan, unit)
        raise Refused(f"The plan has no unit {visible(str(unit))}{f': {why}' if why else ''}.")

    def _all(self) -> dict[str, Item]:
        """The lines, made anew when anything has moved, whoever has moved it."""
        session = self.session
        shown = (session._plan, session._local, session._ledger, self.results, self._drafts)
        if _same(shown, self._shown):
            return self._items
        plain = self._list()
        known = {item.unit for item in plain}
        self._drafts = {unit: picked for unit, picked in self._drafts.items() if unit in known}
        votes, moved = session._votes(), session._ledger.moved(session._plan)
        self._items = {item.unit: self._decided(item, votes, moved) for item in plain}
        self._shown = (*shown[:-1], self._drafts)
        return self._items

    def _list(self) -> list[Item]:
        """The lines without decisions, which are the same for the same plan."""
        session = self.session
        about = (session._plan, session._local, session._remote)
        if not _same(about, self._listed[0]):
            if self._lines.remote is not session._remote:
                self._lines = Lines(session._remote)
            offering = Offering(session._plan, session._local)
            self._listed, self._tried = (about, self._lines.list(session._plan, offering)), {}
        return self._listed[1]

    def _decided(self, item: Item, votes: Mapping[str, Vote], moved: set[str]) -> Item:
        vote, result = votes.get(item.unit, Vote.PENDING), self.results.get(item.unit)
        again = ""
        if item.unit in moved and vote is Vote.PENDING:
            again = self.session._ledger.votes[item.unit][0].value
        if vote is not item.vote or result or again:
            item = replace(item, vote=vote, again=again, result=result)
        picked = self._drafts.get(item.unit)
        return item if picked is None else self._make(self._try(item.unit, picked)[1], picked, item)

    def _make(self, made: Item | None, picked: Choices, known: Item) -> Item:
        """The line as it would be with these picks; what it is called and counted as stays."""
        if made is None or picked == NO_CHOICES:
            return known
        options = (*known.options, *(o for o in made.options if o not in known.options))
        return replace(
            made,
            unit=known.unit,
            id=known.id,
            label=known.label,
            status=known.status,
            vote=known.vote,
            again=known.again,
            result=known.result,
            options=options,
            choices=picked,
            picked=say_choices(picked),
        )

    def _try(self, unit: str, picked: Choices) -> tuple[Unit | None, Item | None]:
        """The unit, and its line, if these choices were made; nothing is kept."""
        session = self.session
        if picked == NO_CHOICES:
            return session._plan.unit(unit), None
        self._list()  # forgets what was tried on another plan
        if (unit, picked) not in self._tried:
            ledger = session._ledger.decide(Vote.APPROVED, {unit: Decision(choices=picked)})
            plan = session._replan(ledger)
            found = find_unit(plan, unit)
            offers = Offering(plan, session._local).offers(found) if found else None
            made = (
                make_item(found, offers, session._remote) if found and offers is not None else None
            )
            self._tried[unit, picked] = found, made
        return self._tried[unit, picked]

    def _on_session(self) -> None:
        """Somebody else, a cell say, has decided, looked again or applied."""
        if not self._acting and not self.running:
            self._home.soon(lambda: self._notify(Event.ITEMS))

    # -- deciding ---------------------------------------------------------------------------------

    def pick(self, unit: str, choices: Choices | Mapping[str, Any] | None) -> Answer:
        """Settle a conflict for the eye: the line shows what would be written then.

        Picks add up, and wait for `decide`; None takes them back. They aren't kept on disk.
        """
        return self._answer(lambda: self._pick(unit, choices))

    def _pick(self, unit: str, choices: Choices | Mapping[str, Any] | None) -> Answer:
        known = self._known(unit)
        if choices is None:
            self._drafts = {u: picked for u, picked in self._drafts.items() if u != unit}
            return Answer(f"Nothing is picked for {known.label}.")
        new = _read(choices)
        picked = join_choices(self._drafts.get(unit, NO_CHOICES), new)
        found, _ = self._try(unit, picked)
        if found is not None and (why := why_unfit(found, new)):
            raise Refused(f"Not for {known.label}: {visible(why, LONG)}.")
        self._drafts = self._drafts | {unit: picked}
        return Answer(f"Picked for {known.label}: {say_choices(picked)}. Nothing is decided yet.")

    def decide(
        self,
        unit: str,
        vote: Vote | str,
        *,
        choices: Choices | Mapping[str, Any] | None = None,
        change: str | None = None,
    ) -> Answer:
        """Approve, reject, defer or withdraw one unit; returns the words to show.

        `change` is the `Item.change` that was on display: if another one is planned by now, or comes
        of the choices, nothing is decided. `choices` are by default those that were picked.
        """
        return self._answer(lambda: self._decide(unit, _read_vote(vote), choices, change))

    def _decide(
        self,
        unit: str,
        vote: Vote,
        choices: Choices | Mapping[str, Any] | None,
        change: str | None,
    ) -> Answer:
        known = self._known(unit)
        draft = self._drafts.get(unit, NO_CHOICES)
        picked = draft if choices is None else _read(choices)
        found, tried = self._try(unit, picked)
        made = self._make(tried, picked, known)
        if change is not None and change not in (known.change, made.change):
            raise Refused(f"{known.label} has changed since it was shown; look at it again.")
        if vote is not Vote.APPROVED:
            decided = self._take(unit, vote)
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
        self._drafts = {u: open_ for u, open_ in self._drafts.items() if u != unit}
        return Answer(_say(decided, known.label))

    def _take(self, unit: str, vote: Vote) -> Decided:
        if vote is Vote.REJECTED:
            return self.session.reject(unit)
        return self.session.defer(unit) if vote is Vote.DEFERRED else self.session.withdraw(unit)

    def would_approve(self, status: Status | str | None = None, text: str = "") -> Batch:
        """What `approve_all` with the same filter is about: pending units that need nobody's eye."""
        ready = self._ready(status, text)
        changes = {item.unit: item.change for item in ready}
        what = Counter(item.action for item in ready)
        return Batch(len(ready), sum(item.rows for item in ready), changes, what)

    def approve_all(
        self,
        status: Status | str | None = None,
        text: str = "",
        *,
        changes: Mapping[str, str] | None = None,
    ) -> Answer:
        """Approve what `would_approve` has counted; with its `changes`, exactly that or nothing."""
        return self._answer(lambda: self._approve_all(self._ready(status, text), changes))

    def _approve_all(self, ready: list[Item], changes: Mapping[str, str] | None) -> Answer:
        if changes is not None and dict(changes) != {item.unit: item.change for item in ready}:
            raise Refused("The list has changed since it was counted; look again.")
        if not ready:
            raise Refused("There is nothing here that could be approved together.")
        decided = self.session.approve([item.unit for item in ready])
        words = _say(decided, count_of(len(decided.units), "unit"))
        if decided.refused:
            words += f" Not approved: {count_of(len(decided.refused), 'unit')}."
        return Answer(words)

    def _ready(self, status: Status | str | None, text: str) -> list[Item]:
        return [
            item
            for item in self.items(status, text, vote=Vote.PENDING)
            if item.approvable and not item.needs_human and item.unit not in self._drafts
        ]

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
    def progress(self) -> HowFar:
        """How far the apply is."""
        return self._apply.progress

    @property
    def results(self) -> dict[str, Result]:
        """Unit -> what became of it in the last apply."""
        return self._apply.results

    def start_apply(self) -> "asyncio.Task[Applied]":
        """Write what is approved, in a task of its own; one that is running is returned instead.

        What goes wrong is told in `message` and raised by the task. Raises `ToolkitError` where no
        event loop runs.
        """
        session = self.session
        units = {unit.id: unit for unit in session._plan.units}
        rows = session._local.rows
        approved = self.items(vote=Vote.APPROVED)
        seen = {item.unit: see(item, units[item.unit], rows) for item in approved}
        return self._apply.start(session.apply, seen, "Applying…")

    def approved(self) -> str:
        """Names what Apply would write now, for a view to send back with the click."""
        return fingerprint_of({i.unit: i.change for i in self.items(vote=Vote.APPROVED)})

    def start_undo(self, run: str, plan: str | None = None) -> "asyncio.Task[Applied]":
        """Take a run back, in a task like that of `start_apply`.

        `plan` is what `plan_undo` named; if taking it back means something else by now, it is refused.
        """
        if plan is not None and plan != self.plan_undo(run).plan:
            raise ToolkitError(
                "What taking that run back would write has changed; look at it again."
            )
        session = self.session
        return self._apply.start(
            lambda progress: session.undo(run, progress), {}, "Taking a run back…"
        )

    def cancel(self) -> Answer:
        """End a running apply after the units that are finished; those stay written."""
        return self._tell(self._apply.cancel())

    def _tell_of_apply(self, answer: Answer) -> None:
        self._tell(answer, Event.ITEMS, Event.PROGRESS)

    def finished(self) -> list[Item]:
        """Units of the last apply that the plan no longer holds, most of them since they were written."""
        there = self._all()
        seen = self._apply.seen
        return [
            finished_item(seen[unit], result)
            for unit, result in self.results.items()
            if unit not in there and unit in seen
        ]

    # -- looking around ---------------------------------------------------------------------------

    def quiet(self) -> list[Quiet]:
        """Rooms and user rows in sync, and rooms that are skipped: nothing to decide."""
        return list_quiet(self.session._plan, self.session._local, self.session._remote)

    def history(self) -> list[Past]:
        """The runs that wrote to this database, the latest first."""
        return list_past(self.session._runs)

    def open_run(self, run: str) -> Opened:
        """What a run wrote. Raises `ToolkitError` for an unknown one."""
        return open_run(self.session._find_run(run))

    def plan_undo(self, run: str) -> Opened:
        """What taking a run back would write. Raises `ToolkitError` for an unknown one."""
        return open_undo(run, self.session.plan_undo(run).value)

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
    rows = sum(len(unit.change.writes) for unit in decided.units if unit.change)
    words = f"Approved {label}: {count_of(rows, 'row')} to write."
    if decided.vote in _DONE:
        words = _DONE[decided.vote].format(label)
    if decided.reopened:
        units = ", ".join(visible(unit) for unit in decided.reopened)
        words += f" Pending again, since what would be written changed: {units}."
    return words


def _read(choices: Choices | Mapping[str, Any]) -> Choices:
    """Choices as a view sent them."""
    try:
        return msgspec.convert(choices, Choices)
    except msgspec.ValidationError as error:
        raise Refused(f"The choice can't be read: {visible(str(error))}.") from None


def _read_vote(vote: Vote | str) -> Vote:
    try:
        return _VERBS.get(vote) or Vote(vote)
    except (ValueError, TypeError):
        names = ", ".join(_VERBS)
        raise Refused(f"There is no decision {visible(str(vote))}; there are {names}.") from None


def _same(these: tuple[object, ...], those: tuple[object, ...]) -> bool:
    return len(these) == len(those) and all(map(is_, these, those))
