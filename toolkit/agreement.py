"""What stands between a unit's name and a yes to it: which unit is meant, and why one can't be agreed to."""

import getpass

from toolkit.advice import TERMINAL, Speech, action
from toolkit.model import Choices, Code, Plan, Unit, UnitKind


def find_unit(plan: Plan, unit_id: str) -> Unit | None:
    """The unit of this name, or the one that a version of the room or the user's Space belongs to."""
    unit = plan.unit(unit_id)
    return unit or next((unit for unit in plan.units if unit_id in unit.room_ids), None)


def why_no_unit(plan: Plan, unit_id: str) -> str:
    """Why the plan holds nothing for an id; empty for one that it knows nothing of."""
    if unit_id in plan.in_sync_rooms or unit_id in plan.in_sync_users:
        return "it is in sync; there is nothing to write"
    reasons = (skip.reason.value for skip in plan.skipped if skip.room_id == unit_id)
    if reason := next(reasons, None):
        return f"it is skipped ({reason}): it is no chat, and nothing is written for it"
    return ""


def why_no_change(unit: Unit, speech: Speech = TERMINAL) -> str:
    """Why there is nothing to agree to yet, and what to do first."""
    causes = [finding.cause for finding in unit.conflicts or unit.findings]
    why = "; ".join(dict.fromkeys(cause.rstrip(".") for cause in causes))
    return f"{why}. Next: {action(unit, speech)}"


def why_idle(unit: Unit, picked: Choices, speech: Speech = TERMINAL) -> str:
    """Why a pick says nothing of this unit, so that somebody meant another one; empty if all do."""
    codes = {finding.code for finding in unit.findings}
    user_row = unit.kind is UnitKind.USER
    idle = [
        (picked.chat_id is not None and user_row, speech.some_chat_id, "it is a user row"),
        (picked.lower_counter and not user_row, speech.lower_counter, "it is a room"),
        (
            picked.overwrite and Code.UNREADABLE_ROW not in codes,
            speech.overwrite,
            "all its rows can be read",
        ),
    ]
    told = [f"{option} says nothing of it: {why}" for meant, option, why in idle if meant]
    return "; ".join(told)


def user_name() -> str:
    """Who sits here, for the journal."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as in some containers
        return ""
