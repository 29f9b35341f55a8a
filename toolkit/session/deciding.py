"""A person's decisions about a plan: approve, reject, defer, ignore, withdraw, and the file that keeps them.

What is planned and who writes it says the road; looking and writing are the session's.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import msgspec

from toolkit.decisions.decision import Decision, user_name
from toolkit.decisions.ignoring import as_ignored, read_reason, read_until, today
from toolkit.decisions.ledger import Ledger, Vote, as_shown
from toolkit.decisions.ledger_file import LedgerText, load_ledger, save_ledger
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import (
    NO_CHOICES,
    Choices,
    Plan,
    RemoteState,
    Status,
    Unit,
    find_unit,
    why_no_unit,
)
from toolkit.planning.links.rows import Local
from toolkit.repairs import Picked, Road
from toolkit.session.decided import Decided
from toolkit.session.selection import Changes, changes_of, changes_shown, select
from toolkit.session.state import SessionState
from toolkit.text.advice import NOTEBOOK, action, why_idle, why_no_change
from toolkit.writing.given import tell_given
from toolkit.writing.lineage import Past

_MOVED = "something else would be written by now than was shown; look again"
_STANDS = "it is {}: approve it by its id, or withdraw that before"
_ALONG = "it goes along with an approved room: withdraw that one, or reject this"
_PLANS = 4


class Deciding:
    """A session's state with what a person decides about it; a decision holds for the change shown.

    `file` keeps decisions, no wider open than the file `like`; None keeps them in memory only.
    """

    def __init__(
        self,
        road: Road,
        file: Path | None,
        like: Path | None,
        clock: Callable[[], date] | None = None,
    ) -> None:
        self.state = SessionState()
        self.file = file
        self._road, self._like, self._clock = road, like, clock or today
        self._planned: list[tuple[Picked, Plan]] = []
        self._bare: Plan | None = None
        self._known: tuple[int, int, int] | None = None
        self._text: LedgerText | None = None
        self._watchers: list[Callable[[], object]] = []

    def subscribe(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Have `watcher` called whenever there is something else to show; returns how to end that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def tell(self) -> None:
        """Let everybody who watches look again."""
        for watcher in tuple(self._watchers):
            watcher()

    def look(
        self,
        remote: RemoteState,
        local: Local,
        past: Past,
        planned: Sequence[tuple[Picked, Plan]] = (),
    ) -> None:
        """Plan anew from these sides, with the decisions that are on disk by now.

        `planned`: what `plan_for` has made of them already.
        """
        self._planned, self._bare = [*planned], None
        self._read(replace(self.state, remote=remote, local=local, past=past))
        self.tell()

    def approve(self, unit: Any, status: Status | str | None, picked: Choices) -> Decided:
        """As `Session.approve` says."""
        before = self.state.plan
        self.read()
        shown = {} if before is self.state.plan else changes_of(before)
        chosen = select(self.state.plan, unit, status)
        if isinstance(unit, str) and chosen:
            # With its owner picked, a Space's unit is called by the owner; the choice stays behind.
            name = unit if unit in self.state.ledger.votes else chosen[0]
            return self._approve_one(name, picked, {} if picked != NO_CHOICES else shown)
        if picked != NO_CHOICES:
            raise ToolkitError("A choice is for one unit: name it by its id.")
        named = isinstance(unit, list | tuple | set)
        return self._approve_many(chosen, shown | changes_shown(unit), named=named)

    def _approve_one(self, unit_id: str, picked: Choices, shown: Changes) -> Decided:
        if why := self.why_no_pick(picked):
            return Decided(Vote.APPROVED, refused={unit_id: why})
        given = picked
        if picked == NO_CHOICES:  # what was picked for it before still counts
            picked = self.state.ledger.choices.get(unit_id, NO_CHOICES)
        plan = self.plan_with({unit_id: picked})
        unit = find_unit(plan, unit_id)
        if unit is None:
            why = why_no_unit(plan, unit_id, picked)
        else:
            why = why_idle(unit, given, NOTEBOOK) or self._why_refused(unit, shown)
        if unit is None or unit.change is None or why:
            return Decided(Vote.APPROVED, refused={unit_id: why})
        own = picked if unit.id == unit_id else NO_CHOICES
        choice = {unit_id: Decision(choices=picked, by=user_name())}
        decision = {unit.id: Decision(unit.change.fingerprint, own, user_name())}
        ledger = self.state.ledger.decide(Vote.APPROVED, choice | decision)
        return self._record(Vote.APPROVED, ledger, [unit])

    def _approve_many(self, unit_ids: Sequence[str], shown: Changes, *, named: bool) -> Decided:
        units, refused, votes = [], {}, self.state.votes
        for unit in self._units(unit_ids):
            vote = Vote.APPROVED if named else votes[unit.id]
            if vote in (Vote.REJECTED, Vote.DEFERRED, Vote.IGNORED):
                refused[unit.id] = _STANDS.format(vote.value)
            elif why := self._why_refused(unit, shown):
                refused[unit.id] = why
            elif unit.needs_human and vote is not Vote.APPROVED:
                refused[unit.id] = f"it needs a decision of its own: {action(unit, NOTEBOOK)}"
            else:
                units.append(unit)
        ledger = self.state.ledger.decide(Vote.APPROVED, as_shown(units))
        decided = self._record(Vote.APPROVED, ledger, units)
        return replace(decided, refused=refused)

    def why_no_pick(self, picked: Choices) -> str:
        """Why this can be picked for no unit; nothing if it can."""
        return self._road.why_no_pick(self.state.local, picked)

    def _why_refused(self, unit: Unit, shown: Changes) -> str:
        """`shown`: the changes of units that the person may have seen, where those aren't the plan's."""
        if why := self._road.why_not(unit):
            return why
        if unit.change is None:
            return why_no_change(unit, NOTEBOOK)
        seen = shown.get(unit.id, unit.change.fingerprint)
        return "" if unit.change.agreed_in(seen) else _MOVED

    def decide(self, vote: Vote, selection: Any, status: Status | str | None) -> Decided:
        """Any vote but a yes.

        Without a yes, what was picked for a unit doesn't count, under whatever name it stands.
        """
        return self._decide(vote, selection, status, as_shown)

    def ignore(
        self, selection: Any, status: Status | str | None, reason: str, until: str | date | None
    ) -> Decided:
        """As `Session.ignore` says."""
        why, day = read_reason(reason), read_until(until, self._clock())
        return self._decide(
            Vote.IGNORED, selection, status, lambda units: as_ignored(units, why, day)
        )

    def _decide(
        self,
        vote: Vote,
        selection: Any,
        status: Status | str | None,
        shown: Callable[[Iterable[Unit]], dict[str, Decision]],
    ) -> Decided:
        self.read()
        units = self._units(select(self.state.plan, selection, status))
        names = {name for unit in units for name in (unit.id, *unit.room_ids)}
        plan = self.plan_with(dict.fromkeys(names, NO_CHOICES))
        bare = [find_unit(plan, next(iter(unit.room_ids), unit.id)) for unit in units]
        decisions = shown(unit for unit in bare if unit)
        ledger = self.state.ledger.decide(vote, decisions, instead=names)
        decided = self._record(vote, ledger, units)
        if vote is not Vote.PENDING:
            return decided
        along = {
            unit.id: _ALONG for unit in units if self.state.votes.get(unit.id) is Vote.APPROVED
        }
        return replace(
            decided, units=tuple(unit for unit in units if unit.id not in along), refused=along
        )

    def _units(self, unit_ids: Iterable[str]) -> list[Unit]:
        plan = self.state.plan
        return [unit for unit_id in unit_ids if (unit := plan.unit(unit_id))]

    def _record(self, vote: Vote, ledger: Ledger, units: Sequence[Unit]) -> Decided:
        """Keep decisions, plan with them, and see which approvals that leaves without their change."""
        standing = self.state.standing
        self._keep(ledger)
        state = self.state
        before, after = standing.votes, state.votes
        decided = {name for unit in units for name in (unit.id, *unit.room_ids)}
        touched = state.standing.touched_since(standing)
        reopened = [
            unit
            for unit in (before if touched is None else touched)
            if before[unit] is Vote.APPROVED
            and after.get(unit) is Vote.PENDING
            and unit not in decided
        ]
        along = [
            unit
            for unit in (state.plan.units if touched is None else state.units(touched))
            if after[unit.id] is Vote.APPROVED
            and before.get(unit.id) is not Vote.APPROVED
            and unit.id not in decided
        ]
        return Decided(vote, tuple(units), tuple(along), reopened=tuple(sorted(reopened)))

    def forget(self, units: Iterable[str]) -> None:
        """Nothing is decided about these units any more."""
        self._keep(self.state.ledger.decide(Vote.PENDING, dict.fromkeys(units, Decision())))

    def _keep(self, ledger: Ledger) -> None:
        state = self._with(ledger, self.state)
        if self.file is not None:
            text, self._text = self._text, None  # it is of no use if what follows fails
            made = text.after(ledger, state.plan) if text else LedgerText(ledger, state.plan)
            save_ledger(self.file, made.text(), self._like)
            self._known = _state_of(self.file)
            self._text = made
        self.state = state
        self.tell()

    def read(self) -> None:
        """Plan with the decisions that are on disk by now: others may decide about this database."""
        self._read(self.state)

    def _read(self, state: SessionState) -> None:
        ledger, found = state.ledger, _state_of(self.file)
        if self.file is not None and found and found != self._known:
            ledger = load_ledger(self.file)
        self.state = self._with(ledger.on(self._clock()), state)
        self._known = found or self._known

    def _with(self, ledger: Ledger, state: SessionState) -> SessionState:
        """A state with these decisions; the very same where they change nothing."""
        plan = self._plan(ledger.choices, state)
        if ledger is state.ledger and plan is state.plan:
            return state
        return state.decided(ledger, plan)

    def plan_with(self, picked: Picked) -> Plan:
        """The plan if this were picked for these units; nothing is kept."""
        return self._plan(self.state.ledger.choices_with(picked), self.state)

    def bare_plan(self) -> Plan:
        """The plan if nothing were picked; made once for the same sides."""
        if self._bare is None:
            self._bare = self._plan({}, self.state)
        return self._bare

    def plan_for(self, picked: Picked, remote: RemoteState, local: Local, past: Past) -> Plan:
        """The plan of these alone, which may be made in a thread; nothing is kept."""
        return tell_given(self._road.plan(remote, local, picked), tuple(past.runs), local)

    def _plan(self, picked: Picked, state: SessionState) -> Plan:
        """The plan with what was picked; the same picks on the same sides give the same plan.

        The last few are kept: somebody who tries a choice goes to and fro between them.
        """
        for tried, plan in self._planned:
            if tried == picked:
                return plan
        plan = self.plan_for(picked, state.remote, state.local, state.past)
        self._planned = [(picked, plan), *self._planned[: _PLANS - 1]]
        if not picked:
            self._bare = plan
        return plan


def choices_of(*picked: Any) -> Choices:
    """What was picked, as the file of decisions will hold it. Raises `ToolkitError`."""
    given = dict(zip(Choices.__struct_fields__, picked, strict=True))
    try:
        return msgspec.convert(given, Choices)
    except msgspec.ValidationError as error:
        raise ToolkitError(f"A choice is of the wrong type: {error}.") from None


def _state_of(path: Path | None) -> tuple[int, int, int] | None:
    """What tells that a file is another one; it is always replaced whole. None if there is none.

    Raises `SnapshotError` for a path that can be none.
    """
    try:
        found = path.stat() if path else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "no file can be called so"
        raise SnapshotError(f"Can't read the decisions {path}: {why}.") from None
    return found and (found.st_mtime_ns, found.st_size, found.st_ino)
