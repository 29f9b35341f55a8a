"""Which columns of a table may link an id to a room, by what their cells look like. Pure."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import compress
from typing import Any, TypeAlias

import msgspec

from toolkit.database.sample import Sample
from toolkit.layout import Cell

Id: TypeAlias = tuple[str, ...]


class Link(msgspec.Struct, frozen=True):
    """A row as a proposal reads it: an id and a room."""

    id: Id
    room: str


class Candidate(msgspec.Struct, frozen=True, dict=True):
    """Columns of one table that may be a link; `where` says which of its rows count."""

    sample: Sample
    room: str
    ids: tuple[str, ...]
    where: dict[str, Cell] = {}

    @property
    def integers(self) -> frozenset[str]:
        """Columns of the id that hold integers."""
        return frozenset(
            column.name
            for column in self.sample.columns
            if column.name in self.ids and column.integer
        )

    @cached_property
    def links(self) -> list[Link]:
        """Rows with an id and a room, each of which stands in no other row."""
        names = self.sample.names
        places, at = [names.index(name) for name in self.ids], names.index(self.room)
        wanted = [(names.index(name), value) for name, value in self.where.items()]
        found = [
            Link(tuple(str(row[place]) for place in places), row[at])
            for row in self.sample.rows
            if all(row[place] == value for place, value in wanted)
            and looks_like_room(row[at])
            and _is_id([row[place] for place in places])
        ]
        ids, rooms = Counter(link.id for link in found), Counter(link.room for link in found)
        return [link for link in found if ids[link.id] == rooms[link.room] == 1]

    @property
    def repeated(self) -> int:
        """How many rows with a room share their id, or their room, with another one."""
        return len(list(filter(looks_like_room, self.sample.cells(self.room)))) - len(self.links)

    @property
    def is_key(self) -> bool:
        """Whether the database itself keeps the id apart."""
        told = {*self.ids, *self.where}
        return any(columns <= told for columns in self.sample.unique)

    @property
    def shown(self) -> tuple[str, ...]:
        """Columns that are needed to tell the rows apart, beside id, room and `where`."""
        told = {self.room, *self.ids, *self.where}
        absent = [columns - told for columns in self.sample.unique]
        return tuple(sorted(min(absent, key=lambda names: (len(names), sorted(names)), default=())))


def find_candidates(sample: Sample, joined: Collection[str]) -> list[Candidate]:
    """Every choice of a room column and an id that the cells of a table allow."""
    found = [
        Candidate(sample, room, ids, where)
        for room in _room_columns(sample, joined)
        for ids, where in _ids(sample, room)
    ]
    once = {(one.room, one.ids, tuple(one.where)): one for one in reversed(found)}
    return [one for one in found if once[one.room, one.ids, tuple(one.where)] is one]


def looks_like_room(value: Any) -> bool:
    """Whether a cell may be a room's id, which needn't name a server."""
    return isinstance(value, str) and bool(_ROOM.fullmatch(value))


def looks_like_user(value: Any) -> bool:
    """Whether a cell may be a user's id."""
    return isinstance(value, str) and bool(_USER.fullmatch(value))


def only_value(cells: Sequence[Any]) -> Any:
    """What all of several cells hold, if it is the same, and a file can say it; else None."""
    kinds = {(type(cell), cell) for cell in cells}
    if len(cells) < 2 or len(kinds) > 1 or not is_sayable(cells[0]):
        return None
    return cells[0]


def is_sayable(value: Any) -> bool:
    """Whether a value can stand in a file: no BLOB, and no text that is no UTF-8."""
    if isinstance(value, str):
        return not any("\ud800" <= char <= "\udfff" for char in value)
    return isinstance(value, int | float)


def _room_columns(sample: Sample, joined: Collection[str]) -> Iterator[str]:
    """Columns of rooms: what else stands there is the smaller part, as long as no room is one of ours."""
    for name in sample.names:
        cells = [cell for cell in sample.cells(name) if cell not in (None, "")]
        rooms = [cell for cell in cells if looks_like_room(cell)]
        if any(room in joined for room in rooms) or len(rooms) * 2 > len(cells):
            yield name


def _ids(sample: Sample, room: str) -> Iterator[tuple[tuple[str, ...], dict[str, Cell]]]:
    """By the keys that the table has, first; then each column that is never twice the same."""
    for unique in sample.unique:
        rest = tuple(name for name in sample.names if name in unique and name != room)
        same = {name: only_value(sample.cells(name)) for name in rest}
        fixed: dict[str, Cell] = {
            name: cell
            for name, cell in same.items()
            if cell is not None and not looks_like_user(cell)  # others are still to come
        }
        if ids := tuple(name for name in rest if name not in fixed):
            yield ids, fixed
            if fixed:
                yield rest, {}
        elif rest:
            yield rest, {}
    linked = [looks_like_room(cell) for cell in sample.cells(room)]
    groups = [linked, *_still_counting(sample, linked)]
    for name in sample.names:
        if name == room or name.lower() in FLAGS:
            continue
        column = sample.cells(name)
        if any(_tells_apart([*compress(column, group)]) for group in groups):
            yield (name,), {}


def _still_counting(sample: Sample, linked: Sequence[bool]) -> Iterator[list[bool]]:
    """Which rows may still count by a column that is called so: of rows given up an id may be repeated."""
    for name in filter(lambda name: name.lower() in FLAGS, sample.names):
        cells = sample.cells(name)
        for value in (0, 1):
            yield [here and cell == value for here, cell in zip(linked, cells, strict=True)]


def _tells_apart(column: Iterable[Any]) -> bool:
    """Whether these cells may be ids, none of which is there twice."""
    cells = [cell for cell in column if cell not in (None, "")]
    return bool(cells) and len(set(cells)) == len(cells) and _is_id(cells)


def _is_id(cells: Sequence[Any]) -> bool:
    """Whether these may be ids, or parts of one: integers, or short texts."""
    if len(cells) == 1 and cells[0] == "":
        return False
    return all(
        type(cell) is int
        or (isinstance(cell, str) and len(cell) < _LONG and not cell.startswith(("{", "[")))
        for cell in cells
    )


ACTIVE = {"active", "is_active", "enabled", "is_enabled"}
FLAGS = ACTIVE | {"deleted", "is_deleted", "archived", "is_archived", "disabled", "closed"}
"""Columns that may say whether a row still counts, by their names in small letters."""

_ROOM = re.compile(r"!(?:[^\s:]+:\S+|[A-Za-z0-9_-]+)")
_USER = re.compile(r"@[^\s:]*:\S+")
_LONG = 256
