"""The picture of a plan: true to it, readable by everyone, and not to be broken by any name."""

import itertools
import struct
from base64 import b64decode
from collections import Counter
from html import escape
from typing import Any

import matplotlib.style
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from IPython.core.formatters import DisplayFormatter
from IPython.core.pylabtools import print_figure
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from tests.worlds import CONVENTION, Sides, worlds
from toolkit.model import Code, Finding, Plan, Status, Unit, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.plots import (
    INKS,
    NOBODY,
    ChatMark,
    UserLine,
    describe,
    draw_map,
    user_lines,
)
from toolkit.records import load_records
from toolkit.text.summary import count_causes

HOSTILE = (
    "",
    "$\\badmacro$",
    "$$",
    "$5 and $6",
    "\\frac{",
    "^_{}%&#~",
    "山田太郎",
    "😀👩‍👩‍👧‍👦",
    "@שלום:hs",
    "@مرحبا:hs",
    "\u202egnp.exe",
    "nul\0",
    "two\nlines\ttab",
    "\ud800\udcff",
    "a" + "\u0301" * 99,
    "﷽" * 40,
    "W" * 100_000,
    "\u202e" * 100_000,
)
QUIET = settings(deadline=None, max_examples=40, suppress_health_check=list(HealthCheck))

statuses = st.sampled_from(Status)
names = st.text(st.characters() | st.sampled_from("$\\^_{}\u202e\u0301\ud800\0山א:@")) | (
    st.sampled_from(HOSTILE)
)
marks = st.builds(ChatMark, names, statuses)
lines = st.builds(UserLine, names, st.none() | statuses, st.lists(marks, max_size=40).map(tuple))


def user(number: int, *chats: Status, own: Status | None = Status.IN_SYNC) -> UserLine:
    labels = (f"C{place}" for place in itertools.count(1))
    return UserLine(f"@user{number}:hs", own, tuple(map(ChatMark, labels, chats)))


def crowd(count: int, chats: int = 5, troubled: int = 0) -> list[UserLine]:
    """So many users, the first of them with one chat whose rows are missing."""
    calm = (Status.IN_SYNC,) * (chats - 1)
    return [
        user(number, Status.MISSING if number < troubled else Status.IN_SYNC, *calm)
        for number in range(count)
    ]


def drawn(figure: Figure) -> Figure:
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    return figure


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts if text.get_text()]


def stamps(figure: Figure, label: str) -> Counter[str]:
    """How many of these shapes there are, by status."""
    found: Counter[str] = Counter()
    for shapes in figure.findobj(PathCollection):
        kind, _, status = str(shapes.get_label()).partition(" ")
        if kind == label:
            found[status] += len(places(shapes))
    return found


def places(shapes: Any) -> list[tuple[float, float]]:
    return list(map(tuple, shapes.get_offsets()))


def unit(id: str, status: Status, *codes: Code, **more: Any) -> Unit:
    found = tuple(Finding(unit=id, code=code, key="k", cause="") for code in codes)
    kind = UnitKind.ROOM if id.startswith("!") else UnitKind.USER
    return Unit(**({"id": id, "kind": kind, "status": status, "findings": found} | more))


# What is drawn


def test_chats_stand_by_number_with_their_owner_whether_in_sync_or_not() -> None:
    row = '{"chat_id": "C10", "matrix_user_id": "@b:hs", "space_id": "!s"}'
    plan = Plan(
        account="@bot:hs",
        joined=(),
        in_sync_rooms=("!in",),
        in_sync_users=("@b:hs",),
        units=(
            unit("@a:hs", Status.MISSING, owner="@a:hs"),
            unit("!2", Status.MISSING, owner="@b:hs", chat_id="C2"),
            unit("!x", Status.CONFLICT, owner="@b:hs"),
            unit("!1", Status.MISMATCHED, owner="@a:hs", chat_id="C1"),
        ),
    )
    assert user_lines(plan, load_records([("matrix_room:!in", row)])) == [
        UserLine("@a:hs", Status.MISSING, (ChatMark("C1", Status.MISMATCHED),)),
        UserLine(
            "@b:hs",
            Status.IN_SYNC,
            (
                ChatMark("C2", Status.MISSING),
                ChatMark("C10", Status.IN_SYNC),
                ChatMark("?", Status.CONFLICT),
            ),
        ),
    ]


