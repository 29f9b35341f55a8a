"""What every column of every frame holds, and the only place where frames are built.

Text is pandas' `string` in Python storage, whether pyarrow is there or not: Arrow refuses what isn't
UTF-8, and rows hold that. Categories are fixed, so that an empty frame has them too.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from toolkit.frames.frame import Frame
from toolkit.model import Code, Kind, Reason, Rung, Status, UnitKind
from toolkit.words import CHATS, Words

Dtype: TypeAlias = pd.api.extensions.ExtensionDtype | np.dtype[Any]


Codes: TypeAlias = np.ndarray[Any, np.dtype[np.int8]]
Objects: TypeAlias = np.ndarray[Any, np.dtype[np.object_]]


class Field(NamedTuple):
    """A column's dtype and what it says, in one sentence."""

    dtype: Dtype
    says: str


def _categories(values: type[StrEnum] | Sequence[str]) -> pd.CategoricalDtype:
    return pd.CategoricalDtype([str(value) for value in values])


DECISIONS = ("pending", "approved", "rejected", "deferred", "ignored")
"""How a person has decided about a unit."""

TEXT = pd.StringDtype("python")
NUMBER = pd.Int64Dtype()
YES_NO = pd.BooleanDtype()
TIME = pd.DatetimeTZDtype("ms", "UTC")
LINE = np.dtype("int64")
_KIND, _STATUS, _REASON = _categories(Kind), _categories(Status), _categories(Reason)
_CODE, _RUNG, _UNIT_KIND = _categories(Code), _categories(Rung), _categories(UnitKind)

