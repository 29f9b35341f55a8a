"""The two sides as frames, of a bot of either shape."""

from collections.abc import Mapping
from typing import Any

from toolkit.frames import sides
from toolkit.frames.columns import build
from toolkit.frames.frame import Frame
from toolkit.model import Plan, RemoteState, Rung, Status, Unit
from toolkit.planning.links.contest import told
from toolkit.planning.links.right_rows import find_right_rows
from toolkit.planning.links.rows import LinkRow, LinkState, Local
from toolkit.records import split_link_key


def rooms_frame(remote: RemoteState, plan: Plan, local: Local) -> Frame:
    """Every joined room, unreadable ones included: `COLUMNS["rooms"]`, or those of `LINK_COLUMNS`."""
    if not isinstance(local, LinkState):
        return sides.rooms_frame(remote, plan, local)
    units = {unit.id: unit for unit in plan.units}
    skipped = {skip.room_id: skip.reason for skip in plan.skipped}
    rows = find_right_rows(plan, local)
    lines = [_line(units.get(room), rows.get(room), local) for room in plan.joined]
    columns: dict[str, Any] = {
        name: [line[name] for line in lines] for name in ("status", "owner", "chat_id", "evidence")
    }
    columns["reason"] = [skipped.get(room) for room in plan.joined]
    columns["room_id"] = plan.joined
    return build("rooms", columns | sides.state_columns(remote, plan.joined), plan.words)


def _line(unit: Unit | None, row: LinkRow | None, links: LinkState) -> Mapping[str, Any]:
    if unit is not None:
        return {
            "status": unit.status,
            "owner": unit.owner,
            "chat_id": unit.chat_id,
            "evidence": unit.evidence.rung,
        }
    if row is None:
        return {"status": Status.SKIPPED, "owner": None, "chat_id": None, "evidence": None}
    return {
        "status": Status.IN_SYNC,
        "owner": links.owner(row),
        "chat_id": told(row.id),
        "evidence": Rung.ROW,
    }


def rows_frame(local: Local, plan: Plan) -> Frame:
    """Every local row, unreadable ones included: `COLUMNS["rows"]`, or those of `LINK_COLUMNS`."""
    if not isinstance(local, LinkState):
        return sides.rows_frame(local, plan)
    keys = sorted(local.rows)
    rows = {row.key: row for row in local.links.values()}
    units = sides.units_of_keys(plan)
    return build(
        "rows",
        {
            "key": keys,
            "chat_id": [split_link_key(key)[1] for key in keys],
            "room_id": [rows[key].room if key in rows else None for key in keys],
            "owner": [local.owner(rows[key]) if key in rows else None for key in keys],
            "readable": [key not in local.unreadable for key in keys],
            "problem": [local.unreadable.get(key) for key in keys],
            "orphaned": [key in plan.orphans for key in keys],
            "unit": [units.get(key) for key in keys],
        },
        plan.words,
    )