def test_what_has_no_owner_stands_last_under_nobody_yet() -> None:
    units = (
        unit("!space", Status.CONFLICT, kind=UnitKind.USER, space_id="!space"),
        unit("!1", Status.CONFLICT),
        unit("!2", Status.MISSING, owner="@z:hs", chat_id="C1"),
    )
    found = user_lines(Plan(account="@bot:hs", joined=(), units=units), load_records([]))
    assert [line.name for line in found] == ["@z:hs", NOBODY]
    assert found[0].status is None
    assert found[1] == UserLine(NOBODY, Status.CONFLICT, (ChatMark("?", Status.CONFLICT),))


def test_of_two_rows_for_one_user_the_worse_is_shown() -> None:
    units = (
        unit("@a:hs", Status.MISSING, owner="@a:hs"),
        unit("!s", Status.CONFLICT, kind=UnitKind.USER, owner="@a:hs"),
    )
    for order in (units, units[::-1]):
        plan = Plan(account="@bot:hs", joined=(), in_sync_users=("@a:hs",), units=order)
        assert user_lines(plan, load_records([]))[0].status is Status.CONFLICT


@QUIET
@given(worlds())
def test_every_chat_of_a_plan_is_on_the_map_once(sides: Sides) -> None:
    local = sides.local()
    plan = plan_repairs(sides.remote(), local, CONVENTION)
    found = user_lines(plan, local)
    rooms = [unit.status for unit in plan.units if unit.kind is UnitKind.ROOM]
    expected = Counter(rooms) + Counter({Status.IN_SYNC: len(plan.in_sync_rooms)})
    assert Counter(chat.status for line in found for chat in line.chats) == expected
    assert {line.name for line in found if line.status} - {NOBODY} >= set(plan.in_sync_users)
    drawn(draw_map(found, {cause.words: cause.count for cause in count_causes(plan)}))


# How it is drawn


def test_few_users_are_drawn_with_the_number_of_each_chat() -> None:
    figure = draw_map([user(1, Status.MISSING, Status.IN_SYNC)], {"missing row": 1})
    assert {"@user1:hs", "C1", "C2", "missing", "in sync", "missing row", "1"} <= {*texts(figure)}
    assert stamps(figure, "chats") == {"missing": 1, "in_sync": 1}
    assert stamps(figure, "rows") == {"in_sync": 1}


@pytest.mark.parametrize("count", [1, 3, 12, 40, 120])
def test_every_user_is_drawn_while_there_is_room(count: int) -> None:
    figure = draw_map(crowd(count, troubled=1), {})
    assert stamps(figure, "chats").total() == 5 * count
    assert sum(text.startswith("@user") for text in texts(figure)) == count


@pytest.mark.parametrize("count", [500, 5_000])
def test_of_many_users_those_in_sync_are_counted_and_the_others_drawn(count: int) -> None:
    figure = draw_map(crowd(count, troubled=88), {})
    assert stamps(figure, "chats")["missing"] == 88
    assert f"Not drawn: {count - 88:,} users in sync. All users are on hs." in texts(figure)


def test_five_hundred_users_are_all_drawn_when_every_one_is_troubled() -> None:
    assert stamps(draw_map(crowd(500, troubled=500), {}), "chats")["missing"] == 500


def test_of_too_many_troubled_users_the_worst_are_drawn_and_the_others_counted() -> None:
    users = [*crowd(3_000, troubled=3_000), user(9_999, Status.CONFLICT)]
    figure = draw_map(users, {})
    count = stamps(figure, "chats")["missing"]
    assert stamps(figure, "chats")["conflict"] == 1 and count >= 400
    assert any(f"{3_000 - count:,} more users not in sync" in text for text in texts(figure))


@pytest.mark.parametrize("others", [0, 30, 100])
def test_of_too_many_chats_of_one_user_those_in_sync_give_way(others: int) -> None:
    chats = [Status.IN_SYNC] * 9_000 + [Status.MISSING] * 5
    figure = draw_map([user(10_000, *chats), *crowd(others)], {})
    assert stamps(figure, "chats")["missing"] == 5
    left = 9_005 - (stamps(figure, "chats").total() - 5 * others)
    assert f"+{left:,}" in texts(figure)


