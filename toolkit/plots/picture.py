"""A figure without pyplot: nothing is left open, and a notebook shows each of them once."""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from io import BytesIO
from typing import Any

from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path

from toolkit.plots.lettering import font_file

PAPER, TEXT, FAINT = "#fdfdfd", "#1a1a1a", "#595959"
SQUARE = Path([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)], closed=True)
_SCREEN = 90
"""Pixels of a screen to an inch of the picture."""

_DARK = (
    '<style>[data-jp-theme-light="false"] .matrix-drift-map, .vscode-dark .matrix-drift-map '
    "{filter: invert(0.92) hue-rotate(180deg)}</style>"
)
"""JupyterLab and VS Code say on the body that their theme is dark. Turned round and back, hues stay what they were."""


class Picture(Figure):
    """A figure that shows itself in a notebook, and says itself where no picture can be shown."""

    def __init__(self, width: float, height: float, words: str) -> None:
        super().__init__(figsize=(width, height), dpi=100, facecolor=PAPER)
        self.set_layout_engine("none")
        self.words = words

    def __repr__(self) -> str:
        return self.words

    __str__ = __repr__

    def _repr_png_(self) -> bytes:
        """Twice as many pixels as it is shown with, for sharp letters at any zoom."""
        data = BytesIO()
        self.savefig(data, format="png", dpi=2 * _SCREEN, facecolor=PAPER, bbox_inches=None)
        return data.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """What a notebook takes. It goes before `%matplotlib inline`, which shows no figure without axes.

        The HTML is the same picture, with a style that follows the theme.
        """
        width, height = (round(inches * _SCREEN) for inches in self.get_size_inches())
        about = {"width": width, "height": height, "alt": self.words}
        picture = b64encode(self._repr_png_()).decode()
        markup = (
            f'{_DARK}<img class="matrix-drift-map" width="{width}" height="{height}" '
            f'alt="{_in_attribute(self.words)}" src="data:image/png;base64,{picture}">'
        )
        return {"text/html": markup, "image/png": picture, "text/plain": self.words}, {
            "image/png": about
        }

    def write(
        self,
        x: float,
        y: float,
        text: str,
        points: float,
        colour: str = TEXT,
        bold: bool = False,
        turn: float = 0,
    ) -> None:
        """A line of text whose small letters are centred on `y`, turned up by so many degrees."""
        self.text(
            x,
            self.get_figheight() - y - points * 0.36 / 72,
            text,
            transform=self.dpi_scale_trans,
            fontproperties=FontProperties(fname=font_file(bold), size=points),
            color=colour,
            rotation=turn,
            rotation_mode="anchor",
            parse_math=False,
            usetex=False,
        )

    def stamp(
        self, path: Path, places: Sequence[tuple[float, float]], fill: str, edge: str, label: str
    ) -> None:
        """One shape at many places, as a single artist: a map has thousands."""
        height = self.get_figheight()
        shapes = PathCollection(
            [path],
            offsets=[(x, height - y) for x, y in places],
            offset_transform=self.dpi_scale_trans,
            transform=self.dpi_scale_trans,
            facecolors=[fill],
            edgecolors=[edge],
            linewidths=[0.7 if edge != "none" else 0],
            label=label,
        )
        self.add_artist(shapes)


def _in_attribute(words: str) -> str:
    r"""As an attribute may hold it, for MathJax too, which looks for formulas in `$` and backslashes."""
    return escape(words).replace("$", "&#36;").replace("\\", "&#92;")
