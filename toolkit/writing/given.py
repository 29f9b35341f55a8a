"""Which chat id was given to which room by a person's decision, for the rooms that claim it as well. Pure.

The planner sees rooms and rows, and knows nothing of decisions that were written; the journal does.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from toolkit.model import Code, Finding, Plan, Rung, Unit
from toolkit.planning.links.rows import Local
from toolkit.quotes import quote_odd
from toolkit.records import ROOM, LocalState, parse_key
from toolkit.writing.journal import Run


class _Given(NamedTuple):
    room_id: str
    by: str
    time: str


def tell_given(plan: Plan, runs: Sequence[Run], local: Local) -> Plan:
    """The plan, in which a room that lost its chat id by a decision says so; as it is if there is none."""
    if not runs or not is_disputed(plan) or not isinstance(local, LocalState):
        return plan
    given = _find_given(runs, local)
    units = tuple(_tell(unit, given) if _disputes(unit) else unit for unit in plan.units)
    return replace(plan, units=units) if units != plan.units else plan


def is_disputed(plan: Plan) -> bool:
    """Whether there is any room that could say so, for whoever has no journal at hand."""
    return any(map(_disputes, plan.units))


def _disputes(unit: Unit) -> bool:
    return any(finding.code is Code.DUPLICATE_CHAT_ID for finding in unit.findings)


def _find_given(runs: Iterable[Run], local: LocalState) -> dict[tuple[str, str], _Given]:
    """Owner and chat id -> the room that it was last picked for, as far as the room's row still says so."""
    given = {}
    for run in runs:
        for entry in run.applied:
            if entry.evidence[:1] != (Rung.CHOICE,):
                continue
            rooms = (parse_key(write.key) for write in entry.writes)
            for room_id in [key.room_id for key in rooms if key.family == ROOM and key.room_id]:
                if row := local.rooms.get(room_id):
                    given[row.matrix_user_id, row.chat_id] = _Given(room_id, entry.by, run.time)
    return given


def _tell(unit: Unit, given: dict[tuple[str, str], _Given]) -> Unit:
    return replace(
        unit, findings=tuple(_tell_of(finding, unit, given) for finding in unit.findings)
    )


def _tell_of(finding: Finding, unit: Unit, given: dict[tuple[str, str], _Given]) -> Finding:
    """Who is named by name: the same sentence for everybody who looks."""
    found = given.get((unit.owner or "", finding.proposal or unit.chat_id or ""))
    if (
        finding.code is not Code.DUPLICATE_CHAT_ID
        or found is None
        or found.room_id in unit.room_ids
    ):
        return finding
    whose = f"the decision of {quote_odd(found.by)} on" if found.by else "a decision of"
    cause = (
        f"{finding.proposal or unit.chat_id} is {quote_odd(found.room_id)} by {whose} {found.time[:10]}; "
        "this room claims it too, and gets no rows unless another id is picked for it"
    )
    return replace(finding, cause=cause)