@pytest.mark.parametrize("chats", [0, 1, 5, 40, 2_000])
@pytest.mark.parametrize("count", [0, 1, 3, 40, 130, 500, 3_000])
def test_the_picture_has_bounds_and_everything_lies_within(count: int, chats: int) -> None:
    every = tuple(Status) * (chats // 6 + 1)
    users = [user(number, *every[:chats]) for number in range(min(count, 60_000 // (chats + 1)))]
    figure = draw_map(users, {f"cause {number} {'W' * number}": number for number in range(40)})
    width, height = figure.get_size_inches()
    assert width <= 12 and height <= 14
    FigureCanvasAgg(figure)
    for text in figure.texts:
        box = text.get_window_extent()
        assert box.x0 >= 0 and box.x1 <= figure.bbox.x1, text.get_text()
        assert box.y0 >= 0 and box.y1 <= figure.bbox.y1, text.get_text()
    for shapes in figure.findobj(PathCollection):
        assert all(0 < x < width and 0 < y < height for x, y in places(shapes))


def test_the_shared_server_is_left_out_only_if_all_users_share_it() -> None:
    users = [*crowd(40), user(50, own=None)]
    assert "@user7" in texts(draw_map(users, {}))
    assert "@user7" in texts(draw_map([*users, UserLine(NOBODY, None, ())], {}))
    assert "@user7:hs" in texts(draw_map([*users, UserLine("@x:other", None, ())], {}))


def test_a_user_who_is_only_counted_may_be_on_another_server() -> None:
    figure = draw_map([*crowd(500, troubled=60), UserLine("@x:other", Status.IN_SYNC, ())], {})
    assert "@user7:hs" in texts(figure)
    assert "Not drawn: 441 users in sync." in texts(figure)


def test_nothing_to_show_is_said() -> None:
    assert texts(draw_map([], {})) == ["No users and no chats."]


# For everyone's eyes


def luminance(colour: Any) -> float:
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: Any, other: Any) -> float:
    """Of two colours, as WCAG 2 reckons it."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


BLINDNESS = {
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deutan": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritan": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
}
"""What such an eye makes of red, green and blue (Machado, Oliveira, Fernandes 2009, severity 1)."""


@pytest.mark.parametrize("eye", sorted(BLINDNESS))
def test_colour_blind_people_tell_every_two_statuses_apart(eye: str) -> None:
    seen = [
        [sum(m * c for m, c in zip(row, to_rgb(ink.fill), strict=True)) for row in BLINDNESS[eye]]
        for ink in INKS.values()
    ]
    for one, other in itertools.combinations(seen, 2):
        assert sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) ** 0.5 > 0.15


def test_every_status_has_a_letter_of_its_own_that_can_be_read() -> None:
    assert INKS.keys() == set(Status)
    assert len({ink.letter for ink in INKS.values()}) == len(INKS)
    for ink in INKS.values():
        assert contrast(ink.text, ink.fill) >= 4.5
        assert contrast(ink.edge, "#fdfdfd") >= 3


@pytest.mark.parametrize("style", ["default", "dark_background", "grayscale"])
def test_text_stays_readable_in_every_style(style: str) -> None:
    with matplotlib.style.context(style):
        figure = draw_map(crowd(40, troubled=3), {"missing row": 3})
        paper: Any = FigureCanvasAgg(figure)
        paper.draw()
        assert min(paper.buffer_rgba()[0, 0, channel] for channel in range(3)) > 240
        for text in figure.texts:
            assert contrast(text.get_color(), figure.get_facecolor()) >= 4.5


@pytest.mark.parametrize(
    "settings",
    [
        {"figure.autolayout": True},
        {"figure.constrained_layout.use": True},
        {"text.usetex": True},
        {"font.family": "no such font"},
        {"text.parse_math": True},
    ],
)
def test_a_notebook_s_own_settings_change_nothing(settings: Any) -> None:
    users, counts = crowd(3, troubled=2), {"$x$": 1}
    expected = draw_map(users, counts)._repr_png_()
    with matplotlib.rc_context(settings):
        assert draw_map(users, counts)._repr_png_() == expected


def test_the_description_says_what_the_picture_shows() -> None:
    users = [*crowd(6, troubled=5), UserLine(NOBODY, None, (ChatMark("?", Status.CONFLICT),))]
    assert describe(users, {"missing row": 1_200, "owner left": 1}) == (
        "6 users, 31 chats: 25 in sync, 5 missing, 1 in conflict. "
        "Not in sync: @user0:hs, @user1:hs, @user2:hs and 3 more. "
        "Causes: missing row 1,200, owner left 1."
    )
    assert describe(crowd(2), {}) == "2 users, 10 chats: everything is in sync."
    assert describe([], {}) == "No users and no chats."


# Names of strangers


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
@pytest.mark.parametrize("crowded", [0, 40, 500])
def test_a_hostile_name_is_drawn_as_text_without_error_or_warning(name: str, crowded: int) -> None:
    line = UserLine(name, Status.CONFLICT, (ChatMark(name, Status.MISSING),))
    figure = drawn(draw_map([line, *crowd(crowded)], {name: 3, "x": 1}))
    assert not any(text.get_parse_math() or text.get_usetex() for text in figure.texts)
    assert all(
        len(text) < 500 and "\u202e" not in text and "\0" not in text for text in texts(figure)
    )
    described = describe([line], {name: 3})
    assert len(described) < 300 and described.isprintable()


def test_characters_without_a_glyph_become_boxes() -> None:
    assert "@□□:hs" in texts(draw_map([UserLine("@山田:hs", None, ())], {}))


def test_a_long_name_keeps_its_beginning_and_its_end() -> None:
    (shown,) = [
        t for t in texts(draw_map([UserLine("@" + "a" * 999 + ":hs", None, ())], {})) if "@" in t
    ]
    assert shown.startswith("@aaaa") and "…" in shown and shown.endswith("aaa:hs")


def test_an_escape_is_never_cut_in_half() -> None:
    name = "@" + "\u202e" * 300 + ":hs"
    (shown,) = [t for t in texts(draw_map([UserLine(name, None, ())], {})) if "@" in t]
    assert shown.replace("\\u{202e}", "") == "@…:hs"


@QUIET
@given(st.lists(lines, max_size=30), st.dictionaries(names, st.integers(0, 10**12), max_size=30))
def test_no_value_breaks_the_picture(users: list[UserLine], counts: dict[str, int]) -> None:
    drawn(draw_map(users, counts))
    assert describe(users, counts)


# In a notebook


@pytest.mark.parametrize("inline", [False, True])
def test_a_figure_shows_itself_sharply_and_with_a_description(inline: bool) -> None:
    figure = draw_map(crowd(3), {})
    formatter: Any = DisplayFormatter()
    if inline:  # what `%matplotlib inline` registers
        formatter.formatters["image/png"].for_type(Figure, print_figure)
    data, about = formatter.format(figure)
    assert data["text/plain"] == describe(crowd(3), {})
    width, height = struct.unpack(">II", b64decode(data["image/png"])[16:24])
    shown = about["image/png"]
    assert shown["alt"] == data["text/plain"]
    assert f'src="data:image/png;base64,{data["image/png"]}"' in data["text/html"]
    assert f'alt="{escape(shown["alt"])}"' in data["text/html"]
    assert abs(width - 2 * shown["width"]) <= 1 and abs(height - 2 * shown["height"]) <= 1


def test_the_words_of_a_picture_are_no_markup_and_no_formula() -> None:
    data, _ = draw_map(
        [UserLine('@"><img src=x>$y$:hs', Status.MISSING, ())], {}
    )._repr_mimebundle_()
    assert data["text/html"].count("<img") == 1
    assert "$" not in data["text/html"] and "&#36;y&#36;" in data["text/html"]


def test_equal_values_make_equal_pictures() -> None:
    one, other = (draw_map(crowd(40, troubled=4), {"a": 1})._repr_png_() for _ in range(2))
    assert one == other


def test_nothing_is_left_in_pyplot() -> None:
    import matplotlib.pyplot as plt

    before = plt.get_fignums()
    drawn(draw_map(crowd(3), {}))
    assert plt.get_fignums() == before
