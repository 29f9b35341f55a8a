"""What was found, and how often, as far as there is room for it."""

from collections.abc import Mapping


def most_of(causes: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    """The most frequent causes, and the others together."""
    ordered = sorted(causes.items(), key=lambda item: -item[1])
    if len(ordered) <= limit:
        return ordered
    rest = ordered[limit - 1 :]
    return [*ordered[: limit - 1], (f"{len(rest)} other causes", sum(count for _, count in rest))]
