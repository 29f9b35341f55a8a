"""Units with the very same thing the matter stand in one group, which a person decides about together. Pure.

A unit is in one group only, by all that is the matter with it: what helps one of them helps the others.
"""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple, TypeAlias

from toolkit.model import Code, Status, Unit
from toolkit.text.view import say_kind

_IS_MISSING = " is missing"
_Signature: TypeAlias = tuple[Status, tuple[tuple[Code, str, str, bool], ...]]


class Group(NamedTuple):
    """What its units have in common: how they stand, and what is the matter in words."""

    status: str
    words: str

    @property
    def name(self) -> str:
        """What a view asks for it by; it holds a space first, as no id does."""
        return f" {self.status}: {self.words}"


def find_groups(units: Iterable[Unit]) -> tuple[list[Group], list[int]]:
    """All groups, those in conflict first and then the largest, and the place among them of each unit's."""
    known: dict[_Signature, Group] = {}
    told: list[Group] = []
    for unit in units:
        signature = _signature(unit)
        if signature not in known:
            known[signature] = Group(unit.status, _say(unit))
        told.append(known[signature])
    sizes = Counter(told)
    groups = sorted(sizes, key=lambda g: (g.status != Status.CONFLICT, -sizes[g], g))
    places = {group: place for place, group in enumerate(groups)}
    return groups, [places[group] for group in told]


def _signature(unit: Unit) -> _Signature:
    found = unit.conflicts or unit.findings
    parts = ((f.code, f.key.partition(":")[0], f.field, isinstance(f.local, str)) for f in found)
    return unit.status, tuple(parts)


def _say(unit: Unit) -> str:
    """Rows that are gone are told in one breath."""
    kinds = list(dict.fromkeys(map(say_kind, unit.conflicts or unit.findings)))
    gone = [kind.removesuffix(_IS_MISSING) for kind in kinds if kind.endswith(_IS_MISSING)]
    others = [kind for kind in kinds if not kind.endswith(_IS_MISSING)]
    if len(gone) > 1:
        others.insert(0, f"{' and '.join(gone)} are missing")
    elif gone:
        others.insert(0, gone[0] + _IS_MISSING)
    return "; ".join(others) or "something else would be written"
