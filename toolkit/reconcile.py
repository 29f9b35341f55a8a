"""The bot's two functions: read, plan, and apply what needs no human, or what a human agreed to.

Both are one call of `reconcile`, which looks, chooses and writes; sessions and the command line make
the same call with decisions, and learn from it what it wrote. What is decided is decided in `plan`,
what is written in `apply`; here the two sides are read in the order that makes it safe.
"""

import logging
import time
from collections.abc import Awaitable, Mapping
from datetime import UTC, datetime

from msgspec.structs import replace

from toolkit.aside import aside
from toolkit.calls import Met, Options, Reconciled, tell
from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import Store, transactional
from toolkit.database.look import Look, load_look
from toolkit.deadline import within
from toolkit.decisions.decision import (
    Decision,
    Decisions,
    agreed_units,
    approvers,
    read_decisions,
    second_spaces,
)
from toolkit.errors import HomeserverError, ToolkitError
from toolkit.homeserver.answers import ask_once
from toolkit.homeserver.belonging import check_belonging
from toolkit.homeserver.reading import ClientLike, load_unsettled
from toolkit.homeserver.vicinity import load_vicinity
from toolkit.model import Code, Plan, RemoteState, Unit
from toolkit.planning.notes import note_new_database
from toolkit.planning.plan import plan_repairs
from toolkit.records import LocalState, load_records
from toolkit.text.visible import visible
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import APPLIED, Result, check_size, new_job
from toolkit.writing.report import Report
from toolkit.writing.turns import one_at_a_time

_log = logging.getLogger(__name__)


async def reconcile_matrix_state(
    client: ClientLike | None,
    store: Store,
    chat_mgr: ChatManagerLike | None,
    *,
    convention: Convention | None = None,
    decisions: Decisions | None = None,
    allow_empty: bool = False,
    lower_counters: bool = True,
    dry_run: bool = False,
    deadline: float | None = None,
    max_changes: int | None = None,
    sliding_sync: bool = True,
) -> Report:
    """Bring back and repair the local rows of all rooms that the bot is joined to.

    Call it at start-up, before the first message is handled. Without `decisions` it writes what is
    certain; with them (unit -> `Decision`) only those units, and one that fits nothing any more is
    the conflict `stale_plan`. `dry_run` writes nothing and reports what would be. `deadline` is in
    seconds for the whole call. With `max_changes`, more rows than that are refused as a whole, with a
    `ToolkitError`. Without `sliding_sync` each room is read by itself (rules 2.2). Returns the report of
    rules 5.

    Raises `HomeserverError`, `RemoteIncomplete` or `StoreError`, each before anything is written.
    """
    options = Options(
        convention=convention or Convention(),
        decisions=None if decisions is None else read_decisions(decisions),
        allow_empty=allow_empty,
        lower_counters=lower_counters,
        dry_run=dry_run,
        deadline=deadline,
        max_changes=max_changes,
        sliding_sync=sliding_sync,
    )
    return _report_of(await reconcile(client, store, chat_mgr, options))


async def reconcile_single_room(
    client: ClientLike | None,
    store: Store,
    chat_mgr: ChatManagerLike | None,
    room_id: str,
    matrix_user_id: str,
    *,
    convention: Convention | None = None,
    decisions: Decisions | None = None,
    dry_run: bool = False,
    deadline: float | None = None,
    sliding_sync: bool = True,
) -> Report:
    """Repair the rows of one room, and its user's row: for a room that the bot meets unregistered.

    Writes nothing for other rooms and never lowers a counter. Returns the report of rules 5
    about this room; a room that isn't joined is skipped with reason `not_joined`, one that belongs
    to another user than `matrix_user_id` is the conflict `owner_mismatch`. Raises like
    `reconcile_matrix_state`.
    """
    options = Options(
        met=Met(room_id, matrix_user_id),
        convention=convention or Convention(),
        decisions=None if decisions is None else read_decisions(decisions),
        dry_run=dry_run,
        deadline=deadline,
        sliding_sync=sliding_sync,
    )
    return _report_of(await reconcile(client, store, chat_mgr, options))


def _report_of(done: Reconciled) -> Report:
    if done.result.warning:
        _log.warning(done.result.warning)
    for note in done.report["notes"]:
        if note["code"] == Code.NEW_DATABASE.value:
            _log.warning("%s: %s: %s", note["code"], visible(note["key"], 1_000), note["detail"])
    return done.report


