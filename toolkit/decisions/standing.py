"""How the units of one plan stand, kept up to date decision by decision: what one decision can't touch
isn't looked at again. Pure.

What stands how says `Ledger.standing`; this only knows what depends on what. A decision is about its
unit, and an approved room takes the user row of its owner and Space along.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeAlias

from toolkit.decisions.decision import Decision, holds
from toolkit.decisions.ledger import Ledger, Vote
from toolkit.model import Plan, Unit, UnitKind

REMEMBERED = 64
"""Steps after which somebody who looks again looks at everything."""
MANY = 2000
"""Units that have moved at once from which on it is quicker to look at everything."""

Group: TypeAlias = tuple[str | None, str | None]
"""Owner and Space: what a room shares with the user row that it takes along."""


class Standing:
    """`votes` by unit, not to be changed, in the plan's order. A value: `after` makes another one."""

    def __init__(self, plan: Plan, ledger: Ledger) -> None:
        self.plan, self.ledger = plan, ledger
        self.votes = ledger.standing(plan)
        self._rooms: dict[Group, int] = {}
        self._steps = _Steps()
        self._step = 0
        for unit in self._units(ledger.votes):
            if self._takes_along(unit):
                self._rooms[_group(unit)] = self._rooms.get(_group(unit), 0) + 1

    def after(self, ledger: Ledger) -> "Standing":
        """The same by a ledger that was made by deciding from this one's; else looked at anew."""
        decided = ledger.decided_since(self.ledger)
        if decided is None or len(decided) > MANY:
            return Standing(self.plan, ledger)
        made = object.__new__(Standing)
        made.plan, made.ledger = self.plan, ledger.settled()
        made.votes, made._rooms = self.votes.copy(), self._rooms.copy()
        touched = {unit.id: unit for unit in self._units(decided)}
        for unit in list(touched.values()):
            group = _group(unit)
            more = made._takes_along(unit) - self._takes_along(unit)
            made._rooms[group] = made._rooms.get(group, 0) + more
            touched |= {user.id: user for user in self.plan.user_rows.get(group, ())}
        for unit in touched.values():
            made.votes[unit.id] = made._vote(unit)
        made._steps, made._step = self._steps.add(self._step, frozenset(touched))
        return made

    def touched_since(self, other: "Standing") -> frozenset[str] | None:
        """Units of the same plan that may stand otherwise than there; None if those are many, or any."""
        if self._steps is not other._steps:
            return None
        touched = self._steps.between(other._step, self._step)
        return None if touched is None or len(touched) > MANY else touched

    def _units(self, ids: Iterable[str]) -> Iterator[Unit]:
        places, units = self.plan.places, self.plan.units
        return (units[places[unit_id]] for unit_id in ids if unit_id in places)

    def _vote(self, unit: Unit) -> Vote:
        return Vote.APPROVED if self._goes_along(unit) else self.ledger.vote_on(unit)

    def _goes_along(self, unit: Unit) -> bool:
        """Of several user rows for one owner and Space, the last that could be written."""
        if self.plan.foreign or unit.id in self.ledger.votes or not self._rooms.get(_group(unit)):
            return False
        users = self.plan.user_rows.get(_group(unit), ())
        return unit is next((user for user in reversed(users) if self._is_open(user)), None)

    def _is_open(self, user: Unit) -> bool:
        agreed = self._agreed(user)
        return user.change is not None and (
            not (agreed and agreed.agreed) or holds(self.plan, user, agreed)
        )

    def _takes_along(self, unit: Unit) -> bool:
        agreed = self._agreed(unit) if unit.kind is UnitKind.ROOM else None
        return agreed is not None and holds(self.plan, unit, agreed)

    def _agreed(self, unit: Unit) -> Decision | None:
        """A yes to what the plan holds of it."""
        vote, decision = self.ledger.votes.get(unit.id, (Vote.PENDING, None))
        return None if vote is not Vote.APPROVED or self.ledger.outlived(unit) else decision


class _Steps:
    """What was touched step by step from one beginning on, of the last steps."""

    def __init__(self) -> None:
        self._touched: deque[frozenset[str]] = deque(maxlen=REMEMBERED)
        self._count = 0

    def add(self, at: int, touched: frozenset[str]) -> "tuple[_Steps, int]":
        """Where the next step stands; one that doesn't follow the last begins anew."""
        if at != self._count:
            return _Steps(), 0
        self._touched.append(touched)
        self._count += 1
        return self, self._count

    def between(self, first: int, last: int) -> frozenset[str] | None:
        """What was touched after the first up to the last, if that is still known."""
        begin = self._count - len(self._touched)
        if not begin <= first <= last:
            return None
        return frozenset().union(*islice(self._touched, first - begin, last - begin))


def _group(unit: Unit) -> Group:
    return unit.owner, unit.space_id
