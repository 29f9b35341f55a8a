"""A human's agreement to changes, and which units of a plan it holds for. Pure.

An approval is bound to the change that was shown: what moved since is stale, and has to be looked
at again.
"""

import getpass
import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any, TypeVar

import msgspec

from toolkit.errors import ToolkitError
from toolkit.model import NO_CHOICES, Choices, Plan, Reason, Unit, UnitKind
from toolkit.quotes import quote_odd


class Decision(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A human's yes to one unit's change, with what they picked.

    `change` is the fingerprint of the change that was shown; if the unit's change is another one by
    now, it is stale. None agrees to whatever the choices lead to. With `agreed` False it is a no:
    the unit isn't written, a user row not even along with a room of its user.
    """

    change: str | None = None
    choices: Choices = NO_CHOICES
    by: str = ""
    agreed: bool = True

    def agrees_with(self, other: "Decision | None") -> bool:
        """Whether the other says the same, whoever said it."""
        return other is not None and msgspec.structs.replace(other, by=self.by) == self


ANOTHER = "the change is no longer the one that was agreed to; look again"
"""Why an agreement is stale, where no more is known than the plan of now."""


class Ignored(Decision, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """A human's word that one unit may stay as it is: why, and until which day, that one included.

    `change` is what would have been written, `matter` names what else is wrong: once either is another
    one, the unit is no longer ignored.
    """

    matter: str = ""
    reason: str = ""
    until: date | None = None

    def is_about(self, unit: Unit) -> bool:
        """Whether the unit still is what was ignored."""
        same = unit.change.agreed_in(self.change) if unit.change else self.change is None
        return same and self.matter == matter_of(unit)

    def over(self, today: date) -> bool:
        """Whether its last day has passed."""
        return self.until is not None and self.until < today


def matter_of(unit: Unit) -> str:
    """Names what is wrong with a unit besides what its change says: sixteen hex digits, or nothing.

    Of a conflict, its findings with their causes; without a change, whatever was found.
    """
    findings = unit.conflicts or (() if unit.change else unit.findings)
    if not findings:
        return ""
    told = sorted((finding.code.value, finding.key, finding.cause) for finding in findings)
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


D = TypeVar("D", bound=Decision)
_WORDS = "what"
"""A field of the file that tells its reader what would be done."""

Decisions = Mapping[str, Decision | Mapping[str, Any]]


def read_decisions(decisions: Decisions) -> dict[str, Decision]:
    """Decisions as values; what came from JSON is checked, for a slip of the pen must not say yes to
    more. Raises `ToolkitError`."""
    return read_as(Decision, decisions)


def read_as(kind: type[D], decisions: Decisions) -> dict[str, D]:
    """The same, of this kind."""
    found = {}
    for unit, decision in decisions.items():
        if isinstance(decision, dict):
            told = {name: decision[name] for name in decision.keys() - {_WORDS}}
            decision = told | ({"choices": _picks(told["choices"])} if "choices" in told else {})
        try:
            found[unit] = msgspec.convert(decision, kind)
        except msgspec.ValidationError as error:
            raise ToolkitError(f"A decision can't be read: {error}.") from None
    return found


def _picks(choices: Any) -> Any:
    """What was picked, where a bot of shape links calls its id so."""
    if not isinstance(choices, dict) or "id" not in choices or "chat_id" in choices:
        return choices
    return {name: pick for name, pick in choices.items() if name != "id"} | {
        "chat_id": choices["id"]
    }


def agreed_units(plan: Plan, decisions: Mapping[str, Decision]) -> list[Unit]:
    """Units whose change is the one that was agreed to.

    A room takes its user row along, save in a foreign plan: there each unit is agreed to by itself.
    """
    stale = stale_decisions(plan, decisions)
    open_ = {u.id: u for u in plan.units if u.change and u.id not in stale}
    agreed = {u: unit for u, unit in open_.items() if u in decisions and decisions[u].agreed}
    if plan.foreign:
        return list(agreed.values())
    users = {(u.owner, u.space_id): u for u in open_.values() if u.kind is UnitKind.USER}
    for room in [unit for unit in agreed.values() if unit.kind is UnitKind.ROOM]:
        user = users.get((room.owner, room.space_id))
        if user and user.id not in decisions:
            agreed[user.id] = user
    return list(agreed.values())


def second_spaces(units: Iterable[Unit]) -> dict[str, str]:
    """Of units to be written together those that put a user into a second Space: unit -> why.

    Guesses can do that: each was planned as if it were the only one, and the first settles it, user
    rows before rooms.
    """
    first: dict[str, str | None] = {}
    second: dict[str, str] = {}
    for unit in sorted(units, key=lambda unit: (unit.kind is UnitKind.ROOM, unit.id)):
        space = first.setdefault(unit.owner, unit.space_id) if unit.owner else unit.space_id
        if space != unit.space_id:
            second[unit.id] = (
                f"in the same run {quote_odd(unit.owner or '')} was given the Space "
                f"{quote_odd(space or '')}; look again"
            )
    return second


def stale_decisions(plan: Plan, decisions: Mapping[str, Decision]) -> dict[str, str]:
    """Agreements that the plan can't follow: unit -> why. What is in sync by now is none of them."""
    open_ = {unit_id for unit_id, decision in decisions.items() if decision.agreed}
    found: dict[str, str] = {}
    for unit in plan.units:
        if unit.id in open_:
            open_.remove(unit.id)
            if why := _why_unfit(plan, unit, decisions[unit.id]):
                found[unit.id] = why
    return found | _why_gone(plan, {unit_id: decisions[unit_id] for unit_id in sorted(open_)})


def holds(plan: Plan, unit: Unit, decision: Decision) -> bool:
    """Whether this unit would be written by this decision about it."""
    return decision.agreed and unit.change is not None and not _why_unfit(plan, unit, decision)


def _why_unfit(plan: Plan, unit: Unit, decision: Decision) -> str | None:
    change, picked = decision.change, decision.choices.space_id
    if change is not None and not (unit.change and unit.change.agreed_in(change)):
        return ANOTHER
    if picked is not None and not _could_be(plan, unit, picked):
        return (
            f"the picked Space {quote_odd(picked)} is not one that it could belong to; look again"
        )
    return None


def _could_be(plan: Plan, unit: Unit, space_id: str) -> bool:
    """Whether the planner could follow the pick of this Space."""
    if unit.change:
        return space_id == unit.space_id or space_id in plan.spaces.get(unit.space_id or "", ())
    spaces = [candidate for candidate in unit.candidates if candidate.startswith("!")]
    return space_id in spaces or not spaces  # without any, something else is in the way


def _why_gone(plan: Plan, decisions: Mapping[str, Decision]) -> dict[str, str]:
    """Why units that the plan doesn't hold were decided in vain."""
    if not decisions:
        return {}
    in_sync = {*plan.in_sync_rooms, *plan.in_sync_users}
    skipped = {skip.room_id: skip.reason for skip in plan.skipped}
    unit_of = {room_id: unit.id for unit in plan.units for room_id in unit.room_ids}
    found: dict[str, str] = {}
    for unit_id, decision in decisions.items():
        reason = skipped.get(unit_id)
        if unit_id in in_sync:
            continue
        if reason is Reason.SPACE:
            # The unit of a Space is called by its owner once that one is known, also by a choice,
            # which stays behind under the Space's id. Without any unit the user row is in sync.
            if decision.change is not None and unit_id in unit_of:
                found[unit_id] = (
                    f"it is the user row of {quote_odd(unit_of[unit_id])} by now; look again"
                )
        elif reason is not None:
            found[unit_id] = f"it is skipped ({reason.value}): {plan.words.no_room}; look again"
        else:
            found[unit_id] = "it is no longer in the plan; look again"
    return found


def approvers(units: Iterable[Unit], decisions: Mapping[str, Decision]) -> dict[str, str]:
    """Who agreed to which unit; to a user row that was taken along, whoever agreed to the room."""
    found = {unit_id: decision.by for unit_id, decision in decisions.items()}
    for unit in units:
        if unit.id in decisions:
            found.setdefault(unit.owner or "", decisions[unit.id].by)
    return found


def user_name() -> str:
    """Who sits here, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as in some containers
        return ""
