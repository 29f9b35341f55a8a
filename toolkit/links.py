"""The functions of a bot of shape links, whose rows link an id of its own to a room (rules 6).

As `reconcile` has them for the shape chats: rows first, then rooms, the same writer and the same errors. What is
decided is decided in `planning.links`; where the rows stand, and what tells an id, says a `toolkit.Layout`.
"""

import logging
import time
from datetime import UTC, datetime
from typing import NamedTuple

import msgspec

from toolkit.aside import aside
from toolkit.calls import Met, Options
from toolkit.convention import Convention
from toolkit.database.contract import Store, TransactionalStore, transactional
from toolkit.database.look import Look, load_look
from toolkit.deadline import within
from toolkit.decisions.decision import Decisions, approvers, read_decisions, stale_decisions
from toolkit.errors import HomeserverError, ToolkitError
from toolkit.homeserver.belonging import check_named
from toolkit.homeserver.reading import ClientLike, load_one_room, load_remote
from toolkit.layout import Layout
from toolkit.model import Plan, Reason, RemoteState, Skip, Status, Unit, UnitKind
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import load_links
from toolkit.reconcile import choose
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import APPLIED, Result, check_size, new_job
from toolkit.writing.link_report import LinkReport, build_link_report
from toolkit.writing.turns import one_at_a_time

__all__ = ["LinkReport", "reconcile_links", "reconcile_single_link"]

_log = logging.getLogger(__name__)


async def reconcile_links(
    client: ClientLike | None,
    store: Store,
    layout: Layout,
    *,
    convention: Convention | None = None,
    decisions: Decisions | None = None,
    allow_empty: bool = False,
    dry_run: bool = False,
    deadline: float | None = None,
    max_changes: int | None = None,
    sliding_sync: bool = True,
) -> LinkReport:
    """Point rows at the rooms of their ids, and bring back rows of rooms, where nothing needs a human.

    Call it at start-up, before the first message is handled. `store` is open on the layout's table:
    `SQLiteStore(path, layout=layout)`. Of `convention` only `former_accounts` and `helper_accounts` are
    asked; the other parameters are those of `reconcile_matrix_state`. Returns the report of rules 6.

    Raises `HomeserverError`, `RemoteIncomplete` or `StoreError`, each before anything is written.
    """
    options = Options(
        convention=convention or Convention(),
        decisions=None if decisions is None else read_decisions(decisions),
        allow_empty=allow_empty,
        dry_run=dry_run,
        deadline=deadline,
        max_changes=max_changes,
        sliding_sync=sliding_sync,
    )
    return _report_of(await reconcile(client, store, layout, options))


async def reconcile_single_link(
    client: ClientLike | None,
    store: Store,
    layout: Layout,
    room_id: str,
    *,
    convention: Convention | None = None,
    decisions: Decisions | None = None,
    dry_run: bool = False,
    deadline: float | None = None,
    sliding_sync: bool = True,
) -> LinkReport:
    """Repair the row of one room: for a room that the bot meets and has no row of.

    Reads the list of joined rooms, and of the rooms only this one, what it replaced and what replaced it: a
    second room that was made for the same id isn't seen unless a row names it, and is told of at the next
    start-up. A room that isn't joined is skipped with reason `not_joined`. Raises like `reconcile_links`.
    """
    options = Options(
        met=Met(room_id, ""),
        convention=convention or Convention(),
        decisions=None if decisions is None else read_decisions(decisions),
        allow_empty=True,
        dry_run=dry_run,
        deadline=deadline,
        sliding_sync=sliding_sync,
    )
    return _report_of(await reconcile(client, store, layout, options))


class Linked(NamedTuple):
    """What a call did: its report, and what the writer says of its own run."""

    report: LinkReport
    result: Result


def _report_of(done: Linked) -> LinkReport:
    if done.result.warning:
        _log.warning(done.result.warning)
    return done.report


