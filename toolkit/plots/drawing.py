"""The whole picture: head, map, and the bars below."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from toolkit.model import Status
from toolkit.plots.bars import LINE, draw_bars, most_of
from toolkit.plots.caption import describe, summary_of, word_of
from toolkit.plots.layout import MARGIN, Map, arrange
from toolkit.plots.lettering import fit, font_file, width_of
from toolkit.plots.marks import CALM, INKS, ChatMark, UserLine
from toolkit.plots.picture import FAINT, SQUARE, Picture
from toolkit.words import CHATS, Words

_HEAD = 0.95
_CAUSES, _CAUSE_WIDTH = 20, 4.5
_LABEL = 6.5


def draw_map(users: Sequence[UserLine], causes: Mapping[str, int], words: Words = CHATS) -> Picture:
    """Every user's chats by status, and in how many units each cause was found.

    Many users are drawn more closely; if there are too many to read, those in sync are counted.
    """
    layout = arrange(users, words)
    width = layout.density.width
    bars = [(cause, count) for cause, count in most_of(causes, _CAUSES) if count > 0]
    columns = int(width // _CAUSE_WIDTH)
    rows = max(min(len(bars), 4), -(-len(bars) // columns))
    top = (_HEAD if users else 0.5) + layout.height + (LINE * 1.2 if layout.below else 0)
    bottom = top + (0.45 + rows * LINE if bars else 0)
    picture = Picture(width, bottom + MARGIN * 0.7, describe(users, causes, words))
    _draw_head(picture, users, words)
    _draw_users(picture, layout)
    picture.write(MARGIN, top - LINE * 0.6, layout.below, 9, FAINT)
    if bars:
        draw_bars(picture, bars, top + 0.22, rows, width / columns - MARGIN)
    return picture


def _draw_head(picture: Picture, users: Sequence[UserLine], words: Words) -> None:
    """What it is about, and the legend."""
    chats = Counter(chat.status for user in users for chat in user.chats)
    own = Counter(user.status for user in users if user.status)
    title = summary_of(users, words)
    room = picture.get_figwidth() - 2 * MARGIN
    picture.write(MARGIN, 0.3, title, min(11, 0.85 * room * 72 / width_of(title, 72)), bold=True)
    x, size = MARGIN, 0.18
    for status in INKS:
        if not chats[status] and not own[status]:
            continue
        _draw_marks(picture, {status: [(x + size / 2, 0.62)]}, size, "legend")
        picture.write(x + size * 1.35, 0.62, word_of(status), 9)
        x += size * 1.35 + width_of(word_of(status), 9) + 0.2
    if own:
        picture.write(x, 0.62, "circle: user's own row", 9, FAINT)


def _draw_users(picture: Picture, layout: Map) -> None:
    density, half = layout.density, layout.density.cell / 2
    chats: dict[Status, list[tuple[float, float]]] = {}
    own: dict[Status, list[tuple[float, float]]] = {}
    for user, x, top in layout.blocks:
        y = _HEAD + top + half
        if user.status:
            own.setdefault(user.status, []).append((x + half, y))
        picture.write(x + density.left, y, layout.names[user.name], density.points)
        first = x + density.left + layout.name + density.cell * 0.5 + half
        shown, rest = _select(user, layout)
        for index, chat in enumerate(shown):
            place = _step(first, y, index, layout)
            chats.setdefault(chat.status, []).append(place)
            if density.columns == 1:
                label = fit(chat.label, density.cell * 0.92, _LABEL)
                left = place[0] - width_of(label, _LABEL) / 2
                picture.write(left, place[1] + density.cell * 0.29, label, _LABEL)
        if rest:
            right, down = _step(first - half, y, len(shown), layout)
            picture.write(right, down, rest, density.points, FAINT)
    lift = density.cell * 0.14 if density.columns == 1 else 0.0
    _draw_marks(picture, chats, density.cell, "chats", lift=lift)
    _draw_marks(picture, own, density.cell * 0.94, "rows")


def _select(user: UserLine, layout: Map) -> tuple[Sequence[ChatMark], str]:
    """The chats there is room for, and what stands for the others; those not in sync come first."""
    density = layout.density
    room = density.per_row(layout.name) * density.rows
    if len(user.chats) <= room:
        return user.chats, ""
    room -= -(
        -int(width_of(f"+{len(user.chats):,}", density.points) * 100) // int(density.pitch * 100)
    )
    ranked = sorted(range(len(user.chats)), key=lambda i: user.chats[i].status is CALM)
    kept = sorted(ranked[: max(0, room)])
    return [user.chats[i] for i in kept], f"+{len(user.chats) - len(kept):,}"


def _step(x: float, y: float, index: int, layout: Map) -> tuple[float, float]:
    """The middle of the square of that number."""
    pitch = layout.density.pitch
    down, right = divmod(index, layout.density.per_row(layout.name))
    return x + right * pitch, y + down * pitch


def _draw_marks(
    picture: Picture,
    places: Mapping[Status, Sequence[tuple[float, float]]],
    size: float,
    label: str,
    lift: float = 0.0,
) -> None:
    """Squares for chats, circles for users' rows, and on each the letter of its status."""
    shape = Path.unit_circle() if label == "rows" else SQUARE
    outline = shape.transformed(Affine2D().scale(size / 2))
    for status, where in places.items():
        ink = INKS[status]
        letter = _letter(ink.letter).transformed(Affine2D().scale(size * (0.5 if lift else 0.62)))
        raised = [(x, y - lift) for x, y in where]
        picture.stamp(outline, where, ink.fill, ink.edge, f"{label} {status}")
        picture.stamp(letter, raised, ink.text, "none", f"letters {status}")


@lru_cache
def _letter(letter: str) -> Path:
    """A letter as a shape of height 1 around the origin; a check mark or sign no wider than that."""
    path = TextPath((0, 0), letter, size=1, prop=FontProperties(fname=font_file(True)))
    box = path.get_extents()
    scale = 1 / max(box.height, box.width, 1e-6)
    middle = (-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    return Path(path.vertices, path.codes).transformed(Affine2D().translate(*middle).scale(scale))
