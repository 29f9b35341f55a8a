"""Plans, histories and results as JSON values, for `--json`.

Texts stay as they are, so they are dumped with `ensure_ascii`.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from toolkit.database.journal import Run
from toolkit.decisions.case import Casebook, case_json
from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.model import Finding, Plan, RowWrite, Unit
from toolkit.records import pack_raw
from toolkit.text.advice import action
from toolkit.text.new_database import LOST, brought_back, new_database, skipped_chats
from toolkit.text.view import EVERYTHING, View
from toolkit.words import Words
from toolkit.writing.job import Result
from toolkit.writing.restore import Restore


def plan_json(
    plan: Plan,
    view: View = EVERYTHING,
    record: Record = NOTHING_DECIDED,
    cases: Casebook | None = None,
) -> dict[str, Any]:
    """The plan as JSON values; texts as they are, so dump them with `ensure_ascii`.

    Of units and conflicts it has those that are asked for, and of all else the whole. `cases` knows the
    facts of those in conflict.
    """
    return {
        "account": plan.account,
        **({"table": plan.words.table} if plan.words.table else {}),
        "joined_rooms": list(plan.joined),
        "in_sync_rooms": list(plan.in_sync_rooms),
        "in_sync_users": list(plan.in_sync_users),
        "units_in_all": len(plan.units),
        "units": [_unit_json(unit, record, cases, plan.words) for unit in view.part(plan)],
        "units_ignored": len(record.ignored),
        "no_longer_ignored": dict(record.returned),
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


def _unit_json(unit: Unit, record: Record, cases: Casebook | None, words: Words) -> dict[str, Any]:
    case = cases.open(unit) if cases else None
    ignored = record.ignored.get(unit.id)
    change = unit.change and {
        "fingerprint": unit.change.fingerprint,
        "writes": _writes_json(unit.change.writes),
        "relies_on": list(unit.change.relies_on),
    }
    return {
        "unit": unit.id,
        "kind": unit.kind.value,
        "status": unit.status.value,
        "owner": unit.owner,
        **words.ids(unit.chat_id, unit.space_id, unit.row),
        "room_ids": list(unit.room_ids),
        "evidence": msgspec.to_builtins(unit.evidence),
        "needs_human": unit.needs_human,
        "decision": record.vote(unit).value,
        "ignored": ignored
        and {
            "by": ignored.by,
            "reason": ignored.reason,
            "until": ignored.until and ignored.until.isoformat(),
        },
        "candidates": list(unit.candidates),
        "action": action(unit),
        "findings": [_finding_json(finding) for finding in unit.findings],
        "facts": case_json(case) if case else None,
        "change": change,
    }


def _finding_json(finding: Finding) -> dict[str, Any]:
    return {"id": finding.id, **msgspec.to_builtins(finding)}


def result_json(result: Result) -> dict[str, str | None]:
    """What a run was called, and where its backup is."""
    return {"run": result.run, "backup": None if result.backup is None else str(result.backup)}


def history_json(runs: Sequence[Run], older: Sequence[Run] = ()) -> list[dict[str, Any]]:
    """The runs without the texts of rows, those of an older database of the name first."""
    return [
        _run_json(run, [[write.key for write in entry.writes] for entry in run.entries], is_older)
        for group, is_older in ((older, True), (runs, False))
        for run in group
    ]


def run_json(run: Run, *, older: bool) -> dict[str, Any]:
    """One run with the texts of its rows."""
    return _run_json(run, [_writes_json(entry.writes) for entry in run.entries], older)


def _run_json(run: Run, rows: Sequence[Any], older: bool) -> dict[str, Any]:
    return {
        "run": run.id,
        "time": run.time,
        "action": run.action,
        "undoes": run.undoes,
        "finished": run.finished,
        "backup": run.backup,
        "older_database": older,
        "units": [
            {
                "unit": entry.unit,
                "outcome": entry.outcome,
                "detail": entry.detail,
                "by": entry.by,
                "rows": told,
            }
            for entry, told in zip(run.entries, rows, strict=True)
        ],
    }


def _writes_json(writes: Iterable[RowWrite]) -> list[dict[str, Any]]:
    return [
        {"key": w.key, "before": pack_raw(w.before), "after": pack_raw(w.after)} for w in writes
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