COLUMNS: dict[str, dict[str, Field]] = {
    "rooms": {
        "room_id": Field(TEXT, "The room (index, sorted); every joined room has a line."),
        "kind": Field(_KIND, "What the room is to the bot; null if that could not be read."),
        "status": Field(_STATUS, "How the room stands; `skipped` for what is no chat."),
        "reason": Field(_REASON, "Why a skipped room is no chat."),
        "owner": Field(TEXT, "Whose chat or Space it is, as far as that is known or proposed."),
        "chat_id": Field(TEXT, "Which chat it is, as far as that is known or proposed."),
        "evidence": Field(_RUNG, "What says which chat it is; null for what is no chat."),
        "name": Field(TEXT, "The room's name, as its state has it."),
        "space_id": Field(TEXT, "The user's Space that the chat belongs to."),
        "members": Field(NUMBER, "How many users have joined, the bot included."),
        "created": Field(TIME, "When the room was created, as its homeserver says."),
        "encrypted": Field(YES_NO, "Whether messages are encrypted."),
        "version": Field(TEXT, "The room's version."),
        "creator": Field(TEXT, "Who created the room."),
        "replacement": Field(TEXT, "The room that a tombstone names as its successor."),
    },
    "rows": {
        "key": Field(TEXT, "The row's key (index, sorted); every row has a line."),
        "family": Field(_categories(("user", "room", "chat")), "Which of the three kinds of rows."),
        "user": Field(TEXT, "The user: by the key, for a room row by `matrix_user_id`."),
        "chat_id": Field(TEXT, "The chat: by the key of a chat row, the value of a room row."),
        "room_id": Field(TEXT, "The room: by the key of a room row, a chat row's `surface_ref`."),
        "space_id": Field(TEXT, "The Space that a user row or room row names."),
        "display_name": Field(TEXT, "A room row's `display_name`; null if it is no text."),
        "next_chat_index": Field(NUMBER, "A user row's counter; null if it has over 64 bits."),
        "readable": Field(YES_NO, "Whether the value is what its family needs."),
        "problem": Field(TEXT, "Why the value can't be read."),
        "orphaned": Field(YES_NO, "Whether no joined room belongs to the row; it is kept."),
        "unit": Field(TEXT, "The unit of the plan that the row belongs to; null if none."),
    },
    "drift": {
        "finding_id": Field(TEXT, "Stays the same while the same thing is wrong (index)."),
        "unit": Field(TEXT, "The unit of the plan to decide about; null if none."),
        "room_id": Field(TEXT, "The joined room; null for user rows and orphaned rows."),
        "owner": Field(TEXT, "Whose chat or row it is, as far as that is known or proposed."),
        "chat_id": Field(TEXT, "Which chat it is, as far as that is known or proposed."),
        "status": Field(_STATUS, "How the room or row stands that the finding is about."),
        "code": Field(_CODE, "What is the matter; null for an orphaned row."),
        "key": Field(TEXT, "The row that the finding is about."),
        "field": Field(TEXT, "The field of the row; null if it is the whole row."),
        "local": Field(
            TEXT,
            "The field's value in the row, as JSON; null if absent. Of an unreadable row all its text.",
        ),
        "remote": Field(TEXT, "What the field should be by the rooms, as JSON."),
        "cause": Field(TEXT, "How it may have come to this, in words."),
        "action": Field(TEXT, "What happens next, or what a person has to do first."),
        "facts": Field(
            TEXT,
            "Of a unit in conflict: its rooms side by side, each with name, people, times and a link, and "
            "why which chat ids are offered.",
        ),
        "approvable": Field(YES_NO, "Whether the unit has a change to agree to."),
    },
    "plan": {
        "unit": Field(TEXT, "The mxid or room id to decide about (index), user rows first."),
        "kind": Field(_UNIT_KIND, "Whether it is a user row or a room with its two rows."),
        "status": Field(_STATUS, "How the unit stands."),
        "decision": Field(_categories(DECISIONS), "What a person has decided about it so far."),
        "owner": Field(TEXT, "Whose it is, as far as that is known or proposed."),
        "chat_id": Field(TEXT, "Which chat it is, as far as that is known or proposed."),
        "space_id": Field(TEXT, "The user's Space."),
        "codes": Field(TEXT, "What is the matter, as codes with commas between."),
        "cause": Field(TEXT, "How it may have come to this, in words."),
        "action": Field(TEXT, "What happens next, or what a person has to do first."),
        "rows": Field(NUMBER, "How many rows would be written."),
        "needs_human": Field(YES_NO, "Whether it must be approved one by one."),
        "approvable": Field(YES_NO, "Whether there is a change to agree to."),
        "evidence": Field(_RUNG, "What says which chat, or whose, it is."),
        "change": Field(TEXT, "The change's fingerprint, which an approval is bound to."),
    },
    "changes": {
        "line": Field(LINE, "Counts the lines from 0 (index), in the order of the plan."),
        "unit": Field(TEXT, "The unit that the write belongs to."),
        "key": Field(TEXT, "The row that would be written."),
        "verb": Field(
            _categories(("insert", "change", "overwrite", "delete")), "What happens to the row."
        ),
        "field": Field(TEXT, "The field; null if the row as a whole can't be read."),
        "before": Field(TEXT, "The field's value now, as JSON; null if absent."),
        "after": Field(TEXT, "The field's value afterwards, as JSON; null if absent."),
        "needs_human": Field(YES_NO, "Whether the unit must be approved one by one."),
    },
    "history": {
        "run": Field(TEXT, "The run's name, for `undo` (index), oldest first."),
        "time": Field(TIME, "When the run began."),
        "action": Field(TEXT, "What was done."),
        "units": Field(NUMBER, "How many units the run was about."),
        "applied": Field(NUMBER, "How many of them were written."),
        "stale": Field(NUMBER, "How many were left alone since something had moved."),
        "failed": Field(NUMBER, "How many could not be written."),
        "by": Field(TEXT, "Who agreed, with commas between."),
        "undoes": Field(TEXT, "The run that this one took back."),
        "undone_by": Field(TEXT, "The run that took this one back."),
        "finished": Field(YES_NO, "False if the run was interrupted."),
        "backup": Field(TEXT, "Name of the backup file that was made before."),
    },
}
"""Frame -> column -> dtype and meaning; each frame's first entry is its index."""

_ID = Field(TEXT, "The id that the room has, as far as that is known or proposed.")
_OWNER = Field(TEXT, "What the column says that the mapping calls `owner`.")
_OTHERWISE: dict[str, dict[str, Field]] = {
    "rooms": {
        "status": Field(_STATUS, "How the room stands; `skipped` for what isn't compared."),
        "reason": Field(_REASON, "Why a skipped room isn't compared."),
        "owner": _OWNER,
        "id": _ID,
        "evidence": Field(_RUNG, "What says which id it has; null for what isn't compared."),
    },
    "drift": {
        "room_id": Field(TEXT, "The joined room; null for rows of none."),
        "owner": _OWNER,
        "id": _ID,
        "field": Field(TEXT, "The column of the row; null if it is the whole row."),
        "facts": Field(
            TEXT,
            "Of a unit in conflict: its rooms side by side, each with name, people, times and a link, and "
            "which ids are offered.",
        ),
    },
    "plan": {
        "unit": Field(TEXT, "The room id to decide about (index)."),
        "owner": _OWNER,
        "id": _ID,
        "evidence": Field(_RUNG, "What says which id it has."),
    },
}
_LEFT_OUT = frozenset({"kind", "space_id"})
_LINK_ROWS = {
    "key": Field(TEXT, "The row's key, `link:{table}:{id}` (index, sorted); every row has a line."),
    "id": Field(TEXT, "The row's id; a composite one as a JSON list."),
    "room_id": Field(TEXT, "The room that it names."),
    "owner": _OWNER,
    **{name: COLUMNS["rows"][name] for name in ("readable", "problem", "orphaned", "unit")},
}


