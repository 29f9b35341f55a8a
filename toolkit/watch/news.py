"""What a look found that the one before hadn't, in units, rows and notes. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from toolkit.decisions.record import Record
from toolkit.model import Plan
from toolkit.text.view import View

Matters = Mapping[str, object]
"""What is the matter, by the names under which it is told: of units, of rows of no unit, of notes, of orphans."""


def matters_of(plan: Plan, view: View, record: Record) -> Matters:
    """All that `check` would tell of it; what is ignored is none."""
    units = {unit.id: (unit, record.vote(unit)) for unit in record.open(view.units(plan))}
    findings = {finding.id: finding for finding in (*view.loose(plan), *plan.notes)}
    return {**units, **findings, **dict.fromkeys(plan.orphans)}


@dataclass(frozen=True)
class News:
    """Names of what is there now and wasn't, of what is another matter than it was, and of what is gone."""

    appeared: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    settled: tuple[str, ...] = ()

    @classmethod
    def between(cls, before: Matters, after: Matters) -> "News":
        """
        >>> News.between({"!a": 1, "!b": 1}, {"!b": 2, "!c": 1})
        News(appeared=('!c',), changed=('!b',), settled=('!a',))
        """
        return cls(
            tuple(name for name in after if name not in before),
            tuple(name for name in after if name in before and after[name] != before[name]),
            tuple(name for name in before if name not in after),
        )

    def __bool__(self) -> bool:
        return bool(self.appeared or self.changed or self.settled)

    def __str__(self) -> str:
        """
        >>> str(News(("!a",), (), ("!b", "!c")))
        '1 new, 2 settled'
        """
        told = ((self.appeared, "new"), (self.changed, "changed"), (self.settled, "settled"))
        return ", ".join(f"{len(names):,} {word}" for names, word in told if names)
