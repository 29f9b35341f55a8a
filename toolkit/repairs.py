"""The road that a session or command takes: how it looks, what it plans from that, and who writes it.

A session knows decisions and no repairs; here are those of `reconcile_matrix_state`. What a bot's own
function would have written takes another road, with the same sessions and views (`toolkit.shadow`).
Looking back and taking back are the same on both.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import ClassVar, Protocol, TypeAlias

from toolkit.calls import Options, Reconciled
from toolkit.database.contract import Store, transactional
from toolkit.database.lock import hold_lock
from toolkit.decisions.decision import Decision, user_name
from toolkit.errors import ToolkitError
from toolkit.homeserver.reading import ClientLike
from toolkit.links import reconcile as reconcile_rows
from toolkit.model import Choices, Plan, RemoteState, Unit
from toolkit.planning.links.picks import why_no_pick
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import LinkState, Local, load_links
from toolkit.planning.notes import note_new_database
from toolkit.planning.plan import plan_repairs
from toolkit.progress import Progress, watched_by
from toolkit.reconcile import reconcile
from toolkit.records import LocalState, Raw, load_records
from toolkit.secrecy import StaysHere
from toolkit.sources.sides import OFFLINE, Sides
from toolkit.text.new_database import new_database
from toolkit.writing.job import Result, Told
from toolkit.writing.lineage import Past, load_past
from toolkit.writing.link_report import LinkReport, build_link_report
from toolkit.writing.report import Report, build_report
from toolkit.writing.restore import Restore, plan_restore, restore
from toolkit.writing.undo import plan_undo, undo

Picked = Mapping[str, Choices]
NOTHING_PICKED: Picked = {}
AnyReport: TypeAlias = Report | LinkReport
Done: TypeAlias = Reconciled[Report] | Reconciled[LinkReport]
"""What a run did, with the report of the bot's shape."""


class Road(Protocol):
    """What a session needs of it. `settles` says whether a person may pick what settles a conflict."""

    settles: ClassVar[bool]

    @property
    def sides(self) -> Sides: ...

    async def look(self, progress: Progress | None) -> tuple[RemoteState, dict[str, Raw]]:
        """Both sides, anew; writes nothing."""

    async def load_rows(self) -> dict[str, Raw]:
        """The rows alone."""

    def read(self, rows: Mapping[str, Raw]) -> Local:
        """The rows as far as they can be read."""

    def plan(self, remote: RemoteState, local: Local, picked: Picked) -> Plan:
        """What would be written. Raises `ToolkitError` for picks where nothing can be picked."""

    def why_not(self, unit: Unit) -> str:
        """Why a unit is only shown and can't be approved; nothing if it can."""

    def why_no_pick(self, local: Local, picked: Choices) -> str:
        """Why a pick is none for any unit here; nothing if it may be one."""

    def report(self, plan: Plan, outcomes: Mapping[str, str | None]) -> AnyReport:
        """What came of units, where no run is left to say so: unit -> why it isn't written, None if it is."""

    def about(self) -> tuple[str, ...]:
        """What a person must know besides the units, as lines for the head of a list."""

    async def write(
        self,
        plan: Plan,
        decisions: dict[str, Decision],
        progress: Progress | None,
        max_changes: int | None,
        told: Told | None = None,
    ) -> Done:
        """Write what was agreed to, of this plan, as far as it still fits; `told` as in `Options`."""


