"""Where users stand on the map; all lengths are inches, from the upper left corner."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from toolkit.plots.lettering import fit, width_of
from toolkit.plots.marks import CALM, NOBODY, ORDER, UserLine
from toolkit.text.summary import count_of
from toolkit.words import CHATS, Words

MARGIN = 0.25


@dataclass(frozen=True, slots=True)
class Density:
    """How closely the map is drawn. Folded: users in sync are counted instead."""

    width: float
    columns: int
    cell: float
    name: float
    rows: int
    height: float
    folded: bool = False

    @property
    def pitch(self) -> float:
        return self.cell * 1.14

    @property
    def gap(self) -> float:
        """Between users; chats of one user stand closer."""
        return self.cell * (0.34 if self.columns == 1 else 0.16)

    @property
    def gutter(self) -> float:
        """Between columns."""
        return self.cell * 1.4

    @property
    def column(self) -> float:
        return (self.width - 2 * MARGIN + self.gutter) / self.columns - self.gutter

    @property
    def left(self) -> float:
        """Where names begin: the mark of the user's row stands before them."""
        return self.cell * 1.3

    @property
    def points(self) -> float:
        """The size of names."""
        return min(10.0, self.cell * 46)

    def per_row(self, name: float) -> int:
        return max(1, int((self.column - self.left - name - self.cell * 0.5) / self.pitch))

    def rows_of(self, user: UserLine, name: float) -> int:
        needed = -(-len(user.chats) // self.per_row(name))
        return max(1, min(needed, self.rows))

    def heights(self, users: Iterable[UserLine], name: float) -> list[float]:
        return [self.rows_of(user, name) * self.pitch + self.gap for user in users]


_ROOMY = Density(width=8, columns=1, cell=0.32, name=2.6, rows=5, height=4.8)
_USUAL = Density(width=10, columns=2, cell=0.21, name=1.9, rows=4, height=6)
_DENSE = Density(width=12, columns=3, cell=0.165, name=1.5, rows=3, height=9)
_CLOSE = Density(width=12, columns=5, cell=0.13, name=0.95, rows=1, height=9.9, folded=True)
TINY = Density(width=12, columns=7, cell=0.105, name=0.62, rows=1, height=9.9, folded=True)
DENSITIES = (
    *(_ROOMY, _USUAL, _DENSE),
    *(replace(density, folded=True) for density in (_ROOMY, _USUAL)),
    replace(_DENSE, folded=True, height=9.9),
    *(_CLOSE, TINY),
)


class _Block(NamedTuple):
    """A user's place on the map."""

    user: UserLine
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Map:
    """Users and where they stand, and in a line below those that are only counted."""

    density: Density
    blocks: tuple[_Block, ...]
    name: float
    names: Mapping[str, str]
    height: float
    below: str


def arrange(users: Sequence[UserLine], words: Words = CHATS) -> Map:
    """The roomiest map that holds all users; if none does, the tiniest with those worst off."""
    troubled = [user for user in users if user.worst is not CALM]
    for density in DENSITIES:
        shown = troubled if density.folded else users
        if _columns(density.heights(shown, density.name), density) is not None:
            return _place(density, shown, users, words)
    return _place(TINY, _worst(troubled), users, words)


def _worst(users: Sequence[UserLine]) -> list[UserLine]:
    """As many of the users as the tiniest map surely holds, in their order."""
    room = TINY.columns * (TINY.height - TINY.rows * TINY.pitch - TINY.gap)
    ranked = sorted(range(len(users)), key=lambda i: (ORDER.index(users[i].worst), i))
    kept: list[int] = []
    for index, height in zip(
        ranked, TINY.heights((users[i] for i in ranked), TINY.name), strict=True
    ):
        room -= height
        if room < 0:
            break
        kept.append(index)
    return [users[index] for index in sorted(kept)]


def _columns(heights: Sequence[float], density: Density) -> list[tuple[int, float]] | None:
    """Column and distance from the top of each block, columns as even as can be; None: too many."""
    limit = max(sum(heights) / density.columns, max(heights, default=0.0))
    while limit <= density.height:
        places, column, y = [], 0, 0.0
        for height in heights:
            if y + height > limit + 1e-6:
                column, y = column + 1, 0.0
            places.append((column, y))
            y += height
        if column < density.columns:
            return places
        if limit == density.height:
            break
        limit = min(limit + density.pitch, density.height)
    return None


def _place(
    density: Density, shown: Sequence[UserLine], users: Sequence[UserLine], words: Words
) -> Map:
    server = _shared_server(users) if density.columns > 1 else ""
    names = _short_names(shown, server, density)
    points = density.points
    name = min(density.name, max((width_of(text, points) for text in names.values()), default=0))
    heights = density.heights(shown, name)
    places = _columns(heights, density) or []
    blocks = tuple(
        _Block(user, MARGIN + column * (density.column + density.gutter), y)
        for user, (column, y) in zip(shown, places, strict=True)
    )
    height = max((block.y + high for block, high in zip(blocks, heights, strict=True)), default=0.0)
    return Map(density, blocks, name, names, height, _below(server, shown, users, words.person))


def _below(server: str, shown: Sequence[UserLine], users: Sequence[UserLine], person: str) -> str:
    """What the map leaves out."""
    calm = sum(user.worst is CALM for user in users) if len(shown) < len(users) else 0
    missing = [f"{count_of(calm, person)} in sync"] if calm else []
    if left := len(users) - calm - len(shown):
        missing.append(f"{count_of(left, f'more {person}')} not in sync")
    parts = [f"Not drawn: {', '.join(missing)}."] if missing else []
    if server:
        parts.append(f"All {person}s are on {fit(server, 3, 9)}.")
    return " ".join(parts)


def _short_names(users: Sequence[UserLine], server: str, density: Density) -> dict[str, str]:
    """What is written for each name; without the server if it is the same for all."""
    points, end = density.points, f":{server}" if server else ""
    return {user.name: fit(user.name.removesuffix(end), density.name, points) for user in users}


def _shared_server(users: Sequence[UserLine]) -> str:
    """The server of all users; empty if they differ."""
    servers = {user.name.partition(":")[2] for user in users if user.name != NOBODY}
    return servers.pop() if len(servers) == 1 else ""
