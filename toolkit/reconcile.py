"""The bot's two functions: read, plan, and apply what needs no human, or what a human agreed to.

Notebook, review and command line await the same two with `decisions`. What is decided is decided in
`plan`, what is written in `apply`; here the two sides are read in the order that makes it safe.
"""

import logging
import time
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from toolkit.convention import Convention
from toolkit.database.look import Look, load_look
from toolkit.database.store import Store
from toolkit.deadline import within
from toolkit.decisions.decision import (
    Decision,
    Decisions,
    agreed_units,
    approvers,
    read_decisions,
    second_spaces,
    stale_decisions,
)
from toolkit.errors import HomeserverError, ToolkitError
from toolkit.homeserver.belonging import check_belonging
from toolkit.homeserver.reading import load_unsettled
from toolkit.model import Plan, RemoteState, Status, Unit, UnitKind
from toolkit.planning.one_room import narrow_plan
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import APPLIED, Job, Result, check_size, new_job
from toolkit.writing.report import Report, build_report
from toolkit.writing.turns import one_at_a_time

_log = logging.getLogger(__name__)


async def reconcile_matrix_state(
    client: Any,
    store: Store,
    chat_mgr: Any,
    *,
    convention: Convention | None = None,
    decisions: Decisions | None = None,
    allow_empty: bool = False,
    lower_counters: bool = True,
    dry_run: bool = False,
    deadline: float | None = None,
    max_changes: int | None = None,
) -> Report:
    """Bring back and repair the local rows of all rooms that the bot is joined to.

    Call it at start-up, before the first message is handled. Without `decisions` it writes what is
    certain; with them (unit -> `Decision`) only those units, and one that fits nothing any more is
    the conflict `stale_plan`. `dry_run` writes nothing and reports what would be. `deadline` is in
    seconds for the whole call. With `max_changes`, more rows than that are refused as a whole, with a
    `ToolkitError`. Returns the report of rules 5.

    Raises `HomeserverError`, `RemoteIncomplete` or `StoreError`, each before anything is written.
    """
    call = _Call(client, store, chat_mgr, convention, decisions, dry_run, deadline)
    call.allow_empty = allow_empty
    call.lower = lower_counters and decisions is None
    call.max_changes = max_changes
    async with one_at_a_time(store, deadline):
        action = "start-up" if decisions is None else "approved"
        return await call.carry_out(await call.look(action))


async def reconcile_single_room(
    client: Any,
    store: Store,
    chat_mgr: Any,
    room_id: str,
    matrix_user_id: str,
    *,
    convention: Convention | None = None,
    decisions: Decisions | None = None,
    dry_run: bool = False,
    deadline: float | None = None,
) -> Report:
    """Repair the rows of one room, and its user's row: for a room that the bot meets unregistered.

    Writes nothing for other rooms and never lowers a counter. Returns the report of rules 5
    about this room; a room that isn't joined is skipped with reason `not_joined`, one that belongs
    to another user than `matrix_user_id` is the conflict `owner_mismatch`. Raises like
    `reconcile_matrix_state`.
    """
    call = _Call(client, store, chat_mgr, convention, decisions, dry_run, deadline)
    call.only = room_id
    async with one_at_a_time(store, deadline):
        plan = await call.look("single room")
        return await call.carry_out(narrow_plan(plan, call.local, room_id, matrix_user_id))


