r"""A frame as HTML: one header line, texts on the left, long ids shortened in the middle.

pandas makes the table. It knows no styles for single cells, so texts go in with marks that `visible` lets nobody
else write, and the marks become markup afterwards. What shortens an id is its style alone: the whole one is
there to hover and to copy, and to read where styles are taken away (GitHub).
"""

import re
from html import escape, unescape
from typing import Any

import pandas as pd

from toolkit.text.html import untypeset

WHOLE = frozenset({"before", "after", "local", "remote"})
"""Columns whose values are compared letter by letter: nothing in them is shortened."""

_LEFT, _ID, _TAIL, _BROKEN = "\0", "\1", "\2", "\3"
_HEAD_WIDTH, _TAIL_LENGTH = 22, 8
_NAMES_AN_ID = re.compile(r"(?:[!@$#]|[a-z_]+:[@!])\S*")
_MARKED_CELL = re.compile(f"<(t[dh])>([{_LEFT}{_BROKEN}])")
_MARKED_ID = re.compile(f"{_ID}([^{_TAIL}]*){_TAIL}([^{_ID}]*){_ID}")
_STYLES = {
    _LEFT: "text-align: left",
    _BROKEN: "text-align: left; min-width: 10em; overflow-wrap: anywhere",
}
_CUT = (
    "display: inline-block; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; "
    f"vertical-align: bottom; max-width: {_HEAD_WIDTH}ch"
)


def frame_markup(shown: pd.DataFrame) -> str | None:
    """HTML of a frame whose texts were made visible; None if pandas is told to make none."""
    # pandas would cut a text that is long by its marks alone; it was cut before.
    with pd.option_context("display.html.use_mathjax", False, "display.max_colwidth", None):
        markup: str | None = _marked(shown)._repr_html_()  # type: ignore[operator]
    if markup is None:
        return None
    markup = _MARKED_CELL.sub(lambda cell: f'<{cell[1]} style="{_STYLES[cell[2]]}">', markup)
    return untypeset(_MARKED_ID.sub(_shortened, markup))


def _marked(shown: pd.DataFrame) -> pd.DataFrame:
    """A copy with marks; its index is named in the line of the columns, so that there is one header line."""
    places = range(shown.shape[1])
    names = [*shown.columns]
    cells = {n: _marked_cells(shown.iloc[:, n], whole=names[n] in WHOLE) for n in places}
    marked = pd.DataFrame(cells, index=shown.index, columns=[*places])
    marked.columns = shown.columns
    if isinstance(shown.columns, pd.MultiIndex) or isinstance(shown.index, pd.MultiIndex):
        return marked
    marked.index = pd.Index([_mark(label) for label in shown.index], dtype=object)
    heads = [_mark(name) if _holds_text(cells[n]) else name for n, name in enumerate(names)]
    over = shown.columns.name if shown.index.name is None else shown.index.name
    marked.columns = pd.Index(heads, dtype=object, name=over if over is None else _mark(over))
    return marked


def _marked_cells(column: "pd.Series[Any]", *, whole: bool) -> Any:
    if not _holds_text(column):
        return column.array
    texts = [_mark(value, whole=whole) for value in column.array]
    return pd.Series(texts, index=column.index, dtype=object).array


def _holds_text(values: Any) -> bool:
    return not pd.api.types.is_numeric_dtype(values.dtype)


def _mark(value: Any, *, whole: bool = False) -> Any:
    if not isinstance(value, str):
        missing = pd.api.types.is_scalar(value) and pd.isna(value)
        return _LEFT + ("NaN" if isinstance(value, float) else str(value)) if missing else value
    if whole:
        return _BROKEN + value
    if len(value) <= _HEAD_WIDTH + _TAIL_LENGTH + 2 or not _NAMES_AN_ID.fullmatch(value):
        return _LEFT + value
    return f"{_LEFT}{_ID}{value[:-_TAIL_LENGTH]}{_TAIL}{value[-_TAIL_LENGTH:]}{_ID}"


def _shortened(found: re.Match[str]) -> str:
    """Two parts of one id, of which the first is as wide as its style lets it be."""
    title = escape(unescape(found[1] + found[2])).replace("$", "&#36;").replace("\\", "&#92;")
    return (
        f'<span title="{title}" style="white-space: nowrap">'
        f'<span style="{_CUT}">{found[1]}</span>{found[2]}</span>'
    )
