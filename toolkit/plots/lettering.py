"""What can be written with the font that matplotlib brings along, and how wide it is.

Names come from strangers: they are drawn only with glyphs that the font has.
"""

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

import matplotlib
from matplotlib.ft2font import FT2Font

from toolkit.text.visible import visible


def fit(text: str, width: float, points: float) -> str:
    """The text as it may be drawn; if it is too long, its middle gives way to an ellipsis."""
    parts = _drawable(text)
    widths = [width_of(part, points) for part in parts]
    if sum(widths) <= width:
        return "".join(parts)
    room = width - width_of("…", points)
    head, tail = 0, len(parts)
    while head < tail:
        # The end tells users apart as often as the beginning does.
        nearer = head <= len(parts) - tail
        room -= widths[head] if nearer else widths[tail - 1]
        if room < 0:
            break
        head, tail = (head + 1, tail) if nearer else (head, tail - 1)
    return "".join([*parts[:head], "…", *parts[tail:]])


def _drawable(text: str) -> list[str]:
    """Characters and escapes that the font has glyphs for; a box stands for any other."""
    if len(text) > 2 * _ENDS:
        text = text[:_ENDS] + text[-_ENDS:]  # no name of that length is drawn whole
    shown = visible(text, 20 * _ENDS)
    glyphs = _glyphs()
    if any(unicodedata.bidirectional(char) in ("R", "AL") for char in shown):
        shown = _LEFT_TO_RIGHT + shown
    return [part if len(part) > 1 or ord(part) in glyphs else _BOX for part in _PART.findall(shown)]


_ENDS, _BOX = 200, "□"
_LEFT_TO_RIGHT = "\u200e"
"""Keeps an Arabic or Hebrew name in front of its server."""

_PART = re.compile(r"\\u\{[0-9a-f]+\}|.")


def width_of(text: str, points: float) -> float:
    return sum(map(_advance, text)) * points / 72


def font_file(bold: bool = False) -> str:
    """The very file: what `rcParams` or the system would choose may lack glyphs, and warn of it."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(Path(matplotlib.get_data_path(), "fonts", "ttf", name))


@lru_cache(maxsize=1)
def _font() -> FT2Font:
    font = FT2Font(font_file())
    font.set_size(100, 72)
    return font


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(_font().get_charmap())


@lru_cache(maxsize=4096)
def _advance(char: str) -> float:
    """How far a character moves the pen, as a part of the font's size."""
    return _font().load_char(ord(char)).linearHoriAdvance / 65536 / 100
