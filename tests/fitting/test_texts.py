"""Patterns from texts: right about the ids that they came from, and no wider than they must be."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.fitting.texts import find_pattern
from toolkit.layout import id_pattern

INTEGERS = frozenset({"id"})
ANNA_BEN = [("Ticket #7 (Anna)", ("7",)), ("Ticket #8 (Ben)", ("8",))]


@pytest.mark.parametrize(
    ("told", "pattern"),
    [
        (ANNA_BEN, r"Ticket #{id} \(.+\)"),
        (ANNA_BEN[:1], r"Ticket #{id} \(.+\)"),
        ([("Ticket 7", ("7",)), ("Ticket 8", ("8",))], "Ticket {id}"),
        ([("Ticket 7 a", ("7",)), ("Ticket 8 b", ("8",))], "Ticket {id} .+"),
        ([("Ticket 7", ("7",)), ("Ticket 8 b", ("8",))], "Ticket {id}.*"),
        ([("C7", ("7",)), ("C8", ("8",))], "C{id}"),
        ([("#t_7:hs.example", ("7",)), ("#t_8:hs.example", ("8",))], r"#t_{id}:hs\.example"),
        ([("#t_7:hs.example", ("7",))], "#t_{id}:.+"),
        ([("Room 1: ticket 1", ("1",)), ("Room 1: ticket 2", ("2",))], "Room 1: ticket {id}"),
        ([("[Anna] Ticket 7", ("7",)), ("[Ben] Ticket 8", ("8",))], r"\[.+\] Ticket {id}"),
        ([("T 7 (Anna A)", ("7",)), ("T 8 (Andrea A)", ("8",))], r"T {id} \(.+ A\)"),
        ([("T 7 (xA)", ("7",)), ("T 8 (yA)", ("8",))], r"T {id} \(.+\)"),
        ([("T{x}. 7", ("7",)), ("T{x}. 8", ("8",))], r"T\{x\}\. {id}"),
        ([*ANNA_BEN, ("Lobby", ("9",))], r"Ticket #{id} \(.+\)"),
        ([("71", ("7",)), ("Lobby", ("9",))], None),
        ([("7", ("7",)), ("8", ("8",))], None),
        ([("", ("7",)), ("x", ("",))], None),
    ],
)
def test_a_pattern_of_one_part(
    told: list[tuple[str, tuple[str, ...]]], pattern: str | None
) -> None:
    found = find_pattern(told, ("id",), INTEGERS)
    assert (found and found.text) == pattern


@pytest.mark.parametrize(
    ("told", "pattern"),
    [
        (
            [("net a / chan x", ("a", "x")), ("net b / chan y", ("b", "y"))],
            "net {net} / chan {chan}",
        ),
        ([("x on a", ("a", "x")), ("y on b", ("b", "y"))], "{chan} on {net}"),
        ([("a alone", ("a", "x"))], None),
        ([("it is ab-c", ("ab-c", "c"))], None),
    ],
)
def test_a_pattern_of_several_parts(
    told: list[tuple[str, tuple[str, ...]]], pattern: str | None
) -> None:
    found = find_pattern(told, ("net", "chan"), frozenset())
    assert (found and found.text) == pattern


def test_a_pattern_that_is_often_wrong_is_none() -> None:
    told = [("T 1", ("1",)), ("T 2", ("3",)), ("T 3", ("2",))]
    assert find_pattern(told, ("id",), INTEGERS) is None


def test_a_column_whose_name_can_not_stand_in_a_pattern_has_none() -> None:
    assert find_pattern([("a of b", ("a", "b"))], ("1st", "b}"), frozenset()) is None


@given(
    st.lists(
        st.tuples(st.text(max_size=6), st.integers(0, 999), st.text(max_size=6)),
        min_size=1,
        max_size=5,
    )
)
def test_what_is_found_can_be_declared_and_tells_what_it_says(
    parts: list[tuple[str, int, str]],
) -> None:
    told = [(f"{before}{number}{after}", (str(number),)) for before, number, after in parts]
    found = find_pattern(told, ("id",), INTEGERS)
    if found is None:
        return
    pattern: re.Pattern[str] = id_pattern(found.text, ("id",), INTEGERS)
    matches = [(pattern.fullmatch(text), id) for text, (id,) in told]
    assert sum(match["part0"] == id for match, id in matches if match) == found.right > 0


def test_a_name_of_whoever_is_in_the_rooms_is_another_one_elsewhere() -> None:
    """Also where all rooms that were looked at are of one user, as on a developer's machine."""
    told = [(f"Ticket #{number} (eva.x)", (str(number),)) for number in (7, 8)]
    people = [{"eva.x", "Ticket no"}, {"eva.x"}]
    found = find_pattern(told, ("id",), INTEGERS, people)
    assert found and (found.text, found.right) == (r"Ticket #{id} \(.+\)", 2)
    one = find_pattern(told[:1], ("id",), INTEGERS, people[:1])
    assert one and one.right == 1
    parts = [("eva's evas 7", ("7",)), ("eva's evas 8", ("8",))]
    found = find_pattern(parts, ("id",), INTEGERS, [{"eva"}, {"eva"}])
    assert found and found.text == ".+'s evas {id}"
