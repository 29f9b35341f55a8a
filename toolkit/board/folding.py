"""Groups of a list that fold: where each stands, and which lines are seen between them. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Section:
    """A group in an order: its heading stands at `at`, below it its `size` lines if they are `shown`.

    `first` is the place of the first in the order. `ready` of them could be approved together, and nobody
    has decided about `undecided`.
    """

    group: int
    at: int
    first: int
    size: int
    ready: int
    undecided: int
    shown: bool

    @property
    def height(self) -> int:
        """Lines that it takes, its heading among them."""
        return 1 + (self.size if self.shown else 0)


@dataclass(frozen=True, slots=True)
class Heading:
    """A group as a line. `unit` is the name that it is asked for by, and `words` say what is the matter."""

    unit: str
    status: str
    words: str
    size: int
    ready: int
    undecided: int
    shown: bool


def find_lines(sections: list[Section], start: int, count: int) -> list[Section | range]:
    """What stands at these places: headings, and between them parts of the order."""
    found: list[Section | range] = []
    for section in sections:
        if section.at + section.height <= start or section.at >= start + count:
            continue
        if section.at >= start:
            found.append(section)
        if section.shown:
            skipped = max(0, start - section.at - 1)
            room = start + count - section.at - 1
            found.append(range(section.first + skipped, section.first + min(section.size, room)))
    return found


def place_of(sections: list[Section], at: int) -> int:
    """Where a line of the order is seen; -1 where its group is folded."""
    for section in sections:
        if section.first <= at < section.first + section.size:
            return section.at + 1 + at - section.first if section.shown else -1
    return -1
