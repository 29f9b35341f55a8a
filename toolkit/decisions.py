"""A human's agreement to changes, and which units of a plan it holds for. Pure.

An approval is bound to the change that was shown: what moved since is stale, and has to be looked
at again.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from toolkit.errors import ToolkitError
from toolkit.model import Choices, Plan, Unit, UnitKind


class Decision(msgspec.Struct, frozen=True, omit_defaults=True):
    """A human's yes to one unit's change, with what they picked.

    `change` is the fingerprint of the change that was shown; if the unit's change is another one by
    now, it is stale. None agrees to whatever the choices lead to. With `agreed` False it is a no:
    the unit isn't written, a user row not even along with a room of its user.
    """

    change: str | None = None
    choices: Choices = Choices()
    by: str = ""
    agreed: bool = True


Decisions = Mapping[str, Decision | Mapping[str, Any]]


def read_decisions(decisions: Decisions) -> dict[str, Decision]:
    """Decisions as values; what came from JSON is checked. Raises `ToolkitError`."""
    try:
        return {unit: msgspec.convert(d, Decision) for unit, d in decisions.items()}
    except msgspec.ValidationError as error:
        raise ToolkitError(f"A decision can't be read: {error}.") from None


def agreed_units(plan: Plan, decisions: Mapping[str, Decision]) -> list[Unit]:
    """Units whose change is the one that was agreed to; a room takes its user row along."""
    stale = stale_decisions(plan, decisions)
    open_ = {u.id: u for u in plan.units if u.change and u.id not in stale}
    agreed = {u: unit for u, unit in open_.items() if u in decisions and decisions[u].agreed}
    users = {(u.owner, u.space_id): u for u in open_.values() if u.kind is UnitKind.USER}
    for room in [unit for unit in agreed.values() if unit.kind is UnitKind.ROOM]:
        user = users.get((room.owner, room.space_id))
        if user and user.id not in decisions:
            agreed[user.id] = user
    return list(agreed.values())


def stale_decisions(plan: Plan, decisions: Mapping[str, Decision]) -> dict[str, str]:
    """Decisions that were about another change than the plan holds now: unit -> why."""
    found: dict[str, str] = {}
    for unit in plan.units:
        decision = decisions.get(unit.id)
        if decision is None or decision.change is None or not decision.agreed:
            continue
        if unit.change is None or unit.change.fingerprint != decision.change:
            found[unit.id] = "the change is no longer the one that was agreed to; look again"
    return found


def approvers(units: Iterable[Unit], decisions: Mapping[str, Decision]) -> dict[str, str]:
    """Who agreed to which unit; to a user row that was taken along, whoever agreed to the room."""
    found = {unit_id: decision.by for unit_id, decision in decisions.items()}
    for unit in units:
        if unit.id in decisions:
            found.setdefault(unit.owner or "", decisions[unit.id].by)
    return found
