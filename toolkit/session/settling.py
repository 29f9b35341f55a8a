"""Conflicts one after the other: which is next, what may be picked for it, and the way back.

What is decided stands in the session's file at once. A pick that settles nothing by itself, as an owner without a
chat id, waits here for the one that goes with it.
"""

from dataclasses import dataclass

from toolkit.convention import Convention
from toolkit.decisions.case import Casebook
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import (
    Offering,
    Option,
    join_choices,
    list_options,
    say_choices,
    why_unfit,
)
from toolkit.errors import ToolkitError
from toolkit.model import NO_CHOICES, Choices, Plan, Unit, find_unit
from toolkit.session.deciding import Deciding
from toolkit.text.advice import TERMINAL, unsettled, why_idle
from toolkit.text.view import EVERYTHING

NOTHING_TO_WRITE = (
    "its rows say that already, so there is nothing to write, and the conflict stays until the rooms differ: "
    "ignore it, or skip it"
)


@dataclass(frozen=True)
class Question:
    """A unit that waits for a person, as it is planned with what is `picked` for it so far.

    `options` would settle it, or part of it; `left` counts it and those that wait after it.
    """

    unit: Unit
    cases: Casebook
    options: tuple[Option, ...]
    picked: str
    left: int


class Settling:
    """One person's way through the open units; those that they pass over don't come back."""

    def __init__(self, deciding: Deciding, convention: Convention) -> None:
        self._deciding, self._convention = deciding, convention
        self._passed: set[str] = set()
        self._steps: list[str] = []
        self._draft = NO_CHOICES

    def ask(self) -> Question | None:
        """What to decide next, or go on deciding; None at the end."""
        open_ = self._open()
        if not open_:
            return None
        state, first = self._deciding.state, open_[0]
        plan = self._deciding.plan_with({first.id: self._draft}) if self._drafting else state.plan
        unit = find_unit(plan, first.id) or first
        cases = Casebook(plan, state.remote, state.local, self._convention)
        options = tuple(
            option
            for option in list_options(Offering(plan, state.local).offers(unit))
            if not _is_proposed(option, unit)
        )
        return Question(unit, cases, options, say_choices(self._draft, plan.words.id), len(open_))

    def agree(self) -> str:
        """Take what is proposed, or what the picks so far lead to; "", or why that can't be."""
        return self._approve(self._draft)

    def pick(self, choices: Choices) -> str:
        """Pick for the unit that is asked about; "", or why that settles nothing and isn't kept."""
        unit = self._open()[0]
        if why := self._deciding.why_no_pick(choices) or why_idle(unit, choices, TERMINAL):
            return why
        picked = join_choices(self._draft, choices)
        plan = self._deciding.plan_with({unit.id: picked})
        found = find_unit(plan, unit.id)
        if found is None or found.rows_agree:
            return NOTHING_TO_WRITE
        if found.change:
            return self._approve(picked)
        if why := why_unfit(found, picked):
            return why
        self._draft = picked
        return ""

    def read(self, text: str) -> Choices:
        """What a person typed instead of picking it. Raises `ToolkitError`."""
        return Choices(chat_id=text.strip()) if self.plan.words.table else read_choice(text)

    def ignore(self, reason: str) -> None:
        """Let the unit be, and count it as no drift. Raises `ToolkitError` for what is no reason."""
        unit = self._open()[0]
        self._deciding.ignore(unit.id, None, reason, None)
        self._step(unit.id)

    def skip(self) -> None:
        """Leave the unit open."""
        unit = self._open()[0]
        self._passed.add(unit.id)
        self._step(unit.id)

    def undo(self) -> str:
        """Take the last step back, or the picks that are still to be completed; returns what it was about."""
        if self._drafting:
            self._draft = NO_CHOICES
            return self._open()[0].id
        if not self._steps:
            return ""
        unit = self._steps.pop()
        if unit in self._passed:
            self._passed.remove(unit)
        else:
            self._deciding.decide(Vote.PENDING, unit, None)
        return unit

    @property
    def plan(self) -> Plan:
        """The plan with everything that was picked."""
        return self._deciding.state.plan

    @property
    def _drafting(self) -> bool:
        return self._draft != NO_CHOICES

    def _open(self) -> list[Unit]:
        votes, waiting = self._deciding.state.votes, {unit.id for unit in unsettled(self.plan)}
        return [
            unit
            for unit in EVERYTHING.units(self.plan)
            if unit.id in waiting and votes[unit.id] is Vote.PENDING and unit.id not in self._passed
        ]

    def _approve(self, picked: Choices) -> str:
        unit = self._open()[0]
        decided = self._deciding.approve(unit.id, None, picked)
        if not decided.units:
            return next(iter(decided.refused.values()))
        self._step(decided.units[0].id)
        return ""

    def _step(self, unit_id: str) -> None:
        self._steps.append(unit_id)
        self._draft = NO_CHOICES


def _is_proposed(option: Option, unit: Unit) -> bool:
    """Whether to pick this is to agree."""
    proposed = {finding.proposal for finding in unit.conflicts if finding.proposal}
    choices = option.choices
    return bool(unit.change and proposed & {choices.owner, choices.chat_id, choices.space_id})


def read_choice(text: str) -> Choices:
    """What a person typed instead of picking it: an id says by itself what it is of. Raises `ToolkitError`."""
    typed = text.strip()
    if typed.startswith("@"):
        return Choices(owner=typed)
    if typed.startswith("!"):
        return Choices(space_id=typed)
    if typed.startswith("C"):
        return Choices(chat_id=typed)
    raise ToolkitError("Type a chat id (C4), an owner (@user:server) or a Space (!…).")
