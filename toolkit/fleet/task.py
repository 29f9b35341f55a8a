"""What is done with one bot, wherever that is: look, or look and write. It holds no token.

`run` gives a value back whatever happens: of an exception, its class and its traceback may hold
anything, so none leaves but a cancellation. It may be run again from the start: what was written by then is
in sync, and what wasn't is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from toolkit.aside import aside
from toolkit.decisions.agreement import Agreement, agree_to_certain, agree_to_file
from toolkit.decisions.decision import Decision
from toolkit.decisions.ledger_file import forget
from toolkit.errors import ToolkitError
from toolkit.fleet.judges import Here, Judges
from toolkit.fleet.outcome import Line, Outcome, State, Written, failure
from toolkit.fleet.settings import Bot
from toolkit.frames import drift_columns
from toolkit.homeserver.gathering import Doubtful, Gathered
from toolkit.layout import TableFacts
from toolkit.looked import Looked, judge, look
from toolkit.model import Choices, Plan
from toolkit.progress import Progress
from toolkit.records import Raw
from toolkit.repairs import Done, Repairs, plan_taking_back, take_back
from toolkit.text.advice import settled
from toolkit.writing.job import check_size
from toolkit.writing.report import stale_units

T = TypeVar("T")


class Action(StrEnum):
    """What is asked for: the drift, also the plan itself, or to write; or what taking a run back would
    write, or to do that."""

    CHECK = "check"
    PLAN = "plan"
    APPLY = "apply"
    PLAN_UNDO = "plan-undo"
    UNDO = "undo"

    @property
    def writes(self) -> bool:
        """Whether it writes to the bot's database."""
        return self in (Action.APPLY, Action.UNDO)