@dataclass(frozen=True)
class Repairs(StaysHere):
    """Rooms and rows compared, and `reconcile_matrix_state` to bring the rows back.

    With `lower_counters` every counter that is too high is planned to be lowered.
    """

    sides: Sides
    lower_counters: bool = False
    settles: ClassVar[bool] = True

    async def look(self, progress: Progress | None) -> tuple[RemoteState, dict[str, Raw]]:
        return await self.sides.look(progress)

    async def look_again(
        self, known: RemoteState, changed: Collection[str]
    ) -> tuple[RemoteState, dict[str, Raw]]:
        """The rows, and of the rooms those that changed since these were known."""
        return await self.sides.look_again(known, changed)

    async def load_rows(self) -> dict[str, Raw]:
        return await self.sides.load_rows()

    def read(self, rows: Mapping[str, Raw]) -> Local:
        return load_records(rows)

    def plan(self, remote: RemoteState, local: Local, picked: Picked) -> Plan:
        assert isinstance(local, LocalState)
        convention, lower = self.sides.convention, self.lower_counters
        plan = plan_repairs(remote, local, convention, picked, lower_counters=lower)
        if self.sides.allow_new and not local.rows and (target := self.sides.target):
            return note_new_database(plan, target.name)
        return plan

    def why_not(self, unit: Unit) -> str:
        return ""

    def why_no_pick(self, local: Local, picked: Choices) -> str:
        return ""

    def report(self, plan: Plan, outcomes: Mapping[str, str | None]) -> AnyReport:
        return build_report(plan, outcomes)

    def about(self) -> tuple[str, ...]:
        return ()

    async def write(
        self,
        plan: Plan,
        decisions: dict[str, Decision],
        progress: Progress | None,
        max_changes: int | None,
        told: Told | None = None,
    ) -> Done:
        """Whatever was shown: as the bot's own function it looks and plans again, and refuses what moved."""
        sides, options = self.sides, self._options(decisions, max_changes, told)
        new = bool(new_database(plan))
        async with (
            sides.open_store(read_only=False, new=new) as store,
            sides.open_client() as client,
        ):
            with watched_by(progress):
                return await self._reconcile(client, store, options)

    async def _reconcile(self, client: ClientLike | None, store: Store, options: Options) -> Done:
        return await reconcile(client, store, self.sides.manager(store), options)

    def _options(
        self, decisions: dict[str, Decision], max_changes: int | None, told: Told | None
    ) -> Options:
        sides = self.sides
        return Options(
            convention=sides.convention,
            decisions=decisions,
            allow_empty=sides.allow_empty,
            deadline=sides.deadline,
            max_changes=max_changes,
            sliding_sync=sides.sliding_sync,
            told=told,
        )


class LinkRepairs(Repairs):
    """Rooms and the rows of a bot of shape links, and `reconcile_links`."""

    def read(self, rows: Mapping[str, Raw]) -> Local:
        return load_links(rows, self.sides.layout, self.sides.facts)

    def plan(self, remote: RemoteState, local: Local, picked: Picked) -> Plan:
        assert isinstance(local, LinkState)
        sides = self.sides
        return plan_links(remote, local, sides.layout, sides.convention, picked)

    def why_no_pick(self, local: Local, picked: Choices) -> str:
        assert isinstance(local, LinkState)
        return why_no_pick(local, picked)

    def report(self, plan: Plan, outcomes: Mapping[str, str | None]) -> AnyReport:
        return build_link_report(plan, outcomes, self.sides.layout.link.room)

    async def _reconcile(self, client: ClientLike | None, store: Store, options: Options) -> Done:
        return await reconcile_rows(client, store, self.sides.layout, options)


def road_to(sides: Sides, *, lower_counters: bool = False) -> Repairs:
    """The repairs of a bot of this shape."""
    return (LinkRepairs if sides.layout.links else Repairs)(sides, lower_counters)


async def load_history(sides: Sides) -> Past:
    """The runs that wrote to this database, oldest first, and those of an older one of its name."""
    return await load_past_of(sides, await sides.load_rows())


async def load_past_of(sides: Sides, rows: Mapping[str, Raw]) -> Past:
    """The same for who has the rows; a snapshot has no history, nor has a store in memory."""
    target = sides.target
    return await load_past(target, rows) if target else Past([], [])


async def plan_taking_back(sides: Sides, run: str) -> Plan:
    """What taking back a run would write; writes nothing."""
    async with sides.open_store(read_only=True) as store:
        assert transactional(store)
        return await plan_undo(store, run)


async def take_back(sides: Sides, run: str, progress: Progress | None) -> tuple[Plan, Result]:
    """Take back a run, as far as nobody has written its rows since: what was planned, what came of it."""
    async with sides.open_store(read_only=False) as store:
        assert transactional(store)
        return await undo(store, run, by=user_name(), progress=progress)


async def plan_going_back(sides: Sides, run: str) -> Restore:
    """What going back to the backup of a run would do; writes nothing."""
    if sides.snapshot is not None:
        raise ToolkitError(OFFLINE.format("FILE"))
    database = target.file if (target := sides.target) else None
    if database is None:
        raise ToolkitError(
            "Only a database that is one file is replaced by a backup as a whole: take the run back by "
            "`matrix-drift undo`, or restore the backup by the database's own means."
        )
    return plan_restore(database, run, sides.backup_dir, await _load_readable(sides))


async def _load_readable(sides: Sides) -> dict[str, Raw] | None:
    """The rows; None of a database that is gone or damaged."""
    try:
        return await sides.load_rows()
    except ToolkitError:
        return None


def go_back(planned: Restore) -> str:
    """Replace the database by the backup; returns a warning, if there is one.

    Raises `ToolkitError` while somebody has it open.
    """
    with hold_lock(planned.database):
        return restore(planned)
