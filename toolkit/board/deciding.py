"""What a view asks to be decided, checked against what was on display, and the words for it.

Whether something may be written for a room says the planner; the session keeps the decision. What doesn't
fit is `Refused`, and then nothing is decided.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from toolkit.board.from_browser import Refused, read_choices
from toolkit.board.items import LONG, Answer, Item, say_causes
from toolkit.board.listing import Listing
from toolkit.board.marks import Mark
from toolkit.board.picks import Drafts
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import join_choices, say_choices, why_unfit
from toolkit.model import Choices
from toolkit.session.decided import Decided
from toolkit.session.session import Session
from toolkit.text.summary import count_of
from toolkit.text.visible import visible

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


class Deciding:
    """Decides in a session for its views; `ReviewModel` says what each of it means."""

    def __init__(self, session: Session, drafts: Drafts, listing: Listing) -> None:
        self._session, self._drafts, self._listing = session, drafts, listing

    def pick(self, unit: str, choices: Choices | Mapping[str, Any] | None) -> Answer:
        """Keep a pick, or None: take it back."""
        known = self._listing.item(unit)
        if choices is None:
            self._drafts.drop(unit)
            return Answer(f"Nothing is picked for {known.label}.")
        new = read_choices(choices)
        road, local = self._session.road, self._session.state.local
        if why := road.why_no_pick(local, new):
            raise Refused(f"Not for {known.label}: {visible(why, LONG)}.")
        picked = join_choices(self._drafts.of(unit), new)
        found, _ = self._drafts.try_out(known, picked)
        if found is not None and (why := why_unfit(found, new)):
            raise Refused(f"Not for {known.label}: {visible(why, LONG)}.")
        self._drafts.keep(unit, picked)
        told = say_choices(picked, self._session.state.plan.words.id)
        return Answer(f"Picked for {known.label}: {told}. Nothing is decided yet.")

    def decide(
        self,
        unit: str,
        vote: Vote,
        choices: Choices | Mapping[str, Any] | None,
        change: str | None,
        reason: str,
        until: str,
    ) -> Answer:
        """Decide about one unit, with what is picked for it."""
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
            decided = self._session.approve(unit, **msgspec.structs.asdict(picked))
        if decided.refused:
            why = "; ".join(decided.refused.values()) or "there is nothing to write"
            raise Refused(f"Not approved: {known.label}: {visible(why, LONG)}.")
        self._drafts.drop(unit)
        return Answer(_say(decided, known.label))

    def _take(self, unit: str | list[str], vote: Vote, reason: str, until: str) -> Decided:
        if vote is Vote.IGNORED:
            return self._session.ignore(unit, reason=reason, until=until)
        if vote is Vote.REJECTED:
            return self._session.reject(unit)
        return self._session.defer(unit) if vote is Vote.DEFERRED else self._session.withdraw(unit)

    def would_approve(self, status: str | None, text: str, group: str) -> Batch:
        """What could be approved together."""
        ready = self._ready(status, text, group)
        changes = {item.unit: item.change for item in ready}
        what = Counter(item.action for item in ready)
        shown = tuple((item.label, item.marks) for item in ready[:SHOWN])
        return Batch(len(ready), sum(item.rows for item in ready), changes, what, shown)

    def approve_all(
        self, status: str | None, text: str, group: str, changes: Mapping[str, str] | None
    ) -> Answer:
        """Approve that, if it is still what was counted."""
        ready = self._ready(status, text, group)
        if changes is not None and dict(changes) != {item.unit: item.change for item in ready}:
            raise Refused("The list has changed since it was counted; count it again.")
        if not ready:
            raise Refused("There is nothing here that could be approved together.")
        decided = self._session.approve([item.unit for item in ready])
        words = _say(decided, count_of(len(decided.units), "unit"))
        if decided.refused:
            words += f" Not approved: {count_of(len(decided.refused), 'unit')}."
        return Answer(words)

    def _ready(self, status: str | None, text: str, group: str) -> list[Item]:
        found = self._listing.items(status, text, Vote.PENDING, group)
        return [item for item in found if self._is_ready(item)]

    def _is_ready(self, item: Item) -> bool:
        """Whether it may be approved together with others."""
        return item.approvable and not item.needs_human and item.unit not in self._drafts.picked

    def decide_many(
        self, changes: Mapping[str, str], vote: Vote, reason: str, until: str
    ) -> Answer:
        """Decide about several units alike."""
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
            self._session.approve(units)
            if vote is Vote.APPROVED
            else self._take(units, vote, reason, until)
        )
        for unit in units:
            self._drafts.drop(unit)
        words += [f"Not decided: {count_of(n, 'unit')}." for n in [len(decided.refused)] if n]
        return Answer(" ".join([_say(decided, count_of(len(decided.units), "unit")), *words]))


def _say(decided: Decided, label: str) -> str:
    rows = sum(len(unit.writes) for unit in decided.units)
    words = f"Approved {label}: {count_of(rows, 'row')} to write."
    if decided.vote in _DONE:
        words = _DONE[decided.vote].format(label)
    if decided.reopened:
        units = ", ".join(visible(unit) for unit in decided.reopened)
        words += f" Pending again, since what would be written changed: {units}."
    return words
