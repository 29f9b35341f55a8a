"""What was found, and how often."""

from collections import Counter
from collections.abc import Mapping

from toolkit.model import Plan


def causes(plan: Plan) -> dict[str, int]:
    """How often each finding was made, the most frequent first."""
    found = Counter(finding.code for unit in plan.units for finding in unit.findings)
    return {
        code.replace("_", " "): found[code] for code in sorted(found, key=lambda c: (-found[c], c))
    }


def most_of(causes: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    """The most frequent causes, and the others together."""
    ordered = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= limit:
        return ordered
    rest = ordered[limit - 1 :]
    return [*ordered[: limit - 1], (f"{len(rest)} other causes", sum(count for _, count in rest))]
