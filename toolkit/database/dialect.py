"""The statements on mapped tables, and their parameters, in whichever SQL. Pure.

An UPDATE sets the columns that change and no other; every mapped column is compared first.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from toolkit.database.virtual_rows import Part, Table
from toolkit.records import FAMILIES, Names, Raw


class Statement(NamedTuple):
    """SQL, or a part of it, with the parameters of one row."""

    sql: str
    parameters: tuple[Raw, ...] = ()


def join(word: str, parts: Iterable[Statement]) -> Statement:
    """Parts with a word between them."""
    told = list(parts)
    values = (value for part in told for value in part.parameters)
    return Statement(word.join(part.sql for part in told), tuple(values))


class Dialect(ABC):
    """The SQL of one kind of database: how it names, shows and compares a cell."""

    at_conflict = ""
    """What keeps a table from settling a conflict in its own way, such as by deleting another row."""
    quote: Callable[[str], str]
    """A column's name as SQL."""
    quote_table: Callable[[str], str]
    """That of a table, as a mapping has it."""
    quote_child: Callable[[str], str]
    """That of a table with foreign keys, as the database told it."""

    @abstractmethod
    def columns(self, tables: Sequence[Table], place: int) -> list[str]:
        """What is selected of one table for an answer with the rows of all."""

    @abstractmethod
    def cells(self, tables: Sequence[Table]) -> list[slice]:
        """Where the cells of each table stand in such an answer, behind the table's place."""

    @abstractmethod
    def shown(self, table: Table, part: Part) -> str:
        """A cell as it is read."""

    @abstractmethod
    def given(self, table: Table, column: str, cell: Any) -> Statement:
        """A cell as it is written. ValueError for what can't be stored."""

    @abstractmethod
    def same(self, table: Table, column: str, cell: Any) -> Statement:
        """That the column holds this cell, to the byte, whatever its own type and collation are."""

    def was(self, table: Table, part: Part, cell: Any) -> Statement:
        """That a mapped column still holds the cell that was read."""
        return self.same(table, part.column, cell)

    @abstractmethod
    def named(self, table: Table, part: Part, name: str) -> Statement:
        """That a part of the key is so called. Here the column's own collation counts: what it takes for
        the same comes along."""

    @abstractmethod
    def naming(self, part: Part, names: Sequence[str]) -> list[Statement]:
        """That the column holds one of these names, as terms of which one has to be true."""

    @abstractmethod
    def untouched(self, column: str, default: str) -> str:
        """That a column which nobody maps still holds its default."""

    def select_all(self, tables: Sequence[Table], about: Names | None = None) -> Statement:
        """The rows of all tables at one moment; the first column is the table's place among them.

        With `about`, those that name one of these rooms or users, in the columns that do.
        """
        selects = []
        for place, table in enumerate(tables):
            where = self._where(table)
            if about is not None:
                where = join(" AND ", [where, self._naming(table, about)])
            columns = ", ".join(self.columns(tables, place))
            selects.append(self._select(columns, table, where))
        return join(" UNION ALL ", selects)

    def select_some(self, table: Table, keys: Sequence[str]) -> Statement:
        """The rows of some keys; an id that may be text or integer is looked for as both."""
        columns = ", ".join(self.shown(table, part) for part in table.parts)
        names = _either(self._key(table, key) for key in keys)
        return self._select(columns, table, join(" AND ", [self._where(table), names]))

    def update(
        self, table: Table, before: Mapping[str, Any], after: Mapping[str, Any]
    ) -> Statement:
        """Set what differs, if the row still is as before. ValueError if nothing differs."""
        changed = {
            name: cell for name, cell in after.items() if not same_cell(before.get(name), cell)
        }
        if not changed:
            raise ValueError("nothing that a column holds is to be changed")
        if moved := [name for name in table.key_columns if name in changed]:
            raise ValueError(f"{moved[0]} is part of the key, which stays")
        sets = join(", ", [self._set(table, name, cell) for name, cell in changed.items()])
        where = self._as_it_was(table, before)
        name = self.quote_table(table.name)
        sql = f"UPDATE{self.at_conflict} {name} SET {sets.sql} WHERE {where.sql}"
        return Statement(sql, sets.parameters + where.parameters)

    def insert(self, table: Table, after: Mapping[str, Any]) -> Statement:
        """A new row, if there is none of its key; what isn't given is left to the table."""
        given = {name: cell for name, cell in after.items() if cell is not None}
        row: dict[str, Any] = {**table.constants, **table.where, **given}
        keyed = [self.same(table, name, row.get(name)) for name in table.key_columns]
        there = join(" AND ", [self._where(table), *keyed])
        cells = join(", ", [self.given(table, name, cell) for name, cell in row.items()])
        name = self.quote_table(table.name)
        sql = (
            f"INSERT{self.at_conflict} INTO {name} ({', '.join(map(self.quote, row))}) "
            f"SELECT {cells.sql} WHERE NOT EXISTS (SELECT 1 FROM {name} WHERE {there.sql})"
        )
        return Statement(sql, cells.parameters + there.parameters)

    def delete(self, table: Table, before: Mapping[str, Any]) -> Statement:
        """Take an inserted row back, if nobody has put anything into it, and no other row names it."""
        name = self.quote_table(table.name)
        terms = [self._as_it_was(table, before)]
        for column, constant in table.constants.items():
            if column not in before:
                terms.append(self.same(table, column, constant))
        terms += [Statement(self.untouched(*column)) for column in table.fresh.items()]
        for child, pairs in table.children:
            same = " AND ".join(
                f"child.{self.quote(own)} = parent.{self.quote(theirs)}" for own, theirs in pairs
            )
            rows = f"SELECT 1 FROM {self.quote_child(child)} AS child WHERE {same}"
            terms.append(Statement(f"NOT EXISTS ({rows})"))
        where = join(" AND ", terms)
        return Statement(f"DELETE FROM {name} AS parent WHERE {where.sql}", where.parameters)

    def still_there(self, table: Table, before: Mapping[str, Any]) -> Statement:
        """Whether the row is as it was, as far as it is mapped."""
        return self._select("1", table, self._as_it_was(table, before))

    def _select(self, columns: str, table: Table, where: Statement) -> Statement:
        sql = f"SELECT {columns} FROM {self.quote_table(table.name)} WHERE {where.sql}"
        return Statement(sql, where.parameters)

    def _set(self, table: Table, column: str, cell: Any) -> Statement:
        sql, values = self.given(table, column, cell)
        return Statement(f"{self.quote(column)} = {sql}", values)

    def _where(self, table: Table) -> Statement:
        counted = [self.same(table, name, cell) for name, cell in table.where.items()]
        return join(" AND ", [Statement("true"), *counted])

    def _as_it_was(self, table: Table, cells: Mapping[str, Any]) -> Statement:
        terms = [self.was(table, part, cells.get(part.column)) for part in table.parts]
        return join(" AND ", [self._where(table), *terms])

    def _key(self, table: Table, key: str) -> Statement:
        told = dict(zip(table.keys, table.split(key), strict=True))
        parts = [part for part in table.parts if part.field in told]
        terms = join(" AND ", [self.named(table, part, told[part.field]) for part in parts])
        return Statement(f"({terms.sql})", terms.parameters)

    def _naming(self, table: Table, about: Names) -> Statement:
        """Where one of the names may stand; in a table of links anywhere, so that all its rows come."""
        if table.family not in FAMILIES:
            return Statement("(true)")
        terms = list[Statement]()
        for part in table.parts:
            told = sorted(_NAMES[part.field](about)) if part.field in _NAMES else []
            terms += self.naming(
                part, [n.removeprefix(part.prefix) for n in told if n.startswith(part.prefix)]
            )
        return _either(terms or [Statement("false")])


def same_cell(one: Any, other: Any) -> bool:
    """Whether two cells are the same; 1 and 1.0 aren't."""
    return type(one) is type(other) and one == other


def _either(terms: Iterable[Statement]) -> Statement:
    sql, parameters = join(" OR ", terms)
    return Statement(f"({sql})", parameters)


_NAMES: Mapping[str, Callable[[Names], frozenset[str]]] = {
    **dict.fromkeys(("user_id", "matrix_user_id"), lambda about: about.users),
    **dict.fromkeys(("room_id", "space_id", "surface_ref"), lambda about: about.rooms),
}
