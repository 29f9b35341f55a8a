"""Which units a person means: ids, a list or an index of them, or a mask on one of the frames. Pure.

Nothing of pandas is imported; what a Series or a frame is shows in what it has.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from toolkit.errors import ToolkitError
from toolkit.model import Plan, Status
from toolkit.text.near import say_no_unit
from toolkit.text.visible import visible

LONG = 500
Changes: TypeAlias = dict[str, str | None]
"""Unit -> the fingerprint of its change; None: there was none."""


def select(plan: Plan, selection: Any = None, status: Status | str | None = None) -> list[str]:
    """Ids of the units that are meant, in the order of naming, each once.

    `selection` is a room id or mxid, several, a boolean mask on a frame (by its index: unit, room,
    finding) or a frame; `status` keeps the units of the plan that have it. Rooms in sync and skipped
    ones stay among them. An id that was named and that the plan doesn't know is refused with
    `ToolkitError`; lines of a frame that are about no unit, such as orphaned rows, are passed over.
    """
    wanted = None if status is None else _status(status)
    if selection is None and wanted is None:
        raise ToolkitError("Say which units: an id, several, a mask on a frame, or status=.")
    units = plan.places
    found: Iterable[str] = units if selection is None else labels(selection)
    chosen = list(dict.fromkeys(found))
    if not all(label in units for label in chosen):
        known = {*plan.joined, *plan.in_sync_users, *units}
        meant = dict.fromkeys(_find_meant(plan, chosen))
        chosen = [unit_id for unit_id in meant if unit_id in known]
        if isinstance(selection, str | list | tuple | set):
            for unit_id in (unit_id for unit_id in meant if unit_id not in known):
                raise ToolkitError(visible(say_no_unit(plan, unit_id), LONG))
    if wanted is None:
        return chosen
    return [
        unit_id
        for unit_id in chosen
        if unit_id in units and plan.units[units[unit_id]].status is wanted
    ]


def _find_meant(plan: Plan, named: Iterable[str]) -> list[str]:
    """The units of ids, findings, rows and versions; what is none of these stays as it is."""
    by_finding = {f.id: unit.id for unit in plan.units for f in unit.findings}
    by_key = {f.key: unit.id for unit in reversed(plan.units) for f in unit.findings}
    by_key |= {key: unit.id for unit in reversed(plan.units) for key in unit.keys}
    by_version = {room: unit.id for unit in plan.units for room in unit.room_ids}
    return [
        label
        if label in plan.places
        else by_finding.get(label) or by_key.get(label) or by_version.get(label, label)
        for label in named
    ]


def changes_of(plan: Plan) -> Changes:
    """The fingerprint of every unit's change."""
    return {unit.id: unit.change.fingerprint if unit.change else None for unit in plan.units}


def changes_shown(selection: Any) -> Changes:
    """What a frame of units says of their changes: `ShownPlan.to_frame()`, or lines of it."""
    if "change" not in getattr(selection, "columns", ()):
        return {}
    shown = selection["change"]
    return dict(zip(shown.index, shown.astype(object).where(shown.notna(), None), strict=True))


def labels(selection: Any) -> list[str]:
    """The ids in a text, in anything with texts, in a mask's true lines or in a frame's index.

    >>> labels("!room"), labels(["@alice:example.org", "!room"])
    (['!room'], ['@alice:example.org', '!room'])
    """
    if isinstance(selection, str):
        return [selection]
    if str(getattr(selection, "dtype", "")) in ("bool", "boolean"):
        if not hasattr(selection, "index"):
            raise ToolkitError("The mask has no index: make it of one of the session's frames.")
        selection = selection.index[selection.fillna(False).astype(bool)]
    elif hasattr(selection, "columns"):
        if {str(dtype) for dtype in selection.dtypes} <= {"bool", "boolean"}:
            raise ToolkitError(
                "A mask is of one column, such as session.drift['status'] == 'missing'."
            )
        selection = selection["unit"] if "unit" in selection.columns else selection.index
    if hasattr(selection, "dropna"):
        selection = selection.dropna()  # what is about no unit
    try:
        found = list(selection)
    except TypeError:
        found = [selection]
    if any(isinstance(label, bool) for label in found):
        raise ToolkitError(
            "A list of yes and no doesn't say of which units: use a mask on one of the session's "
            "frames, such as session.drift['status'] == 'missing'."
        )
    if not all(isinstance(label, str) for label in found):
        raise ToolkitError(
            "Units are named by room ids and user ids, as in session.drift; a mask must be on one of "
            "the session's frames as it is, without reset_index()."
        )
    return found


def _status(status: Status | str) -> Status:
    try:
        return Status(status)
    except ValueError:
        names = ", ".join(Status)
        raise ToolkitError(f"There is no status {status!r}; there are {names}.") from None
