"""What became of a person's decision about some units, as they meet it in a notebook or terminal."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from toolkit.decisions.ledger import Vote
from toolkit.model import Unit
from toolkit.text.advice import unit_name
from toolkit.text.summary import count_of
from toolkit.text.visible import visible

SHOWN = 10
"""Units that a text names."""


@dataclass(frozen=True, repr=False)
class Decided:
    """What a call of `approve`, `reject`, `defer`, `ignore` or `withdraw` did.

    `units` were decided, user rows in `along` will be written with their rooms. `refused` says of
    which units why not, and `reopened` names approvals that are pending again, since settling this
    one changed what they were about.
    """

    vote: Vote
    units: tuple[Unit, ...] = ()
    along: tuple[Unit, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    reopened: tuple[str, ...] = ()

    def __repr__(self) -> str:
        told = f", {_rows_of(self.units)} to write" if self.vote is Vote.APPROVED else ""
        lines = [f"{self.vote.value.capitalize()}: {count_of(len(self.units), 'unit')}{told}."]
        lines += [f"  {_named(unit)}" for unit in self.units[:SHOWN]]
        lines += more(len(self.units))
        if self.along:
            lines.append(f"Goes along: {_rows_of(self.along)}.")
            lines += [f"  {_named(unit)}" for unit in self.along[:SHOWN]] + more(len(self.along))
        if self.refused:
            lines.append(f"Not {self.vote.value}: {count_of(len(self.refused), 'unit')}.")
            refused = list(self.refused.items())
            lines += [f"  {visible(unit)}: {visible(why, 500)}" for unit, why in refused[:SHOWN]]
            lines += more(len(refused))
        if self.reopened:
            units = ", ".join(visible(unit) for unit in self.reopened)
            lines.append(f"Pending again, since what would be written changed: {units}.")
        return "\n".join(lines)


def _named(unit: Unit) -> str:
    name = unit_name(unit)
    return visible(unit.id) + (f"  {visible(name)}" if name else "")


def _rows_of(units: Sequence[Unit]) -> str:
    return count_of(sum(len(unit.writes) for unit in units), "row")


def more(count: int) -> list[str]:
    """That there are some besides those that are named."""
    return [f"  … and {count - SHOWN} more"] if count > SHOWN else []
