"""A frame on a screen: one header line, texts on the left, ids short to see and whole to copy."""

from __future__ import annotations

import re
from html import unescape

import pandas as pd
import pytest

from toolkit.frames.frame import Frame

ROOM = "!9kP1DPAcY7YH5k3_DxD_fOT0MS5-4WKzRgy0KsADwtI"
KEY = f"chat:@alice:example.org:unregistered:{ROOM}"
CAUSE = "both rows are gone while the bot is still in the room: " + "a reset, " * 12


def markup(frame: Frame) -> str:
    found = frame._repr_html_()
    assert found
    return found


def words(html: str) -> str:
    """What stands there for who has no styles, or copies it."""
    return unescape(re.sub(r"<[^>]*>", "", html))


@pytest.mark.parametrize("text", [ROOM, KEY, f"matrix_room:{ROOM}"])
def test_an_id_is_shortened_in_the_middle_and_whole_to_hover_and_to_copy(text: str) -> None:
    for frame in (Frame({"key": [text]}), Frame({"n": [1]}, index=pd.Index([text], name="key"))):
        found = markup(frame)
        assert f'<span title="{text}"' in found
        assert "text-overflow: ellipsis" in found and f"</span>{text[-8:]}</span>" in found
        assert text in words(found)


@pytest.mark.parametrize("column", ["before", "after", "local", "remote"])
def test_what_is_compared_is_shown_whole(column: str) -> None:
    value = f'"{ROOM * 9}"'
    found = markup(Frame({column: [ROOM, value]}))
    assert "<span" not in found
    assert ROOM in found and value in words(found)


def test_sentences_are_whole_unless_pandas_was_told_a_width() -> None:
    frame = Frame({"cause": [CAUSE.strip()]})
    assert CAUSE.strip() in markup(frame)
    with pd.option_context("display.max_colwidth", 20):
        assert "both rows are gone …" in markup(frame)


def test_short_ids_and_sentences_that_begin_like_ids_are_no_ids() -> None:
    found = markup(
        Frame({"name": ["!r1", "@alice:hs", "!a sentence that goes on and on and on, and on"]})
    )
    assert "<span" not in found


def test_text_is_on_the_left_and_numbers_where_pandas_puts_them() -> None:
    frame = Frame(
        {"status": pd.array(["missing", pd.NA], dtype="str"), "rows": [1, 2], "odd": [None, 3.5]}
    )
    found = markup(frame)
    assert '<td style="text-align: left">missing</td>' in found
    assert '<td style="text-align: left">NaN</td>' in found
    assert '<th style="text-align: left">status</th>' in found
    assert "<td>1</td>" in found and "<th>rows</th>" in found and "<td>3.5</td>" in found
    absent = Frame({"chat_id": pd.array([pd.NA, "C1"], dtype="string")})
    assert '<td style="text-align: left">&lt;NA&gt;</td>' in markup(absent)


def test_there_is_one_header_line_with_the_name_of_the_index() -> None:
    frame = Frame({"n": [1]}, index=pd.Index(["a"], name="unit"))
    found = markup(frame)
    head = found[found.index("<thead>") : found.index("</thead>")]
    assert head.count("<tr") == 1
    assert '<th style="text-align: left">unit</th>' in head
    several = frame.reset_index().set_index(["unit", "n"])
    several["name"] = "x"
    assert "unit" in markup(several)
    unnamed = Frame({"n": [1]})
    assert markup(unnamed).count("<tr") == 2


def test_nobody_can_write_markup_through_an_id() -> None:
    hostile = f"!<img src=x onerror=alert()>\"'$x$\\(y\\){ROOM}".replace(" ", "")
    found = markup(Frame({"room_id": [hostile, f"!\0\1\2\3{ROOM}"]}))
    assert "<img" not in found
    attributes = re.findall(r'title="([^"]*)"', found)
    assert next(map(unescape, attributes)) == hostile
    bare = found.replace("<span>$</span>", "").replace("<span>\\</span>", "")
    assert "$" not in bare and "\\" not in bare and not set(found) & set("\0\1\2\3")
