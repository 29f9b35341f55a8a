"""The commands that look and write nothing: check, plan, snapshot."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from toolkit.cli.json_forms import plan_json
from toolkit.cli.options import Where
from toolkit.cli.output import progress, say, show_json, show_long, shown_units
from toolkit.cli.render import render_check, render_plan
from toolkit.decisions.agreement import save_decisions
from toolkit.decisions.case import Casebook
from toolkit.decisions.ignoring import today
from toolkit.decisions.ledger_file import load_beside
from toolkit.decisions.record import NOTHING_DECIDED, Record
from toolkit.model import Plan, Reason, RemoteState
from toolkit.quotes import quote_odd
from toolkit.records import Raw
from toolkit.repairs import NOTHING_PICKED, Picked, Repairs, load_past_of, road_to
from toolkit.sources.anonymise import anonymise
from toolkit.sources.snapshot import Snapshot, save_snapshot
from toolkit.text.summary import count_of
from toolkit.text.view import View
from toolkit.writing.given import is_disputed, tell_given

IN_SYNC, DRIFT = 0, 2


def check(where: Where, view: View, *, as_json: bool, strict: bool) -> int:
    """Say what is wrong."""
    found = look_decided(where)
    if as_json:
        show_json(plan_json(found.plan, view, found.record, found.cases))
    else:
        show_long(render_check(found.plan, fit(view, found.plan), found.record, found.cases))
    return exit_code(found.plan, strict, found.record)


def plan(where: Where, view: View, *, as_json: bool, out: Path | None) -> int:
    """Say what would be written, and write it down for `apply --decisions` if asked to."""
    looked = look_decided(where)
    found, record = looked.plan, looked.record
    if as_json:
        show_json(plan_json(found, view, record, looked.cases))
    else:
        show_long(render_plan(found, fit(view, found), record, looked.cases))
    if out is not None:
        left = record.left(found.units)
        units = save_decisions(out, found, left, lower=where.lower_counters)
        say(
            f"{len(units)} decisions stand in {out}, one to a line: delete those that you don't want."
        )
        if guessed := [quote_odd(unit.id) for unit in units if unit.needs_human]:
            say(f"Among them are proposals, which want a look: {', '.join(guessed)}.")
        if count := sum(unit.id in left for unit in found.units if unit.change):
            say(
                f"What was rejected, deferred or ignored isn't among them: {count_of(count, 'unit')}."
            )
    return exit_code(found, False, record)


def snapshot(where: Where, file: Path, *, anonymous: bool) -> int:
    """Write both sides into one file; of an anonymous one the original never touches the disk."""
    found = asyncio.run(_take(where.with_token()))
    save_snapshot(file, anonymise(found) if anonymous else found, datetime.now(UTC))
    numbers = "" if found.layout else "chat numbers, "
    what = (
        _ANONYMOUS.format(numbers)
        if anonymous
        else "readable by you alone: it holds names and ids of people."
    )
    say(f"{len(found.rooms)} rooms and {len(found.rows)} rows are in {file}, {what}")
    return IN_SYNC


def exit_code(plan: Plan, strict: bool, record: Record = NOTHING_DECIDED) -> int:
    """Orphans, rooms that are no chats and what is ignored are no drift, unless asked to be; Spaces
    are meant to be."""
    strange = [skip for skip in plan.skipped if skip.reason is not Reason.SPACE]
    if strict and (plan.orphans or strange or record.ignored):
        return DRIFT
    return IN_SYNC if record.part(plan).in_sync else DRIFT


def fit(view: View, plan: Plan) -> View:
    """Where it isn't said, causes stand for units that would run off a person's screen."""
    if view.summary is not None:
        return view
    limit = shown_units()
    return replace(view, summary=limit is not None and len(view.units(plan)) > limit)


@dataclass(frozen=True)
class Looked:
    """A plan, what is decided about its units, and what is known of its conflicts."""

    plan: Plan
    record: Record
    cases: Casebook


def look_decided(where: Where, picked: Picked = NOTHING_PICKED) -> Looked:
    """Read both sides, from a snapshot or themselves, and the decisions beside them, and plan."""
    return asyncio.run(_look(road_of(where), picked))


def road_of(where: Where) -> Repairs:
    """How it is looked at both sides, planned and written."""
    return road_to(where.with_token().sides(), lower_counters=where.lower_counters)


async def _look(road: Repairs, picked: Picked) -> Looked:
    with progress("Reading rooms") as tell:
        remote, rows = await road.look(tell)
    return await judge(road, remote, rows, picked)


async def judge(
    road: Repairs, remote: RemoteState, rows: Mapping[str, Raw], picked: Picked = NOTHING_PICKED
) -> Looked:
    """Plan from both sides as they were seen, with the decisions beside them."""
    ledger = load_beside(road.sides.beside).on(today())
    local = road.read(rows)
    plan = road.plan(remote, local, picked)
    if is_disputed(plan):
        plan = tell_given(plan, (await load_past_of(road.sides, rows)).runs, local)
    # What was approved with a pick is so on a plan with the pick.
    decided = road.plan(remote, local, ledger.choices) if ledger.choices else plan
    record = Record.of(plan, ledger.standing(decided), ledger)
    return Looked(plan, record, Casebook(plan, remote, local, road.sides.convention))


async def _take(where: Where) -> Snapshot:
    with progress("Reading rooms") as tell:
        return await where.sides().take(where.settings, tell)


_ANONYMOUS = (
    "anonymised: ids, names, servers, texts and unknown values are replaced, and what is left is the "
    "shape, which is {}who is in which room, which room is older and which name newer (by "
    "other times), what is damaged, and when you looked."
)
