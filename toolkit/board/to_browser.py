"""What the model says as JSON for the table in a browser. Texts are visible already; ids are as they are. Pure."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import msgspec

from toolkit.board.deciding import Batch
from toolkit.board.details import Details
from toolkit.board.folding import Heading
from toolkit.board.history import Opened, Past
from toolkit.board.in_sync import Quiet, count_quiet
from toolkit.board.items import Item, Result, fingerprint_of
from toolkit.board.marks import Mark
from toolkit.board.review_model import ReviewModel
from toolkit.board.tally import NOUNS, Counts
from toolkit.board.views import News, Wanted
from toolkit.board.windows import Line, Window
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import join_choices
from toolkit.model import Plan, Status
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.words import Words

Json = dict[str, Any]

_MOST = 6
"""Different changes that a question tells one by one."""
_ALL = 200
"""Different changes that it tells at all, folded."""


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
        "chat": item.chat,
        "cause": item.cause,
        "action": "" if item.marks else item.action,
        "change": item.change,
    }
    rest: Json = {
        "who": item.who if item.who != item.owner else "",
        "marks": list(map(_mark, item.marks)),
        "human": item.needs_human,
        "picked": item.picked,
        "again": item.again,
        "ignored": item.ignored,
        "returned": item.returned,
        "barred": bool(item.barred),
        "result": item.result.state if item.result else "",
        "why": item.result.why if item.result else "",
        "finished": finished,
    }
    return told | {name: value for name, value in rest.items() if value}


def _mark(mark: Mark) -> list[str]:
    return [mark.sign, mark.what, mark.before, mark.after]


def state(model: ReviewModel) -> Json:
    """Counts, what Apply would do, and how far a run is."""
    counts, plan = model.counts(), model.session.state.plan
    return {
        **progress(model),
        **message(model),
        "statuses": {status.value: counts.by_status.get(status, 0) for status in _STATUSES},
        "votes": {vote.value: counts.by_vote.get(vote, 0) for vote in Vote},
        "results": _count_results(model.results),
        "quiet": count_quiet(plan),
        "headline": _headline(counts, plan, compared=not model.session.road.about()),
        "about": model.session.road.about(),
        "besides": _besides(plan),
        "nothing": _say_nothing(plan),
        "apply": _say_approved(counts),
        "plan": model.approved() if counts.approved_units else "",
        "offline": model.session.road.sides.snapshot is not None,
        "runs": len(model.session.state.runs),
        "taken": model.taken_back,
        "undo": "" if model.taken_back else model.last_run,
        "looked": looked.isoformat() if (looked := model.session.looked) else "",
    }


def say_words(told: Words) -> Json:
    """What the table calls things: the heads of two columns, "" for one that isn't there, and fields to type in."""
    who = f"{told.person}, " if told.owner else ""
    return {
        "owner": "Owner" if told.owner else "",
        "chat": told.column,
        "search": f"room, {who}words  ( / )",
        "id": told.id,
        "parts": [visible(part) for part in told.parts],
        "example": "" if told.table else "C12",
    }


def progress(model: ReviewModel) -> Json:
    """The part of `state` that moves while a run goes on."""
    done, total, word = model.progress
    return {
        "kind": "state",
        "running": model.busy,
        "done": done,
        "total": total,
        "word": word,
    }


def message(model: ReviewModel) -> Json:
    """The part of `state` that a person reads first."""
    return {"kind": "state", "message": model.message, "failed": model.failed}


def quiet_line(line: Quiet) -> Json:
    """What is in sync or skipped: nothing to decide about."""
    return {
        "unit": line.unit,
        "status": line.status,
        "vote": "",
        "label": line.id,
        "id": line.id,
        "owner": line.owner,
        "name": line.name,
        "chat": line.chat_id,
        "cause": line.cause,
        "action": "",
        "change": "",
        "quiet": True,
        **({"who": line.who} if line.who != line.owner else {}),
    }


def heading_line(heading: Heading) -> Json:
    """A group, as a line above those that it holds."""
    counts = (heading.size, heading.ready, heading.undecided)
    return {
        **dict.fromkeys(("vote", "id", "owner", "name", "chat", "cause", "action", "change"), ""),
        "unit": heading.unit,
        "status": heading.status,
        "label": heading.words,
        "quiet": True,
        "group": {
            **dict(zip(("size", "ready", "undecided"), counts, strict=True)),
            "shown": heading.shown,
        },
    }


def window(found: Window, wanted: Wanted) -> Json:
    """Lines as a view has asked for them, with the place of the first and how many there are."""
    return {
        "kind": "window",
        "number": wanted.number,
        "grouped": wanted.query.grouped,
        "start": found.start,
        **_numbers(found),
        "lines": [_any_line(line) for line in found.lines],
        "kept": [{"at": kept.at, "line": _any_line(kept.line)} for kept in found.kept],
        "changed": [],
        "anew": False,
    }


