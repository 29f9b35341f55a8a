"""A frame that shows what strangers wrote without carrying it out, in HTML and on a terminal.

pandas escapes markup, but JupyterLab typesets every `$x$` in HTML, and control and bidi characters
reach the screen as they are. The data stay raw: only what is shown is made visible.
"""

import re
from collections.abc import Callable
from operator import is_not
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.frames.markup import WHOLE, frame_markup
from toolkit.text.html import untypeset
from toolkit.text.visible import visible

_LONG = 300
"""Longest text shown where pandas sets no limit; a Matrix id has at most 255 bytes."""

_WHOLE = 1_000
"""Longest value shown of what a repair would change."""

_PANDAS_WIDTH = 50
"""What pandas is set to if nobody sets it."""

_MOST = 1_000
"""More lines than a frame shows of itself unless told otherwise: only these are made visible."""

_HEIGHT = re.compile(r"\d+( rows [x×] \d+ columns\]?(?:</p>\n</div>)?)\Z")
_LENGTH = re.compile(r"(.*)Length: \d+", re.DOTALL)
_NO_MATHS = "tex2jax_ignore mathjax_ignore"


class Frame(pd.DataFrame):
    """A `pandas.DataFrame` whose display is harmless; so is that of what is taken from it."""

    @property
    def _constructor(self) -> Callable[..., "Frame"]:
        return Frame

    @property
    def _constructor_sliced(self) -> Callable[..., "Column"]:
        return Column

    def __repr__(self) -> str:
        if pd.get_option("display.large_repr") == "info":  # names of columns, no values
            return super().__repr__()
        return self._with_height(_plain(_ends(self)).__repr__())

    def _repr_html_(self) -> str | None:
        markup = frame_markup(_plain(_ends(self), screen=True))
        # None: switched off with display.notebook_repr_html
        return None if markup is None else self._with_height(markup)

    def _with_height(self, shown: str) -> str:
        """What was rendered of both ends tells the height of the whole."""
        if len(self) == len(_ends(self)):
            return shown
        return _HEIGHT.sub(rf"{len(self)}\1", shown)

    def to_string(self, *args: Any, **options: Any) -> Any:
        """As in pandas, with everything invisible escaped."""
        return _plain(self).to_string(*args, **options)

    def to_html(self, buf: Any = None, *args: Any, **options: Any) -> Any:
        """As in pandas, with everything invisible escaped and nothing that MathJax would typeset."""
        with pd.option_context("display.html.use_mathjax", False):
            markup = untypeset(_plain(self).to_html(None, *args, **options))
        if buf is None:
            return markup
        if hasattr(buf, "write"):
            buf.write(markup)
        else:
            Path(buf).write_text(markup, encoding=options.get("encoding") or "utf-8")
        return None

    @property
    def style(self) -> Any:
        """As in pandas, with markup escaped from the start; `format` may ask for it again."""
        styler = _plain(self).style.format(escape="html")
        for axis in (0, 1):
            styler.format_index(escape="html", axis=axis)
        return styler.set_table_attributes(f'class="{_NO_MATHS}"')


class Column(pd.Series):  # holds whatever its frame's column does
    """A `pandas.Series` whose display is harmless."""

    @property
    def _constructor(self) -> Callable[..., "Column"]:
        return Column

    @property
    def _constructor_expanddim(self) -> Callable[..., Frame]:
        return Frame

    def __repr__(self) -> str:
        ends = _ends(self)
        shown = _plain_column(ends).__repr__()
        return shown if len(ends) == len(self) else _LENGTH.sub(rf"\1Length: {len(self)}", shown)

    def to_string(self, *args: Any, **options: Any) -> Any:
        """As in pandas, with everything invisible escaped."""
        return _plain_column(self).to_string(*args, **options)


def _ends(whole: Any) -> Any:
    """The lines that pandas may show, and one more, so that it sees that it must cut."""
    most = pd.get_option("display.max_rows")
    if most is None or len(whole) <= max(most, _MOST) + 2:
        return whole
    half = max(most, _MOST) // 2 + 1
    return whole.iloc[[*range(half), *range(len(whole) - half, len(whole))]]


def _plain(frame: pd.DataFrame, *, screen: bool = False) -> pd.DataFrame:
    """A copy, of pandas' own class, with visible texts in cells, index and header.

    On a screen lines can be broken, so there texts are as long as they need, unless pandas was told otherwise.
    """
    places = range(frame.shape[1])
    wide = screen and pd.get_option("display.max_colwidth") == _PANDAS_WIDTH
    arrays = {
        place: _plain_array(
            frame.iloc[:, place].array,
            (_WHOLE if frame.columns[place] in WHOLE else _LONG) if wide else None,
        )
        for place in places
    }
    shown = pd.DataFrame(arrays, index=_plain_index(frame.index), columns=[*places])
    shown.columns = _plain_index(frame.columns)
    return shown


def _plain_column(column: Any) -> "pd.Series[Any]":
    index = _plain_index(column.index)
    return pd.Series(_plain_array(column.array), index=index, name=_label(column.name))


def _plain_array(values: Any, limit: int | None = None) -> Any:
    if isinstance(values, pd.Categorical):
        return values.rename_categories(_label)
    if isinstance(values.dtype, pd.StringDtype) or pd.api.types.is_object_dtype(values.dtype):
        # As long as pandas would cut it: half an escape would lie.
        limit = limit or pd.get_option("display.max_colwidth") or _LONG
        return pd.array([_text(value, limit) for value in values], dtype=values.dtype)
    return values


def _plain_index(index: Any) -> Any:
    names = [_label(name) for name in index.names]
    if isinstance(index, pd.MultiIndex):
        levels = [[_label(value) for value in level] for level in index.levels]
        return index.set_levels(levels, verify_integrity=False).set_names(names)
    if isinstance(index.dtype, pd.StringDtype | pd.CategoricalDtype) or index.dtype == object:
        return pd.Index([_text(value, _LONG) for value in index], name=names[0], dtype=object)
    return index.set_names(names)


def _label(value: Any) -> Any:
    """A category or a name: different ones stay different, so they are never cut."""
    return _text(value, 20 * len(value)) if isinstance(value, str) else _text(value, _LONG)


def _text(value: Any, limit: int) -> Any:
    if isinstance(value, str):
        return visible(value, limit)
    # pandas would print a list's texts as they are.
    return visible(str(value), limit) if pd.api.types.is_list_like(value) else value


class Shelf:
    """The last frame of each kind, as long as it is of the same values.

    Those are frozen, so the same objects always give the same frame.
    """

    def __init__(self) -> None:
        self._built: dict[Callable[..., Frame], tuple[tuple[object, ...], Frame]] = {}

    def take(self, build: Callable[..., Frame], *values: object) -> Frame:
        """What `build` makes of the values; the caller may write to it."""
        known = self._built.get(build)
        if known is None or any(map(is_not, known[0], values)):
            known = self._built[build] = values, build(*values)
        return known[1].copy()
