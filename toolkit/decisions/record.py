"""What a person's decisions say about the units of one plan, for whoever shows it or writes from it. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from toolkit.decisions.decision import Decision, Ignored
from toolkit.decisions.ignoring import say_ignored, say_over
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.model import Plan, Unit

LEFT = frozenset({Vote.REJECTED, Vote.DEFERRED, Vote.IGNORED})
"""Votes by which nothing is written."""


@dataclass(frozen=True)
class Record:
    """`votes` has how each unit stands; `ignored` those that are, `returned` those that no longer are, and why."""

    votes: Mapping[str, Vote] = field(default_factory=dict)
    ignored: Mapping[str, Ignored] = field(default_factory=dict)
    returned: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plan: Plan, votes: Mapping[str, Vote], ledger: Ledger) -> "Record":
        """`votes` are those on a plan with the same units, which may have been made with what was picked."""
        found = ((unit, ledger.votes.get(unit.id)) for unit in plan.units)
        asked = [(u, v[1]) for u, v in found if v and isinstance(v[1], Ignored)]
        over = {u.id: say_over(d, ledger.today) for u, d in asked if ledger.outlived(u)}
        return cls(
            {unit.id: votes.get(unit.id, Vote.PENDING) for unit in plan.units},
            {unit.id: decision for unit, decision in asked if unit.id not in over},
            over,
        )

    def vote(self, unit: Unit) -> Vote:
        """How a unit stands; of what nobody was asked about, pending."""
        return self.votes.get(unit.id, Vote.PENDING)

    def open(self, units: Iterable[Unit]) -> list[Unit]:
        """Those that aren't ignored."""
        return [unit for unit in units if unit.id not in self.ignored]

    def part(self, plan: Plan) -> Plan:
        """The plan without the units that are ignored."""
        return replace(plan, units=tuple(self.open(plan.units))) if self.ignored else plan

    def left(self, units: Iterable[Unit]) -> dict[str, str]:
        """Units of which nothing is to be written: unit -> how that was decided, in words."""
        left = {unit.id: vote for unit in units if (vote := self.vote(unit)) in LEFT}
        return {
            unit: f"ignored {say_ignored(self.ignored[unit])}"
            if unit in self.ignored
            else vote.value
            for unit, vote in left.items()
        }

    def refusals(self, named: Iterable[str] = ()) -> dict[str, Decision]:
        """A no to each of them, save those that are named: to name one is a yes."""
        no = Decision(agreed=False)
        named = {*named}
        return {u: no for u, vote in self.votes.items() if vote in LEFT and u not in named}


NOTHING_DECIDED = Record()
