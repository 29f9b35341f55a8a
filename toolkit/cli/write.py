"""The commands that write, and what was written: apply, undo, history.

Looking, asking and writing are three steps: while a question stands, nothing is open, and what moved
meanwhile is refused by the writer.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.cli.agreement import (
    NO_CHOICES,
    Agreement,
    agree_to_certain,
    agree_to_file,
    agree_to_units,
)
from toolkit.cli.look import DRIFT, IN_SYNC, look
from toolkit.cli.options import Where
from toolkit.cli.output import Cancelled, agree, progress, say, show, show_json, someone_there
from toolkit.cli.render import (
    history_json,
    render_aftermath,
    render_changes,
    render_history,
    render_open,
    render_refusals,
    render_report,
    render_result,
    render_undo,
)
from toolkit.convention import chat_number
from toolkit.database.chat_manager import ChatManager
from toolkit.database.look import load_look
from toolkit.decisions.decision import Decision, user_name
from toolkit.decisions.free_chat_ids import find_highest, free_ids
from toolkit.decisions.ledger import load_ledger
from toolkit.errors import ToolkitError
from toolkit.model import Choices, Plan
from toolkit.reconcile import Options, Reconciled, reconcile
from toolkit.records import load_records
from toolkit.text.visible import quote_odd
from toolkit.writing.job import Result, check_size
from toolkit.writing.journal import Run
from toolkit.writing.report import stale_units
from toolkit.writing.turns import hold_lock
from toolkit.writing.undo import history as load_history
from toolkit.writing.undo import plan_undo
from toolkit.writing.undo import undo as carry_out_undo

HALFWAY = "what was finished by then is written: see `matrix-drift history`."


@dataclass(frozen=True)
class Wanted:
    """What the person asked to be written."""

    unit_ids: tuple[str, ...] = ()
    choices: Choices = NO_CHOICES
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
    asyncio.run(_check_chat_id(where, wanted.choices.chat_id))
    where = where.with_token()
    plan, agreed = _agree(where, wanted)
    check_size(agreed.units, wanted.max_changes)
    if not as_json:
        _show_agreement(plan, agreed, wanted)
    if agreed.units and not wanted.agreed:
        many = f"these {len(agreed.units)} units" if len(agreed.units) > 1 else "this unit"
        if not agree(f"Write {many} to {where.database}?"):
            raise Cancelled("nothing was written.")
    done = _write(where, agreed.decisions, wanted.max_changes) if agreed.units else None
    if as_json:
        show_json(_apply_json(agreed, done))
    elif done is not None:
        _show_outcome(done, agreed)
    if done is not None and done.result.warning:
        say(done.result.warning)
    return _exit_code(plan, agreed, wanted, done)


async def _check_chat_id(where: Where, chat_id: str | None) -> None:
    """Raise `ToolkitError` if that can't be one, with one that no row has as an example."""
    if chat_id is None or chat_number(chat_id):
        return
    async with where.open_store(read_only=True) as store:
        local = load_records((await load_look(store)).rows.items())
    free = next(free_ids(max(find_highest(local).values(), default=0)), None)
    example = f", such as {free}, which is free" if free else ""
    raise ToolkitError(
        f"--chat-id {chat_id!r} is no chat id: it must be C and a number{example}; nothing was written."
    )


def _agree(where: Where, wanted: Wanted) -> tuple[Plan, Agreement]:
    """Look once, with everything that was picked, and find what may be written."""
    if wanted.decisions is not None:
        decisions = load_ledger(wanted.decisions).decisions
        picked = {unit_id: decision.choices for unit_id, decision in decisions.items()}
        plan = look(where.without_lowering(), picked)
        return plan, agree_to_file(plan, decisions)
    lower = where.lower_counters
    if wanted.unit_ids:
        plan = look(where, dict.fromkeys(wanted.unit_ids, wanted.choices))
        return plan, agree_to_units(plan, wanted.unit_ids, wanted.choices, lower=lower)
    plan = look(where)
    return plan, agree_to_certain(plan, lower=lower)


def _write(where: Where, decisions: dict[str, Decision], max_changes: int | None) -> Reconciled:
    try:
        with hold_lock(Path(where.named_database())):
            return asyncio.run(_reconcile(where, decisions, max_changes))
    except KeyboardInterrupt:
        raise Cancelled(HALFWAY) from None


async def _reconcile(
    where: Where, decisions: dict[str, Decision], max_changes: int | None
) -> Reconciled:
    options = Options(
        convention=where.convention(),
        decisions=decisions,
        allow_empty=where.allow_empty,
        deadline=where.deadline,
        max_changes=max_changes,
    )
    async with where.open_store(read_only=False) as store, where.open_homeserver() as client:
        with progress("Looking again, writing"):
            return await reconcile(client, store, ChatManager(store), options)


