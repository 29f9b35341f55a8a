"""A session: both sides as of one look, a person's decisions, and one writer to apply them.

It decides nothing about a room. What would be written and who writes it says its road (`road`),
usually that of the bot's own function. This is the face: the looks are in `looking`, what a person decides in
`deciding`, what is written for it in `applying`, and that there is one run at a time in `running`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import Store
from toolkit.decisions.case import Casebook
from toolkit.decisions.ledger import Vote
from toolkit.decisions.ledger_file import file_beside
from toolkit.errors import ToolkitError
from toolkit.frames import Frame, drift_frame, history_frame, rooms_frame, rows_frame
from toolkit.homeserver.reading import ClientLike
from toolkit.model import Choices, Plan, RemoteState, Status, Unit
from toolkit.planning.links.picks import picked_id
from toolkit.progress import Progress
from toolkit.records import Raw
from toolkit.repairs import Road, road_to
from toolkit.secrecy import StaysHere
from toolkit.session.applying import Applying
from toolkit.session.decided import Decided
from toolkit.session.deciding import Deciding, choices_of
from toolkit.session.looking import Looking
from toolkit.session.results import Applied, ShownPlan, ShownUndo
from toolkit.session.running import Running
from toolkit.session.state import SessionState
from toolkit.session.watching import Watching
from toolkit.sources.sides import find_sides
from toolkit.text.summary import count_causes
from toolkit.writing.lineage import Past
from toolkit.writing.undo import plan_reversal

if TYPE_CHECKING:
    from toolkit.plots import Picture


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
        self._running = Running(road)
        self._looking = Looking(road, self._deciding, self._running)
        self._applying = Applying(road, self._deciding, self._looking, self._running)
        self._cases: Casebook | None = None

    @property
    def looked(self) -> datetime | None:
        """When both sides were looked at last."""
        return self._looking.looked

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
        await self._running.over()
        await self._looking.end_watch()

    async def reload(self, progress: Progress | None = None) -> None:
        """Look at both sides again; decisions about changes that are no longer planned are pending."""
        await self._looking.reload(progress)

    def watch(self, *, every: float | None = None) -> Watching:
        """Look again by itself whenever rows or rooms have changed, until `cancel()` of what is returned.

        Returns at once, and writes nothing; views show what it finds, and decisions stay as after `reload`. There is
        one watch at a time: while one goes on, that is returned. Every `every` seconds, by default five minutes, it
        looks at everything. Raises `ToolkitError` where there is nothing to watch, or no running event loop.
        """
        return self._looking.watch(every)

    def see(self, rows: Mapping[str, Raw], past: Past, remote: RemoteState | None = None) -> None:
        """Plan anew from these rows and runs, by default with the rooms as they were last seen, and
        with the decisions that are there by now."""
        self._looking.see(rows, past, remote)

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
        return replace(shown, shelf=self._looking.shelf, cases=self.cases)

    @property
    def cases(self) -> Casebook:
        """What is known of the conflicts that are planned now; the same as long as they are."""
        state = self.state
        about = (state.plan, state.remote, state.local)
        if self._cases is None or not self._cases.are_of(*about):
            self._cases = Casebook(*about, self._road.sides.convention)
        return self._cases

    def _show_plan(self, plan: Plan, votes: Mapping[str, Vote]) -> ShownPlan:
        return ShownPlan(plan, votes, self._road.sides.snapshot is not None)

    @property
    def rooms(self) -> Frame:
        """Every joined room, index `room_id`."""
        state = self.state
        return self._looking.shelf.take(rooms_frame, state.remote, state.plan, state.local)

    @property
    def rows(self) -> Frame:
        """Every local row of the three families, index `key`."""
        return self._looking.shelf.take(rows_frame, self.state.local, self.state.plan)

    @property
    def drift(self) -> Frame:
        """Every finding, index `finding_id`."""
        return self._looking.shelf.take(drift_frame, self.state.plan, self.cases)

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
        return await self._applying.apply(progress, max_changes)

    def cancel(self) -> bool:
        """End a running `apply` after the units that are finished, which stay written.

        False if nothing is running.
        """
        return self._running.cancel()

    # -- looking back, taking back ----------------------------------------------------------------

    def plan_undo(self, run: str | None = None) -> ShownUndo:
        """What taking back a run would write, by default the last that wasn't taken back."""
        found, rows = self.state.find_run(run), self.state.local.rows
        return ShownUndo(plan_reversal(found, rows, self._road.sides.layout), named=bool(run))

    async def undo(self, run: str | None = None, progress: Progress | None = None) -> Applied:
        """Take back a run, by default the last, as far as nobody has written its rows since.

        That is a run of its own, which may be taken back by its name. Raises `ToolkitError` if
        there is none.
        """
        return await self._applying.undo(run, progress)
