"""What came of each unit so far in a run, and how its rows were left; and the journal's words for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from toolkit.database.journal import Entry, Run, State
from toolkit.model import RowWrite, Unit
from toolkit.records import Raw
from toolkit.writing.job import APPLIED, Outcome


@dataclass
class Tally:
    """Grows while the run goes on; `copy` what may have to be taken back.

    `made`: chat row that a manager made -> its unit. `texts`: rows that are otherwise than we would have
    written them.
    """

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    made: dict[str, str] = field(default_factory=dict)
    texts: dict[str, Raw] = field(default_factory=dict)

    def copy(self) -> "Tally":
        return Tally(dict(self.outcomes), dict(self.made), dict(self.texts))

    def take_stock(self, units: Sequence[Unit], rows: Mapping[str, Raw]) -> None:
        """How managers and triggers left the rows, since undo compares byte by byte; and a unit is
        finished too if the cancellation came between its last row and our knowing of it."""
        self.texts |= {key: rows[key] for key in self.made if key in rows}
        others: set[str] = set()
        for unit in units:
            writes = unit.writes
            if all(rows.get(w.key) == self.texts.get(w.key, w.after) for w in writes):
                self.outcomes.setdefault(unit.id, APPLIED)
            if self.outcomes.get(unit.id) == APPLIED:
                others |= {w.key for w in writes if rows.get(w.key) != w.after}
        self.texts = {key: rows[key] for key in (*self.made, *others) if key in rows}

    def with_texts(self, run: Run) -> Run:
        """The run with its rows as they were left."""
        if not self.texts:
            return run
        entries = tuple(
            msgspec.structs.replace(entry, writes=tuple(map(self._as_written, entry.writes)))
            for entry in run.entries
        )
        return msgspec.structs.replace(run, entries=entries)

    def with_outcomes(self, run: Run) -> Run:
        """The run as it ended; units that nothing is known of were not reached."""
        entries = tuple(map(self._with_outcome, self.with_texts(run).entries))
        return msgspec.structs.replace(run, entries=entries, finished=True)

    def _as_written(self, write: RowWrite) -> RowWrite:
        return msgspec.structs.replace(write, after=self.texts.get(write.key, write.after))

    def _with_outcome(self, entry: Entry) -> Entry:
        outcome = self.outcomes.get(entry.unit, _NOT_REACHED)
        return msgspec.structs.replace(entry, outcome=outcome.state, detail=outcome.detail)


_NOT_REACHED = Outcome(State.NOT_REACHED, "the run was cancelled before")
