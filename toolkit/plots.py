"""The picture behind `session.plot()`: every user's Space with its chats, and what went wrong how often.

Figures are made without pyplot: nothing is left open, and a notebook shows each of them once. Names come
from strangers; they are drawn as plain text, never as maths, and only with glyphs that the font has.
"""

import re
import unicodedata
from base64 import b64encode
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path as File
from typing import Any, NamedTuple

import matplotlib
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.ft2font import FT2Font
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from toolkit.convention import chat_number
from toolkit.model import Plan, Status, UnitKind
from toolkit.records import LocalState
from toolkit.summary import count_of
from toolkit.visible import visible

NOBODY = "nobody yet"
"""The line of chats whose owner isn't known."""


@dataclass(frozen=True, slots=True)
class ChatMark:
    """A chat on the map."""

    label: str
    status: Status


@dataclass(frozen=True, slots=True)
class UserLine:
    """A user on the map. `status` is that of the user's own row; None: nothing is known of one."""

    name: str
    status: Status | None
    chats: tuple[ChatMark, ...]

    @property
    def worst(self) -> Status:
        """The status that most wants a person's eye."""
        own = [self.status] if self.status else []
        return min([*own, *(chat.status for chat in self.chats)], key=_ORDER.index, default=_CALM)


class Ink(NamedTuple):
    """How a status is drawn: its letter, and the colours of letter, square and edge."""

    letter: str
    text: str
    fill: str
    edge: str


# Okabe and Ito's colours, which colour-blind people tell apart, and a grey. What is well stays pale.
INKS = {
    Status.CONFLICT: Ink("C", "#000000", "#d55e00", "#6b2b00"),
    Status.MISMATCHED: Ink("≠", "#000000", "#f0e442", "#6f6a00"),
    Status.MISSING: Ink("M", "#000000", "#56b4e9", "#00507a"),
    Status.ORPHANED: Ink("O", "#000000", "#cc79a7", "#7a3358"),
    Status.SKIPPED: Ink("S", "#000000", "#c8c8c8", "#6e6e6e"),
    Status.IN_SYNC: Ink("✓", "#00593f", "#ffffff", "#009e73"),
}
"""From the status that most wants a person's eye to the one that wants none."""

_ORDER, _CALM = list(INKS), Status.IN_SYNC
_PAPER, _TEXT, _FAINT, _BAR = "#fdfdfd", "#1a1a1a", "#595959", "#0072b2"


# What is drawn


def user_lines(plan: Plan, local: LocalState) -> list[UserLine]:
    """Users in order, each with their chats by number; chats without an owner come last."""
    rows: dict[str | None, Status] = dict.fromkeys(plan.in_sync_users, _CALM)
    chats: dict[str | None, list[ChatMark]] = {}
    for room_id in plan.in_sync_rooms:
        row = local.rooms.get(room_id)
        owner, label = (row.matrix_user_id, row.chat_id) if row else (None, room_id)
        chats.setdefault(owner or None, []).append(ChatMark(label, _CALM))
    for unit in plan.units:
        owner = unit.owner or None
        if unit.kind is UnitKind.USER:
            rows[owner] = min(rows.get(owner, _CALM), unit.status, key=_ORDER.index)
        else:
            chats.setdefault(owner, []).append(ChatMark(unit.chat_id or "?", unit.status))
    owners = sorted({*rows, *chats}, key=lambda owner: (owner is None, owner or ""))
    return [
        UserLine(
            owner or NOBODY, rows.get(owner), tuple(sorted(chats.get(owner, []), key=_by_number))
        )
        for owner in owners
    ]


def causes(plan: Plan) -> dict[str, int]:
    """How often each finding was made, the most frequent first."""
    found = Counter(finding.code for unit in plan.units for finding in unit.findings)
    return {
        code.replace("_", " "): found[code] for code in sorted(found, key=lambda c: (-found[c], c))
    }