def _show_agreement(plan: Plan, agreed: Agreement, wanted: Wanted) -> None:
    show(render_changes(agreed.units))
    show(render_refusals(agreed.refused))
    for unit_id in agreed.settled:
        say(f"{quote_odd(unit_id)} is in sync.")
    if not wanted.named:
        show(render_open(plan))
    if not agreed.units:
        say("There is nothing to write.")


def _show_outcome(done: Reconciled, agreed: Agreement) -> None:
    show(render_report(done.report, [unit.id for unit in agreed.units]))
    _show_aftermath(done.result)


def _show_aftermath(result: Result) -> None:
    if result.run is not None:
        show(render_aftermath(result.run, result.backup, bool(result.applied)))


def _apply_json(agreed: Agreement, done: Reconciled | None) -> dict[str, Any]:
    result = done.result if done else Result({})
    return {
        **_run_json(result),
        "units": [unit.id for unit in agreed.units],
        "not_written": agreed.refused | _stale(done, agreed),
        "report": done and done.report,
    }


def _run_json(result: Result) -> dict[str, Any]:
    backup = None if result.backup is None else str(result.backup)
    return {"run": result.run, "backup": backup}


def _exit_code(plan: Plan, agreed: Agreement, wanted: Wanted, done: Reconciled | None) -> int:
    """Drift is what was asked for and not written, and without names what is left to decide."""
    written = {unit.id for unit in agreed.units}
    left = [unit for unit in plan.units if unit.id not in written] if not wanted.named else []
    odd = plan.loose or any(note.open for note in plan.notes)
    rest = left or (odd if not wanted.named else ())
    return DRIFT if agreed.refused or _stale(done, agreed) or rest else IN_SYNC


def _stale(done: Reconciled | None, agreed: Agreement) -> dict[str, str]:
    return stale_units(done.report, [unit.id for unit in agreed.units]) if done else {}


# Looking back, taking back


def history(where: Where, *, as_json: bool) -> int:
    """Say what was written to this database."""
    runs = asyncio.run(_load_history(where))
    if as_json:
        show_json(history_json(runs))
    else:
        show(render_history(runs))
    return IN_SYNC


async def _load_history(where: Where) -> Sequence[Run]:
    async with where.open_store(read_only=True) as store:
        return await load_history(store)


def undo(where: Where, run_id: str, *, yes: bool, as_json: bool) -> int:
    """Take back a run, as far as nobody has written its rows since."""
    if not yes and not someone_there():
        raise ToolkitError("Nobody is there to be asked: give --yes; nothing was written.")
    plan = asyncio.run(_plan_undo(where, run_id))
    if not as_json:
        show(render_undo(plan))
    back = [unit.id for unit in plan.units if unit.change]
    if back and not yes and not agree(f"Write this back to {where.database}?"):
        raise Cancelled("nothing was written.")
    result = _carry_out(where, run_id) if back else Result({})
    if as_json:
        show_json(_undo_json(run_id, plan, result))
    else:
        _show_undo(result)
    done = [unit for unit, outcome in result.outcomes.items() if outcome.applied]
    return IN_SYNC if len(done) == len(plan.units) else DRIFT


async def _plan_undo(where: Where, run_id: str) -> Plan:
    async with where.open_store(read_only=True) as store:
        return await plan_undo(store, run_id)


def _carry_out(where: Where, run_id: str) -> Result:
    try:
        with hold_lock(Path(where.named_database())):
            return asyncio.run(_undo(where, run_id))
    except KeyboardInterrupt:
        raise Cancelled(HALFWAY) from None


async def _undo(where: Where, run_id: str) -> Result:
    async with where.open_store(read_only=False) as store:
        with progress("Writing back") as tell:
            _, result = await carry_out_undo(store, run_id, by=user_name(), progress=tell)
    return result


def _undo_json(run_id: str, plan: Plan, result: Result) -> dict[str, Any]:
    stays = {f.unit: f.cause for unit in plan.units for f in unit.findings}
    stays |= {unit: out.detail for unit, out in result.outcomes.items() if not out.applied}
    return {
        "undoes": run_id,
        "run": result.run,
        "backup": None if result.backup is None else str(result.backup),
        "units": [unit for unit, outcome in result.outcomes.items() if outcome.applied],
        "not_written": stays,
    }


def _show_undo(result: Result) -> None:
    show(render_result(result))
    if result.run is not None:
        wrote = any(outcome.applied for outcome in result.outcomes.values())
        show(render_aftermath(result.run, result.backup, wrote))
