"""Rows of a table of links: which id each links to which room, as far as it can be read. Pure."""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

from toolkit.layout import Layout, LinkTable, TableFacts
from toolkit.records import LocalState, Raw, encode_row, link_key

Id: TypeAlias = tuple[str, ...]
"""The parts of an id as texts: 7 and "7" are the same to a bot that keeps one of them."""

Local: TypeAlias = "LocalState | LinkState"
"""The rows of a bot of either shape."""

Claimed: TypeAlias = tuple[str | None, ...]
"""An id of which a part may be unknown."""


class LinkRow(msgspec.Struct, frozen=True):
    """A readable row. `room` is None where it names none; `cells` are all its mapped columns."""

    key: str
    id: Id
    room: str | None
    cells: dict[str, Any]


class LinkState(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """All rows of a table of links at one moment.

    `links` holds the readable ones by their ids, `repeated` those of ids that have several; `unreadable`
    says why for the key of any other. `nameless` are the rooms (or None) of rows whose id is NULL: they link
    nothing. `integers` says of each column of the id whether it holds integers.
    """

    table: LinkTable
    rows: Mapping[str, Raw]
    links: dict[Id, LinkRow]
    repeated: dict[Id, tuple[LinkRow, ...]]
    unreadable: dict[str, str]
    nameless: tuple[Any, ...]
    integers: tuple[bool, ...]
    why_no_insert: str = ""
    why_no_write: str = ""

    @cached_property
    def pointing(self) -> dict[str, list[LinkRow]]:
        """Room -> the readable rows that name it; not to be changed."""
        found: dict[str, list[LinkRow]] = {}
        for row in self.all_links:
            if row.room is not None:
                found.setdefault(row.room, []).append(row)
        return found

    @property
    def all_links(self) -> list[LinkRow]:
        """Every readable row, several of one id included, in the order of the ids."""
        several = [row for rows in self.repeated.values() for row in rows]
        return sorted([*self.links.values(), *several], key=lambda row: (row.id, row.room or ""))

    @cached_property
    def _by_parts(self) -> dict[tuple[int, ...], dict[tuple[str, ...], list[Id]]]:
        return {}

    def fitting(self, claimed: Claimed) -> list[Id]:
        """The ids of rows that are the same as this one, as far as it is known."""
        known = {place: part for place, part in enumerate(claimed) if part is not None}
        places = tuple(known)
        if places not in self._by_parts:
            index: dict[tuple[str, ...], list[Id]] = {}
            for id in sorted({*self.links, *self.repeated}):
                index.setdefault(tuple(id[place] for place in places), []).append(id)
            self._by_parts[places] = index
        return self._by_parts[places].get(tuple(known.values()), [])

    def owner(self, row: LinkRow | None) -> str | None:
        """What the declared column says, which is shown and never written."""
        value = row and self.table.owner and row.cells.get(self.table.owner)
        return str(value) if isinstance(value, str | int) else None

    @property
    def may_insert(self) -> bool:
        """Whether a row may be made: the mapping says so, and the table lets it."""
        return self.table.insert is not False and not self.why_no_insert

    def key(self, id: Id) -> str:
        """The key of the row of an id, which needn't be there."""
        return link_key(self.table.table, id)

    def pointed(self, row: LinkRow, room_id: str) -> str:
        """The text of a row once it names another room."""
        return encode_row(row.cells | {self.table.room: room_id})

    def mended(self, raw: Raw, room_id: str) -> str | None:
        """The text of a row whose room is none, once it names one; None if it is the id that is odd."""
        cells = json.loads(str(raw))
        if isinstance(cells, list) or _why_unreadable(cells | {self.table.room: None}, self.table):
            return None
        return encode_row(cells | {self.table.room: room_id})

    def fresh(self, id: Id, room_id: str) -> str:
        """The text of a new row."""
        parts = zip(self.table.ids, id, self.integers, strict=True)
        cells = {name: int(part) if integer else part for name, part, integer in parts}
        return encode_row(cells | {self.table.room: room_id})


def load_links(
    rows: Mapping[str, Raw], layout: Layout, facts: TableFacts | None = None
) -> LinkState:
    """Read every row by itself, so that an odd one is a finding and the others go on.

    `facts` are what the database says of the table. A column of the id that holds nothing but integers
    is one of integers, whatever its type: compared with a number, a text may find nothing.
    """
    table, family = layout.link, link_key(layout.link.table, [""])
    links: dict[Id, LinkRow] = {}
    repeated: dict[Id, tuple[LinkRow, ...]] = {}
    unreadable: dict[str, str] = {}
    nameless: tuple[Any, ...] = ()
    for key, raw in rows.items():
        if not key.startswith(family):
            continue
        found = _decode(str(raw))
        several = found if isinstance(found, list) else [found]
        if all(cells.get(name) is None for cells in several for name in table.ids):
            nameless = tuple(cells.get(table.room) for cells in several)
            continue
        why = next((why for cells in several if (why := _why_unreadable(cells, table))), "")
        if why:
            unreadable[key] = why
        elif len(several) == 1:
            row = _row(key, several[0], table)
            links[row.id] = row
        else:
            read = tuple(_row(key, cells, table) for cells in several)
            repeated[read[0].id] = read
    kinds = _kinds(table, links.values())
    facts = facts or TableFacts()
    integers = facts.integers | {name for name in table.ids if kinds[name] == {int}}
    mixed = [name for name in table.ids if name not in integers and len(kinds[name]) > 1]
    return LinkState(
        table=table,
        rows=rows,
        links=links,
        repeated=repeated,
        unreadable=unreadable,
        nameless=nameless,
        integers=tuple(name in integers for name in table.ids),
        why_no_insert=facts.why_no_insert or (_MIXED.format(mixed[0]) if mixed else ""),
        why_no_write=facts.why_no_write,
    )


def _decode(text: str) -> Any:
    """A row or a list of rows; msgspec reads nearly all, in a third of the time."""
    with suppress(msgspec.DecodeError, UnicodeError):
        return msgspec.json.decode(text)
    return json.loads(text)


def _why_unreadable(cells: Mapping[str, Any], table: LinkTable) -> str:
    """Why a row can't be read: an id or a room that is none. What is only shown may be anything."""
    for name in table.ids:
        cell = cells.get(name)
        if type(cell) not in (int, str) or (cell == "" and len(table.ids) == 1):
            return f"its column {name!r} is part of the id, and holds {_kind(cell)}"
    if not isinstance(room := cells.get(table.room), str | None):
        return f"its column {table.room!r} is the room, and holds {_kind(room)}"
    return ""


def _kind(value: Any) -> str:
    if value is None or value == "":
        return "nothing"
    return "a BLOB" if isinstance(value, dict) else "a number"


def _row(key: str, cells: dict[str, Any], table: LinkTable) -> LinkRow:
    id = tuple(str(cells[name]) for name in table.ids)
    return LinkRow(key, id, cells.get(table.room) or None, cells)


def _kinds(table: LinkTable, rows: Iterable[LinkRow]) -> dict[str, set[type]]:
    """Which types the columns of the id hold: one without a declared type keeps what it is given."""
    found: dict[str, set[type]] = {name: set() for name in table.ids}
    for row in rows:
        for name in table.ids:
            found[name].add(type(row.cells[name]))
    return found


_MIXED = "its column {!r} holds texts beside numbers, and nothing tells which of them a new id is"