def describe(users: Sequence[UserLine], causes: Mapping[str, int]) -> str:
    """What the picture shows, for who can't see it.

    >>> describe([UserLine("@alice:hs", Status.IN_SYNC, (ChatMark("C1", Status.MISSING),))], {"missing row": 2})
    '1 user, 1 chat: 1 missing. Not in sync: @alice:hs. Causes: missing row 2.'
    """
    troubled = [visible(user.name, 60) for user in users if user.worst is not _CALM]
    more = f" and {len(troubled) - 3:,} more" if len(troubled) > 3 else ""
    parts = [_summary(users)]
    if troubled:
        parts.append(f"Not in sync: {', '.join(troubled[:3])}{more}.")
    if causes:
        counts = [f"{visible(cause, 60)} {count:,}" for cause, count in _most(causes, 6)]
        parts.append(f"Causes: {', '.join(counts)}.")
    return " ".join(parts)


def _by_number(chat: ChatMark) -> tuple[int, str]:
    return chat_number(chat.label) or 10**9, chat.label


def _summary(users: Sequence[UserLine]) -> str:
    counts = Counter(chat.status for user in users for chat in user.chats)
    people = count_of(sum(user.name != NOBODY for user in users), "user")
    chats = count_of(counts.total(), "chat")
    if not users:
        return "No users and no chats."
    if all(user.worst is _CALM for user in users):
        return f"{people}, {chats}: everything is in sync."
    told = [f"{counts[status]:,} {_word(status)}" for status in reversed(INKS) if counts[status]]
    return f"{people}, {chats}" + (f": {', '.join(told)}." if told else ".")


def _most(causes: Mapping[str, int], limit: int) -> list[tuple[str, int]]:
    """The most frequent causes, and the others together."""
    ordered = sorted(causes.items(), key=lambda item: (-item[1], item[0]))
    if len(ordered) <= limit:
        return ordered
    rest = ordered[limit - 1 :]
    return [*ordered[: limit - 1], (f"{len(rest)} other causes", sum(count for _, count in rest))]


def _word(status: Status) -> str:
    return "in conflict" if status is Status.CONFLICT else status.replace("_", " ")


# Where it is drawn; all lengths are inches, from the upper left corner


