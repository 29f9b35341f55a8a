"""What a database holds that no mapping describes yet, as a proposal needs it: tables, and some rows of each.

The seam between who proposes and who looks: `survey` does for SQLite, `postgres.survey` for a server.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from toolkit.database.contract import TransactionalStore
from toolkit.quotes import quote_odd


class Column(msgspec.Struct, frozen=True):
    """A column, as far as a mapping hangs on it. `needed` is what an INSERT has to give a value for."""

    name: str
    integer: bool = False
    boolean: bool = False
    needed: bool = False


class Sample(msgspec.Struct, frozen=True):
    """A table, and some of its rows: the first and the last ones, or all if there are few.

    `name` is as a mapping has it, and so is each cell, but for texts, which are cut after `LONGEST` characters,
    and for what no mapping could name, which is bytes or None. `unique` are the sets of columns that are never
    the same in two rows.
    """

    name: str
    columns: tuple[Column, ...]
    unique: tuple[frozenset[str], ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()
    whole: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in their order."""
        return tuple(column.name for column in self.columns)

    def cells(self, column: str) -> list[Any]:
        """What the rows hold in a column, row by row."""
        place = self.names.index(column)
        return [row[place] for row in self.rows]


class Survey(msgspec.Struct, frozen=True):
    """All that was found; `untold` is what wasn't looked at, each with why."""

    samples: tuple[Sample, ...]
    untold: tuple[str, ...] = ()


class Site(Protocol):
    """A database that is looked into: what is asked of any kind of one."""

    @property
    def name(self) -> str:
        """How it is called before people; never with a password."""

    @property
    def setting(self) -> str:
        """How a settings file names it, likewise."""

    @property
    def remark(self) -> str:
        """What a person has to know of that; empty if nothing."""

    async def survey(self) -> Survey:
        """Look into all its tables, which a bot may be writing; leaves nothing behind. Raises `StoreError`."""

    def store(self, **settings: Any) -> TransactionalStore:
        """A store on it that only reads, and isn't open yet; `settings` as `store_at` takes them."""


SAMPLED = 2_000
"""Rows of a table that are read at most: half of them its first, half its last."""
LONGEST = 4_000


_NAMED = 5


def untold(tables: Sequence[str], why: str) -> str:
    """Why some tables aren't among the samples, after "Can't tell: "; of many only the first are named."""
    named = ", ".join(map(quote_odd, tables[:_NAMED]))
    more = f" and {len(tables) - _NAMED:,} more" if len(tables) > _NAMED else ""
    return f"what stands in {named}{more}, which {why}"
