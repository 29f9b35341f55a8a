"""A person's decisions about a plan: approve, reject, defer, withdraw, and the file that keeps them.

Of what is planned, and of how it is written, nothing is known here: a session says that.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from toolkit.decisions.decision import Decision, user_name
from toolkit.decisions.ledger import Ledger, Vote, as_shown, load_ledger, save_ledger
from toolkit.errors import SnapshotError, ToolkitError
from toolkit.model import NO_CHOICES, Choices, Plan, Status, Unit, find_unit, why_no_unit
from toolkit.repairs import Picked
from toolkit.session.results import Decided
from toolkit.session.selection import Changes, changes_of, changes_shown, select
from toolkit.text.advice import NOTEBOOK, action, why_idle, why_no_change

_MOVED = "something else would be written by now than was shown; look again"
_STANDS = "it is {}: approve it by its id, or withdraw that before"
_ALONG = "it goes along with an approved room: withdraw that one, or reject this"
_PLANS = 4


class Deciding(ABC):
    """A plan with what a person decided about it; a decision holds for the change that was shown.

    `decisions_file` keeps it, no wider open than the file `like`; None keeps it in memory only.
    """

    def __init__(self, decisions_file: Path | None, like: Path | None) -> None:
        self.decisions_file = decisions_file
        self._like = like
        self._plan = Plan(account="", joined=())
        self._planned: list[tuple[Picked, Plan]] = []
        self._ledger = Ledger()
        self._file: tuple[int, int, int] | None = None
        self._standing: tuple[Ledger, Plan, dict[str, Vote]] | None = None
        self._watchers: list[Callable[[], object]] = []

    @abstractmethod
    def _plan_with(self, picked: Picked) -> Plan:
        """The plan with what was picked; raises `ToolkitError` where nothing can be picked."""

    @abstractmethod
    def why_not(self, unit: Unit) -> str:
        """Why a unit is only shown and can't be approved; nothing if it can."""

    def subscribe(self, watcher: Callable[[], object]) -> Callable[[], None]:
        """Have `watcher` called whenever the session shows something else; returns how to end that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def _tell(self) -> None:
        for watcher in tuple(self._watchers):
            watcher()

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
        agreed to. What needs a person's eye is approved by its id only, not by a mask or status, and
        what was rejected or deferred stays so unless its id is named.
        """
        picked = _choices(owner, space_id, chat_id, overwrite, lower_counter)
        before = self._plan
        self._read_decisions()
        shown = {} if before is self._plan else changes_of(before)
        chosen = select(self._plan, unit, status)
        if isinstance(unit, str) and chosen:
            # With its owner picked, a Space's unit is called by the owner; the choice stays behind.
            name = unit if unit in self._ledger.votes else chosen[0]
            return self._approve_one(name, picked, {} if picked != NO_CHOICES else shown)
        if picked != NO_CHOICES:
            raise ToolkitError("A choice is for one unit: name it by its id.")
        named = isinstance(unit, list | tuple | set)
        return self._approve_many(chosen, shown | changes_shown(unit), named=named)

    def _approve_one(self, unit_id: str, picked: Choices, shown: Changes) -> Decided:
        given = picked
        if picked == NO_CHOICES:  # what was picked for it before still counts
            picked = self._ledger.choices.get(unit_id, NO_CHOICES)
        choice = Decision(choices=picked, by=user_name())
        ledger = self._ledger.decide(Vote.APPROVED, {unit_id: choice})
        plan = self._replan(ledger)
        unit = find_unit(plan, unit_id)
        why = why_no_unit(plan, unit_id, picked)
        if unit:
            why = why_idle(unit, given, NOTEBOOK) or self._why_refused(unit, shown)
        if unit is None or unit.change is None or why:
            return Decided(Vote.APPROVED, refused={unit_id: why})
        own = picked if unit.id == unit_id else NO_CHOICES
        decision = Decision(unit.change.fingerprint, own, user_name())
        return self._record(
            Vote.APPROVED, ledger.decide(Vote.APPROVED, {unit.id: decision}), [unit]
        )

    def _approve_many(self, unit_ids: Sequence[str], shown: Changes, *, named: bool) -> Decided:
        units, refused, votes = [], {}, self._votes()
        for unit in self._units(unit_ids):
            vote = Vote.APPROVED if named else votes[unit.id]
            if vote in (Vote.REJECTED, Vote.DEFERRED):
                refused[unit.id] = _STANDS.format(vote.value)
            elif why := self._why_refused(unit, shown):
                refused[unit.id] = why
            elif unit.needs_human and vote is not Vote.APPROVED:
                refused[unit.id] = f"it needs a decision of its own: {action(unit, NOTEBOOK)}"
            else:
                units.append(unit)
        ledger = self._ledger.decide(Vote.APPROVED, as_shown(units))
        decided = self._record(Vote.APPROVED, ledger, units)
        return replace(decided, refused=refused)

    def _why_refused(self, unit: Unit, shown: Changes) -> str:
        """`shown`: the changes of units that the person may have seen, where those aren't the plan's."""
        if why := self.why_not(unit):
            return why
        if unit.change is None:
            return why_no_change(unit, NOTEBOOK)
        seen = shown.get(unit.id, unit.change.fingerprint)
        return "" if unit.change.agreed_in(seen) else _MOVED

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
        decided = self._record(vote, ledger, units)
        if vote is not Vote.PENDING:
            return decided
        along = {unit.id: _ALONG for unit in units if self._votes().get(unit.id) is Vote.APPROVED}
        return replace(
            decided, units=tuple(unit for unit in units if unit.id not in along), refused=along
        )

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
            save_ledger(self.decisions_file, ledger, plan, like=self._like)
            self._file = _state_of(self.decisions_file)
        self._ledger, self._plan = ledger, plan
        self._tell()

    def _votes(self) -> dict[str, Vote]:
        """Worked out once for the same decisions about the same plan; not to be changed."""
        ledger, plan = self._ledger, self._plan
        known = self._standing
        if known is None or known[0] is not ledger or known[1] is not plan:
            known = self._standing = ledger, plan, ledger.standing(plan)
        return known[2]

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
        plan = self._plan_with(picked)
        self._planned = [(picked, plan), *self._planned[: _PLANS - 1]]
        return plan


def _choices(*picked: Any) -> Choices:
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
