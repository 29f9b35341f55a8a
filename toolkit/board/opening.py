"""A unit opened: as it is planned, with what is picked, or as the last run has left it.

It asks the session and the lines, and decides nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from toolkit.board.applying import Applying
from toolkit.board.details import Details, Moved, diff_rows, make_details
from toolkit.board.from_browser import Refused, read_choices
from toolkit.board.items import Item
from toolkit.board.listing import Listing
from toolkit.board.picks import Drafts
from toolkit.board.stale import find_moved
from toolkit.errors import ToolkitError
from toolkit.model import Choices
from toolkit.session.session import Session


class Opening:
    """Makes the details of one unit after the other; nothing is kept of them."""

    def __init__(
        self, session: Session, drafts: Drafts, applying: Applying, listing: Listing
    ) -> None:
        self._session, self._drafts = session, drafts
        self._applying, self._listing = applying, listing

    def details(self, unit: str, choices: Choices | Mapping[str, Any] | None) -> Details:
        """As `ReviewModel.details` says."""
        if finished := self._finished(unit):
            return finished
        try:
            known = self._listing.item(unit)
            picked = self._drafts.of(unit) if choices is None else read_choices(choices)
        except Refused as error:
            raise ToolkitError(str(error)) from None
        found, made = self._drafts.try_out(known, picked)
        planned = self._session.state.plan.unit(unit)
        why = planned and self._listing.origin(planned)  # what is picked takes no reason away
        case = self._session.cases.open(why) if why else None
        details = make_details(made, found, case, why) if found else Details(known)
        return replace(details, moved=self._moved(known))

    def _finished(self, unit: str) -> Details | None:
        """To the byte what was written, where there is a journal; else what was agreed to."""
        item = next((item for item in self._listing.finished() if item.unit == unit), None)
        if item is None:
            return None
        applying = self._applying
        runs = [run for run in self._session.state.runs if run.id == applying.run]
        entries = [entry for run in runs for entry in run.applied if entry.unit == unit]
        agreed = applying.seen[unit].change if not runs and item.written else None
        writes = entries[0].writes if entries else agreed.writes if agreed else ()
        return Details(item, rows=diff_rows(writes))

    def _moved(self, known: Item) -> Moved | None:
        """Of a unit that the last apply left alone, what has moved since it was approved."""
        state, applying = self._session.state, self._applying
        seen, result = applying.seen.get(known.unit), known.result
        if seen is None or result is None or result.state != "stale":
            return None
        return find_moved(seen, result.why, state.plan.unit(known.unit), state.local.rows)
