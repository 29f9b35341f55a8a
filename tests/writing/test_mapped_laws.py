"""Laws of mapped tables: whatever stands in their cells, a run writes what it says, and undo is exact."""

import asyncio
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from tests.tables import Desk, link_layout
from toolkit.records import Raw, encode_row
from toolkit.writing.undo import undo

laws = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
cells = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8")),
    st.binary(),
)
ids = st.one_of(
    st.integers(-3, 3), st.sampled_from(["a", "A", "7", "-3", "007", "", "ü", "x:y", '["a"]'])
)
COLUMNS = st.sampled_from(["", "TEXT", "INT", "BLOB", "NUMERIC", "TEXT COLLATE NOCASE"])


@st.composite
def tables(draw: Any) -> tuple[str, list[tuple[Any, ...]]]:
    kinds = [draw(COLUMNS, label=name) for name in ("id", "part", "room", "s")]
    columns = ", ".join(f"{n} {k}" for n, k in zip(("id", "part", "room", "s"), kinds, strict=True))
    rows = draw(st.lists(st.tuples(ids, ids, cells, cells), max_size=4))
    return f"CREATE TABLE links ({columns}, serial INTEGER PRIMARY KEY)", rows


def changed(rows: dict[str, Raw], room: Any) -> dict[str, Raw]:
    """Each row that is one, with another room."""
    found: dict[str, Raw] = {}
    for key, raw in rows.items():
        row = json.loads(str(raw))
        if isinstance(row, dict) and row["room"] != room:
            found[key] = encode_row(row | {"room": room})
    return found


SMALLEST = [(0, 0, None, -(2**63))]


@laws
@example(("CREATE TABLE links (id, part, room, s, serial INTEGER PRIMARY KEY)", SMALLEST), "!room")
@given(tables(), st.sampled_from(["!room", "7", None]))
def test_undo_is_exact_whatever_the_cells_hold(
    table: tuple[str, list[tuple[Any, ...]]], room: Any
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made, rows = table
        layout = link_layout("links", ["id", "part"], "room", show=["s", "serial"])
        desk = Desk(Path(folder) / "bot.db", made, layout)
        for row in rows:
            desk.sql("INSERT INTO links (id, part, room, s) VALUES (?, ?, ?, ?)", *row)
        asyncio.run(_written_and_back(desk, room))


async def _written_and_back(desk: Desk, room: Any) -> None:
    before, stored = desk.dump(), await desk.rows()
    wanted = changed(stored, room)
    result = await desk.write(*({key: raw} for key, raw in wanted.items()))
    event(f"{len(result.applied)} of {len(wanted)} written")
    now = await desk.rows()
    for number, (key, raw) in enumerate(wanted.items()):
        if result.outcomes[f"!unit{number}"].applied:
            assert json.loads(str(now[key])) == json.loads(str(raw))
        else:
            # A column that makes a number of "7" doesn't hold what was asked for, and is left alone.
            assert now[key] == stored[key] and room == "7"
    assert {key: raw for key, raw in now.items() if key not in wanted} == {
        key: raw for key, raw in stored.items() if key not in wanted
    }
    if result.run:
        async with desk.store() as store:
            _, back = await undo(store, result.run)
        assert all(found.applied for found in back.outcomes.values())
    assert desk.dump() == before
