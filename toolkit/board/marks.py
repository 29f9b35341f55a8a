"""A change on one line, as a diff in a review: which rows come, and which values become which. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from toolkit.model import RowWrite
from toolkit.text.advice import changed_fields, row_name, verb
from toolkit.text.visible import visible

_SHORT = 60
_FEW = 3
"""Fields of a row that are told one by one."""
_SIGNS = {"insert": "+", "delete": "−", "overwrite": "≠"}
_FIELD = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A row by its sign and name, or a field with both values."""

    sign: str
    what: str
    before: str = ""
    after: str = ""

    def __str__(self) -> str:
        values = f" {self.before or 'absent'} → {self.after or 'absent'}"
        return f"{self.sign} {self.what}" if self.sign != _FIELD else f"{self.what}{values}"


def mark_writes(writes: Iterable[RowWrite]) -> tuple[Mark, ...]:
    """What is written, in a few words: all rows, and of those that change a few fields."""
    writes = tuple(writes)
    return tuple(mark for write in writes for mark in _mark(write, alone=len(writes) == 1))


def say_marks(marks: Iterable[Mark]) -> str:
    """The same as one text."""
    return ", ".join(map(str, marks))


def _mark(write: RowWrite, *, alone: bool) -> Iterator[Mark]:
    row, what = row_name(write.key), verb(write)
    if what in _SIGNS:
        yield Mark(_SIGNS[what], row)
        return
    fields = changed_fields(write)
    for name, before, after in fields[:_FEW]:
        told = (name or row) if alone else f"{row}: {name}"
        yield Mark(_FIELD, visible(told, _SHORT), visible(before, _SHORT), visible(after, _SHORT))
    if len(fields) > _FEW:
        yield Mark("≠", f"{len(fields) - _FEW} more of the {row}")
