"""How closely the map is drawn. All lengths are inches."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from toolkit.plots.marks import UserLine

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
