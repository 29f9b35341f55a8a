"""The lines of a review as they stand: of the plan, with the decisions, the picks and the last run's results."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from toolkit.board.applying import Applying
from toolkit.board.from_browser import Refused
from toolkit.board.in_sync import QuietLines
from toolkit.board.items import LONG, Item, Lines, bar_item
from toolkit.board.picks import Drafts, same
from toolkit.board.stale import finished_item
from toolkit.board.tally import Approved, Counts, Tally
from toolkit.board.windows import Column, Kept, Line, Order, Query, Unranked, Window
from toolkit.decisions.decision import Ignored
from toolkit.decisions.ignoring import say_ignored, say_over
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import Offering
from toolkit.model import Choices, Unit, why_no_unit
from toolkit.records import LocalState
from toolkit.session.session import Session
from toolkit.text.near import say_no_unit
from toolkit.text.visible import visible

ORDERS = 8
"""Orders that are kept up to date: of each view its own, and of one that goes to and fro the last few."""


class Listing:
    """Looks at the session whenever it is asked, and then at what has moved alone, whoever has moved it.

    A line is made when somebody wants to see it. Places count the plan's units, then the units that the
    last run has finished, then what is in sync or skipped.
    """

    def __init__(self, session: Session, drafts: Drafts, applying: Applying) -> None:
        self._session, self._drafts, self._applying = session, drafts, applying
        self._about: tuple[object, ...] = ()
        self._lines: Lines | None = None
        self._edition = object()
        self._there: tuple[list[str], list[Item]] = ([], [])
        self._state, self._picked = session.state, drafts.picked
        self._begin()

    # -- keeping up -------------------------------------------------------------------------------

    def _look(self) -> None:
        state, picked = self._session.state, self._drafts.picked
        about = (state.plan, state.local, state.remote, self._applying.results)
        if state is self._state and picked is self._picked and about[3] is self._about[3]:
            return
        touched = state.standing.touched_since(self._state.standing)
        if touched is None or not same(about, self._about):
            self._begin()
            return
        votes, tried = self._state.votes, _differing(self._picked, picked)
        self._state, self._picked = state, picked
        for unit in touched | (tried & state.plan.places.keys()):
            self._touch(unit, votes[unit])

    def _begin(self) -> None:
        """All anew, save the lines of units that were there before."""
        session, state = self._session, self._session.state
        about = (state.plan, state.local, state.remote)
        assert isinstance(state.local, LocalState)
        if not same(about, self._about[:3]):
            offering = Offering(state.plan, state.local) if session.road.settles else None
            self._lines = Lines(state.plan, state.remote, offering, self._lines)
            self._drafts.drop_all_but(state.plan.places)
        self._about = (*about, self._applying.results)
        self._state, self._picked = state, self._drafts.picked
        self._items: dict[str, Item] = {}
        self._orders: dict[Query, Order] = {}
        self._tally = Tally(state.plan, state.votes)
        for unit, vote in zip(state.plan.units, state.votes.values(), strict=True):
            if vote is Vote.APPROVED:
                self._tally.approve(unit.id, self._approved(unit))
        seen, results = self._applying.seen, self._applying.results
        self._finished = [
            finished_item(seen[unit], result)
            for unit, result in results.items()
            if unit not in state.plan.places and unit in seen
        ]
        units = [*state.plan.places]
        if (units, self._finished) != self._there:
            self._edition, self._there = object(), (units, self._finished)
        self._quiet = QuietLines(state.plan, state.local, state.remote)

    def _touch(self, unit_id: str, before: Vote) -> None:
        place, now = self._state.plan.places[unit_id], self._state.votes[unit_id]
        self._items.pop(unit_id, None)
        self._tally.move(before, now)
        unit = self._state.plan.units[place]
        self._tally.approve(unit_id, self._approved(unit) if now is Vote.APPROVED else None)
        for query, order in list(self._orders.items()):
            try:
                order.touch(place)
            except Unranked:
                del self._orders[query]

    def _approved(self, unit: Unit) -> Approved:
        """Without making its line, which nobody may ever look at; save where something is picked for it."""
        if unit.id in self._picked:
            item = self._made(unit)
            return Approved(unit.id, unit.kind, item.change, item.rows)
        change = None if self._session.why_not(unit) else unit.change
        fingerprint, rows = (change.fingerprint, len(change.writes)) if change else ("", 0)
        return Approved(unit.id, unit.kind, fingerprint, rows)

    # -- lines ------------------------------------------------------------------------------------

    def items(
        self, status: str | None = None, text: str = "", vote: str | None = None
    ) -> list[Item]:
        """The lines of the plan's units, in its order; or those with this status, vote and text."""
        self._look()
        query = Query(status or "", vote or "", text=text)
        units = self._state.plan.units
        return [self._made(units[at]) for at in self.places(query) if self.matches(at, query)]

    def find(self, unit_id: str) -> Item | None:
        """One line, if there is one."""
        self._look()
        unit = self._state.plan.unit(unit_id)
        return None if unit is None else self._made(unit)

    def item(self, unit: str) -> Item:
        """One line, whoever asks for it. Raises `Refused` where there is none."""
        item = self.find(unit) if isinstance(unit, str) else None
        if item is not None:
            return item
        plan, name = self._session.state.plan, str(unit)
        if why := why_no_unit(plan, name):
            raise Refused(f"The plan has no unit {visible(name)}: {why}.")
        raise Refused(visible(say_no_unit(plan, name), LONG))

    def finished(self) -> list[Item]:
        """Units of the last apply that the plan no longer holds."""
        self._look()
        return self._finished

    def quiet(self) -> QuietLines:
        """What is in sync or skipped."""
        self._look()
        return self._quiet

    def counts(self) -> Counts:
        """The numbers above the list."""
        self._look()
        return self._tally.counts()

    def approved(self) -> str:
        """Names what is approved."""
        self._look()
        return self._tally.name()

    def _made(self, unit: Unit) -> Item:
        if unit.id not in self._items:
            assert self._lines is not None  # since the beginning
            plain = bar_item(self._lines.line(unit), self._session.why_not(unit))
            self._items[unit.id] = self._decided(plain, unit)
        return self._items[unit.id]

    def _decided(self, item: Item, unit: Unit) -> Item:
        ledger, vote = self._state.ledger, self._state.votes[unit.id]
        result = self._applying.results.get(unit.id)
        again = ignored = returned = ""
        before, decision = ledger.votes.get(unit.id, (vote, None))
        if isinstance(decision, Ignored):
            if vote is Vote.IGNORED:
                ignored = visible(say_ignored(decision), LONG)
            elif vote is Vote.PENDING:
                returned = say_over(decision, ledger.today)
        elif vote is Vote.PENDING:
            again = before.value if ledger.outlived(unit) else ""
        if vote is not item.vote or result or again or returned:
            item = replace(
                item, vote=vote, again=again, result=result, ignored=ignored, returned=returned
            )
        picked = self._picked.get(unit.id)
        return item if picked is None else self._drafts.try_out(item, picked)[1]

    # -- windows ----------------------------------------------------------------------------------

    def window(self, query: Query, start: int, count: int, keep: Iterable[str] = ()) -> Window:
        """Some lines of a query; and lines to keep, as far as there are such, wherever they are in it."""
        self._look()
        order = self._orders.pop(query, None) or Order(self, query)
        self._orders[query] = order
        while len(self._orders) > ORDERS:
            del self._orders[next(iter(self._orders))]
        return Window(
            self._edition,
            start,
            len(order),
            order.ready,
            tuple(map(self._line, order.window(start, count))),
            tuple(self._keep(order, keep, query)),
        )

    def _keep(self, order: Order, keep: Iterable[str], query: Query) -> Iterator[Kept]:
        for unit in keep:
            place = self._find_place(unit, query)
            if place is not None:
                yield Kept(order.find(place), self._line(place))

    def _find_place(self, unit: str, query: Query) -> int | None:
        """A unit that a run has finished may be in sync by now: which of them is meant says the query."""
        place, units = self._state.plan.places.get(unit), len(self._state.plan.units)
        if place is not None:
            return place
        if query.result:
            found = (at for at, item in enumerate(self._finished) if item.unit == unit)
            at = next(found, None)
            return None if at is None else units + at
        at = self._quiet.find(unit) if query.quiet else None
        return None if at is None else units + len(self._finished) + at

    def _line(self, place: int) -> Line:
        units = self._state.plan.units
        if place < len(units):
            return self._made(units[place])
        place -= len(units)
        if place < len(self._finished):
            return self._finished[place]
        return self._quiet.line(place - len(self._finished))

    # As a pool for orders.

    def places(self, query: Query) -> Iterable[int]:
        """Finished lines are wanted for a result alone, and quiet ones have none."""
        units, finished = len(self._state.plan.units), len(self._finished)
        if query.quiet and not query.result and not query.vote:
            first_quiet = units + finished
            return chain(range(units), range(first_quiet, first_quiet + len(self._quiet)))
        return range(units + finished if query.result else units)

    def matches(self, place: int, query: Query) -> bool:
        """Whether a line is looked for; it is made for its texts alone."""
        status, vote, result = self._stands(place)
        return (
            (not query.status or query.status == status)
            and (not query.vote or query.vote == vote)
            and (not query.result or query.result == result)
            and (not query.text or self._line(place).has(query.text))
        )

    def _stands(self, place: int) -> tuple[str, str, str]:
        """Status, vote and result."""
        units = self._state.plan.units
        if place < len(units):
            unit = units[place]
            result = self._applying.results.get(unit.id)
            return unit.status, self._state.votes[unit.id], result.state if result else ""
        place -= len(units)
        if place < len(self._finished):
            item = self._finished[place]
            return item.status, item.vote, item.result.state if item.result else ""
        return self._quiet.status(place - len(self._finished)), "", ""

    def is_ready(self, place: int) -> bool:
        """Pending units with a change that needs nobody's eye, and for which nothing is picked."""
        units = self._state.plan.units
        if place >= len(units):
            return False
        unit = units[place]
        return (
            unit.certain
            and self._state.votes[unit.id] is Vote.PENDING
            and unit.id not in self._picked
            and not self._session.why_not(unit)
        )

    def value(self, place: int, column: Column) -> str:
        """What stands in a column."""
        return self._line(place).column(column) if column else ""


def _differing(these: dict[str, Choices], those: dict[str, Choices]) -> set[str]:
    return {unit for unit in these.keys() | those.keys() if these.get(unit) is not those.get(unit)}
