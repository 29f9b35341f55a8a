"""What a session knows at one moment, as a value that views read. Pure."""

from dataclasses import dataclass, field
from functools import cached_property

from toolkit.decisions.ledger import Ledger, Vote
from toolkit.errors import ToolkitError
from toolkit.model import Plan, RemoteState
from toolkit.records import LocalState, load_records
from toolkit.writing.journal import Run


@dataclass(frozen=True, eq=False, repr=False)
class SessionState:
    """Both sides as of one look, what is planned from them, the decisions about it, and the runs.

    It never changes: a session that goes on has another one, in which whatever hasn't moved is the
    very same object.
    """

    remote: RemoteState = field(default_factory=lambda: RemoteState("", {}))
    local: LocalState = field(default_factory=lambda: load_records([]))
    plan: Plan = field(default_factory=lambda: Plan(account="", joined=()))
    ledger: Ledger = field(default_factory=Ledger)
    runs: tuple[Run, ...] = ()

    @cached_property
    def votes(self) -> dict[str, Vote]:
        """How each unit of the plan stands; not to be changed."""
        return self.ledger.standing(self.plan)

    def find_run(self, name: str | None) -> Run:
        """The run of this name, by default the last that wasn't taken back; or `ToolkitError`."""
        undone = {run.undoes for run in self.runs}
        for run in reversed(self.runs):
            if run.id == name or (name is None and not run.undoes and run.id not in undone):
                return run
        if name is not None:
            raise ToolkitError(f"There is no run {name!r}; session.history() names them.")
        again = "; session.undo(run) takes one by its name, also a second time"
        raise ToolkitError(f"There is no run that could be taken back{again if self.runs else ''}.")
