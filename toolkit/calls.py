"""One call of a bot's functions: what it is about, what it may do, and what it tells."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

from msgspec.structs import replace

from toolkit.convention import Convention
from toolkit.decisions.decision import Decision, stale_decisions
from toolkit.model import Plan, Status, Unit, UnitKind
from toolkit.writing.job import Result, Told

R = TypeVar("R")
BuildReport = Callable[[Plan, Mapping[str, str | None]], R]
"""Makes the report of a bot's shape: of a plan, and unit -> why it isn't written, None if it is."""


class Met(NamedTuple):
    """A room that the bot met, and the user through whom."""

    room_id: str
    user_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a call is about, and what it may do: fields as the parameters of the two functions.

    With `met` it is about that room alone. `told` hears of the run as soon as there is one, so that
    whoever cancels it knows which it was.
    """

    met: Met | None = None
    convention: Convention = field(default_factory=Convention)
    decisions: Mapping[str, Decision] | None = None
    allow_empty: bool = False
    lower_counters: bool = False
    dry_run: bool = False
    deadline: float | None = None
    max_changes: int | None = None
    sliding_sync: bool = True
    told: Told | None = None

    @property
    def action(self) -> str:
        """What the journal calls it."""
        if self.met:
            return "single room"
        return "start-up" if self.decisions is None else "approved"


class Reconciled(NamedTuple, Generic[R]):
    """What a call did: its report, and what the writer says of its own run."""

    report: R
    result: Result


def tell(
    plan: Plan, result: Result, refused: dict[str, str], options: Options, build: BuildReport[R]
) -> R:
    """The report, with decisions that nothing came of; a call about one room tells of no others."""
    decisions = options.decisions or {}
    if options.met:
        about = {options.met.room_id, *(unit.id for unit in plan.units)}
        decisions = {unit: decision for unit, decision in decisions.items() if unit in about}
    stale = stale_decisions(plan, decisions) | refused
    held = {unit.id for unit in plan.units}
    gone = tuple(_gone(unit_id) for unit_id in stale if unit_id not in held)
    return build(replace(plan, units=(*plan.units, *gone)), stale | result.reasons)


def _gone(unit_id: str) -> Unit:
    """A unit that was decided and isn't planned, for the report."""
    is_user = unit_id.startswith("@")
    return Unit(
        id=unit_id,
        kind=UnitKind.USER if is_user else UnitKind.ROOM,
        status=Status.CONFLICT,
        findings=(),
        owner=unit_id if is_user else None,
    )
