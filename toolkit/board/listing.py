"""The lines of a review as they stand: of the plan, with the decisions, the picks and the last run's results."""

from collections.abc import Mapping
from dataclasses import replace

from toolkit.board.applying import Applying
from toolkit.board.from_browser import Refused
from toolkit.board.items import Item, Lines, bar_item
from toolkit.board.offers import Offering
from toolkit.board.picks import Drafts, same
from toolkit.decisions.ledger import Vote
from toolkit.model import why_no_unit
from toolkit.session.session import Session
from toolkit.text.visible import visible


class Listing:
    """Made anew when anything has moved, whoever has moved it; else it costs nothing to ask."""

    def __init__(self, session: Session, drafts: Drafts, applying: Applying) -> None:
        self._session, self._drafts, self._applying = session, drafts, applying
        self._lines = Lines(session._remote)
        self._about: tuple[object, ...] = ()
        self._plain: list[Item] = []
        self._shown: tuple[object, ...] = ()
        self._items: dict[str, Item] = {}

    def items(self) -> dict[str, Item]:
        """All lines by their unit, in the plan's order."""
        session, drafts = self._session, self._drafts
        about = (session._plan, session._local, session._ledger, self._applying.results)
        if not same((*about, drafts.picked), self._shown):
            plain = self._list()
            drafts.drop_all_but({item.unit for item in plain})
            votes, moved = session._votes(), session._ledger.moved(session._plan)
            self._items = {item.unit: self._decided(item, votes, moved) for item in plain}
            self._shown = (*about, drafts.picked)
        return self._items

    def item(self, unit: str) -> Item:
        """One line, whoever asks for it. Raises `Refused` where there is none."""
        item = self.items().get(unit) if isinstance(unit, str) else None
        if item is not None:
            return item
        why = isinstance(unit, str) and why_no_unit(self._session._plan, unit)
        raise Refused(f"The plan has no unit {visible(str(unit))}{f': {why}' if why else ''}.")

    def _list(self) -> list[Item]:
        """The lines without decisions, which are the same for the same plan."""
        session = self._session
        plan, why_not = session._plan, session.why_not
        about = (plan, session._local, session._remote)
        if not same(about, self._about):
            if self._lines.remote is not session._remote:
                self._lines = Lines(session._remote)
            offering = Offering(plan, session._local) if session._road.settles else None
            lines = zip(self._lines.list(plan, offering), plan.units, strict=True)
            self._plain = [bar_item(item, why_not(unit)) for item, unit in lines]
            self._about = about
        return self._plain

    def _decided(self, item: Item, votes: Mapping[str, Vote], moved: set[str]) -> Item:
        vote, result = votes.get(item.unit, Vote.PENDING), self._applying.results.get(item.unit)
        again = ""
        if item.unit in moved and vote is Vote.PENDING:
            again = self._session._ledger.votes[item.unit][0].value
        if vote is not item.vote or result or again:
            item = replace(item, vote=vote, again=again, result=result)
        picked = self._drafts.picked.get(item.unit)
        return item if picked is None else self._drafts.try_out(item, picked)[1]
