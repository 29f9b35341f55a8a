"""What the model says as JSON for the table in a browser. Texts are visible already; ids are as they are. Pure."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from toolkit.board.history import Opened, Past
from toolkit.board.in_sync import IN_SYNC, SKIPPED, Quiet
from toolkit.board.items import Details, Item, Result, fingerprint_of
from toolkit.board.review_model import Batch, ReviewModel
from toolkit.decisions.ledger import Vote
from toolkit.model import Plan, Status, UnitKind
from toolkit.text.summary import count_of

Json = dict[str, Any]

_MOST = 6
"""Different changes that a question tells one by one."""


def line(item: Item, *, finished: bool = False) -> Json:
    """One unit, short names for what is sent thousands of times."""
    told: Json = {
        "unit": item.unit,
        "status": item.status.value,
        "vote": item.vote.value,
        "label": item.label,
        "id": item.id,
        "owner": item.owner,
        "name": item.name,
        "chat": item.chat_id or ("user row" if item.kind is UnitKind.USER else ""),
        "cause": item.cause,
        "action": item.action,
        "change": item.change,
    }
    rest: Json = {
        "human": item.needs_human,
        "picked": item.picked,
        "again": item.again,
        "barred": bool(item.barred),
        "result": item.result.state if item.result else "",
        "why": item.result.why if item.result else "",
        "finished": finished,
    }
    return told | {name: value for name, value in rest.items() if value}


def state(model: ReviewModel) -> Json:
    """Counts, what Apply would do, and how far a run is."""
    counts, plan = model.counts(), model.session.state.plan
    return {
        **progress(model),
        **message(model),
        "statuses": {status.value: counts.by_status.get(status, 0) for status in _STATUSES},
        "votes": {vote.value: counts.by_vote.get(vote, 0) for vote in Vote},
        "results": _count_results(model.results),
        "quiet": {
            IN_SYNC: len(plan.in_sync_rooms) + len(plan.in_sync_users),
            SKIPPED: len(plan.skipped),
        },
        "about": model.session.road.about(),
        "besides": _besides(plan),
        "apply": _say_approved(model),
        "plan": model.approved() if counts.approved_units else "",
        "offline": model.session.road.sides.snapshot is not None,
        "runs": len(model.session.state.runs),
    }


def progress(model: ReviewModel) -> Json:
    """The part of `state` that moves while a run goes on."""
    done, total, word = model.progress
    return {
        "kind": "state",
        "running": model.running,
        "done": done,
        "total": total,
        "word": word,
    }


def message(model: ReviewModel) -> Json:
    """The part of `state` that a person reads first."""
    return {"kind": "state", "message": model.message, "failed": model.failed}


def quiet(lines: list[Quiet]) -> Json:
    """What is in sync or skipped."""
    told = [
        {
            "unit": line.unit,
            "status": line.status,
            "label": line.id,
            "id": line.id,
            "owner": line.owner,
            "name": line.name,
            "chat": line.chat_id,
            "cause": line.cause,
        }
        for line in lines
    ]
    return {"kind": "quiet", "lines": told}


def history(runs: list[Past]) -> Json:
    """The runs so far."""
    return {"kind": "history", "runs": [asdict(run) for run in runs]}


def opened(kind: str, found: Opened) -> Json:
    """What a run wrote, or what taking it back would write."""
    return {"kind": kind, **asdict(found), "told": count_of(found.rows, "row")}


def details(found: Details) -> Json:
    """What opens below a line; `offers` are the choices by what they settle."""
    item = found.item
    return {
        "kind": "details",
        "unit": item.unit,
        "line": line(item),
        "facts": [asdict(fact) for fact in found.facts],
        "rows": [asdict(row) for row in found.rows],
        "relies_on": found.relies_on,
        "rooms": found.room_ids,
        "space": found.space_id,
        "moved": asdict(found.moved) if found.moved else None,
        "offers": [
            {"label": option.label, "choices": msgspec.to_builtins(option.choices)}
            for option in item.options
        ],
        "free": bool(item.offers.chat_ids) or item.choices.chat_id is not None,
    }


def question(batch: Batch, status: str, text: str) -> Json:
    """How many and what, before all of a filter are approved."""
    often = sorted(batch.what.items(), key=lambda found: (-found[1], found[0]))
    rest = sum(count for _, count in often[_MOST:])
    return {
        "kind": "question",
        "status": status,
        "text": text,
        "units": count_of(batch.units, "unit"),
        "rows": count_of(batch.rows, "row"),
        "what": [f"{count:,} × {action}" for action, count in often[:_MOST]]
        + ([f"{rest:,} × something else"] if rest else []),
        "plan": fingerprint_of(batch.changes) if batch.units else "",
    }


def changed_lines(before: dict[str, Item] | None, items: Iterable[Item]) -> list[Item] | None:
    """Lines that are others than before; None if there are other units, or in another order."""
    now = list(items)
    if before is None or list(before) != [item.unit for item in now]:
        return None
    return [item for item in now if item is not (old := before[item.unit]) and item != old]


_STATUSES = (Status.CONFLICT, Status.MISSING, Status.MISMATCHED)
_RESULTS = "applied stale failed"


def _count_results(results: Mapping[str, Result]) -> dict[str, int]:
    found = Counter(result.state for result in results.values())
    names = sorted(found, key=lambda name: (name not in _RESULTS, _RESULTS.find(name), name))
    return {name: found[name] for name in names}


def _say_approved(model: ReviewModel) -> str:
    """What Apply writes, or nothing."""
    approved = [item for item in model.items(vote=Vote.APPROVED) if item.approvable]
    counts = Counter(_noun(item) for item in approved)
    told = [count_of(counts[noun], noun) for noun in ("room", "user", "other unit") if counts[noun]]
    rows = count_of(sum(item.rows for item in approved), "row")
    return f"{' and '.join(told)}, {rows}" if told else ""


def _noun(item: Item) -> str:
    """A row that a bot's own function wrote may be about neither a room nor a user."""
    if item.kind is UnitKind.USER:
        return "user"
    return "room" if item.unit.startswith("!") else "other unit"


def _besides(plan: Plan) -> str:
    """What is no unit and so not in the list."""
    counts = {"orphaned row": len(plan.orphans), "unreadable row": len(plan.loose)}
    told = [count_of(count, noun) for noun, count in counts.items() if count]
    return f"Besides: {', '.join(told)}, see session.drift." if told else ""
