"""A session: both sides as of one look, a person's decisions, and the bot's own function to apply them.

It decides nothing about a room. What would be written says the planner, what is written does the
writer; here decisions are kept and handed on.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakValueDictionary

from toolkit.advice import NOTEBOOK, action
from toolkit.agreement import find_unit, user_name, why_no_change, why_no_unit
from toolkit.convention import Convention
from toolkit.decisions import Decision
from toolkit.errors import ToolkitError
from toolkit.frames import Frame, drift_frame, history_frame, rooms_frame, rows_frame
from toolkit.job import Result
from toolkit.journal import Journal, Run
from toolkit.ledger import Ledger, Vote, as_shown, load_ledger, save_ledger
from toolkit.model import Choices, Plan, RemoteState, Status, Unit
from toolkit.plan import plan_repairs
from toolkit.progress import Progress, watched_by
from toolkit.reconcile import reconcile_matrix_state
from toolkit.records import Raw, load_records
from toolkit.render import stale_units
from toolkit.report import Report, build_report
from toolkit.selection import select
from toolkit.shown import Applied, Decided, ShownPlan, ShownUndo
from toolkit.sides import Sides, find_sides
from toolkit.store import Store, transactional
from toolkit.undo import plan_reversal
from toolkit.undo import undo as carry_out_undo

if TYPE_CHECKING:
    from toolkit.plots import Picture

NO_CHOICES = Choices()
T = TypeVar("T")
_PLANS = 4
_running: WeakValueDictionary[object, asyncio.Task[Any]] = WeakValueDictionary()
"""The run on each database of this process, whatever cell or click has started it."""


class Session:
    """What is wrong between a homeserver and a bot's rows, and what a person decides about it.

    Open one with `await Session.open(...)`. It reads, and writes only in `apply` and `undo`.
    Decisions are kept in a file beside the database (`decisions_file`), and hold for the change
    that was shown. Frames are copies, documented in `toolkit.frames.COLUMNS`.
    """

    def __init__(self, sides: Sides, decisions_file: Path | None) -> None:
        self._sides = sides
        self.decisions_file = decisions_file
        self._remote = RemoteState("", {})
        self._local = load_records([])
        self._plan = Plan(account="", joined=())
        self._planned: list[tuple[dict[str, Choices], Plan]] = []
        self._ledger = Ledger()
        self._file: tuple[int, int, int] | None = None
        self._standing: tuple[Ledger, Plan, dict[str, Vote]] | None = None
        self._watchers: list[Callable[[], object]] = []
        self._runs: list[Run] = []
        self._task: asyncio.Task[Any] | None = None

    # -- looking ----------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        *,
        homeserver: str | None = None,
        access_token: str | None = None,
        database: str | os.PathLike[str] | None = None,
        client: Any = None,
        store: Store | None = None,
        chat_mgr: Any = None,
        convention: Convention | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        decisions: str | os.PathLike[str] | None = None,
        allow_empty: bool | None = None,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Read both sides and plan; writes nothing.

        Each side is an address or a path, or the bot's own object (`client`, `store`, `chat_mgr`);
        what isn't given comes from MATRIX_HOMESERVER, MATRIX_ACCESS_TOKEN (or …_FILE) and
        BOT_DATABASE, then from `matrix-drift.toml`. `snapshot` looks at a file of both instead.
        `decisions` names another file for them. `deadline` is in seconds for a look.

        Raises `HomeserverError`, `RemoteIncomplete`, `StoreError` or `SnapshotError`, all
        `ToolkitError`.
        """
        sides = find_sides(
            homeserver=homeserver,
            access_token=access_token,
            database=database,
            client=client,
            store=store,
            chat_mgr=chat_mgr,
            convention=convention,
            snapshot=snapshot,
            allow_empty=allow_empty,
            deadline=deadline,
        )
        session = cls(sides, Path(decisions) if decisions else _beside(sides.path))
        await session.reload(progress)
        return session

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing stays open between looks; a run that is still going on is cancelled."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])

    async def reload(self, progress: Progress | None = None) -> None:
        """Look at both sides again; decisions about changes that are no longer planned are pending."""
        remote, rows = await self._sides.look(progress)
        self._remote, self._local = remote, load_records(rows.items())
        self._settle(rows)

    async def _reload_rows(self) -> None:
        rows = await self._sides.load_rows()
        self._local = load_records(rows.items())
        self._settle(rows)

    def _settle(self, rows: Mapping[str, Raw]) -> None:
        """Plan anew, with the decisions and the history that are on disk by now."""
        self._planned = []
        self._read_decisions()
        path = self._sides.path
        journalled = path is not None and self._sides.snapshot is None
        self._runs = Journal(path).runs(rows) if journalled and path else []
        self._tell()

    def _read_decisions(self) -> None:
        """Others may decide about the same database."""
        found = _state_of(self.decisions_file)
        if self.decisions_file is not None and found and found != self._file:
            self._ledger, self._file = load_ledger(self.decisions_file), found
        self._plan = self._replan(self._ledger)

    def _replan(self, ledger: Ledger) -> Plan:
        """The plan with what was picked; the same picks on the same sides give the same plan.

        The last few are kept: somebody who tries a choice goes to and fro between them.
        """
        picked = ledger.choices
        for tried, plan in self._planned:
            if tried == picked:
                return plan
        plan = plan_repairs(self._remote, self._local, self._sides.convention, picked)
        self._planned = [(picked, plan), *self._planned[: _PLANS - 1]]
        return plan

    def subscribe(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Have `watcher` called whenever the session shows something else; returns how to end that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

    # -- showing ----------------------------------------------------------------------------------

    @property
    def account(self) -> str:
        """The account whose rooms these are."""
        return self._plan.account

    @property
    def plan(self) -> ShownPlan:
        """What would be written, and how it has been decided."""
        return ShownPlan(self._plan, self._votes(), self._sides.snapshot is not None)

    @property
    def rooms(self) -> Frame:
        """Every joined room, index `room_id`."""
        return rooms_frame(self._remote, self._plan, self._local)

    @property
    def rows(self) -> Frame:
        """Every local row of the three families, index `key`."""
        return rows_frame(self._local, self._plan)

    @property
    def drift(self) -> Frame:
        """Every finding, index `finding_id`."""
        return drift_frame(self._plan)

    def pending(self) -> Frame:
        """The lines of `plan.to_frame()` that nobody has decided about, or not about this change."""
        frame = self.plan.to_frame()
        return frame[frame["decision"] == Vote.PENDING.value]

    def plot(self) -> "Picture":
        """Every user's Space with its chats by status, and how often each cause occurs."""
        from toolkit.plots import causes, draw_map, user_lines  # matplotlib takes its time to load

        return draw_map(user_lines(self._plan, self._local), causes(self._plan))

    def history(self) -> Frame:
        """The runs that wrote to this database, index `run`, oldest first."""
        return history_frame(self._runs)

    def _votes(self) -> dict[str, Vote]:
        """Worked out once for the same decisions about the same plan; not to be changed."""
        ledger, plan = self._ledger, self._plan
        known = self._standing
        if known is None or known[0] is not ledger or known[1] is not plan:
            known = self._standing = ledger, plan, ledger.standing(plan)
        return known[2]

    def __repr__(self) -> str:
        return repr(self.plan)

    def _repr_html_(self) -> str:
        return self.plan._repr_html_()

    # -- deciding ---------------------------------------------------------------------------------

    def approve(
        self,
        unit: Any = None,
        *,
        status: Status | str | None = None,
        owner: str | None = None,
        space_id: str | None = None,
        chat_id: str | None = None,
        overwrite: bool = False,
        lower_counter: bool = False,
    ) -> Decided:
        """Agree to changes as they are planned now; nothing is written before `apply`.

        `unit` is a room id or mxid, several, or a boolean mask on a frame; or all of a `status`.
        The other options settle a conflict and are for one unit: the change that comes out then is
        agreed to. What needs a person's eye is approved by its id only, not by a mask or status.
        """
        self._read_decisions()
        picked = Choices(owner, space_id, chat_id, overwrite, lower_counter)
        chosen = select(self._plan, unit, status)
        if isinstance(unit, str) and chosen:
            # With its owner picked, a Space's unit is called by the owner; the choice stays behind.
            return self._approve_one(unit if unit in self._ledger.votes else chosen[0], picked)
        if picked != NO_CHOICES:
            raise ToolkitError("A choice is for one unit: name it by its id.")
        return self._approve_many(chosen, named=isinstance(unit, list | tuple | set))

    def _approve_one(self, unit_id: str, picked: Choices) -> Decided:
        if picked == NO_CHOICES:  # what was picked for it before still counts
            picked = self._ledger.choices.get(unit_id, NO_CHOICES)
        choice = Decision(choices=picked, by=user_name())
        ledger = self._ledger.decide(Vote.APPROVED, {unit_id: choice})
        plan = self._replan(ledger)
        unit = find_unit(plan, unit_id)
        if unit is None or unit.change is None:
            why = why_no_change(unit, NOTEBOOK) if unit else why_no_unit(plan, unit_id)
            return Decided(Vote.APPROVED, refused={unit_id: why})
        own = picked if unit.id == unit_id else NO_CHOICES
        decision = Decision(unit.change.fingerprint, own, user_name())
        return self._record(
            Vote.APPROVED, ledger.decide(Vote.APPROVED, {unit.id: decision}), [unit]
        )

    def _approve_many(self, unit_ids: Sequence[str], *, named: bool) -> Decided:
        units, refused = [], {}
        for unit in self._units(unit_ids):
            if unit.change is None:
                refused[unit.id] = why_no_change(unit, NOTEBOOK)
            elif unit.needs_human and not named:
                refused[unit.id] = f"it needs a decision of its own: {action(unit, NOTEBOOK)}"
            else:
                units.append(unit)
        ledger = self._ledger.decide(Vote.APPROVED, as_shown(units))
        decided = self._record(Vote.APPROVED, ledger, units)
        return replace(decided, refused=refused)

    def reject(self, unit: Any = None, *, status: Status | str | None = None) -> Decided:
        """Leave the rows of these units as they are, for as long as the same would be written."""
        return self._decide(Vote.REJECTED, unit, status)

    def defer(self, unit: Any = None, *, status: Status | str | None = None) -> Decided:
        """Put these units off."""
        return self._decide(Vote.DEFERRED, unit, status)

    def withdraw(self, unit: Any = None, *, status: Status | str | None = None) -> Decided:
        """Take decisions about these units back: they are pending again."""
        return self._decide(Vote.PENDING, unit, status)

    def _decide(self, vote: Vote, selection: Any, status: Status | str | None) -> Decided:
        """Without a yes, what was picked for a unit doesn't count, under whatever name it stands."""
        self._read_decisions()
        units = self._units(select(self._plan, selection, status))
        names = {name for unit in units for name in (unit.id, *unit.room_ids)}
        ledger = self._ledger.decide(Vote.PENDING, dict.fromkeys(names, Decision()))
        plan = self._replan(ledger)
        bare = [find_unit(plan, next(iter(unit.room_ids), unit.id)) for unit in units]
        ledger = ledger.decide(vote, as_shown(unit for unit in bare if unit))
        return self._record(vote, ledger, units)

    def _units(self, unit_ids: Iterable[str]) -> list[Unit]:
        units = {unit.id: unit for unit in self._plan.units}
        return [units[unit_id] for unit_id in unit_ids if unit_id in units]

    def _record(self, vote: Vote, ledger: Ledger, units: Sequence[Unit]) -> Decided:
        """Keep decisions, plan with them, and see which approvals that leaves without their change."""
        before = self._votes()
        self._keep(ledger)
        after = self._votes()
        decided = {name for unit in units for name in (unit.id, *unit.room_ids)}
        reopened = [
            unit
            for unit, old in before.items()
            if old is Vote.APPROVED and after.get(unit) is Vote.PENDING and unit not in decided
        ]
        along = [
            unit
            for unit in self._plan.units
            if after[unit.id] is Vote.APPROVED
            and before.get(unit.id) is not Vote.APPROVED
            and unit.id not in decided
        ]
        return Decided(vote, tuple(units), tuple(along), reopened=tuple(sorted(reopened)))

    def _keep(self, ledger: Ledger) -> None:
        plan = self._replan(ledger)
        if self.decisions_file is not None:
            save_ledger(self.decisions_file, ledger, plan, like=self._sides.path)
            self._file = _state_of(self.decisions_file)
        self._ledger, self._plan = ledger, plan
        self._tell()

    # -- writing ----------------------------------------------------------------------------------

    async def apply(
        self, progress: Progress | None = None, *, max_changes: int | None = None
    ) -> Applied:
        """Write what is approved, through `reconcile_matrix_state`; returns its report.

        What moved since it was shown is left alone, and pending again. More rows than `max_changes`
        are refused as a whole. Raises `HomeserverError`, `RemoteIncomplete`, `StoreError` or another
        `ToolkitError`, each before anything is written.
        """
        plan, known = self._plan, {run.id for run in self._runs}
        decisions = self._ledger.binding(plan)
        report = await self._alone(self._reconcile(decisions, progress, max_changes))
        await self._reload_rows()
        run = next((run for run in reversed(self._runs) if run.id not in known), None)
        if cancelled := report is None:
            report, decisions = build_report(plan, _outcomes(run)), {}
        stale = stale_units(report, decisions)
        agreed = {unit for unit, decision in decisions.items() if decision.agreed}
        written = {entry.unit for entry in run.applied} if run else agreed - stale.keys()
        self._keep(self._ledger.decide(Vote.PENDING, dict.fromkeys(written, Decision())))
        if stale or cancelled:
            await self.reload()
        return Applied(report, run, stale, cancelled=cancelled)

    async def _reconcile(
        self, decisions: dict[str, Decision], progress: Progress | None, max_changes: int | None
    ) -> Report:
        sides = self._sides
        async with sides.open_store(read_only=False) as store, sides.open_client() as client:
            with watched_by(progress):
                return await reconcile_matrix_state(
                    client,
                    store,
                    sides.manager(store),
                    convention=sides.convention,
                    decisions=decisions,
                    allow_empty=sides.allow_empty,
                    deadline=sides.deadline,
                    max_changes=max_changes,
                )

    async def _alone(self, work: Coroutine[Any, Any, T]) -> T | None:
        """One run at a time on a database; None if `cancel` has ended it."""
        path = self._sides.path
        key = path.resolve() if path else id(self._sides.store)
        if (other := _running.get(key)) and not other.done():
            work.close()
            raise ToolkitError(
                "A run is already writing to this database; wait for it, or session.cancel() it."
            )
        self._task = _running[key] = task = asyncio.ensure_future(work)
        try:
            return await task
        except asyncio.CancelledError:
            waiter = asyncio.current_task()
            if waiter and waiter.cancelling():  # whoever awaits us was cancelled as well
                raise
            return None

    def cancel(self) -> bool:
        """End a running `apply` after the units that are finished, which stay written.

        False if nothing is running.
        """
        return self._task is not None and not self._task.done() and self._task.cancel()

    # -- looking back, taking back ----------------------------------------------------------------

    def plan_undo(self, run: str | None = None) -> ShownUndo:
        """What taking back a run would write, by default the last that wasn't taken back."""
        return ShownUndo(plan_reversal(self._find_run(run), self._local.rows))

    async def undo(self, run: str | None = None, progress: Progress | None = None) -> Applied:
        """Take back a run, by default the last, as far as nobody has written its rows since.

        That is a run of its own, which may be taken back by its name. Raises `ToolkitError` if
        there is none.
        """
        found = self._find_run(run)
        done = await self._alone(self._take_back(found.id, progress))
        await self._reload_rows()
        if done is None:
            return Applied({}, cancelled=True)
        plan, result = done
        left = {f.unit: f.cause for unit in plan.units for f in unit.findings}
        left |= {unit: out.detail for unit, out in result.outcomes.items() if not out.applied}
        return Applied({}, next((r for r in self._runs if r.id == result.run), None), left)

    async def _take_back(self, run: str, progress: Progress | None) -> tuple[Plan, Result]:
        async with self._sides.open_store(read_only=False) as store:
            assert transactional(store)  # only such a store has a journal
            return await carry_out_undo(store, run, by=user_name(), progress=progress)

    def _find_run(self, name: str | None) -> Run:
        undone = {run.undoes for run in self._runs}
        for run in reversed(self._runs):
            if run.id == name or (name is None and not run.undoes and run.id not in undone):
                return run
        if name is None:
            raise ToolkitError("There is no run that could be taken back.")
        raise ToolkitError(f"There is no run {name!r}; session.history() names them.")


def _outcomes(run: Run | None) -> dict[str, str | None]:
    """What became of the units of a run, as the report wants it."""
    entries = run.entries if run else ()
    return {e.unit: None if e.outcome == "applied" else e.detail for e in entries}


def _state_of(path: Path | None) -> tuple[int, int, int] | None:
    """What tells that a file is another one; it is always replaced whole. None if there is none."""
    try:
        found = path.stat() if path else None
    except FileNotFoundError:
        return None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)


def _beside(path: Path | None) -> Path | None:
    return path and path.with_name(f"{path.name}.decisions.json")
