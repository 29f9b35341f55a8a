"""What a person decided about each unit.

A vote is about the change that was shown: when another one is planned by now, the unit is pending again.
"""

from collections.abc import Iterable, Mapping
from datetime import date
from enum import StrEnum
from functools import cached_property
from typing import Self

import msgspec

from toolkit.decisions.decision import Decision, Ignored, agreed_units, user_name
from toolkit.model import NO_CHOICES, Choices, Plan, Unit


class Vote(StrEnum):
    """How a unit stands with the person who decides."""

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    DEFERRED = "deferred"
    IGNORED = "ignored"


_NO = Decision(agreed=False)


class Ledger(msgspec.Struct, frozen=True, dict=True):
    """Votes by unit; a value: deciding makes another one. What was ignored until a day before `today`
    no longer is."""

    votes: dict[str, tuple[Vote, Decision]] = {}
    today: date = date.min

    def on(self, today: date) -> Self:
        """The same as of a day; this very one where that changes nothing."""
        dated = any(isinstance(d, Ignored) and d.until for _, d in self.votes.values())
        return type(self)(self.votes.copy(), today) if dated and today != self.today else self

    def decide(
        self, vote: Vote, decisions: Mapping[str, Decision], instead: Iterable[str] = ()
    ) -> Self:
        """The same with these units decided; `PENDING` takes decisions back, and so does `instead`."""
        kept, touched = self.votes.copy(), frozenset([*decisions, *instead])
        for unit in touched:
            kept.pop(unit, None)
        if vote is not Vote.PENDING:
            kept |= {unit: (vote, decision) for unit, decision in decisions.items()}
        made = type(self)(kept, self.today)
        first, decided = self._since
        approved = decisions if vote is Vote.APPROVED else {}
        made.__dict__["choices"] = self.choices_with(
            dict.fromkeys(touched, NO_CHOICES) | {u: d.choices for u, d in approved.items()}
        )
        made.__dict__["_since"] = first, decided | touched
        return made

    def choices_with(self, picked: Mapping[str, Choices]) -> dict[str, Choices]:
        """What would be picked if this were for these units."""
        kept = {unit: choices for unit, choices in self.choices.items() if unit not in picked}
        return kept | _without_none(picked)

    @cached_property
    def _since(self) -> tuple[dict[str, tuple[Vote, Decision]], frozenset[str]]:
        """The votes of the ledger that this one was made from by deciding, and what was decided since."""
        return self.votes, frozenset()

    def settled(self) -> Self:
        """The same ledger, from which what is decided next is told."""
        made = type(self)(self.votes, self.today)
        made.__dict__["choices"] = self.choices
        return made

    def decided_since(self, other: "Ledger") -> frozenset[str] | None:
        """What was decided, and may stand otherwise than in the other ledger; None if that isn't known."""
        first, decided = self._since
        return decided if first is other.votes else None

    @property
    def approved(self) -> dict[str, Decision]:
        """What `reconcile_matrix_state` takes."""
        return {u: decision for u, (vote, decision) in self.votes.items() if vote is Vote.APPROVED}

    @cached_property
    def choices(self) -> dict[str, Choices]:
        """What was picked, for the planner; also for approvals that their change has outlived."""
        return _without_none({unit: decision.choices for unit, decision in self.approved.items()})

    def moved(self, plan: Plan) -> set[str]:
        """Units whose vote was about another change than the plan holds now."""
        return {unit.id for unit in plan.units if self.outlived(unit)}

    def outlived(self, unit: Unit) -> bool:
        """Whether the vote on a unit was about another change than it has now."""
        return unit.id in self.votes and not self._fits(unit)

    def vote_on(self, unit: Unit) -> Vote:
        """The vote on a unit by itself, whatever goes along with what."""
        if unit.id in self.votes and self._fits(unit):
            return self.votes[unit.id][0]
        return Vote.PENDING

    @property
    def decisions(self) -> dict[str, Decision]:
        """Every vote as the bot's function takes it. What is no yes is a no, also to going along."""
        return {
            unit: decision if vote is Vote.APPROVED else _NO
            for unit, (vote, decision) in self.votes.items()
        }

    def binding(self, plan: Plan) -> dict[str, Decision]:
        """What to hand to the bot's function: each approval that holds, and what goes along with it.

        Approvals of what the plan no longer holds are left out; picks under the id of a Space that
        is called by its owner since then still count.
        """
        moved, there = self.moved(plan), {unit.id for unit in plan.units}
        given = {
            unit: _NO if unit in moved else decision
            for unit, decision in self.decisions.items()
            if unit in there or decision.change is None
        }
        along = (unit for unit in agreed_units(plan, given) if unit.id not in given)
        return given | as_shown(along)

    def standing(self, plan: Plan) -> dict[str, Vote]:
        """The vote on each unit of the plan; a user row goes with an approved room."""
        standing = {unit.id: self.vote_on(unit) for unit in plan.units}
        along = agreed_units(plan, self.binding(plan))
        return standing | {unit.id: Vote.APPROVED for unit in along}

    def _fits(self, unit: Unit) -> bool:
        vote, decision = self.votes[unit.id]
        if isinstance(decision, Ignored):
            return decision.is_about(unit) and not decision.over(self.today)
        if decision.change is None and (vote is Vote.APPROVED or not decision.agreed):
            return True  # a yes to whatever it leads to, or a no to all
        return unit.change.agreed_in(decision.change) if unit.change else decision.change is None


def _without_none(picked: Mapping[str, Choices]) -> dict[str, Choices]:
    return {unit: choices for unit, choices in picked.items() if choices != NO_CHOICES}


def as_shown(units: Iterable[Unit]) -> dict[str, Decision]:
    """The vote of whoever sits here on each unit's change; without one, on there being none."""
    by = user_name()
    return {
        unit.id: Decision(unit.change.fingerprint if unit.change else None, unit.choices, by)
        for unit in units
    }