@dataclass(frozen=True)
class Task:
    """One bot, and what to do with it; `decisions` and `certain` say what `apply` writes, `undoes` which run
    is taken back."""

    bot: Bot
    action: Action = Action.CHECK
    decisions: Mapping[str, Decision] = field(default_factory=dict)
    certain: bool = False
    max_changes: int | None = None
    undoes: str | None = None

    async def run(self, progress: Progress | None = None, judges: Judges | None = None) -> Outcome:
        """Do it, and say what came of it; `judges` decode and plan. A failure is an outcome too."""
        token, began = "", datetime.now(UTC)

        def tell(done: int, total: int, word: str) -> None:
            if progress is not None:
                progress(done, total, cleanse(word, token))

        looked = round(began.timestamp() * 1000)
        try:
            token = await self.bot.token.read()
            return await self._run(token, looked, tell, judges or Here())
        except Exception as error:
            return failure(self.bot.name, _say(error, token), looked)

    async def _run(self, token: str, looked: int, progress: Progress, judges: Judges) -> Outcome:
        road = self.bot.road(token, lower=self._lower)
        if self.undoes is not None:
            return await self._take_back(road, self.undoes, token, looked, progress, judges)
        if self.action is not Action.APPLY:
            tell = partial(self._tell, looked=looked)
            return await self._look_and_tell(road, progress, judges, tell, token)
        found = await self._look(road, progress, judges, _as_it_is)
        await aside(_refuse_found, found, token)
        agreed = await aside(self._agree, found)
        check_size(agreed.units, self.max_changes)
        if not agreed.units:
            return await aside(self._tell_written, found, agreed, None, token, looked)
        done = await road.write(found.plan, agreed.decisions, progress, self.max_changes)
        over = agreed.overridden.keys() & {*done.result.applied}
        why = await aside(forget, road.sides.beside, found.plan, over) if over else ""
        return await aside(self._tell_written, found, agreed, done, token, looked, why)

    async def _take_back(
        self,
        road: Repairs,
        run: str,
        token: str,
        looked: int,
        progress: Progress,
        judges: Judges,
    ) -> Outcome:
        """Say what that would write, or do it, and look how the bot stands then.

        The rows are back also where it can't be looked at: only the homeserver has to be there for that.
        """
        if self.action is Action.PLAN_UNDO:
            planned = await plan_taking_back(road.sides, run)
            await aside(_refuse_token, planned, token)
            written = Written(refused=_staying(planned), undoes=run)
            line = Line(self.bot.name, State.DRIFT, looked=looked)
            return Outcome(line, plan=planned, written=written)
        plan, result = await take_back(road.sides, run, progress)
        stays = _staying(plan) | result.left
        written = Written(
            units=tuple(result.applied),
            rows=sum(len(unit.writes) for unit in plan.units if unit.id in result.applied),
            run=result.run,
            backup=str(result.backup) if result.backup else None,
            refused={unit: cleanse(why, token) for unit, why in stays.items()},
            warning=cleanse(result.warning, token),
            undoes=run,
        )
        try:
            tell = partial(self._tell, looked=looked, written=written)
            return await self._look_and_tell(road, progress, judges, tell, token)
        except Exception as error:
            why = f"How it stands after the undo isn't known: {_say(error, token)}"
        line = Line(
            self.bot.name,
            State.FAILED,
            why,
            rows_written=written.rows,
            run=written.run,
            looked=looked,
        )
        return Outcome(line, written=written, left_open=bool(written.refused))

    async def _look_and_tell(
        self,
        road: Repairs,
        progress: Progress,
        judges: Judges,
        tell: Callable[[Looked], Outcome],
        token: str,
    ) -> Outcome:
        """How it stands. Raises `ToolkitError` if that holds the token."""
        outcome = await self._look(road, progress, judges, tell)
        await aside(_refuse_token, outcome, token)
        return outcome

    async def _look(
        self, road: Repairs, progress: Progress, judges: Judges, tell: Callable[[Looked], T]
    ) -> T:
        """What there is to tell of both sides, read here, and judged by who does that."""
        gathered, rows = await road.sides.gather(progress)
        try:
            return await judges.judge(self._judge, gathered, rows, road.sides.facts, tell)
        except Doubtful:
            return await aside(tell, await look(road, self._picked, progress))

    async def _judge(
        self,
        gathered: Gathered,
        rows: dict[str, Raw],
        facts: TableFacts | None,
        tell: Callable[[Looked], T],
    ) -> T:
        road = self.bot.road("", lower=self._lower)
        remote = await aside(road.sides.take_in, gathered, rows, facts)
        return await aside(tell, await judge(road, remote, rows, self._picked))

    @property
    def _picked(self) -> dict[str, Choices]:
        return {unit: decision.choices for unit, decision in self.decisions.items()}

    @property
    def _lower(self) -> bool:
        """A file of decisions says itself what is lowered."""
        return self.bot.lowers and not self.decisions

    def _agree(self, found: Looked) -> Agreement:
        """What the file says goes before what is certain."""
        decisions = dict(self.decisions)
        if self.certain:
            known = agree_to_certain(found.plan, found.record, lower=self._lower)
            certain = {unit.id: known.decisions[unit.id] for unit in known.units}
            decisions = certain | decisions
        return agree_to_file(found.plan, decisions, found.record)

    def _tell(self, found: Looked, looked: int, written: Written | None = None) -> Outcome:
        plan = found.record.part(found.plan)
        showing = self.action is Action.PLAN
        return Outcome(
            self._line(found, plan, looked, written),
            drift_columns(plan, found.cases),
            found.plan if showing else None,
            found.record,
            written,
            left_open=bool(written.refused) if written else not plan.in_sync,
        )

    def _tell_written(
        self,
        found: Looked,
        agreed: Agreement,
        done: Done | None,
        token: str,
        looked: int,
        warning: str = "",
    ) -> Outcome:
        """What is left is what was planned and isn't written: nobody looks a third time."""
        applied = {*done.result.applied} if done else set[str]()
        stale = stale_units(done.report, [unit.id for unit in agreed.units]) if done else {}
        refused = {unit: cleanse(why, token) for unit, why in (agreed.refused | stale).items()}
        plan = found.record.part(found.plan)
        left = replace(plan, units=tuple(unit for unit in plan.units if unit.id not in applied))
        warning = " ".join(filter(None, (done.result.warning if done else "", warning)))
        rows = sum(len(unit.writes) for unit in agreed.units if unit.id in applied)
        written = Written(
            units=tuple(unit.id for unit in agreed.units if unit.id in applied),
            rows=rows,
            run=done.result.run if done else None,
            backup=str(done.result.backup) if done and done.result.backup else None,
            refused=refused,
            left=agreed.left,
            warning=cleanse(warning, token),
        )
        line = self._line(found, left, looked, written)
        undecided = self.certain and not left.in_sync
        return Outcome(
            line,
            drift_columns(left, found.cases),
            written=written,
            left_open=bool(refused) or undecided,
        )

    def _line(self, found: Looked, plan: Plan, looked: int, written: Written | None = None) -> Line:
        ready = len(settled(plan))
        told = [f"{unit}: {why}" for unit, why in (written.refused if written else {}).items()]
        if not (plan.in_sync or plan.units or plan.loose):
            told.append(
                f"{plan.words.uncompared}: `matrix-drift check` of this bot alone shows them"
            )
        return Line(
            bot=self.bot.name,
            state=State.IN_SYNC if plan.in_sync else State.DRIFT,
            reason="; ".join(told) or None,
            account=plan.account,
            rooms=len(plan.joined),
            units=len(plan.units),
            ready=ready,
            to_decide=len(plan.units) - ready + len(plan.loose),
            ignored=len(found.record.ignored),
            rows_written=written.rows if written else None,
            run=written.run if written else None,
            looked=looked,
        )


def cleanse(text: str, token: str) -> str:
    """The text without the token."""
    return text.replace(token, "***") if token else text


def _say(error: Exception, token: str) -> str:
    """Of what nobody expected, only the class: its message may quote anything, and a single `check` tells more."""
    if isinstance(error, ToolkitError):
        return cleanse(str(error), token)
    return f"Unexpected {type(error).__name__}: `matrix-drift check --debug` of this bot alone says where."


def _staying(plan: Plan) -> dict[str, str]:
    """What taking a run back leaves as it is, and why."""
    return {found.unit: found.cause for unit in plan.units for found in unit.findings}


def _refuse_found(found: Looked, token: str) -> None:
    _refuse_token((found.plan, found.record, drift_columns(found.plan, found.cases)), token)


def _refuse_token(told: object, token: str) -> None:
    """What was found goes to other machines, files and screens, and nobody there knows what to hide."""
    if token in repr(told):
        raise ToolkitError(
            "What its rooms and rows say holds the bot's own access token, so nothing of it is shown or "
            "kept: give the bot another token."
        )


def _as_it_is(found: Looked) -> Looked:
    return found
