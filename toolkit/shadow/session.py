"""A session about a shadow run: the plan is the function's, and the run's own writer carries it out.

The rows are looked at again, the function never runs again, and no room is asked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from toolkit.decisions.decision import Decision, agreed_units, approvers
from toolkit.errors import ToolkitError
from toolkit.model import Choices, Plan, RemoteState, Unit
from toolkit.planning.links.rows import Local, load_links
from toolkit.progress import Progress
from toolkit.records import Raw, load_records
from toolkit.repairs import AnyReport, Done, Picked
from toolkit.secrecy import StaysHere
from toolkit.session.session import Session
from toolkit.shadow.html import ShadowPlan
from toolkit.shadow.plan import AGAIN, plan_left
from toolkit.shadow.result import ShadowResult
from toolkit.sources.sides import Sides
from toolkit.writing.job import Told, check_size
from toolkit.writing.link_report import build_link_report
from toolkit.writing.report import build_report


@dataclass(frozen=True)
class ShadowRoad(StaysHere):
    """What a function would have written, unit by unit."""

    run: ShadowResult
    settles: ClassVar[bool] = False

    @property
    def sides(self) -> Sides:
        return self.run.sides

    async def look(self, progress: Progress | None) -> tuple[RemoteState, dict[str, Raw]]:
        return self.remote, await self.load_rows()

    @property
    def remote(self) -> RemoteState:
        """Nothing is known of the rooms but what the function made of them."""
        return RemoteState(self.run.value.account, {})

    async def load_rows(self) -> dict[str, Raw]:
        return await self.sides.load_rows()

    def read(self, rows: Mapping[str, Raw]) -> Local:
        layout = self.sides.layout
        return load_links(rows, layout, self.run.look.facts) if layout.links else load_records(rows)

    def plan(self, remote: RemoteState, local: Local, picked: Picked) -> Plan:
        if picked:
            raise ToolkitError(
                f"Nothing can be picked here: {self.run.function} has said what it would write."
            )
        return plan_left(self.run.value, self.run.look.rows, local.rows)

    def why_not(self, unit: Unit) -> str:
        return (self.run.why_not(unit) or "") if unit.change else AGAIN

    def why_no_pick(self, local: Local, picked: Choices) -> str:
        return ""  # `plan` says why of any

    def report(self, plan: Plan, outcomes: Mapping[str, str | None]) -> AnyReport:
        if (links := self.run.links) is not None:
            return build_link_report(plan, outcomes, links.table.room)
        return build_report(plan, outcomes)

    def about(self) -> tuple[str, ...]:
        return (self.run.told(), *self.run.asides())

    async def write(
        self,
        plan: Plan,
        decisions: dict[str, Decision],
        progress: Progress | None,
        max_changes: int | None,
        told: Told | None = None,
    ) -> Done:
        agreed = agreed_units(plan, decisions)
        check_size(agreed, max_changes)
        by = approvers(agreed, decisions)
        async with self.sides.open_store(read_only=False) as store:
            result = await self.run.write(agreed, store, by, progress, told=told)
        return self.run.done(result)


def open_session(run: ShadowResult) -> Session:
    """A session that keeps its decisions in memory, with the rows and runs as they were last seen."""
    road = ShadowRoad(run)
    session = Session(road, None, lambda plan, votes: ShadowPlan(plan, votes, run=run))
    session.see(run.seen.rows, run.seen.past, road.remote)
    return session