def _for_links(name: str, fields: Mapping[str, Field]) -> dict[str, Field]:
    """A frame's columns in the words of a bot of shape links."""
    told = {("id" if column == "chat_id" else column): field for column, field in fields.items()}
    said = _OTHERWISE.get(name, {})
    return {
        column: said.get(column, field)
        for column, field in told.items()
        if name not in _OTHERWISE or column not in _LEFT_OUT
    }


LINK_COLUMNS = {
    name: _LINK_ROWS if name == "rows" else _for_links(name, fields)
    for name, fields in COLUMNS.items()
}
"""The same of a bot of shape links."""


def build(name: str, columns: Mapping[str, Any], words: Words = CHATS) -> Frame:
    """A frame out of one list of Python values per column, index included; None is null.

    Times are milliseconds since 1970 or None. A column may also be ready as an array of pandas, or as
    one of numpy's: texts and `pandas.NA`, codes of categories, or booleans.
    """
    if words.table:
        columns = {**columns, "id": columns.get("chat_id")}
    return assemble((LINK_COLUMNS if words.table else COLUMNS)[name], columns)


def assemble(fields: Mapping[str, Field], columns: Mapping[str, Any]) -> Frame:
    """The same of any fields, the first of which is the index."""
    arrays = {column: make_array(columns[column], field.dtype) for column, field in fields.items()}
    first = next(iter(fields))
    index = pd.Index(arrays.pop(first), name=first, copy=False)
    return Frame(arrays, index=index, copy=False)


def build_lines(name: str, lines: Iterable[tuple[Any, ...]]) -> Frame:
    """A frame out of lines, whose values stand in the order of `COLUMNS`."""
    names = list(COLUMNS[name])
    columns: Iterable[Sequence[Any]] = list(zip(*lines, strict=True)) or [()] * len(names)
    return build(name, dict(zip(names, columns, strict=True)))


def make_array(values: Any, dtype: Dtype) -> Any:
    """A pandas array of one column, of what `build` takes."""
    if isinstance(values, pd.api.extensions.ExtensionArray):
        return values
    if isinstance(dtype, pd.CategoricalDtype):
        ready = isinstance(values, np.ndarray)
        codes = values if ready else codes_of(values, places_of(dtype))
        return pd.Categorical.from_codes(codes, dtype=dtype, validate=False)
    if isinstance(dtype, pd.DatetimeTZDtype):
        return pd.array(_milliseconds(values).view("M8[ms]"), dtype=dtype)
    if isinstance(dtype, np.dtype):
        return pd.RangeIndex(len(values))
    if isinstance(dtype, pd.StringDtype) and not isinstance(values, np.ndarray):
        values = objects(values, len(values))  # pandas makes the same array of a list, slowly
    array: Any = pd.array  # its stubs know each dtype by itself, none in general
    return array(values, dtype=dtype, copy=False)


def objects(values: Iterable[Any], length: int) -> Objects:
    """An array of that many Python values."""
    return np.fromiter(values, np.dtype(object), length)


def places_of(dtype: Dtype) -> dict[str | None, int]:
    """Category -> its code; -1 is null."""
    assert isinstance(dtype, pd.CategoricalDtype)
    places: dict[str | None, int] = {str(v): place for place, v in enumerate(dtype.categories)}
    return places | {None: -1}


def codes_of(values: Collection[str | None], places: Mapping[str | None, int]) -> Codes:
    """The code of each value. Raises KeyError for one that is no category."""
    return np.fromiter(map(places.__getitem__, values), np.int8, len(values))


_NEVER = np.iinfo(np.int64).min  # NaT, as numpy keeps it
_END = 253_402_300_800_000  # the year 10000, past which Python has no dates


def _milliseconds(values: Sequence[int | None]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """A server may claim any number; one that is no time of ours counts as unknown."""
    try:
        times = np.array(values, dtype=np.int64)
    except (TypeError, OverflowError):
        known = [-1 if value is None or value >= _END else max(value, -1) for value in values]
        times = np.array(known, dtype=np.int64)
    return np.where((times >= 0) & (times < _END), times, _NEVER)
