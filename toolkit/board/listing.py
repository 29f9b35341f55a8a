"""The lines of a review as they stand: of the plan, with the decisions, the picks and the last run's results."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain

from toolkit.board.applying import Applying
from toolkit.board.folding import Heading, Section, find_lines, place_of
from toolkit.board.from_browser import Refused
from toolkit.board.grouping import Groups
from toolkit.board.in_sync import Quiet, QuietLines
from toolkit.board.items import LONG, Item, Lines, bar_item, say_causes
from toolkit.board.orders import Orders
from toolkit.board.picks import Drafts, same
from toolkit.board.quiet_rows import quiet_rows
from toolkit.board.stale import finished_item
from toolkit.board.tally import Approved, Counts, Tally
from toolkit.board.views import Wanted
from toolkit.board.windows import Column, Kept, Line, Order, Query, Window
from toolkit.decisions.decision import Ignored
from toolkit.decisions.ignoring import say_ignored, say_over
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import Offering
from toolkit.model import Choices, Status, Unit, find_unit, why_no_unit
from toolkit.session.session import Session
from toolkit.text.near import say_no_unit
from toolkit.text.visible import visible


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
        if not same(about, self._about[:3]):
            offering = Offering(state.plan, state.local) if session.road.settles else None
            self._rows = quiet_rows(state.plan, state.local)
            people = self._rows.people()
            self._lines = Lines(state.plan, state.remote, offering, self._lines, people)
            self._drafts.drop_all_but(state.plan.places)
            self._origins = self._find_origins()
        self._about = (*about, self._applying.results)
        self._state, self._picked = state, self._drafts.picked
        self._items: dict[str, Item] = {}
        self._orders = Orders(self)
        self._tally = Tally(map(self._status, state.plan.units), state.votes)
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
        assert self._lines is not None  # made above
        self._quiet = QuietLines(state.plan, self._rows, state.remote, self._lines.short)
        self._groups = Groups(state.plan, self.origin, len(self._finished), self._quiet)

    def _find_origins(self) -> dict[str, Unit]:
        """Units for which something was picked, as they are without: that is how their rows still stand."""
        picked, found = self._session.state.ledger.choices, {}
        if picked:
            bare = self._session.bare_plan()
            for name in picked:
                now, was = (find_unit(plan, name) for plan in (self._session.state.plan, bare))
                if now and was:
                    found[now.id] = was
        return found

    def origin(self, unit: Unit) -> Unit:
        """The unit as it is if nothing is picked for it."""
        return self._origins.get(unit.id, unit)

    def _status(self, unit: Unit) -> Status:
        return self._origins[unit.id].status if unit.id in self._origins else unit.status

    def _touch(self, unit_id: str, before: Vote) -> None:
        place, now = self._state.plan.places[unit_id], self._state.votes[unit_id]
        self._items.pop(unit_id, None)
        self._tally.move(before, now)
        unit = self._state.plan.units[place]
        self._tally.approve(unit_id, self._approved(unit) if now is Vote.APPROVED else None)
        self._orders.touch(place)

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
        self, status: str | None = None, text: str = "", vote: str | None = None, group: str = ""
    ) -> list[Item]:
        """The lines of the plan's units, in its order; or those with this status, vote, text and group."""
        self._look()
        query = Query(status or "", vote or "", text=text)
        units = self._state.plan.units
        rank = self._groups.rank(group) if group else None
        return [
            self._made(units[at])
            for at in self.places(query)
            if (rank is None or self.group(at) == rank) and self.matches(at, query)
        ]

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
        if origin := self._origins.get(unit.id):
            item = replace(item, status=origin.status, cause=visible(say_causes(origin), LONG))
        picked = self._picked.get(unit.id)
        return item if picked is None else self._drafts.try_out(item, picked)[1]

    # -- windows ----------------------------------------------------------------------------------

    def window(self, wanted: Wanted) -> Window:
        """Some lines of a query; and lines to keep, as far as there are such, wherever they are in it."""
        self._look()
        query, start, count = wanted.query, wanted.start, wanted.count
        order = self._orders.of(query)
        if not query.folds:
            lines = tuple(map(self._line, order.window(start, count)))
            kept = tuple(self._keep(order, wanted.keep, query))
            return Window(self._edition, start, len(order), order.ready, lines, kept)
        sections = order.sections(self._groups.unfolded(wanted.unfolded))
        shown: list[Line] = []
        for part in find_lines(sections, start, count):
            if isinstance(part, range):
                shown += map(self._line, order.window(part.start, len(part)))
            else:
                shown.append(self._heading(part))
        kept = tuple(self._keep_folded(order, sections, wanted.keep, query))
        total = sum(section.height for section in sections)
        return Window(self._edition, start, total, order.ready, tuple(shown), kept)

    def _keep(self, order: Order, keep: Iterable[str], query: Query) -> Iterator[Kept]:
        for unit in keep:
            place = self._find_place(unit, query)
            if place is not None:
                yield Kept(order.find(place), self._line(place))

    def _keep_folded(
        self, order: Order, sections: list[Section], keep: Iterable[str], query: Query
    ) -> Iterator[Kept]:
        headings = {self._groups.at(section.group).name: section for section in sections}
        for unit in keep:
            if section := headings.get(unit):
                yield Kept(section.at, self._heading(section))
        for kept in self._keep(order, keep, query):
            yield Kept(place_of(sections, kept.at), kept.line)

    def _heading(self, section: Section) -> Heading:
        group = self._groups.at(section.group)
        counts = (section.size, section.ready, section.undecided)
        return Heading(group.name, group.status, group.words, *counts, section.shown)

    # What is next.

    def key(self, wanted: Wanted, unit: str) -> int:
        """What `next_open` goes on from, once this unit is decided."""
        self._look()
        place = self._find_place(unit, wanted.query)
        return -1 if place is None else self._orders.of(wanted.query).key(place)

    def next_open(self, wanted: Wanted, key: int) -> int:
        """Where the next line stands that nobody has decided about, or the heading that it is folded below; -1
        for none."""
        self._look()
        order = self._orders.of(wanted.query)
        place = order.next_open(key)
        if place < 0 or not wanted.query.folds:
            return order.find(place)
        sections = order.sections(self._groups.unfolded(wanted.unfolded))
        at = place_of(sections, order.find(place))
        group = self.group(place)
        return at if at >= 0 else next(s.at for s in sections if s.group == group)

    def between(self, wanted: Wanted, one: str, other: str, most: int) -> tuple[list[Item], int]:
        """The units from one line of a query to another, at most so many; and how many those leave out."""
        self._look()
        order = self._orders.of(wanted.query)
        places = [self._find_place(unit, wanted.query) for unit in (one, other)]
        ends = sorted(order.find(place) for place in places if place is not None)
        if not ends or ends[0] < 0:
            return [], 0
        units = self._state.plan.units
        found = order.window(ends[0], ends[-1] - ends[0] + 1)
        shown = self._groups.unfolded(wanted.unfolded) if wanted.query.folds else None
        seen = (at for at in found if shown is None or self.group(at) in shown)
        mine = [place for place in seen if place < len(units)]
        return [self._made(units[place]) for place in mine[:most]], max(0, len(mine) - most)

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

    def _line(self, place: int) -> Item | Quiet:
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
            return self._status(unit), self._state.votes[unit.id], result.state if result else ""
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

    def is_open(self, place: int) -> bool:
        """Whether nobody has decided about it yet."""
        units = self._state.plan.units
        return place < len(units) and self._state.votes[units[place].id] is Vote.PENDING

    def group(self, place: int) -> int:
        """The group that a line stands in."""
        return self._groups.group(place)


def _differing(these: dict[str, Choices], those: dict[str, Choices]) -> set[str]:
    return {unit for unit in these.keys() | those.keys() if these.get(unit) is not those.get(unit)}
