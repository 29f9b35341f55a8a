"""Bot × cause as a picture: in how many units of each bot a cause was found, the more the darker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from matplotlib.path import Path
from matplotlib.transforms import Affine2D

from toolkit.plots.layout import MARGIN
from toolkit.plots.lettering import fit, width_of
from toolkit.plots.picture import FAINT, SQUARE, TEXT, Picture
from toolkit.text.summary import count_of
from toolkit.text.visible import visible

CELL, _HEAD, _NAME, _CAUSE, _REASON = 0.36, 0.75, 2.0, 3.0, 5.0
_MOST = 40
"""Bots that are drawn; the others are counted."""

_SHADES = ("#e8f1f8", "#b3d3e9", "#6aaed6", "#2a7ab9", "#0b4a82")
_BRIGHT = 3
"""The first of them that wants white letters on it."""

_EDGE = "#9fb6c6"


@dataclass(frozen=True, slots=True)
class BotLine:
    """A bot of the picture: its causes with their counts, or why it failed, or isn't in sync without any."""

    name: str
    causes: Mapping[str, int] = field(default_factory=dict)
    failed: str = ""
    reason: str = ""

    @property
    def adrift(self) -> bool:
        return not self.failed and bool(self.causes or self.reason)

    @property
    def words(self) -> str:
        """What is told of it instead of counts."""
        return f"failed: {self.failed}" if self.failed else "" if self.causes else self.reason

    @property
    def count(self) -> int:
        return sum(self.causes.values())


def draw_fleet(bots: Sequence[BotLine]) -> Picture:
    """A line per bot that isn't in sync: those with most to repair first, those that failed last."""
    failed = sorted((bot for bot in bots if bot.failed), key=lambda bot: bot.name)
    adrift = [bot for bot in bots if bot.adrift]
    adrift.sort(key=lambda bot: (-bot.count, bot.name))
    kept = failed[: _MOST // 2]
    shown = [*adrift[: _MOST - len(kept)], *kept]
    names = [fit(bot.name, _NAME, 9.5) for bot in shown]
    left = MARGIN + max((width_of(name, 9.5) for name in names), default=0.0) + 0.25
    causes = _causes(shown)
    heads = [fit(cause, _CAUSE, 9) for cause in causes]
    turned = max((width_of(head, 9) for head in heads), default=0.0) * 0.71
    top = _HEAD + turned + (0.3 if causes else 0)
    right = max(len(causes) * CELL + turned, _REASON if any(bot.words for bot in shown) else 0.0)
    width = max(left + right + MARGIN, width_of(_title(bots), 11) + 1)
    picture = Picture(width, top + len(shown) * CELL + 0.45, describe_fleet(bots))
    picture.write(MARGIN, 0.3, _title(bots), 11, bold=True)
    for place, head in enumerate(heads):
        picture.write(left + (place + 0.4) * CELL, top - 0.12, head, 9, turn=45)
    for row, (bot, name) in enumerate(zip(shown, names, strict=True)):
        y = top + (row + 0.5) * CELL
        picture.write(MARGIN, y, name, 9.5)
        _draw_bot(picture, bot, causes, left, y)
    if rest := len(bots) - len(shown):
        below = top + len(shown) * CELL + 0.15
        what = "in sync" if len(shown) == len(adrift) + len(failed) else "not shown"
        picture.write(MARGIN, below, f"{count_of(rest, 'bot')} {what}", 9, FAINT)
    return picture


def _draw_bot(picture: Picture, bot: BotLine, causes: Sequence[str], left: float, y: float) -> None:
    if bot.words:
        picture.write(left, y, fit(bot.words, _REASON, 9), 9, "#a33b00" if bot.failed else TEXT)
        return
    shape: Path = SQUARE.transformed(Affine2D().scale(CELL * 0.46))
    for place, cause in enumerate(causes):
        count = bot.causes.get(cause, 0)
        middle = left + (place + 0.5) * CELL
        shade = _shade(count)
        fill = _SHADES[shade] if count else "#ffffff"
        picture.stamp(shape, [(middle, y)], fill, _EDGE, "cell")
        if count:
            words = f"{count:,}" if count < 10_000 else f"{count // 1000:,}k"
            points = min(8.5, 8.5 * CELL * 0.86 / width_of(words, 8.5))
            ink = "#ffffff" if shade >= _BRIGHT else TEXT
            picture.write(middle - width_of(words, points) / 2, y, words, points, ink)


def _shade(count: int) -> int:
    """1, then up to 5, 25, 125, and more."""
    return sum(count > bound for bound in (1, 5, 25, 125))


def _causes(bots: Sequence[BotLine]) -> list[str]:
    """Those that most units have first."""
    totals: dict[str, int] = {}
    for bot in bots:
        for cause, count in bot.causes.items():
            totals[cause] = totals.get(cause, 0) + count
    return sorted(totals, key=lambda cause: (-totals[cause], cause))


def _title(bots: Sequence[BotLine]) -> str:
    failed = sum(bool(bot.failed) for bot in bots)
    adrift = sum(bot.adrift for bot in bots)
    told = [f"{count} {word}" for count, word in ((failed, "failed"), (adrift, "adrift")) if count]
    return f"{count_of(len(bots), 'bot')}: {', '.join(told) or 'all in sync'}"


def describe_fleet(bots: Sequence[BotLine]) -> str:
    """What the picture shows, for who can't see it.

    >>> describe_fleet([BotLine("desk", {"a row is missing": 2}), BotLine("shop")])
    '2 bots: 1 adrift. desk: a row is missing 2.'
    """
    parts = [f"{_title(bots)}."]
    for bot in [bot for bot in bots if bot.failed or bot.adrift][:5]:
        told = [f"{visible(cause, 60)} {bot.causes[cause]:,}" for cause in _causes([bot])]
        words = visible(bot.words, 108) or ", ".join(told)
        stop = "" if words.endswith((".", "…")) else "."
        parts.append(f"{visible(bot.name, 60)}: {words}{stop}")
    return " ".join(parts)
