"""Rows of a bot's own tables as a key and a canonical text, and back: what stands in which column. Pure.

The text holds a row's mapped columns as compact JSON, always in the same order, so that equal rows have equal
texts. A cell that JSON can't hold is packed, and makes its own row unreadable. Rows under one key are a JSON
list of them: a conflict, and no writer takes such a text for a row.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import msgspec

from toolkit.layout import LARGEST, SMALLEST, Cell, Layout, as_integer
from toolkit.records import (
    CHAT,
    FAMILIES,
    ROOM,
    USER,
    Raw,
    chat_key,
    decode_object,
    encode_row,
    link_key,
    pack_raw,
    parse_key,
    room_key,
    unpack_raw,
    user_key,
)

Cells = Mapping[str, Any]
"""Column -> its value as SQLite gives it, None for NULL."""


class Part(msgspec.Struct, frozen=True):
    """A mapped column: the field that shows it, and what stands before its value there.

    `shown` is False for what stands in the key alone.
    """

    column: str
    field: str
    prefix: str = ""
    shown: bool = True

    def value(self, cell: Any) -> Any:
        """What the field shows of a cell."""
        if self.prefix and isinstance(cell, str | int | float):
            return f"{self.prefix}{cell}"
        return pack_raw(cell) if isinstance(cell, bytes) else cell

    def cell(self, value: Any, *, text: bool) -> Any:
        """The cell that shows so; `text` says that the column holds texts. Raises ValueError."""
        if isinstance(value, dict):
            value = unpack_raw(value)
        elif self.prefix and value is not None:
            if not (isinstance(value, str) and value.startswith(self.prefix)):
                raise ValueError(f"{self.field} doesn't begin with {self.prefix!r}")
            value = value.removeprefix(self.prefix)
            number = None if text else as_integer(value)
            value = value if number is None else number
        if isinstance(value, int) and not SMALLEST <= value <= LARGEST:
            raise ValueError(f"{self.field} is larger than a column can hold")
        if isinstance(value, list):
            raise ValueError(f"{self.field} is a list, which no column can hold")
        return value


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """One mapped table: which rows of it count (`where`), and how each is shown.

    `key_of` makes a key of the key's fields. `fixed` are fields that no column holds. The rest is known
    once the database is open: `texts` are columns that hold texts, `fresh` what an inserted row holds in
    columns that nobody maps (as SQL), and `children` which columns of other tables name its rows.
    """

    name: str
    family: str
    parts: tuple[Part, ...]
    keys: tuple[str, ...]
    key_of: Callable[[Sequence[str]], str]
    where: dict[str, Cell] = {}
    fixed: dict[str, Cell] = {}
    constants: dict[str, Cell] = {}
    texts: frozenset[str] = frozenset()
    fresh: dict[str, str] = {}
    children: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, compared, and never written but by a change of theirs."""
        return tuple(part.column for part in self.parts)

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The columns that make the key."""
        return tuple(part.column for part in self.parts if part.field in self.keys)

    def show(self, cells: Sequence[Any]) -> tuple[str, str, bool]:
        """A row's key and text, and whether the key can be told by its cells."""
        values = {
            part.field: part.value(cell) if part.prefix or type(cell) is bytes else cell
            for part, cell in zip(self.parts, cells, strict=True)
        }
        shown = {part.field: values[part.field] for part in self.parts if part.shown}
        names = [_name(values[field], self.family) for field in self.keys]
        text = _encode(self.fixed | shown if self.fixed else shown)
        if None not in names:
            return self.key_of([name for name in names if name is not None]), text, True
        odd = encode_row({field: values[field] for field in self.keys})
        return f"{self.family}{odd}", text, False

    def cells(self, key: str, text: Raw) -> dict[str, Any]:
        """The cells that a key and text show; what the text doesn't name is left out. Raises ValueError."""
        fields = decode_object(text)
        for field, value in self.fixed.items():
            if fields.get(field, value) != value:
                raise ValueError(f"{field} is always {value!r} by the mapping")
        named = dict(zip(self.keys, self.split(key), strict=True))
        found = {}
        for part in self.parts:
            if not part.shown:
                fields[part.field] = named[part.field]
            if part.field in fields:
                as_text = part.column in self.texts
                found[part.column] = part.cell(fields[part.field], text=as_text)
        return found

    def split(self, key: str) -> tuple[str, ...]:
        """The fields of a key, as texts."""
        name = parse_key(key)
        if self.family == CHAT:
            return name.name
        if self.family in (ROOM, USER):
            return (name.room_id or name.user,)
        told = key[len(self.family) :]
        if len(self.keys) == 1:
            return (told,)
        return tuple(msgspec.json.decode(told.encode("utf-8", "surrogatepass"), type=list[str]))


def _encode(row: dict[str, Any]) -> str:
    """As `encode_row`, which looks for NaN in every row that holds a null."""
    if float not in map(type, row.values()):
        with suppress(UnicodeError):
            return msgspec.json.encode(row).decode()
    return encode_row(row)


def gather(shown: Iterable[tuple[str, str, bool]]) -> list[tuple[str, Raw]]:
    """Rows under their keys: one as it is; several, or one whose key can't be told, as a list."""
    found: dict[str, list[str]] = {}
    odd: set[str] = set()
    for key, text, told in shown:
        found.setdefault(key, []).append(text)
        if not told:
            odd.add(key)
    return [
        (key, texts[0] if len(texts) == 1 and key not in odd else f"[{','.join(sorted(texts))}]")
        for key, texts in found.items()
    ]


def tables_of(layout: Layout) -> dict[str, Table]:
    """Family (what the keys of its rows begin with) -> the table."""
    if layout.links:
        link = layout.link
        family = link_key(link.table, [""])
        table = Table(
            name=link.table,
            family=family,
            parts=tuple(Part(column, column) for column in link.columns),
            keys=link.ids,
            key_of=lambda parts: link_key(link.table, parts),
            where=link.where,
            constants=link.constants,
        )
        return {family: table}
    return {_FAMILIES[name][0]: _chats_table(name, layout) for name in layout.families}


def _chats_table(name: str, layout: Layout) -> Table:
    family, key_of = _FAMILIES[name]
    told = layout.families[name]
    keys = told.keys
    fields = told.fields
    return Table(
        name=told.table,
        family=family,
        parts=tuple(
            Part(field.column, name, field.prefix, shown=family == CHAT or name not in keys)
            for name, field in fields.items()
            if field.column is not None
        ),
        keys=keys,
        key_of=key_of,
        where=told.where,
        fixed={name: field.fixed for name, field in fields.items() if field.fixed is not None},
        constants=told.insert,
    )


_FAMILIES: Mapping[str, tuple[str, Callable[[Sequence[str]], str]]] = {
    "user": (USER, lambda names: user_key(names[0])),
    "room": (ROOM, lambda names: room_key(names[0])),
    "chat": (CHAT, lambda names: chat_key(names[0], names[1])),
}


def _name(value: Any, family: str) -> str | None:
    """A part of a key: a text, or for an id of the bot's own an integer; None for anything else."""
    if isinstance(value, str):
        return value
    return None if family in FAMILIES or type(value) is not int else str(value)
