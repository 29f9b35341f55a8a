"""What a database took of what it was told to write, and whose fault it is if it took nothing."""

import pytest

from toolkit.database.sql import RowChange
from toolkit.records import NULL, Raw
from toolkit.writing.read_back import NotTaken, holds, why_not_taken


@pytest.mark.parametrize(
    ("stored", "wanted", "held"),
    [
        ('{"a": 1, "seen": true}', '{"a":1}', True),
        ('{"a": true}', '{"a":1}', False),
        ("{", '{"a":1}', False),
        (NULL, '{"a":1}', False),
        (None, '{"a":1}', False),
        ('{"a": NaN}', '{"a":NaN}', True),
    ],
)
def test_a_row_holds_if_nothing_but_further_fields_came_to_it(
    stored: Raw, wanted: Raw, held: bool
) -> None:
    assert holds(stored, wanted) == held


def test_of_many_rows_it_is_not_known_which_moved() -> None:
    assert why_not_taken(NotTaken(), {}).state == "stale"
    row = RowChange("chat:@a:hs:C1", None, "{}")
    assert "meanwhile" in why_not_taken(NotTaken(row), {row.key: "[]"}).detail
    assert "meanwhile" not in why_not_taken(NotTaken(row), {}).detail
