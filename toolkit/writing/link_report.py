"""The report of the functions for bots of shape links: a plain dict, equal for equal runs (rules 6). Pure."""

import json
from collections.abc import Mapping
from typing import NotRequired, TypedDict

from toolkit.model import Code, Finding, Plan, RowWrite, Status, Unit
from toolkit.writing.report import Conflict, Note, SkippedRoom, in_order


class RestoredLink(TypedDict):
    """A row that was inserted for a room, or pointed at it: then which room it named before."""

    id: str
    room_id: str
    previous_room: NotRequired[str | None]


class LinkReport(TypedDict):
    """Lists of room ids, keys of rows, and of what is said about them; each is sorted."""

    joined_rooms: list[str]
    restored_links: list[RestoredLink]
    repaired_links: list[RestoredLink]
    skipped_rooms: list[SkippedRoom]
    conflicts: list[Conflict]
    orphaned_rows: list[str]
    unchanged_rooms: list[str]
    notes: list[Note]


def build_link_report(
    plan: Plan, outcomes: Mapping[str, str | None], room_column: str
) -> LinkReport:
    """Say what was written and what was not.

    `outcomes`: unit id -> None if it was (or, dry, would be) written, else why it went stale. Units
    that aren't named were not to be written.
    """
    report = LinkReport(
        joined_rooms=list(plan.joined),
        restored_links=[],
        repaired_links=[],
        skipped_rooms=[SkippedRoom(room_id=s.room_id, reason=s.reason.value) for s in plan.skipped],
        conflicts=[],
        orphaned_rows=list(plan.orphans),
        unchanged_rooms=list(plan.in_sync_rooms),
        notes=[Note(code=f.code.value, key=f.key, detail=f.cause) for f in plan.notes],
    )
    for unit in plan.units:
        _add_unit(report, unit, outcomes, room_column)
    report["conflicts"] += [_conflict(finding) for finding in plan.loose]
    for entries in report.values():
        entries.sort(key=in_order)  # type: ignore[attr-defined]  # each value is a list
    return report


def _add_unit(
    report: LinkReport, unit: Unit, outcomes: Mapping[str, str | None], room_column: str
) -> None:
    if (why_stale := outcomes.get(unit.id)) is not None:
        stale = Finding(unit=unit.id, code=Code.STALE_PLAN, key="", cause=why_stale)
        report["conflicts"].append(_conflict(stale, unit))
    elif unit.id in outcomes:
        for write in unit.writes:
            _add_write(report, unit, write, room_column)
    elif unit.status is Status.CONFLICT:
        report["conflicts"] += [_conflict(finding, unit) for finding in unit.conflicts]


def _add_write(report: LinkReport, unit: Unit, write: RowWrite, room_column: str) -> None:
    link = RestoredLink(id=unit.chat_id or "", room_id=unit.id)
    if write.before is None:
        report["restored_links"].append(link)
        return
    before = json.loads(str(write.before))[room_column]
    link["previous_room"] = before if isinstance(before, str) else None
    report["repaired_links"].append(link)


def _conflict(finding: Finding, unit: Unit | None = None) -> Conflict:
    """With the room, and the row of the id that it is about, if that is there."""
    entry = Conflict(code=finding.code.value, detail=finding.cause)
    if unit is not None:
        entry["room_id"] = unit.id
    if finding.key:
        entry["key"] = finding.key
    if finding.proposal is not None:
        entry["proposal"] = finding.proposal
    return entry
