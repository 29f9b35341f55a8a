"""What is written reads back as the same values, whatever a database called things."""

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.fitting.toml import inline, key
from toolkit.quotes import is_hidden

TEXTS = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(
    ['"', "'\\", "\\d", "\\'", "\x7f", "\r\n", "\u202e", "\U000e0041", "a.b", ""]
)
CELLS = TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False)
VALUES = CELLS | st.lists(CELLS) | st.dictionaries(TEXTS, CELLS)


@given(st.dictionaries(TEXTS, VALUES))
def test_values_come_back_and_nothing_hidden_is_in_the_file(values: dict[str, Any]) -> None:
    lines = [f"{key(name)} = {inline(value)}" for name, value in values.items()]
    assert tomllib.loads("\n".join(lines)) == values
    assert not any(is_hidden(char) for line in lines for char in line)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (r"Ticket #{id} \(.+\)", r"'Ticket #{id} \(.+\)'"),
        ("plain", '"plain"'),
        (r"it's \d", r'"it' + "'" + r's \\d"'),
        ({"a": 1.5, "b c": [True]}, '{ a = 1.5, "b c" = [true] }'),
    ],
)
def test_it_is_written_as_a_person_would(value: Any, told: str) -> None:
    assert inline(value) == told
