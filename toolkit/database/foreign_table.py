"""Whether a table is one that this toolkit can use: plain JSON objects under unique text keys. Pure.

Each judgement is what was found against it, in words, or None. None of them quotes a value: those
hold people's data. One unreadable row is a row's own affair; only where nothing can be read, the
bot reads its rows in another way than we would.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from toolkit.records import FAMILIES, Raw, decode_object

NAME_ANOTHER = "name the bot's own table and columns (--table, --key-column, --value-column)"
REPEATED = "it is a view in which a key stands for several rows"
_MANY = 3  # so many rows, and none of them an object, are a way of writing them


class Column(NamedTuple):
    """A column, as SQLite's `table_xinfo` tells it."""

    name: str
    primary: int
    hidden: int

    @property
    def generated(self) -> bool:
        """Worked out from other columns, when it is read or when they are written."""
        return self.hidden in (2, 3)


class UniqueIndex(NamedTuple):
    """What keeps rows apart; a column without a name is an expression."""

    name: str
    partial: bool
    columns: tuple[str | None, ...]


def refusal(what: str, why: str, advice: str = "") -> str:
    """The sentence that refuses a table, or a store of the bot's own, as a whole."""
    rule = "this toolkit reads plain JSON objects under unique text keys"
    return f"Can't use {what}: {why}; {rule}{advice and f', so {advice}'}."


def why_keys_repeat(
    columns: Sequence[Column], indexes: Sequence[UniqueIndex], key_column: str
) -> str | None:
    """Why one key may stand for several rows of a table.

    >>> why_keys_repeat([], [UniqueIndex("i", False, ("bot", "Key"))], "key")
    "its keys are unique only together with 'bot'"
    """
    key = key_column.lower()
    with_key = [index for index in indexes if key in map(_lower, index.columns)]
    alone = [index for index in with_key if len(index.columns) == 1]
    if any(not index.partial for index in alone):
        return None
    for index in with_key:
        if others := [column for column in index.columns if _lower(column) != key]:
            return f"its keys are unique only together with {_listed(others)}"
    for index in alone:
        return f"its keys are unique only among some rows (the index {index.name!r} is partial)"
    if [column.name.lower() for column in columns if column.primary] == [key]:
        return f"its column {key_column!r} is the number of the row, and no text"
    return f"its column {key_column!r} is neither the PRIMARY KEY, nor UNIQUE"


def why_not_writable(columns: Sequence[Column], needed: Sequence[str], *, view: bool) -> str | None:
    """Why nothing can be stored in a table that can be read."""
    if view:
        return "it is a view"
    wanted = {name.lower() for name in needed}
    for column in columns:
        if column.generated and column.name.lower() in wanted:
            return f"its column {column.name!r} is generated from others"
    return None


def why_odd_key(key: bytes) -> str:
    """What is wrong with a key of one of the families that is stored as a BLOB."""
    family = next(family for family in FAMILIES if key.startswith(family.encode()))
    return f"it holds keys under {family!r} that are BLOBs"


def why_no_objects(rows: Iterable[tuple[str, Raw]]) -> str | None:
    """Why these rows aren't JSON objects at all: three or more of all, or of one family, and none is.

    Of each family no more is decoded than up to its first object.
    """
    refused: dict[str, list[Raw]] = {family: [] for family in FAMILIES}
    open_ones: tuple[str, ...] = FAMILIES
    for key, raw in rows:
        if not key.startswith(open_ones):
            continue
        family = next(family for family in open_ones if key.startswith(family))
        if is_object(raw):
            del refused[family]
            if not (open_ones := tuple(refused)):
                return None
        else:
            refused[family].append(raw)
    for family, found in refused.items():
        if len(found) >= _MANY:
            return f"none of its {len(found)} rows under {family!r} is a JSON object{_guess(found)}"
    every = [raw for found in refused.values() for raw in found]
    if len(refused) == len(FAMILIES) and len(every) >= _MANY:
        return f"none of its {len(every)} rows is a JSON object{_guess(every)}"
    return None


def is_object(raw: Raw) -> bool:
    """Whether a bot can read a JSON object in this value, whatever fields that has."""
    try:
        decode_object(raw)
    except ValueError:
        return False
    return True


def _guess(found: Sequence[Raw]) -> str:
    """What the first of them looks like, as far as its first bytes tell."""
    raw = found[0]
    start = raw[:2].encode("utf-8", "replace") if isinstance(raw, str) else raw
    if not isinstance(start, bytes):
        return ""
    looks = next((name for name, marks in _MARKS.items() if start.startswith(marks)), "")
    return looks and f" (the first looks like {looks})"


_MARKS = {
    "pickle": (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"),
    "zlib": (b"x\x01", b"x^", b"x\x9c", b"x\xda"),
    "gzip": (b"\x1f\x8b",),
    "JSON in a JSON text": (b'"',),
    "a JSON array": (b"[",),
    "Python's repr": (b"{'",),
}


def _lower(name: str | None) -> str | None:
    return None if name is None else name.lower()


def _listed(names: Iterable[str | None]) -> str:
    return ", ".join("an expression" if name is None else repr(name) for name in names)