@dataclass(frozen=True, slots=True)
class _Density:
    """How closely the map is drawn. Folded: users in sync are counted instead."""

    width: float
    columns: int
    cell: float
    name: float
    rows: int
    height: float
    folded: bool = False

    @property
    def pitch(self) -> float:
        return self.cell * 1.14

    @property
    def gap(self) -> float:
        """Between users; chats of one user stand closer."""
        return self.cell * (0.34 if self.columns == 1 else 0.16)

    @property
    def gutter(self) -> float:
        """Between columns."""
        return self.cell * 1.4

    @property
    def column(self) -> float:
        return (self.width - 2 * _MARGIN + self.gutter) / self.columns - self.gutter

    @property
    def left(self) -> float:
        """Where names begin: the mark of the user's row stands before them."""
        return self.cell * 1.3

    def per_row(self, name: float) -> int:
        return max(1, int((self.column - self.left - name - self.cell * 0.5) / self.pitch))

    def rows_of(self, user: UserLine, name: float) -> int:
        needed = -(-len(user.chats) // self.per_row(name))
        return max(1, min(needed, self.rows))

    def heights(self, users: Iterable[UserLine], name: float) -> list[float]:
        return [self.rows_of(user, name) * self.pitch + self.gap for user in users]


_MARGIN, _HEAD, _LINE = 0.25, 0.95, 0.22
_ROOMY = _Density(width=8, columns=1, cell=0.32, name=2.6, rows=5, height=4.8)
_USUAL = _Density(width=10, columns=2, cell=0.21, name=1.9, rows=4, height=6)
_DENSE = _Density(width=12, columns=3, cell=0.165, name=1.5, rows=3, height=9)
_CLOSE = _Density(width=12, columns=5, cell=0.13, name=0.95, rows=1, height=9.9, folded=True)
_TINY = _Density(width=12, columns=7, cell=0.105, name=0.62, rows=1, height=9.9, folded=True)
_DENSITIES = (
    *(_ROOMY, _USUAL, _DENSE),
    *(replace(density, folded=True) for density in (_ROOMY, _USUAL)),
    replace(_DENSE, folded=True, height=9.9),
    *(_CLOSE, _TINY),
)
_CAUSES, _CAUSE_WIDTH, _BAR_LENGTH = 20, 4.5, 3.5


class _Block(NamedTuple):
    """A user's place on the map."""

    user: UserLine
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class _Map:
    """Users and where they stand, and in a line below those that are only counted."""

    density: _Density
    blocks: tuple[_Block, ...]
    name: float
    names: Mapping[str, str]
    height: float
    below: str


def _arrange(users: Sequence[UserLine]) -> _Map:
    """The roomiest map that holds all users; if none does, the tiniest with those worst off."""
    troubled = [user for user in users if user.worst is not _CALM]
    for density in _DENSITIES:
        shown = troubled if density.folded else users
        if _columns(density.heights(shown, density.name), density) is not None:
            return _place(density, shown, users)
    return _place(_TINY, _worst(troubled), users)


def _worst(users: Sequence[UserLine]) -> list[UserLine]:
    """As many of the users as the tiniest map surely holds, in their order."""
    room = _TINY.columns * (_TINY.height - _TINY.rows * _TINY.pitch - _TINY.gap)
    ranked = sorted(range(len(users)), key=lambda i: (_ORDER.index(users[i].worst), i))
    kept: list[int] = []
    for index, height in zip(
        ranked, _TINY.heights((users[i] for i in ranked), _TINY.name), strict=True
    ):
        room -= height
        if room < 0:
            break
        kept.append(index)
    return [users[index] for index in sorted(kept)]


def _columns(heights: Sequence[float], density: _Density) -> list[tuple[int, float]] | None:
    """Column and distance from the top of each block, columns as even as can be; None: too many."""
    limit = max(sum(heights) / density.columns, max(heights, default=0.0))
    while limit <= density.height:
        places, column, y = [], 0, 0.0
        for height in heights:
            if y + height > limit + 1e-6:
                column, y = column + 1, 0.0
            places.append((column, y))
            y += height
        if column < density.columns:
            return places
        if limit == density.height:
            break
        limit = min(limit + density.pitch, density.height)
    return None


def _place(density: _Density, shown: Sequence[UserLine], users: Sequence[UserLine]) -> _Map:
    server = _shared_server(users) if density.columns > 1 else ""
    names = _short_names(shown, server, density)
    points = _points(density)
    name = min(density.name, max((_width(text, points) for text in names.values()), default=0))
    heights = density.heights(shown, name)
    places = _columns(heights, density) or []
    blocks = tuple(
        _Block(user, _MARGIN + column * (density.column + density.gutter), y)
        for user, (column, y) in zip(shown, places, strict=True)
    )
    height = max((block.y + high for block, high in zip(blocks, heights, strict=True)), default=0.0)
    return _Map(density, blocks, name, names, height, _below(server, shown, users))


def _below(server: str, shown: Sequence[UserLine], users: Sequence[UserLine]) -> str:
    """What the map leaves out."""
    calm = sum(user.worst is _CALM for user in users) if len(shown) < len(users) else 0
    missing = [f"{count_of(calm, 'user')} in sync"] if calm else []
    if left := len(users) - calm - len(shown):
        missing.append(f"{count_of(left, 'more user')} not in sync")
    parts = [f"Not drawn: {', '.join(missing)}."] if missing else []
    if server:
        parts.append(f"All users are on {_fit(server, 3, 9)}.")
    return " ".join(parts)


def _short_names(users: Sequence[UserLine], server: str, density: _Density) -> dict[str, str]:
    """What is written for each name; without the server if it is the same for all."""
    points, end = _points(density), f":{server}" if server else ""
    return {user.name: _fit(user.name.removesuffix(end), density.name, points) for user in users}


def _shared_server(users: Sequence[UserLine]) -> str:
    """The server of all users; empty if they differ."""
    servers = {user.name.partition(":")[2] for user in users if user.name != NOBODY}
    return servers.pop() if len(servers) == 1 else ""


def _points(density: _Density) -> float:
    """The size of names."""
    return min(10.0, density.cell * 46)


# How it is drawn


class Picture(Figure):
    """A figure that shows itself in a notebook, and says itself where no picture can be shown."""

    def __init__(self, width: float, height: float, words: str) -> None:
        super().__init__(figsize=(width, height), dpi=100, facecolor=_PAPER)
        self.set_layout_engine("none")
        self.words = words

    def __repr__(self) -> str:
        return self.words

    __str__ = __repr__

    def _repr_png_(self) -> bytes:
        """Twice as many pixels as it is shown with, for sharp letters at any zoom."""
        data = BytesIO()
        self.savefig(data, format="png", dpi=2 * _SCREEN, facecolor=_PAPER, bbox_inches=None)
        return data.getvalue()

    def _repr_mimebundle_(self, **_: Any) -> tuple[dict[str, str], dict[str, Any]]:
        """What a notebook takes. It goes before `%matplotlib inline`, which shows no figure without axes."""
        width, height = self.get_size_inches() * _SCREEN
        about = {"width": round(width), "height": round(height), "alt": self.words}
        picture = b64encode(self._repr_png_()).decode()
        return {"image/png": picture, "text/plain": self.words}, {"image/png": about}

    def write(
        self, x: float, y: float, text: str, points: float, colour: str = _TEXT, bold: bool = False
    ) -> None:
        """A line of text whose small letters are centred on `y`."""
        self.text(
            x,
            self.get_figheight() - y - points * 0.36 / 72,
            text,
            transform=self.dpi_scale_trans,
            fontproperties=FontProperties(fname=_font_file(bold), size=points),
            color=colour,
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


_SCREEN = 90
"""Pixels of a screen to an inch of the picture."""


def draw_map(users: Sequence[UserLine], causes: Mapping[str, int]) -> "Picture":
    """Every user's chats by status, and how often each cause was found.

    Many users are drawn more closely; if there are too many to read, those in sync are counted.
    """
    layout = _arrange(users)
    width = layout.density.width
    bars = [(cause, count) for cause, count in _most(causes, _CAUSES) if count > 0]
    columns = int(width // _CAUSE_WIDTH)
    rows = max(min(len(bars), 4), -(-len(bars) // columns))
    top = (_HEAD if users else 0.5) + layout.height + (_LINE * 1.2 if layout.below else 0)
    bottom = top + (0.45 + rows * _LINE if bars else 0)
    picture = Picture(width, bottom + _MARGIN * 0.7, describe(users, causes))
    _draw_head(picture, users)
    _draw_users(picture, layout)
    picture.write(_MARGIN, top - _LINE * 0.6, layout.below, 9, _FAINT)
    if bars:
        _draw_causes(picture, bars, top + 0.22, rows, width / columns - _MARGIN)
    return picture


def _draw_head(picture: Picture, users: Sequence[UserLine]) -> None:
    """What it is about, and the legend."""
    chats = Counter(chat.status for user in users for chat in user.chats)
    own = Counter(user.status for user in users if user.status)
    title = _summary(users)
    room = picture.get_figwidth() - 2 * _MARGIN
    picture.write(_MARGIN, 0.3, title, min(11, 0.85 * room * 72 / _width(title, 72)), bold=True)
    x, size = _MARGIN, 0.18
    for status in INKS:
        if not chats[status] and not own[status]:
            continue
        _draw_marks(picture, {status: [(x + size / 2, 0.62)]}, size, "legend")
        picture.write(x + size * 1.35, 0.62, _word(status), 9)
        x += size * 1.35 + _width(_word(status), 9) + 0.2
    if own:
        picture.write(x, 0.62, "circle: user's own row", 9, _FAINT)


def _draw_users(picture: Picture, layout: _Map) -> None:
    density, half = layout.density, layout.density.cell / 2
    chats: dict[Status, list[tuple[float, float]]] = {}
    own: dict[Status, list[tuple[float, float]]] = {}
    for user, x, top in layout.blocks:
        y = _HEAD + top + half
        if user.status:
            own.setdefault(user.status, []).append((x + half, y))
        picture.write(x + density.left, y, layout.names[user.name], _points(density))
        first = x + density.left + layout.name + density.cell * 0.5 + half
        shown, rest = _select(user, layout)
        for index, chat in enumerate(shown):
            place = _step(first, y, index, layout)
            chats.setdefault(chat.status, []).append(place)
            if density.columns == 1:
                label = _fit(chat.label, density.cell * 0.92, _LABEL)
                left = place[0] - _width(label, _LABEL) / 2
                picture.write(left, place[1] + density.cell * 0.29, label, _LABEL)
        if rest:
            right, down = _step(first - half, y, len(shown), layout)
            picture.write(right, down, rest, _points(density), _FAINT)
    lift = density.cell * 0.14 if density.columns == 1 else 0.0
    _draw_marks(picture, chats, density.cell, "chats", lift=lift)
    _draw_marks(picture, own, density.cell * 0.94, "rows")


def _select(user: UserLine, layout: _Map) -> tuple[Sequence[ChatMark], str]:
    """The chats there is room for, and what stands for the others; those not in sync come first."""
    density = layout.density
    room = density.per_row(layout.name) * density.rows
    if len(user.chats) <= room:
        return user.chats, ""
    room -= -(
        -int(_width(f"+{len(user.chats):,}", _points(density)) * 100) // int(density.pitch * 100)
    )
    ranked = sorted(range(len(user.chats)), key=lambda i: user.chats[i].status is _CALM)
    kept = sorted(ranked[: max(0, room)])
    return [user.chats[i] for i in kept], f"+{len(user.chats) - len(kept):,}"


def _step(x: float, y: float, index: int, layout: _Map) -> tuple[float, float]:
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
    shape = Path.unit_circle() if label == "rows" else _SQUARE
    outline = shape.transformed(Affine2D().scale(size / 2))
    for status, where in places.items():
        ink = INKS[status]
        letter = _letter(ink.letter).transformed(Affine2D().scale(size * (0.5 if lift else 0.62)))
        raised = [(x, y - lift) for x, y in where]
        picture.stamp(outline, where, ink.fill, ink.edge, f"{label} {status}")
        picture.stamp(letter, raised, ink.text, "none", f"letters {status}")


def _draw_causes(
    picture: Picture, bars: Sequence[tuple[str, int]], top: float, rows: int, width: float
) -> None:
    """Bars in columns, the longest first."""
    picture.write(_MARGIN, top, "What was found, how often", 9.5, bold=True)
    longest = max(count for _, count in bars)
    words = [_fit(cause, width * 0.45, 9) for cause, _ in bars]
    begin = max(_width(word, 9) for word in words) + 0.12
    room = width - begin - _width(f"{longest:,}", 9) - 0.3
    room = min(room, _BAR_LENGTH)
    for index, ((_, count), word) in enumerate(zip(bars, words, strict=True)):
        column, row = divmod(index, rows)
        x, y = _MARGIN + column * (width + _MARGIN), top + (row + 1.2) * _LINE
        length = max(0.02, room * count / longest)
        bar = _SQUARE.transformed(Affine2D().scale(length / 2, 0.07))
        picture.write(x, y, word, 9)
        picture.stamp(bar, [(x + begin + length / 2, y)], _BAR, "none", "bar")
        picture.write(x + begin + length + 0.07, y, f"{count:,}", 9)


_SQUARE = Path([(-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1)], closed=True)
_LABEL = 6.5


@lru_cache
def _letter(letter: str) -> Path:
    """A letter as a shape of height 1 around the origin; a check mark or sign no wider than that."""
    path = TextPath((0, 0), letter, size=1, prop=FontProperties(fname=_font_file(True)))
    box = path.get_extents()
    scale = 1 / max(box.height, box.width, 1e-6)
    middle = (-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2)
    return Path(path.vertices, path.codes).transformed(Affine2D().translate(*middle).scale(scale))


# What can be written with the font that matplotlib brings along


def _fit(text: str, width: float, points: float) -> str:
    """The text as it may be drawn; if it is too long, its middle gives way to an ellipsis."""
    parts = _drawable(text)
    widths = [_width(part, points) for part in parts]
    if sum(widths) <= width:
        return "".join(parts)
    room = width - _width("…", points)
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


def _width(text: str, points: float) -> float:
    return sum(map(_advance, text)) * points / 72


def _font_file(bold: bool = False) -> str:
    """The very file: what `rcParams` or the system would choose may lack glyphs, and warn of it."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return str(File(matplotlib.get_data_path(), "fonts", "ttf", name))


@lru_cache(maxsize=1)
def _font() -> FT2Font:
    font = FT2Font(_font_file())
    font.set_size(100, 72)
    return font


@lru_cache(maxsize=1)
def _glyphs() -> frozenset[int]:
    return frozenset(_font().get_charmap())


@lru_cache(maxsize=4096)
def _advance(char: str) -> float:
    """How far a character moves the pen, as a part of the font's size."""
    return _font().load_char(ord(char)).linearHoriAdvance / 65536 / 100
