"""Values of a session as a person meets them in a notebook: a plan, a decision, what a run did.

Each shows itself as plain text and, where it is worth it, as static HTML; none decides anything.
Paths, run names and times stay out of these texts, so that a notebook's outputs are the same again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

from toolkit.database.journal import Run
from toolkit.decisions.case import Casebook
from toolkit.decisions.ledger import Vote
from toolkit.errors import ToolkitError
from toolkit.frames import Frame, Shelf, changes_frame, drift_frame, plan_frame
from toolkit.model import Plan
from toolkit.records import Raw, decode_object
from toolkit.session.decided import SHOWN, more
from toolkit.text.html import plan_html, plan_text
from toolkit.text.near import say_no_unit
from toolkit.text.summary import count_of, summarise
from toolkit.text.visible import visible

_FAMILIES = ("user_meta", "room_meta", "chat_rows", "links")
_WRITTEN = [f"{did}_{what}" for did in ("restored", "repaired") for what in _FAMILIES]


@dataclass(frozen=True, repr=False)
class ShownPlan:
    """A plan and how it has been decided so far; it doesn't change when the session goes on."""

    value: Plan
    votes: Mapping[str, Vote] = field(default_factory=dict)
    offline: bool = False
    shelf: Shelf = field(default_factory=Shelf, compare=False)
    cases: Casebook | None = field(default=None, compare=False)

    def to_frame(self) -> Frame:
        """A line per unit: `toolkit.frames.COLUMNS["plan"]`."""
        return self.shelf.take(plan_frame, self.value, self.votes)

    def findings(self) -> Frame:
        """A line per finding: `toolkit.frames.COLUMNS["drift"]`."""
        return self.shelf.take(drift_frame, self.value, self.cases)

    def changes(self) -> Frame:
        """A line per field that would be written: `toolkit.frames.COLUMNS["changes"]`."""
        return self.shelf.take(changes_frame, self.value)

    def rows(self, unit: str) -> dict[str, dict[str, Any]]:
        """The rows of one unit `before` and `after`, by key, as dicts; None where there is no row.

        What can't be read stands there as it is stored. Raises `ToolkitError` for an unknown unit.
        """
        found = self.value.unit(unit)
        if found is None:
            raise ToolkitError(visible(say_no_unit(self.value, unit), 500))
        return {w.key: {"before": _row(w.before), "after": _row(w.after)} for w in found.writes}

    def __len__(self) -> int:
        return len(self.value.units)

    def __repr__(self) -> str:
        summary = summarise(self.value, self.votes, offline=self.offline)
        return plan_text(summary, self.value, self.votes)

    def _repr_html_(self) -> str:
        summary = summarise(self.value, self.votes, offline=self.offline)
        return plan_html(summary, self.value, self.votes)


@dataclass(frozen=True, repr=False)
class ShownUndo(ShownPlan):
    """What taking back a run would write, and what it would leave as it is."""

    named: bool = False

    def __repr__(self) -> str:
        units = [unit for unit in self.value.units if unit.writes]
        rows = sum(len(unit.writes) for unit in units)
        lines = [
            f"Taking it back would write {count_of(rows, 'row')} of {count_of(len(units), 'unit')};"
            f" await session.undo({'run' if self.named else ''}) does."
        ]
        lines += [f"  {visible(unit.id)}" for unit in units[:SHOWN]] + more(len(units))
        stays = [finding for unit in self.value.units for finding in unit.findings]
        lines += [
            f"Stays: {visible(finding.key, 500)}: {visible(finding.cause, 500)}"
            for finding in stays[:SHOWN]
        ]
        return "\n".join(lines + more(len(stays)))

    def _repr_html_(self) -> str:
        return f'<pre class="mathjax_ignore">{escape(repr(self))}</pre>'


class Applied(dict[str, Any]):
    """The report of rules 5, and what else a person wants to know of a run.

    `run` names it for `undo`, `backup` is where the copy of the database lies; both are None if
    nothing was written. `entries` has what became of its units. `rows` counts what was written, `stale`
    says of approved units why they were left alone, and `warning` that the rows are written and the
    journal could not be told. `is_undo` tells a run that took another one back.
    """

    def __init__(
        self,
        report: Mapping[str, object],
        run: Run | None = None,
        stale: Mapping[str, str] | None = None,
        *,
        cancelled: bool = False,
        warning: str = "",
    ) -> None:
        super().__init__(report)
        self.is_undo = bool(run and run.undoes)
        self.run = run.id if run and not run.wrote_nothing else None
        self.entries = run.entries if run else ()
        self.backup = Path(run.backup) if run and run.backup else None
        self.rows = sum(len(self.get(key, ())) for key in _WRITTEN)
        if run:
            self.rows = sum(len(entry.writes) for entry in run.applied)
        self.stale = dict(stale or {})
        self.cancelled, self.warning = cancelled, warning

    def __repr__(self) -> str:
        return self.say("await session.undo() takes this back")

    def say(self, undo: str) -> str:
        """What was done, with how it is undone where that can be."""
        lines = [f"Written: {count_of(self.rows, 'row')}."]
        if self.cancelled:
            lines[0] = f"Cancelled. {lines[0]}"
        for unit, why in list(self.stale.items())[:SHOWN]:
            lines.append(f"Left alone: {visible(unit)}: {visible(why, 500)}")
        lines += more(len(self.stale))
        if self.warning:
            lines.append(visible(self.warning, 500))
        if self.rows and self.run and not self.is_undo:
            lines.append(f"A backup was made before; {undo}.")
        if self.rows:
            lines.append(
                "A running bot still has the old rows in memory: let it reload them, or restart it."
            )
        return "\n".join(lines)


def _row(raw: Raw) -> Any:
    if raw is None:
        return None
    try:
        return decode_object(raw)
    except ValueError:
        return raw
