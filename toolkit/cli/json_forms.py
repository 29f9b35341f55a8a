"""Plans, histories and results as JSON values, for `--json`.

Texts stay as they are, so they are dumped with `ensure_ascii`.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from toolkit.model import Finding, Plan, Unit
from toolkit.records import pack_raw
from toolkit.text.advice import action
from toolkit.text.new_database import LOST, brought_back, new_database, skipped_chats
from toolkit.text.view import EVERYTHING, View
from toolkit.writing.job import Result
from toolkit.writing.journal import Run
from toolkit.writing.restore import Restore


def plan_json(plan: Plan, view: View = EVERYTHING) -> dict[str, Any]:
    """The plan as JSON values; texts as they are, so dump them with `ensure_ascii`.

    Of units and conflicts it has those that are asked for, and of all else the whole.
    """
    return {
        "account": plan.account,
        "joined_rooms": list(plan.joined),
        "in_sync_rooms": list(plan.in_sync_rooms),
        "in_sync_users": list(plan.in_sync_users),
        "units_in_all": len(plan.units),
        "units": [_unit_json(unit) for unit in view.part(plan)],
        "conflicts_of_no_unit": [_finding_json(finding) for finding in view.loose(plan)],
        "skipped_rooms": [{"room_id": s.room_id, "reason": s.reason.value} for s in plan.skipped],
        "orphaned_rows": list(plan.orphans),
        "other_rows": plan.others,
        "new_database": _new_database_json(plan),
        "notes": [_finding_json(finding) for finding in plan.notes],
    }


def _new_database_json(plan: Plan) -> dict[str, Any] | None:
    """None for one that has rows, or that nobody has called new."""
    if not (path := new_database(plan)):
        return None
    return {
        "path": path,
        "brought_back": dict(brought_back(plan)),
        "skipped": dict(skipped_chats(plan)),
        "lost": list(LOST),
    }


def _unit_json(unit: Unit) -> dict[str, Any]:
    change = unit.change and {
        "fingerprint": unit.change.fingerprint,
        "writes": [
            {"key": w.key, "before": pack_raw(w.before), "after": pack_raw(w.after)}
            for w in unit.change.writes
        ],
        "relies_on": list(unit.change.relies_on),
    }
    return {
        "unit": unit.id,
        "kind": unit.kind.value,
        "status": unit.status.value,
        "owner": unit.owner,
        "chat_id": unit.chat_id,
        "space_id": unit.space_id,
        "room_ids": list(unit.room_ids),
        "evidence": msgspec.to_builtins(unit.evidence),
        "needs_human": unit.needs_human,
        "candidates": list(unit.candidates),
        "action": action(unit),
        "findings": [_finding_json(finding) for finding in unit.findings],
        "change": change,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {"id": finding.id, **msgspec.to_builtins(finding)}


def result_json(result: Result) -> dict[str, str | None]:
    """What a run was called, and where its backup is."""
    return {"run": result.run, "backup": None if result.backup is None else str(result.backup)}


def history_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The runs without the texts of rows, which stand in the journal."""
    return [
        {
            "run": run.id,
            "time": run.time,
            "action": run.action,
            "undoes": run.undoes,
            "finished": run.finished,
            "backup": run.backup,
            "units": [
                {
                    "unit": entry.unit,
                    "outcome": entry.outcome,
                    "detail": entry.detail,
                    "by": entry.by,
                    "rows": [write.key for write in entry.writes],
                }
                for entry in run.entries
            ],
        }
        for run in runs
    ]


def restore_json(planned: Restore, replaced: bool) -> dict[str, Any]:
    """What going back to a backup did."""
    return {
        "run": planned.name,
        "restored": planned.run,
        "database": str(planned.database),
        "backup": str(planned.backup),
        "kept": str(planned.kept) if replaced else None,
    }
