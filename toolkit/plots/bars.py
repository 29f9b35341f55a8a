"""In how many units each cause was found, as bars below the map."""

from collections.abc import Mapping, Sequence

from matplotlib.transforms import Affine2D

from toolkit.plots.layout import MARGIN
from toolkit.plots.lettering import fit, width_of
from toolkit.plots.picture import SQUARE, Picture

LINE = 0.22
_BAR, _BAR_LENGTH = "#0072b2", 3.5


def draw_bars(
    picture: Picture, bars: Sequence[tuple[str, int]], top: float, rows: int, width: float
) -> None:
    """Bars in columns, the longest first."""
    picture.write(MARGIN, top, "What was found, and in how many units", 9.5, bold=True)
    longest = max(count for _, count in bars)
    words = [fit(cause, width * 0.6, 9) for cause, _ in bars]
    begin = max(width_of(word, 9) for word in words) + 0.12
    room = width - begin - width_of(f"{longest:,}", 9) - 0.3
    room = min(room, _BAR_LENGTH)
    for index, ((_, count), word) in enumerate(zip(bars, words, strict=True)):
        column, row = divmod(index, rows)
        x, y = MARGIN + column * (width + MARGIN), top + (row + 1.2) * LINE
        length = max(0.02, room * count / longest)
        bar = SQUARE.transformed(Affine2D().scale(length / 2, 0.07))
        picture.write(x, y, word, 9)
        picture.stamp(bar, [(x + begin + length / 2, y)], _BAR, "none", "bar")
        picture.write(x + begin + length + 0.07, y, f"{count:,}", 9)


def most_of(causes: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    """The most frequent causes, and the others together."""
    ordered = sorted(causes.items(), key=lambda item: -item[1])
    if len(ordered) <= limit:
        return ordered
    rest = ordered[limit - 1 :]
    return [*ordered[: limit - 1], (f"{len(rest)} other causes", sum(count for _, count in rest))]
