"""Which id was given to which room by a person's decision, for the rooms that claim it as well. Pure.

The planner sees rooms and rows, and knows nothing of decisions that were written; the journal does.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from toolkit.database.journal import Run
from toolkit.model import Code, Finding, Plan, Rung, Unit
from toolkit.planning.links.rows import LinkState, Local
from toolkit.quotes import quote_odd
from toolkit.records import parse_key

_Of: TypeAlias = tuple[str, ...]
"""What an id is one of: owner and chat id, or the row of an id of the bot's own."""


class _Given(NamedTuple):
    room_id: str
    by: str
    time: str


def tell_given(plan: Plan, runs: Sequence[Run], local: Local) -> Plan:
    """The plan, in which a room that lost its id by a decision says so; as it is if there is none."""
    if not runs or not is_disputed(plan):
        return plan
    given = _find_given(runs, local)
    units = tuple(_tell(unit, given) if _disputes(unit) else unit for unit in plan.units)
    return replace(plan, units=units) if units != plan.units else plan


def is_disputed(plan: Plan) -> bool:
    """Whether there is any room that could say so, for whoever has no journal at hand."""
    return any(map(_disputes, plan.units))


def _disputes(unit: Unit) -> bool:
    return any(finding.code in _DUPLICATE for finding in unit.findings)


def _find_given(runs: Iterable[Run], local: Local) -> dict[_Of, _Given]:
    """What each id was last picked for, as far as the room's row still says so."""
    given = {}
    for run in runs:
        for entry in run.applied:
            if entry.evidence[:1] != (Rung.CHOICE,):
                continue
            for write in entry.writes:
                if found := _find_room(write.key, entry.unit, local):
                    of, room_id = found
                    given[of] = _Given(room_id, entry.by, run.time)
    return given


def _find_room(key: str, unit_id: str, local: Local) -> tuple[_Of, str] | None:
    """The id that a written row is about, and its room; None for rows that name none, or another by now."""
    if isinstance(local, LinkState):
        named = [row.key for row in local.pointing.get(unit_id, ())]
        return ((key,), unit_id) if key in named else None
    room_id = parse_key(key).room_id
    row = local.rooms.get(room_id)
    return ((row.matrix_user_id, row.chat_id), room_id) if row else None


def _tell(unit: Unit, given: Mapping[_Of, _Given]) -> Unit:
    return replace(
        unit, findings=tuple(_tell_of(finding, unit, given) for finding in unit.findings)
    )


def _tell_of(finding: Finding, unit: Unit, given: Mapping[_Of, _Given]) -> Finding:
    """Who is named by name: the same sentence for everybody who looks."""
    told = finding.proposal or unit.chat_id
    found = given.get((unit.row,) if unit.row else (unit.owner or "", told or ""))
    if finding.code not in _DUPLICATE or found is None or found.room_id in unit.room_ids:
        return finding
    whose = f"the decision of {quote_odd(found.by)} on" if found.by else "a decision of"
    cause = (
        f"{told} is {quote_odd(found.room_id)} by {whose} {found.time[:10]}; this room claims it too, and "
        f"gets no {'row' if unit.row else 'rows'} unless another id is picked for it"
    )
    return replace(finding, cause=cause)


_DUPLICATE = frozenset({Code.DUPLICATE_CHAT_ID, Code.DUPLICATE_ID})