async def reconcile(
    client: ClientLike | None, store: Store, chat_mgr: ChatManagerLike | None, options: Options
) -> Reconciled:
    """Look, choose, write; calls on one database run one after the other (rules 5).

    Raises as the two functions above do, before anything is written. A cancelled call keeps the units
    that are finished.
    """
    if client is None:
        raise HomeserverError("There is no client to ask: pass the bot's nio AsyncClient.")
    if chat_mgr is not None and not callable(getattr(chat_mgr, "get_or_create", None)):
        raise ToolkitError(
            f"The chat manager ({type(chat_mgr).__name__}) has no get_or_create: pass the bot's "
            "own, a toolkit.ChatManager, or None."
        )
    if transactional(store) and store.layout.links:
        raise ToolkitError(
            "The store's layout is of shape links: call reconcile_links or reconcile_single_link."
        )
    until = None if options.deadline is None else time.monotonic() + options.deadline
    async with one_at_a_time(store, options.deadline):
        look, plan = await _look(client, store, options, until)
        units, refused = await aside(choose, plan, options.decisions)
        if options.dry_run:
            result = Result(dict.fromkeys((unit.id for unit in units), APPLIED))
        else:
            check_size(units, options.max_changes)
            by = approvers(units, options.decisions or {})
            now, told = datetime.now(UTC), options.told
            job = new_job(plan, units, look, options.action, now, by=by, until=until, told=told)
            result = await apply_changes(job, store, chat_mgr)
    return Reconciled(await aside(tell, plan, result, refused, options), result)


async def _look(
    client: ClientLike, store: Store, options: Options, until: float | None
) -> tuple[Look, Plan]:
    """Read both sides, the local one first, and plan.

    A room that the bot makes while we read is then in neither; the other way round its new rows
    would look as if they pointed at a room that nobody is in.
    """
    left = None if until is None else max(0.0, until - time.monotonic())
    async with within(left, "reading the rooms and rows"):
        if options.met:
            return await _look_at_one(client, store, options, options.met)
        look = await load_look(store)
        local = await aside(load_records, look.rows)

        def plan_of(remote: RemoteState) -> Plan:
            return _plan(remote, local, options)

        remote, plan = await load_unsettled(
            client,
            options.convention,
            plan_of,
            local_rows=bool(look.rows),
            allow_empty=options.allow_empty,
            sliding_sync=options.sliding_sync,
        )
    if not options.allow_empty:
        await aside(check_belonging, local, remote)
    if look.made and plan.units:  # where nothing could be missing, it is a bot's first start
        plan = note_new_database(plan, look.made)
    return look, plan


async def _look_at_one(
    client: ClientLike, store: Store, options: Options, met: Met
) -> tuple[Look, Plan]:
    """The same for one room: what it rests on, and once only if it is no chat."""

    def plan_of(remote: RemoteState, local: LocalState) -> Plan:
        return _plan(remote, local, options)

    def look() -> Awaitable[tuple[Look, Plan]]:
        decided = options.decisions or ()
        return load_vicinity(
            client,
            store,
            options.convention,
            met,
            plan_of,
            decided,
            sliding_sync=options.sliding_sync,
        )

    if options.decisions is not None:
        return await look()
    return await ask_once(client, store, options.convention, met, look)


def _plan(remote: RemoteState, local: LocalState, options: Options) -> Plan:
    """With decisions, no counter is lowered but those that were asked for one by one."""
    choices = {unit: d.choices for unit, d in (options.decisions or {}).items()}
    if options.met:  # the live bot may just have taken a number (rules 3)
        choices = {u: replace(choice, lower_counter=False) for u, choice in choices.items()}
    lower = options.lower_counters and options.decisions is None
    return plan_repairs(remote, local, options.convention, choices, lower_counters=lower)


def choose(
    plan: Plan, decisions: Mapping[str, Decision] | None
) -> tuple[list[Unit], dict[str, str]]:
    """Units that need no human, or those that one agreed to; and why some of them can't be written."""
    certain = [unit for unit in plan.units if unit.certain]
    wanted = certain if decisions is None else agreed_units(plan, decisions)
    second = second_spaces(wanted)
    return [unit for unit in wanted if unit.id not in second], second