class _Call:
    """One call of either function."""

    def __init__(
        self,
        client: Any,
        store: Store,
        chat_mgr: Any,
        convention: Convention | None,
        decisions: Decisions | None,
        dry_run: bool,
        deadline: float | None,
    ) -> None:
        if client is None:
            raise HomeserverError("There is no client to ask: pass the bot's nio AsyncClient.")
        if chat_mgr is not None and not callable(getattr(chat_mgr, "get_or_create", None)):
            raise ToolkitError(
                f"The chat manager ({type(chat_mgr).__name__}) has no get_or_create: pass the bot's "
                "own, a toolkit.ChatManager, or None."
            )
        self.client, self.store, self.chat_mgr = client, store, chat_mgr
        self.convention = convention or Convention()
        self.decisions: dict[str, Decision] | None = None
        if decisions is not None:
            self.decisions = read_decisions(decisions)
        self.dry_run = dry_run
        self.until = None if deadline is None else time.monotonic() + deadline
        self.allow_empty, self.lower = False, False
        self.only: str | None = None
        self.max_changes: int | None = None
        self.action = ""
        self.rows = Look({})
        self.local = load_records([])

    async def look(self, action: str) -> Plan:
        """Read both sides, the local one first.

        A room that the bot makes while we read is then in neither; the other way round its new rows
        would look as if they pointed at a room that nobody is in.
        """
        self.action = action
        left = None if self.until is None else max(0.0, self.until - time.monotonic())
        async with within(left, "reading the rooms and rows"):
            self.rows = await load_look(self.store)
            self.local = load_records(self.rows.rows.items())
            remote = await load_unsettled(
                self.client,
                self.convention,
                self._plan,
                local_rows=bool(self.rows.rows),
                allow_empty=self.allow_empty,
                only=self.only,
            )
        if self.only is None and not self.allow_empty:
            check_belonging(self.local, remote)
        return self._plan(remote)

    def _plan(self, remote: RemoteState) -> Plan:
        choices = {unit: d.choices for unit, d in (self.decisions or {}).items()}
        if self.only is not None:  # the live bot may just have taken a number (rules 3)
            choices = {u: replace(choice, lower_counter=False) for u, choice in choices.items()}
        return plan_repairs(remote, self.local, self.convention, choices, lower_counters=self.lower)

    async def carry_out(self, plan: Plan) -> Report:
        """Write what may be written, or only say so; the report of what came of it."""
        wanted = self._wanted(plan)
        second = second_spaces(wanted)
        wanted = [unit for unit in wanted if unit.id not in second]
        result = Result(dict.fromkeys((unit.id for unit in wanted), APPLIED))
        if not self.dry_run:
            check_size(wanted, self.max_changes)
            result = await apply_changes(self._job(plan, wanted), self.store, self.chat_mgr)
        if result.warning:
            _log.warning(result.warning)
        stale = stale_decisions(plan, self._told(plan)) | second
        outcomes = {
            unit: None if outcome.applied else outcome.detail
            for unit, outcome in result.outcomes.items()
        }
        held = {unit.id for unit in plan.units}
        gone = tuple(_gone(unit_id) for unit_id in stale if unit_id not in held)
        return build_report(replace(plan, units=(*plan.units, *gone)), stale | outcomes)

    def _told(self, plan: Plan) -> dict[str, Decision]:
        """The decisions that the report is about: one about a single room tells of no others."""
        decisions = self.decisions or {}
        if self.only is None:
            return decisions
        about = {self.only, *(unit.id for unit in plan.units)}
        return {unit: decision for unit, decision in decisions.items() if unit in about}

    def _wanted(self, plan: Plan) -> list[Unit]:
        """Units to write: those that need no human, or those that one agreed to."""
        if self.decisions is None:
            return [unit for unit in plan.units if unit.change and not unit.needs_human]
        return agreed_units(plan, self.decisions)

    def _job(self, plan: Plan, wanted: list[Unit]) -> Job:
        by = approvers(wanted, self.decisions or {})
        now = datetime.now(UTC)
        return new_job(plan, wanted, self.rows, self.action, now, by=by, until=self.until)


def _gone(unit_id: str) -> Unit:
    """A unit that was decided and isn't planned, for the report."""
    is_user = unit_id.startswith("@")
    return Unit(
        id=unit_id,
        kind=UnitKind.USER if is_user else UnitKind.ROOM,
        status=Status.CONFLICT,
        findings=(),
        owner=unit_id if is_user else None,
    )
