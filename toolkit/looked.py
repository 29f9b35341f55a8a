"""A look that nobody keeps: both sides read and planned once, with the decisions that lie beside the database.

What a command of the command line shows, for one bot or for each of a fleet. A session goes on from there.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.aside import aside
from toolkit.decisions.case import Casebook
from toolkit.decisions.ignoring import today
from toolkit.decisions.ledger_file import load_beside
from toolkit.decisions.record import Record
from toolkit.model import Plan, RemoteState
from toolkit.planning.links.rows import Local
from toolkit.progress import Progress
from toolkit.records import Raw
from toolkit.repairs import NOTHING_PICKED, Picked, Repairs, load_past_of
from toolkit.writing.given import is_disputed, tell_given


@dataclass(frozen=True)
class Looked:
    """A plan, what is decided about its units, and what is known of its conflicts."""

    plan: Plan
    record: Record
    cases: Casebook


async def look(
    road: Repairs, picked: Picked = NOTHING_PICKED, progress: Progress | None = None
) -> Looked:
    """Read both sides, from a snapshot or themselves, and plan; writes nothing.

    Raises `HomeserverError`, `RemoteIncomplete`, `StoreError` or `SnapshotError`.
    """
    remote, rows = await road.look(progress)
    return await judge(road, remote, rows, picked)


async def judge(
    road: Repairs, remote: RemoteState, rows: Mapping[str, Raw], picked: Picked = NOTHING_PICKED
) -> Looked:
    """Plan from both sides as they were seen, with the decisions beside them. Raises `StoreError`."""
    local, plan = await aside(_plan, road, remote, rows, picked)
    if is_disputed(plan):
        plan = tell_given(plan, (await load_past_of(road.sides, rows)).runs, local)
    return await aside(_with_decisions, road, remote, local, plan)


def _plan(
    road: Repairs, remote: RemoteState, rows: Mapping[str, Raw], picked: Picked
) -> tuple[Local, Plan]:
    local = road.read(rows)
    return local, road.plan(remote, local, picked)


def _with_decisions(road: Repairs, remote: RemoteState, local: Local, plan: Plan) -> Looked:
    ledger = load_beside(road.sides.beside).on(today())
    # What was approved with a pick is so on a plan with the pick.
    decided = road.plan(remote, local, ledger.choices) if ledger.choices else plan
    record = Record.of(plan, ledger.standing(decided), ledger)
    return Looked(plan, record, Casebook(plan, remote, local, road.sides.convention))