def news(found: News, wanted: Wanted) -> Json:
    """What has moved in a window: its lines by themselves, or all of it with those that are others."""
    if not found.moved:
        lines = [_any_line(line) for line in found.changed]
        return {"kind": "lines", "lines": lines, "number": wanted.number, **_numbers(found.window)}
    changed = [line.unit for line in found.changed]
    return {**window(found.window, wanted), "changed": changed, "anew": found.anew}


def _numbers(found: Window) -> Json:
    return {"total": found.total, "ready": found.ready}


def _any_line(found: Line) -> Json:
    if isinstance(found, Quiet):
        return quiet_line(found)
    if isinstance(found, Heading):
        return heading_line(found)
    return line(found, finished=found.status is Status.IN_SYNC)


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
        "line": _any_line(item),
        "facts": [asdict(fact) for fact in found.facts],
        "rows": [asdict(row) for row in found.rows],
        "relies_on": found.relies_on,
        "rooms": found.room_ids,
        "space": found.space_id,
        "sides": [asdict(side) for side in found.sides],
        "more_rooms": found.more_rooms,
        "moved": asdict(found.moved) if found.moved else None,
        "offers": [
            {
                "label": option.label,
                "picked": join_choices(item.choices, option.choices) == item.choices,
                "why": option.why,
                "choices": msgspec.to_builtins(option.choices),
            }
            for option in item.options
        ],
        "free": item.offers.free,
    }


def selected(units: list[Item], more: int) -> Json:
    """What lies between two lines that somebody has pointed at, each unit with the change on display."""
    return {"kind": "selected", "units": [[i.unit, i.change] for i in units], "more": more}


def question(batch: Batch, status: str, text: str, group: str = "") -> Json:
    """How many and what, before all of a filter or group are approved."""
    often = sorted(batch.what.items(), key=lambda found: (-found[1], found[0]))
    rest = often[_MOST:]
    left = count_of(sum(count for _, count in rest), "other unit")
    return {
        "kind": "question",
        "status": status,
        "text": text,
        "group": group,
        "units": count_of(batch.units, "unit"),
        "rows": count_of(batch.rows, "row"),
        "what": [f"{count:,} × {action}" for action, count in often[:_MOST]],
        "rest": f"{left}, of {count_of(len(rest), 'other kind')}" if rest else "",
        "others": [f"{count:,} × {action}" for action, count in rest[:_ALL]],
        "shown": [
            {"label": label, "marks": list(map(_mark, marks))} for label, marks in batch.shown
        ],
        "plan": fingerprint_of(batch.changes) if batch.units else "",
    }


_STATUSES = (Status.CONFLICT, Status.MISSING, Status.MISMATCHED)
_RESULTS = "applied stale failed"


def _headline(counts: Counts, plan: Plan, *, compared: bool) -> Json:
    """All that there is in three numbers; of a shadow run nothing was compared that could be right."""
    pending = counts.by_vote.get(Vote.PENDING, 0)
    right = len(plan.in_sync_rooms) + len(plan.in_sync_users) if compared else 0
    decided = counts.units - pending
    told = [(right, "right")] if compared else []
    told += [(decided, "decided"), (pending, "to decide")]
    numbers = ", ".join(f"{count:,} {word}" for count, word in told)
    if not compared:
        whole = count_of(counts.units, "unit")
    elif plan.words.table:
        whole = count_of(right + counts.units, "room")
    else:
        whole = f"{right + counts.units:,} rooms and user rows"
    return {"words": f"{whole}: {numbers}", "right": right, "decided": decided, "pending": pending}


def _count_results(results: Mapping[str, Result]) -> dict[str, int]:
    found = Counter(result.state for result in results.values())
    names = sorted(found, key=lambda name: (name not in _RESULTS, _RESULTS.find(name), name))
    return {name: found[name] for name in names}


def _say_approved(counts: Counts) -> str:
    """What Apply writes, or nothing."""
    found = counts.approved
    told = [count_of(found[noun], noun) for noun in NOUNS if noun in found]
    return f"{' and '.join(told)}, {count_of(counts.approved_rows, 'row')}" if told else ""


def _say_nothing(plan: Plan) -> str:
    """What an empty list means: in sync is a claim (rules 3)."""
    if plan.foreign:
        return "Nothing is left of it to decide."
    if plan.in_sync:
        return "Nothing to decide: everything is in sync."
    if plan.loose:
        return "Nothing to decide here; rows in conflict that are in no list are in session.drift."
    return f"{plan.words.uncompared}: look at the notes in session.drift."


def _besides(plan: Plan) -> str:
    """What is in no list."""
    told = count_of(len(plan.loose), "row")
    return f"Besides, in no list: {told} in conflict; see session.drift." if plan.loose else ""
