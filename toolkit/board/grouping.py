"""Which group each line of a list stands in: those of the plan's units, then the quiet ones. Pure.

Of what the last run has finished none is asked for, as it is listed for its result alone.
"""

from collections.abc import Callable, Iterable
from functools import cached_property

from toolkit.board.in_sync import QuietLines, quiet_groups
from toolkit.model import Plan, Unit
from toolkit.text.groups import Group, find_groups


class Groups:
    """The groups of a plan's units, as `origin` has these, and of quiet lines after so many finished ones."""

    def __init__(
        self, plan: Plan, origin: Callable[[Unit], Unit], finished: int, quiet: QuietLines
    ) -> None:
        self._plan, self._origin, self._finished, self._quiet = plan, origin, finished, quiet
        self._quiet_groups = quiet_groups(plan.words)

    @cached_property
    def _of_units(self) -> tuple[list[Group], list[int]]:
        """Nobody may ever ask."""
        return find_groups(map(self._origin, self._plan.units))

    def group(self, place: int) -> int:
        """The rank of the group that a line stands in."""
        groups, of_units = self._of_units
        if place < len(of_units):
            return of_units[place]
        place -= len(of_units) + self._finished
        status, quiet = self._quiet.status(place), self._quiet_groups
        return len(groups) + next(at for at, group in enumerate(quiet) if group.status == status)

    def at(self, rank: int) -> Group:
        """The group of this rank."""
        groups, _ = self._of_units
        return groups[rank] if rank < len(groups) else self._quiet_groups[rank - len(groups)]

    def rank(self, name: str) -> int:
        """-1 for a group that there isn't."""
        groups = [*self._of_units[0], *self._quiet_groups]
        return next((at for at, group in enumerate(groups) if group.name == name), -1)

    def unfolded(self, names: Iterable[str]) -> frozenset[int]:
        """The ranks of these groups."""
        return frozenset(map(self.rank, names))
