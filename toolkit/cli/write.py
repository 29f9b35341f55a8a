"""The commands that write: apply, undo, restore.

Looking, asking and writing are three steps: while a question stands, nothing is open, and what moved
meanwhile is refused by the writer.
"""

import asyncio
import dataclasses
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from toolkit.cli.decided import render_left
from toolkit.cli.json_forms import restore_json, result_json
from toolkit.cli.look import DRIFT, IN_SYNC, look_decided, road_of
from toolkit.cli.options import Where
from toolkit.cli.output import Cancelled, agree, progress, say, show, show_json, someone_there
from toolkit.cli.render import render_changes, render_new_database, render_undo
from toolkit.cli.render_written import (
    render_aftermath,
    render_refusals,
    render_report,
    render_restore,
    render_restored,
    render_result,
)
from toolkit.cli.verdict import render_open
from toolkit.convention import chat_number
from toolkit.decisions.agreement import (
    Agreement,
    agree_to_certain,
    agree_to_file,
    agree_to_units,
)
from toolkit.decisions.free_chat_ids import find_highest, free_ids
from toolkit.decisions.ledger_file import forget, load_ledger
from toolkit.decisions.record import Record
from toolkit.errors import ToolkitError
from toolkit.model import NO_CHOICES, Choices, Plan
from toolkit.planning.links.picks import picked_id
from toolkit.quotes import quote_odd
from toolkit.records import load_records
from toolkit.repairs import (
    Done,
    go_back,
    plan_going_back,
    plan_taking_back,
    road_to,
    take_back,
)
from toolkit.sources.sides import Sides
from toolkit.writing.job import Result, check_size
from toolkit.writing.report import stale_units

T = TypeVar("T")
_LINKS = "a mapping of shape links"
_NOTHING = " Nothing was written."
HALFWAY = "what was finished by then is written: see `matrix-drift history`."


@dataclass(frozen=True)
class Wanted:
    """What the person asked to be written."""

    unit_ids: tuple[str, ...] = ()
    choices: Choices = NO_CHOICES
    id: tuple[str, ...] = ()
    decisions: Path | None = None
    certain: bool = False
    yes: bool = False
    max_changes: int | None = None

    @property
    def named(self) -> bool:
        """Whether it is said which units, or only to be found out."""
        return bool(self.unit_ids or self.decisions)

    @property
    def agreed(self) -> bool:
        """Whether nobody needs to be asked."""
        return self.named or self.certain or self.yes


def apply(where: Where, wanted: Wanted, *, as_json: bool) -> int:
    """Write what was asked for, what is certain, or what the person agrees to."""
    if not wanted.agreed and not someone_there():
        raise ToolkitError(
            "Nobody is there to be asked: name units, or give --approve-certain or --decisions; "
            "nothing was written."
        )
    wanted = dataclasses.replace(wanted, choices=_check_pick(where, wanted))
    where = where.with_token()
    plan, record, agreed = _agree(where, wanted)
    check_size(agreed.units, wanted.max_changes)
    if not as_json:
        _show_agreement(record.part(plan), record, agreed, wanted)
    many = f"these {len(agreed.units)} units" if len(agreed.units) > 1 else "this unit"
    if agreed.units and not _agree_to_write(where, many, agreed=wanted.agreed):
        raise Cancelled("nothing was written.")
    done, warnings = None, list[str]()
    if agreed.units:
        done = run_to_write(_write(where, plan, agreed, wanted.max_changes))
        warnings.append(done.result.warning)
        if written := agreed.overridden.keys() & {*done.result.applied}:
            warnings.append(forget(where.sides().beside, plan, written))
    if as_json:
        show_json(_apply_json(agreed, done))
    elif done is not None:
        _show_outcome(done, agreed)
    for warning in filter(None, warnings):
        say(warning)
    return _exit_code(record.part(plan), agreed, wanted, done)


def _agree_to_write(where: Where, what: str, *, agreed: bool) -> bool:
    """Whether the person agrees, or has; that the bot must be stopped is said in any case."""
    if where.sides().layout.shape.stopped:
        say("The bot must be stopped, else it writes its own rows over these.")
    return agreed or agree(f"Write {what} to {where.shown_database}?")


def _check_pick(where: Where, wanted: Wanted) -> Choices:
    """What was picked, in the words of the bot's shape; or `ToolkitError` if it can't be that."""
    if not wanted.id and wanted.choices == NO_CHOICES:
        return NO_CHOICES
    road = road_to(where.sides())
    links, picked = road.sides.layout.links, wanted.choices
    if not links and wanted.id:
        raise ToolkitError(f"--id is for {_LINKS}: a chat's id is picked with --chat-id.{_NOTHING}")
    if not links:
        _check_chat_id(where, picked.chat_id)
        return picked
    if picked.chat_id is not None:
        raise ToolkitError(f"--chat-id is for chats: with {_LINKS} give --id.{_NOTHING}")
    if wanted.id:
        picked = replace(picked, chat_id=picked_id(wanted.id))
    rows = road.read(asyncio.run(road.load_rows()))
    if why := road.why_no_pick(rows, picked):
        raise ToolkitError(f"{why}.{_NOTHING}")
    return picked


def _check_chat_id(where: Where, chat_id: str | None) -> None:
    """Raise `ToolkitError` if that can't be one, with one that no row has as an example."""
    if chat_id is None or chat_number(chat_id):
        return
    local = load_records(asyncio.run(where.sides().load_rows()))
    free = next(free_ids(max(find_highest(local).values(), default=0)), None)
    example = f", such as {free}, which is free" if free else ""
    raise ToolkitError(
        f"--chat-id {chat_id!r} is no chat id: it must be C and a number{example}; nothing was written."
    )


