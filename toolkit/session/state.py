"""What a session knows at one moment, as a value that views read. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self

from toolkit.database.journal import Run
from toolkit.decisions.decision import Decision
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.decisions.standing import Standing
from toolkit.errors import ToolkitError
from toolkit.model import Plan, RemoteState, Unit
from toolkit.planning.links.rows import Local
from toolkit.records import load_records
from toolkit.writing.lineage import Past
from toolkit.writing.undo import say_older


@dataclass(frozen=True, eq=False, repr=False)
class SessionState:
    """Both sides as of one look, what is planned from them, the decisions about it, and the runs.

    It never changes: a session that goes on has another one, in which whatever hasn't moved is the
    very same object.
    """

    remote: RemoteState = field(default_factory=lambda: RemoteState("", {}))
    local: Local = field(default_factory=lambda: load_records([]))
    plan: Plan = field(default_factory=lambda: Plan(account="", joined=()))
    ledger: Ledger = field(default_factory=Ledger)
    past: Past = field(default_factory=lambda: Past([], []))

    @property
    def runs(self) -> tuple[Run, ...]:
        """The runs that wrote to this database, oldest first."""
        return tuple(self.past.runs)

    @property
    def votes(self) -> dict[str, Vote]:
        """How each unit of the plan stands; not to be changed."""
        return self.standing.votes

    @cached_property
    def standing(self) -> Standing:
        """The same, and what has moved since an earlier state."""
        return Standing(self.plan, self.ledger)

    @property
    def binding(self) -> dict[str, Decision]:
        """The decisions that count for what is planned, by unit."""
        return self.ledger.binding(self.plan)

    def decided(self, ledger: Ledger, plan: Plan) -> Self:
        """The next state: with these decisions, and what is planned with them."""
        made = replace(self, ledger=ledger.settled(), plan=plan)
        if plan is self.plan:
            made.__dict__["standing"] = self.standing.after(ledger)
        return made

    def units(self, ids: Iterable[str]) -> list[Unit]:
        """These units of the plan, in its order."""
        places = self.plan.places
        return [self.plan.units[place] for place in sorted(places[unit_id] for unit_id in ids)]

    def find_run(self, name: str | None) -> Run:
        """The run of this name, by default the last that wasn't taken back; or `ToolkitError`."""
        undone = {run.undoes for run in self.runs}
        for run in reversed(self.runs):
            if run.id == name or (name is None and not run.undoes and run.id not in undone):
                return run
        if any(run.id == name for run in self.past.older):
            raise ToolkitError(say_older(name or ""))
        if name is not None:
            raise ToolkitError(f"There is no run {name!r}; session.history() names them.")
        again = "; session.undo(run) takes one by its name, also a second time"
        raise ToolkitError(f"There is no run that could be taken back{again if self.runs else ''}.")
