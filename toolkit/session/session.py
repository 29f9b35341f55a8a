"""A session: both sides as of one look, a person's decisions, and one writer to apply them.

It decides nothing about a room. What would be written and who writes it says its road (`road`),
usually that of the bot's own function; what a person decides is kept in `deciding`.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from weakref import WeakValueDictionary

from toolkit.aside import aside
from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import Store
from toolkit.decisions.case import Casebook
from toolkit.decisions.decision import ANOTHER, Decision
from toolkit.decisions.ledger import Vote
from toolkit.decisions.ledger_file import file_beside
from toolkit.errors import ToolkitError
from toolkit.frames import Frame, Shelf, drift_frame, history_frame, rooms_frame, rows_frame
from toolkit.homeserver.reading import ClientLike
from toolkit.model import Choices, Plan, RemoteState, Status, Unit
from toolkit.planning.links.picks import picked_id
from toolkit.planning.links.rows import Local
from toolkit.progress import Progress
from toolkit.records import Raw
from toolkit.repairs import AnyReport, Picked, Road, load_past_of, road_to, take_back
from toolkit.secrecy import StaysHere
from toolkit.session.decided import Decided
from toolkit.session.deciding import Deciding, choices_of
from toolkit.session.results import Applied, ShownPlan, ShownUndo
from toolkit.session.state import SessionState
from toolkit.session.watching import Watching
from toolkit.sources.sides import Sides, find_sides
from toolkit.text.summary import count_causes, count_of
from toolkit.text.visible import visible
from toolkit.watch.watch import Look
from toolkit.writing.journal import Run, State, work_out
from toolkit.writing.lineage import Past
from toolkit.writing.report import stale_units
from toolkit.writing.staleness import compare_rows, why_stale
from toolkit.writing.undo import plan_reversal

if TYPE_CHECKING:
    from toolkit.plots import Picture

T = TypeVar("T")
_running: WeakValueDictionary[object, asyncio.Task[Any]] = WeakValueDictionary()
"""The run on each database of this process, whatever cell or click has started it."""

_ROOMS_MOVED = "its rooms say something else by now"
_OUTDATED = "That is done, but what this session shows is of before: {}"


class Session(StaysHere):
    """What is wrong between a homeserver and a bot's rows, and what a person decides about it.

    Open one with `await Session.open(...)`. It reads, and writes only in `apply` and `undo`.
    Decisions are kept in a file beside the database (`decisions_file`), and hold for the change
    that was shown. Frames are copies, documented in `toolkit.frames.COLUMNS`.
    """

    def __init__(
        self,
        road: Road,
        decisions_file: Path | None,
        show: Callable[[Plan, Mapping[str, Vote]], ShownPlan] | None = None,
    ) -> None:
        self._road, self._show = road, show or self._show_plan
        self._deciding = Deciding(road, decisions_file, road.sides.beside)
        self._shelf = Shelf()
        self._cases: Casebook | None = None
        self._task: asyncio.Task[Any] | None = None
        self._looked: datetime | None = None
        self._seen: datetime | None = None
        self._looking = asyncio.Lock()
        self._watching: Watching | None = None

    @property
    def looked(self) -> datetime | None:
        """When both sides were looked at last."""
        return self._looked

    @property
    def state(self) -> SessionState:
        """What this session knows by now, as a value for views; a notebook has the frames below."""
        return self._deciding.state

    @property
    def road(self) -> Road:
        """How it looks, what it plans from that, and who writes it."""
        return self._road

    @property
    def decisions_file(self) -> Path | None:
        """Where decisions are kept; None: in memory only."""
        return self._deciding.file

    def subscribe(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Have `watcher` called whenever the session shows something else; returns how to end that."""
        return self._deciding.subscribe(watcher)

    @property
    def _sides(self) -> Sides:
        return self._road.sides

    # -- looking ----------------------------------------------------------------------------------

    @classmethod
    async def open(
        cls,
        *,
        homeserver: str | None = None,
        access_token: str | None = None,
        database: str | os.PathLike[str] | None = None,
        client: ClientLike | None = None,
        store: Store | None = None,
        chat_mgr: ChatManagerLike | None = None,
        convention: Convention | None = None,
        snapshot: str | os.PathLike[str] | None = None,
        decisions: str | os.PathLike[str] | None = None,
        allow_empty: bool | None = None,
        allow_new: bool = False,
        sliding_sync: bool | None = None,
        deadline: float | None = None,
        progress: Progress | None = None,
    ) -> Self:
        """Read both sides and plan; writes nothing.

        Each side is an address or a path, or the bot's own object (`client`, `store`, `chat_mgr`);
        what isn't given comes from MATRIX_HOMESERVER, MATRIX_ACCESS_TOKEN (or …_FILE) and
        BOT_DATABASE, then from `matrix-drift.toml`. `snapshot` looks at a file of both instead.
        `convention` says what differs between bots, such as the accounts that this one had before;
        without it, the settings do under the same names (`former_accounts = ["@old:hs"]`).
        `decisions` names another file for them. `allow_new=True` looks at a database that isn't there,
        or has no table yet, as empty; `apply` makes it. `sliding_sync=False` has each room read by itself.
        `deadline` is in seconds for a look.

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
            allow_new=allow_new,
            sliding_sync=sliding_sync,
            deadline=deadline,
        )
        beside = file_beside(sides.beside) if sides.beside else None
        session = cls(road_to(sides), Path(decisions) if decisions else beside)
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
        """Nothing stays open between looks; a run or a watch that is still going on is cancelled."""
        self.cancel()
        if self._task is not None:
            await asyncio.wait([self._task])
        if self._watching is not None:
            self._watching.cancel()
            await self._watching.ended()

    async def reload(self, progress: Progress | None = None) -> None:
        """Look at both sides again; decisions about changes that are no longer planned are pending."""
        async with self._looking:
            began = datetime.now(UTC)
            remote, rows = await self._road.look(progress)
            self._looked = began
            self.see(rows, await load_past_of(self._sides, rows), remote)

    def watch(self, *, every: float | None = None) -> Watching:
        """Look again by itself whenever rows or rooms have changed, until `cancel()` of what is returned.

        Returns at once, and writes nothing; views show what it finds, and decisions stay as after `reload`. There is
        one watch at a time: while one goes on, that is returned. Every `every` seconds, by default five minutes, it
        looks at everything. Raises `ToolkitError` where there is nothing to watch, or no running event loop.
        """
        if self._watching is None or not self._watching.running:
            self._watching = Watching(self._road, self._see_look, self._turn, every)
        return self._watching

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """For a look of the watch: neither beside another, nor while rows are being written."""
        while self._task is not None and not self._task.done():
            await asyncio.wait([self._task])
        async with self._looking:
            yield

    async def _see_look(self, look: Look) -> bool:
        """False if rows may have been written, or others have been seen, since it began."""
        state = self.state
        planned = None
        if (look.remote, look.rows) != (state.remote, state.local.rows):
            past = await load_past_of(self._sides, look.rows)
            planned = await aside(self._plan_look, look, state.ledger.choices, past)
        writing = self._task is not None and not self._task.done()
        if writing or (self._seen is not None and self._seen > look.began):
            return False
        self._looked = look.began
        if planned is None:
            self._deciding.tell()  # of the time of the look
        else:
            self._show_look(look.remote, *planned)
        return True

    def _plan_look(
        self, look: Look, picked: Picked, past: Past
    ) -> tuple[Local, Past, list[tuple[Picked, Plan]]]:
        """All that takes its time, for a thread."""
        local = self._road.read(look.rows)
        return local, past, [(picked, self._deciding.plan_for(picked, look.remote, local, past))]

    async def _reload_rows(self) -> str:
        """After an undo; what goes wrong then is told, not raised."""
        try:
            await self._see_rows(await self._road.load_rows())
        except ToolkitError as error:
            return _OUTDATED.format(error)
        return ""

    async def _see_rows(self, rows: Mapping[str, Raw]) -> None:
        self.see(rows, await load_past_of(self._sides, rows))

    def see(
        self,
        rows: Mapping[str, Raw],
        past: Past,
        remote: RemoteState | None = None,
    ) -> None:
        """Plan anew from these rows and runs, by default with the rooms as they were last seen, and
        with the decisions that are there by now."""
        self._show_look(remote or self.state.remote, self._road.read(rows), past)

    def _show_look(
        self,
        remote: RemoteState,
        local: Local,
        past: Past,
        planned: Sequence[tuple[Picked, Plan]] = (),
    ) -> None:
        self._shelf = Shelf()
        self._deciding.look(remote, local, past, planned)
        self._seen = datetime.now(UTC)

    def why_not(self, unit: Unit) -> str:
        """Why a unit is only shown and can't be approved; nothing if it can."""
        return self._road.why_not(unit)

    # -- showing ----------------------------------------------------------------------------------

    @property
    def account(self) -> str:
        """The account whose rooms these are."""
        return self.state.plan.account

    @property
    def plan(self) -> ShownPlan:
        """What would be written, and how it has been decided."""
        shown = self._show(self.state.plan, self.state.votes)
        return replace(shown, shelf=self._shelf, cases=self.cases)

    @property
    def cases(self) -> Casebook:
        """What is known of the conflicts that are planned now; the same as long as they are."""
        state = self.state
        about = (state.plan, state.remote, state.local)
        if self._cases is None or not self._cases.are_of(*about):
            self._cases = Casebook(*about, self._sides.convention)
        return self._cases

    def _show_plan(self, plan: Plan, votes: Mapping[str, Vote]) -> ShownPlan:
        return ShownPlan(plan, votes, self._sides.snapshot is not None)

    @property
    def rooms(self) -> Frame:
        """Every joined room, index `room_id`."""
        return self._shelf.take(rooms_frame, self.state.remote, self.state.plan, self.state.local)

    @property
    def rows(self) -> Frame:
        """Every local row of the three families, index `key`."""
        return self._shelf.take(rows_frame, self.state.local, self.state.plan)

    @property
    def drift(self) -> Frame:
        """Every finding, index `finding_id`."""
        return self._shelf.take(drift_frame, self.state.plan, self.cases)

    def pending(self) -> Frame:
        """The lines of `plan.to_frame()` that nobody has decided about, or not about this change."""
        frame = self.plan.to_frame()
        return frame[frame["decision"] == Vote.PENDING.value]

    def plot(self) -> "Picture":
        """Every user's Space with its chats by status, and in how many units each cause was found.

        Of a bot of shape links: each owner, if the mapping names that column, with ids and their rooms.
        """
        from toolkit.plots import draw_map, user_lines  # matplotlib takes its time to load

        causes = {cause.words: cause.count for cause in count_causes(self.state.plan)}
        state = self.state
        return draw_map(user_lines(state.plan, state.local), causes, state.plan.words)

    def history(self) -> Frame:
        """The runs that wrote to this database, index `run`, oldest first."""
        return history_frame(self.state.runs)

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
        id: Any = None,
    ) -> Decided:
        """Agree to changes as they are planned now; nothing is written before `apply`.

        `unit` is a room id or mxid, several, or a boolean mask on a frame; or all of a `status`.
        The other options settle a conflict and are for one unit: the change that comes out then is
        agreed to; `id` is that of a bot of shape links, a composite one as a list.
        What needs a person's eye is approved by its id only, not by a mask or status, and
        what was rejected or deferred stays so unless its id is named.
        """
        given = chat_id if id is None else self._read_id(id)
        picked = choices_of(owner, space_id, given, overwrite, lower_counter)
        return self._deciding.approve(unit, status, picked)

    def _read_id(self, id: Any) -> str:
        """An id of shape links as the file of decisions holds it."""
        if not self.state.plan.words.table:
            raise ToolkitError("id= is for a bot of shape links; a chat's id is chat_id=.")
        return picked_id(id if isinstance(id, list | tuple) else [id])

    def reject(self, unit: Any = None, *, status: Status | str | None = None) -> Decided:
        """Leave the rows of these units as they are, for as long as the same would be written."""
        return self._deciding.decide(Vote.REJECTED, unit, status)

    def defer(self, unit: Any = None, *, status: Status | str | None = None) -> Decided:
        """Put these units off."""
        return self._deciding.decide(Vote.DEFERRED, unit, status)

    def ignore(
        self,
        unit: Any = None,
        *,
        reason: str,
        until: str | date | None = None,
        status: Status | str | None = None,
    ) -> Decided:
        """Let these units stay as they are, and count as no drift any more.

        `until` is a day, that one included. They are pending again after it, and once something else
        would be written or the conflict is another one.
        """
        return self._deciding.ignore(unit, status, reason, until)

    def withdraw(self, unit: Any = None, *, status: Status | str | None = None) -> Decided:
        """Take decisions about these units back: they are pending again."""
        return self._deciding.decide(Vote.PENDING, unit, status)

    def plan_with(self, unit: str, choices: Choices) -> Plan:
        """The plan if these choices were made for a unit; nothing is kept."""
        return self._deciding.plan_with({unit: choices})

    def bare_plan(self) -> Plan:
        """The plan if nothing were picked for any unit: how things stand as long as nothing is written."""
        return self._deciding.bare_plan()

    # -- writing ----------------------------------------------------------------------------------

    async def apply(
        self, progress: Progress | None = None, *, max_changes: int | None = None
    ) -> Applied:
        """Write what is approved, as `reconcile_matrix_state` does; returns its report.

        A shadow run's session writes what its function would have written. What moved since it was
        shown is left alone, and pending again. More rows than `max_changes` are refused as a whole.
        Raises `HomeserverError`, `RemoteIncomplete`, `StoreError` or another `ToolkitError`, each
        before anything is written.
        """
        decisions, moved = self._agreed()
        if moved:
            raise ToolkitError(await self._say_elsewhere(moved))
        plan, before, told = self.state.plan, self.state.local.rows, list[Run]()
        done = await self._alone(
            self._road.write(plan, decisions, progress, max_changes, told.append)
        )
        rows, outdated = await self._rows_left()
        if done is None:  # cancelled: what was finished by then is written
            run = work_out(told[-1], rows) if told else None
            report: AnyReport = self._road.report(plan, _outcomes(run))
            decisions, warning = {}, ""
        else:
            report, run, warning = done.report, done.result.record, done.result.warning
        stale = _say_moved(stale_units(report, decisions), plan, before, rows, run)
        agreed = {unit for unit, decision in decisions.items() if decision.agreed}
        written = {entry.unit for entry in run.applied} if run else agreed - stale.keys()
        outdated = outdated or await self._settle(rows, written, anew=bool(stale or done is None))
        warning = " ".join(filter(None, (warning, outdated)))
        return Applied(report, run, stale, cancelled=done is None, warning=warning)

    def _agreed(self) -> tuple[dict[str, Decision], str]:
        """What is approved here and, by now, in the file; and where those differ, one such unit.

        What somebody else has approved besides is theirs to write, and what is a no here stays one.
        """
        before = self.state.ledger.binding(self.state.plan)
        self._deciding.read()
        after = self.state.ledger.binding(self.state.plan)
        for unit, decision in before.items():
            if decision.agreed and not decision.agrees_with(after.get(unit)):
                return {}, unit
        no = {unit: decision for unit, decision in before.items() if not decision.agreed}
        return {u: d for u, d in after.items() if u in before or not d.agreed} | no, ""

    async def _say_elsewhere(self, unit: str) -> str:
        """Somebody else has decided, and mostly written as well: what is left of it is looked at."""
        told = (
            "Nothing was written: decisions about this database were changed elsewhere since they "
            f"were shown here, the one about {visible(unit)} among them."
        )
        try:
            await self.reload()
        except ToolkitError as error:
            self._deciding.tell()
            return f"{told} Look again, then apply: {error}"
        left = [vote for vote in self.state.votes.values() if vote is Vote.APPROVED]
        return f"{told} What is shown now is what is left: {count_of(len(left), 'unit')} approved."

    async def _rows_left(self) -> tuple[Mapping[str, Raw], str]:
        """The rows after a run. It is over whatever comes of this: what goes wrong is told, not raised."""
        try:
            return await self._road.load_rows(), ""
        except ToolkitError as error:
            return self.state.local.rows, _OUTDATED.format(error)

    async def _settle(self, rows: Mapping[str, Raw], written: set[str], *, anew: bool) -> str:
        """Show what a run has left, and forget what was decided about what it wrote; as above."""
        try:
            await self._see_rows(rows)
            self._deciding.forget(written)
            if anew:
                await self.reload()
        except ToolkitError as error:
            return _OUTDATED.format(error)
        return ""

    async def _alone(self, work: Coroutine[Any, Any, T]) -> T | None:
        """One run at a time on a database; None if `cancel` has ended it."""
        key = self._sides.identity
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
        found, rows = self.state.find_run(run), self.state.local.rows
        return ShownUndo(plan_reversal(found, rows, self._sides.layout), named=bool(run))

    async def undo(self, run: str | None = None, progress: Progress | None = None) -> Applied:
        """Take back a run, by default the last, as far as nobody has written its rows since.

        That is a run of its own, which may be taken back by its name. Raises `ToolkitError` if
        there is none.
        """
        found = self.state.find_run(run)
        done = await self._alone(take_back(self._sides, found.id, progress))
        outdated = await self._reload_rows()
        if done is None:
            return Applied({}, cancelled=True, warning=outdated)
        plan, result = done
        left = {f.unit: f.cause for unit in plan.units for f in unit.findings} | result.left
        warning = " ".join(filter(None, (result.warning, outdated)))
        return Applied({}, result.record, left, warning=warning)


def _say_moved(
    stale: Mapping[str, str],
    plan: Plan,
    before: Mapping[str, Raw],
    rows: Mapping[str, Raw],
    run: Run | None,
) -> dict[str, str]:
    """Why units were left alone: what has happened since they were shown, where the writer saw no more
    than that another change would be due."""
    own = [write.key for entry in (run.applied if run else ()) for write in entry.writes]
    moved = compare_rows(before, rows, own)
    units = {unit_id: plan.unit(unit_id) for unit_id in stale}
    happened = {
        unit_id: why_stale(unit, plan, moved) or _ROOMS_MOVED
        for unit_id, unit in units.items()
        if unit and stale[unit_id] == ANOTHER
    }
    return {**stale, **happened}


def _outcomes(run: Run | None) -> dict[str, str | None]:
    """What became of the units of a run, as the report wants it."""
    entries = run.entries if run else ()
    return {e.unit: None if e.outcome == State.APPLIED else e.detail for e in entries}