def _agree(where: Where, wanted: Wanted) -> tuple[Plan, Record, Agreement]:
    """Look once, with everything that was picked, and find what may be written."""
    if wanted.decisions is not None:
        decisions = load_ledger(wanted.decisions).decisions
        picked = {unit_id: decision.choices for unit_id, decision in decisions.items()}
        looked = look_decided(where.without_lowering(), picked)
        return looked.plan, looked.record, agree_to_file(looked.plan, decisions, looked.record)
    lower = where.lower_counters
    if wanted.unit_ids:
        looked = look_decided(where, dict.fromkeys(wanted.unit_ids, wanted.choices))
        plan, record = looked.plan, looked.record
        agreed = agree_to_units(plan, wanted.unit_ids, wanted.choices, record, lower=lower)
        return plan, record, agreed
    looked = look_decided(where)
    agreed = agree_to_certain(looked.plan, looked.record, lower=lower)
    return looked.plan, looked.record, agreed


def run_to_write(work: Coroutine[Any, Any, T]) -> T:
    """Run what writes. Ctrl+C keeps the units that are finished, and says so."""
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        raise Cancelled(HALFWAY) from None


async def _write(where: Where, plan: Plan, agreed: Agreement, max_changes: int | None) -> Done:
    with progress("Looking again, writing") as tell:
        return await road_of(where).write(plan, agreed.decisions, tell, max_changes)


def _show_agreement(plan: Plan, record: Record, agreed: Agreement, wanted: Wanted) -> None:
    show(render_new_database(plan))
    show(render_changes(agreed.units))
    show(render_refusals(agreed.refused))
    for unit_id, why in agreed.settled.items():
        say(f"{quote_odd(unit_id)} {why}.")
    for unit_id, how in agreed.overridden.items():
        say(f"{quote_odd(unit_id)} was {how}. It is named now, so it is written.")
    show(render_left(agreed.left))
    if not wanted.named:
        show(render_open(plan, record.left(plan.units)))
    if not agreed.units:
        say("There is nothing to write.")


def _show_outcome(done: Done, agreed: Agreement) -> None:
    show(render_report(done.report, [unit.id for unit in agreed.units]))
    show_aftermath(done.result)


def show_aftermath(result: Result) -> None:
    """Where the backup is and how to go back, if there was anything to write."""
    if result.run is not None:
        show(render_aftermath(result.run, result.backup, bool(result.applied)))


def _apply_json(agreed: Agreement, done: Done | None) -> dict[str, Any]:
    return {
        **result_json(done.result if done else Result({})),
        "units": [unit.id for unit in agreed.units],
        "not_written": agreed.refused | _stale(done, agreed),
        "left_alone": agreed.left,
        "report": done and done.report,
    }


def _exit_code(plan: Plan, agreed: Agreement, wanted: Wanted, done: Done | None) -> int:
    """Drift is what was asked for and not written, and without names what is left to decide."""
    if agreed.refused or _stale(done, agreed):
        return DRIFT
    written = {unit.id for unit in agreed.units}
    left = tuple(unit for unit in plan.units if unit.id not in written)
    return IN_SYNC if wanted.named or replace(plan, units=left).in_sync else DRIFT


def _stale(done: Done | None, agreed: Agreement) -> dict[str, str]:
    return stale_units(done.report, [unit.id for unit in agreed.units]) if done else {}


# Taking back


def undo(where: Where, run_id: str, *, yes: bool, as_json: bool) -> int:
    """Take back a run, as far as nobody has written its rows since."""
    if not yes and not someone_there():
        raise ToolkitError("Nobody is there to be asked: give --yes; nothing was written.")
    sides = where.sides()
    plan = asyncio.run(plan_taking_back(sides, run_id))
    if not as_json:
        show(render_undo(plan))
    back = [unit.id for unit in plan.units if unit.change]
    if back and not _agree_to_write(where, "this back", agreed=yes):
        raise Cancelled("nothing was written.")
    result = run_to_write(_take_back(sides, run_id)) if back else Result({})
    if as_json:
        show_json(_undo_json(run_id, plan, result))
    else:
        show(render_result(result))
        show_aftermath(result)
    return IN_SYNC if len(result.applied) == len(plan.units) else DRIFT


def restore(where: Where, run_id: str, *, yes: bool, as_json: bool) -> int:
    """Go back to the backup of a run, as a whole."""
    if not yes and not someone_there():
        raise ToolkitError("Nobody is there to be asked: give --yes; nothing was written.")
    planned = asyncio.run(plan_going_back(where.sides(), run_id))
    replaces = planned.replaces
    if not as_json:
        show(render_restore(planned))
    if not yes and not agree(f"Is the bot stopped, and shall {planned.database} be replaced?"):
        raise Cancelled("nothing was written.")
    warning = go_back(planned)
    if as_json:
        show_json(restore_json(planned, replaces))
    else:
        show(render_restored(planned, replaces))
    if warning:
        say(warning)
    return IN_SYNC


async def _take_back(sides: Sides, run_id: str) -> Result:
    with progress("Writing back") as tell:
        _, result = await take_back(sides, run_id, tell)
    return result


def _undo_json(run_id: str, plan: Plan, result: Result) -> dict[str, Any]:
    stays = {f.unit: f.cause for unit in plan.units for f in unit.findings}
    return {
        "undoes": run_id,
        **result_json(result),
        "units": result.applied,
        "not_written": stays | result.left,
    }
