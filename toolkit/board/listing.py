"""The lines of a review as they stand: of the plan, with the decisions, the picks and the last run's results."""

from dataclasses import replace

from toolkit.board.applying import Applying
from toolkit.board.from_browser import Refused
from toolkit.board.items import Item, Lines, bar_item
from toolkit.board.offers import Offering
from toolkit.board.picks import Drafts, same
from toolkit.decisions.ledger import Vote
from toolkit.model import why_no_unit
from toolkit.session.session import Session
from toolkit.session.state import SessionState
from toolkit.text.visible import visible


class Listing:
    """Made anew when anything has moved, whoever has moved it; else it costs nothing to ask."""

    def __init__(self, session: Session, drafts: Drafts, applying: Applying) -> None:
        self._session, self._drafts, self._applying = session, drafts, applying
        self._lines = Lines(session.state.remote)
        self._about: tuple[object, ...] = ()
        self._plain: list[Item] = []
        self._shown: tuple[object, ...] = ()
        self._items: dict[str, Item] = {}

    def items(self) -> dict[str, Item]:
        """All lines by their unit, in the plan's order."""
        state, drafts, results = self._session.state, self._drafts, self._applying.results
        if not same((state, results, drafts.picked), self._shown):
            plain = self._list()
            drafts.drop_all_but({item.unit for item in plain})
            moved = state.ledger.moved(state.plan)
            self._items = {item.unit: self._decided(item, state, moved) for item in plain}
            self._shown = (state, results, drafts.picked)
        return self._items

    def item(self, unit: str) -> Item:
        """One line, whoever asks for it. Raises `Refused` where there is none."""
        item = self.items().get(unit) if isinstance(unit, str) else None
        if item is not None:
            return item
        why = isinstance(unit, str) and why_no_unit(self._session.state.plan, unit)
        raise Refused(f"The plan has no unit {visible(str(unit))}{f': {why}' if why else ''}.")

    def _list(self) -> list[Item]:
        """The lines without decisions, which are the same for the same plan."""
        session, state = self._session, self._session.state
        plan, about = state.plan, (state.plan, state.local, state.remote)
        if not same(about, self._about):
            if self._lines.remote is not state.remote:
                self._lines = Lines(state.remote)
            offering = Offering(plan, state.local) if session.road.settles else None
            lines = zip(self._lines.list(plan, offering), plan.units, strict=True)
            self._plain = [bar_item(item, session.why_not(unit)) for item, unit in lines]
            self._about = about
        return self._plain

    def _decided(self, item: Item, state: SessionState, moved: set[str]) -> Item:
        vote, result = state.votes[item.unit], self._applying.results.get(item.unit)
        again = ""
        if item.unit in moved and vote is Vote.PENDING:
            again = state.ledger.votes[item.unit][0].value
        if vote is not item.vote or result or again:
            item = replace(item, vote=vote, again=again, result=result)
        picked = self._drafts.picked.get(item.unit)
        return item if picked is None else self._drafts.try_out(item, picked)[1]
