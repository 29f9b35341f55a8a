"""What a stranger wrote is shown, and does nothing (rules 2.10)."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.demo.world import HOSTILE_NAME
from toolkit.quotes import quote_odd
from toolkit.text.visible import visible

ANYTHING = st.text(st.characters() | st.sampled_from("  \\u{}202e\u0301\u202e\ud800\udcff\x1b…"))


@pytest.mark.parametrize(
    "code",
    [
        *(0x00, 0x07, 0x0A, 0x0D, 0x1B, 0x7F, 0x85, 0x9B),
        *range(0x200B, 0x2010),
        *range(0x2028, 0x202F),
        *range(0x2060, 0x206A),
        *(0xA0, 0xAD, 0x34F, 0x61C, 0x115F, 0x180E, 0x2800, 0x3000, 0x3164, 0xFE0F, 0xFEFF),
        *(0xFFF9, 0xD800, 0xDFFF, 0xE000, 0xE0041, 0xE0100, 0x10FFFF),
    ],
)
def test_what_cannot_be_seen_or_moves_the_cursor_is_written_out(code: int) -> None:
    assert visible(f"a{chr(code)}b") == f"a\\u{{{code:x}}}b"


@pytest.mark.parametrize(
    "text", ["Чат 1", "Tiếng Việt", "日本語", "שלום", "👍🏽", "<b>&", "a\\b", ""]
)
def test_ordinary_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text


def test_a_space_that_nobody_would_see_is_written_out() -> None:
    key = "chat:@a:hs:C1"
    assert visible(f"{key} ") == f"{key}\\u{{20}}"
    assert visible(f" {key}") == f"\\u{{20}}{key}"
    assert visible("Чат  1") == "Чат \\u{20}1"
    assert visible(" ") == "\\u{20}" != visible("  ")
    assert visible(f"{key}\t\u3000\n") == f"{key}\\u{{9}}\\u{{3000}}\\u{{a}}"
    assert visible("x" * 9 + " ", 10) == "x" * 9 + "…"


def test_lines_of_our_own_keep_their_spaces() -> None:
    assert visible("  File 'x',  line 1\x1b ", spaces=False) == "  File 'x',  line 1\\u{1b} "


def test_an_odd_id_inside_a_sentence_is_quoted() -> None:
    assert list(map(quote_odd, ["@a:hs", "@a:hs ", " @a:hs"])) == ["@a:hs", '"@a:hs "', '" @a:hs"']


def test_marks_stand_on_a_letter_and_not_in_a_flood() -> None:
    assert visible("e" + "\u0301" * 5) == "e" + "\u0301" * 3 + "\\u{301}" * 2
    assert visible("\u0301\u0301x") == "\\u{301}\\u{301}x"


def test_a_text_that_looks_like_an_escape_is_told_from_one() -> None:
    assert visible("\\u{202e}") == "\\u{5c}u{202e}" != visible("\u202e")


def test_a_long_text_ends_with_an_ellipsis_and_no_half_escape() -> None:
    assert visible("x" * 100, 10) == "x" * 9 + "…"
    assert visible("xx\u202exxxxx", 8) == "xx…"
    assert visible("x" * 10, 10) == "x" * 10


@given(ANYTHING, st.integers(1, 60))
def test_nothing_hidden_gets_through_whatever_it_is(text: str, limit: int) -> None:
    shown = visible(text, limit)
    assert len(shown) <= limit
    assert not [c for c in shown if c != " " and unicodedata.category(c)[0] in "CZ"]
    assert shown == shown.strip(" ") and "  " not in shown


@given(ANYTHING, ANYTHING)
def test_different_texts_look_different(one: str, other: str) -> None:
    assert (visible(one, 10_000) == visible(other, 10_000)) == (one == other)


def test_the_demos_hostile_name_is_harmless() -> None:
    shown = visible(HOSTILE_NAME)
    assert "\\u{1b}[2J" in shown
    assert shown.isprintable()