async def reconcile(
    client: ClientLike | None, store: Store, layout: Layout, options: Options
) -> Linked:
    """Look, choose, write; calls on one database run one after the other.

    Raises as the two functions above do, before anything is written. A cancelled call keeps the units
    that are finished.
    """
    if client is None:
        raise HomeserverError("There is no client to ask: pass the bot's nio AsyncClient.")
    table = check_store(store, layout)
    until = None if options.deadline is None else time.monotonic() + options.deadline
    async with one_at_a_time(table, options.deadline):
        look, plan = await _look(client, table, layout, options, until)
        units, refused = await aside(choose, plan, options.decisions)
        if options.dry_run:
            result = Result(dict.fromkeys((unit.id for unit in units), APPLIED))
        else:
            check_size(units, options.max_changes)
            by = approvers(units, options.decisions or {})
            now, told = datetime.now(UTC), options.told
            job = new_job(plan, units, look, options.action, now, by=by, until=until, told=told)
            result = await apply_changes(job, table, None)
    return Linked(await aside(_tell, plan, result, refused, layout, options), result)


def check_store(store: Store, layout: Layout) -> TransactionalStore:
    """The store, if it is one on this very layout. Raises `ToolkitError`."""
    if not layout.links:
        raise ToolkitError(
            "This layout is of shape chats: call reconcile_matrix_state, with a store on the layout."
        )
    if not transactional(store) or store.layout != layout:
        raise ToolkitError(
            f"The store ({type(store).__name__}) doesn't show the rows of this layout: open it with "
            "SQLiteStore(path, layout=layout)."
        )
    return store


async def _look(
    client: ClientLike,
    store: TransactionalStore,
    layout: Layout,
    options: Options,
    until: float | None,
) -> tuple[Look, Plan]:
    """Read both sides, the local one first, and plan."""
    left = None if until is None else max(0.0, until - time.monotonic())
    async with within(left, "reading the rooms and rows"):
        look = await load_look(store)
        remote = await _read(client, layout, options, local_rows=bool(look.rows))
    return look, await aside(_plan, remote, look, store, layout, options)


async def _read(
    client: ClientLike, layout: Layout, options: Options, *, local_rows: bool
) -> RemoteState:
    convention, slide = options.convention, options.sliding_sync
    if options.met:
        room_id = options.met.room_id
        return await load_one_room(client, convention, layout, room_id, sliding_sync=slide)
    return await load_remote(
        client,
        convention,
        local_rows=local_rows,
        allow_empty=options.allow_empty,
        sliding_sync=slide,
        layout=layout,
    )


def _plan(
    remote: RemoteState, look: Look, store: TransactionalStore, layout: Layout, options: Options
) -> Plan:
    links = load_links(look.rows, layout, store.facts)
    if not options.allow_empty:
        check_named(links.pointing, remote)
    choices = {unit: decision.choices for unit, decision in (options.decisions or {}).items()}
    plan = plan_links(remote, links, layout, options.convention, choices)
    return _restrict(plan, remote, options.met.room_id) if options.met else plan


def _restrict(plan: Plan, remote: RemoteState, room_id: str) -> Plan:
    """What the plan says of one room, under whichever of its versions it was asked for."""
    if not remote.joined(room_id):
        skip = Skip(room_id, Reason.NOT_JOINED)
        return Plan(account=plan.account, joined=(), skipped=(skip,))
    units = tuple(unit for unit in plan.units if room_id in unit.room_ids)
    mine = {room_id, *(version for unit in units for version in unit.room_ids)}
    return msgspec.structs.replace(
        plan,
        joined=tuple(room for room in plan.joined if room in mine),
        in_sync_rooms=tuple(room for room in plan.in_sync_rooms if room in mine),
        skipped=tuple(skip for skip in plan.skipped if skip.room_id in mine),
        units=units,
        orphans=(),
        unlinked=(),
        notes=tuple(note for note in plan.notes if note.unit in mine),
        loose=(),
    )


def _tell(
    plan: Plan, result: Result, refused: dict[str, str], layout: Layout, options: Options
) -> LinkReport:
    """The report, with decisions that nothing came of; a call about one room tells of no others."""
    decisions = options.decisions or {}
    if options.met:
        about = {options.met.room_id, *(unit.id for unit in plan.units)}
        decisions = {unit: decision for unit, decision in decisions.items() if unit in about}
    stale = stale_decisions(plan, decisions) | refused
    held = {unit.id for unit in plan.units}
    gone = tuple(map(_gone, stale.keys() - held))
    whole = msgspec.structs.replace(plan, units=(*plan.units, *gone))
    return build_link_report(whole, stale | result.reasons, layout.link.room)


def _gone(unit_id: str) -> Unit:
    """A unit that was decided and isn't planned, for the report."""
    return Unit(id=unit_id, kind=UnitKind.ROOM, status=Status.CONFLICT, findings=())
