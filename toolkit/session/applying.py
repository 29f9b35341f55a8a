"""What a session writes: what was agreed to, and what is taken back; with what is shown once that is over."""

from collections.abc import Mapping

from toolkit.database.journal import Run, State, work_out
from toolkit.decisions.decision import ANOTHER, Decision
from toolkit.decisions.ledger import Vote
from toolkit.errors import ToolkitError
from toolkit.model import Plan
from toolkit.progress import Progress
from toolkit.records import Raw
from toolkit.repairs import AnyReport, Road, take_back
from toolkit.session.deciding import Deciding
from toolkit.session.looking import Looking
from toolkit.session.results import Applied
from toolkit.session.running import Running
from toolkit.text.summary import count_of
from toolkit.text.visible import visible
from toolkit.writing.report import stale_units
from toolkit.writing.staleness import compare_rows, why_stale

_ROOMS_MOVED = "its rooms say something else by now"
_OUTDATED = "That is done, but what this session shows is of before: {}"


class Applying:
    """The writing of one session, by its road; one run at a time."""

    def __init__(self, road: Road, deciding: Deciding, looking: Looking, running: Running) -> None:
        self._road, self._deciding = road, deciding
        self._looking, self._running = looking, running

    async def apply(self, progress: Progress | None, max_changes: int | None) -> Applied:
        """As `Session.apply` says."""
        decisions, moved = self._agreed()
        if moved:
            raise ToolkitError(await self._say_elsewhere(moved))
        state, told = self._deciding.state, list[Run]()
        plan, before = state.plan, state.local.rows
        done = await self._running.alone(
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

    async def undo(self, run: str | None, progress: Progress | None) -> Applied:
        """As `Session.undo` says."""
        found = self._deciding.state.find_run(run)
        done = await self._running.alone(take_back(self._road.sides, found.id, progress))
        outdated = await self._reload_rows()
        if done is None:
            return Applied({}, cancelled=True, warning=outdated)
        plan, result = done
        left = {f.unit: f.cause for unit in plan.units for f in unit.findings} | result.left
        warning = " ".join(filter(None, (result.warning, outdated)))
        return Applied({}, result.record, left, warning=warning)

    def _agreed(self) -> tuple[dict[str, Decision], str]:
        """What is approved here and, by now, in the file; and where those differ, one such unit.

        What somebody else has approved besides is theirs to write, and what is a no here stays one.
        """
        before = self._deciding.state.binding
        self._deciding.read()
        after = self._deciding.state.binding
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
            await self._looking.reload()
        except ToolkitError as error:
            self._deciding.tell()
            return f"{told} Look again, then apply: {error}"
        left = [vote for vote in self._deciding.state.votes.values() if vote is Vote.APPROVED]
        return f"{told} What is shown now is what is left: {count_of(len(left), 'unit')} approved."

    async def _rows_left(self) -> tuple[Mapping[str, Raw], str]:
        """The rows after a run. It is over whatever comes of this: what goes wrong is told, not raised."""
        try:
            return await self._road.load_rows(), ""
        except ToolkitError as error:
            return self._deciding.state.local.rows, _OUTDATED.format(error)

    async def _settle(self, rows: Mapping[str, Raw], written: set[str], *, anew: bool) -> str:
        """Show what a run has left, and forget what was decided about what it wrote; as above."""
        try:
            await self._looking.see_rows(rows)
            self._deciding.forget(written)
            if anew:
                await self._looking.reload()
        except ToolkitError as error:
            return _OUTDATED.format(error)
        return ""

    async def _reload_rows(self) -> str:
        """After an undo; what goes wrong then is told, not raised."""
        try:
            await self._looking.see_rows(await self._road.load_rows())
        except ToolkitError as error:
            return _OUTDATED.format(error)
        return ""


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
