"""The review of a bot of shape links in JupyterLab: decided, settled, applied, seen in its table, and taken back."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.board.opened import Table, look_with_axe

if TYPE_CHECKING:
    from tests.browser import NotebookPage

FOREIGN = re.compile(r"\bchats?\b|\bspaces?\b(?!:)|user row", re.IGNORECASE)
OPEN = """from pathlib import Path
from tests.link_boards import make_desk
shown = await make_desk({world!r}, Path({path!r})).__aenter__()
session = shown.session"""
NAMES = "['aria-label', 'title', 'placeholder'].map(name => node.getAttribute(name))"
SAID = f"board => [board.innerText, ...[...board.querySelectorAll('*')].flatMap(node => {NAMES})].join('\\n')"


class Desk(Table):
    """The table, and the rows of the bot's own."""

    opens = OPEN

    def rows(self, table: str = "cases") -> dict[Any, tuple[Any, ...]]:
        with closing(sqlite3.connect(self.path)) as database:
            return {row[0]: row[1:] for row in database.execute(f"SELECT * FROM {table}")}

    def text(self) -> str:
        """All that is seen of the board, and read aloud."""
        return str(self.board.evaluate(SAID))


OpenDesk = Callable[[str], Desk]


@pytest.fixture
def desk(page: NotebookPage, tmp_path: Path) -> OpenDesk:
    """Opens a world's table."""
    return lambda world: Desk(page, world, tmp_path / "bot.db")


def test_a_conflict_is_settled_and_all_is_written_and_taken_back(desk: OpenDesk) -> None:
    board = desk("desk")
    before = board.rows()
    board.said("14 rooms: 1 right, 0 decided, 13 to decide", ".md-headline")
    heads = board.board.locator(".md-sort").all_inner_texts()
    assert heads[1:4] == ["Owner", "Id", "Name"]
    board.button(re.compile("^Settle cases 6 of @anna:hs .!twin1.")).click()
    board.said("its twin", ".md-sides")
    board.button(re.compile("^id 6 for")).click()
    board.said("What would be written", ".md-title")
    assert not FOREIGN.search(board.text()), FOREIGN.findall(board.text())
    board.button(re.compile("^Approve with id 6")).click()
    board.approved("Apply 1 room, 1 row")
    board.press("Escape")
    board.button("Approve all 8 of these…").click()
    board.button("Approve 8 units").click()
    board.approved("Apply 9 rooms, 9 rows")
    board.button(re.compile("^Apply 9")).click()
    board.said("Written: 9 rows.")
    rows = board.rows()
    assert [rows[n][0] for n in (2, 3, 4, 5, 6)] == [
        *("!new", "!moved", "!null", "!upgraded"),
        "!twin1",
    ]
    assert rows[1] == before[1] and rows[20] == before[20]
    board.button("History").click()
    board.button(re.compile("^Show ")).click()
    board.said("cases 6", ".md-history summary")
    assert not FOREIGN.search(board.text()), FOREIGN.findall(board.text())
    board.button(re.compile("^Undo… ")).click()
    board.said("10 right, 0 decided, 4 to decide", ".md-headline")
    board.button("Undo 9 rows").click()
    board.said("1 right, 0 decided, 13 to decide", ".md-headline")
    assert board.rows() == before
    assert board.page.errors == []
    board.page.assert_harmless()


def test_what_helps_a_twin_and_an_id_that_is_typed(desk: OpenDesk) -> None:
    board = desk("desk")
    board.button("Settle cases 1 of @anna:hs").click()
    board.said("have the bot leave !right, or point the row at this room by hand", ".md-panel")
    board.said("the twin that the row names", ".md-sides")
    board.said("Type an id to see what would be written", ".md-choices")
    field = board.board.get_by_label("Another id for cases 1 of @anna:hs")
    field.fill("nine")
    field.press("Enter")
    board.said("it must be number (a whole number)")
    field.fill("21")
    field.press("Enter")
    board.said("Picked for cases 1 of @anna:hs: id 21. Nothing is decided yet.")
    board.said("What would be written", ".md-title")
    board.button(re.compile("^Approve with id 21")).click()
    board.button(re.compile("^Apply 1 room")).click()
    board.said("Written: 1 row.")
    assert board.rows()[21][0] == "!second"


def test_other_decisions_and_what_nobody_decides_about(desk: OpenDesk) -> None:
    board = desk("desk")
    board.board.get_by_label("group by").check()
    board.said("row of cases: room is wrong", ".md-group")
    board.board.get_by_label(re.compile("^show 1 in sync")).check()
    board.said("the row names no room, and no room claims its id", ".md-group")
    board.said("not compared", ".md-group")
    board.board.get_by_label("group by").uncheck()
    board.button(re.compile("^unlinked 1")).click()
    board.said("it names no room", ".md-row")
    assert not FOREIGN.search(board.text()), FOREIGN.findall(board.text())
    board.button(re.compile("^all 13")).click()
    board.button("Reject cases 2").click()
    board.said("Skipped cases 2: its rows stay as they are.")
    board.button("Defer cases 3 of @ben:hs").click()
    board.said("Put off cases 3")
    board.row("Case #1 again").focus()
    board.press("i")
    board.board.get_by_label("Why cases 1 of @anna:hs may stay").fill("moved on")
    board.button(re.compile("^Ignore cases 1")).click()
    board.said("ignored 1", ".md-chip")
    board.page.execute("shown.desk.sql(\"UPDATE cases SET room = '!moved' WHERE number = 3\")")
    board.button(re.compile("^Look again")).click()
    board.said("Looked again: 1 unit no longer in the list.")
    look_with_axe(board)
    assert board.page.errors == []


def test_composite_ids_are_picked_by_their_columns(desk: OpenDesk) -> None:
    board = desk("bridge")
    assert "Owner" not in board.board.locator(".md-sort").all_inner_texts()
    widths = board.board.locator(".md-row").first.locator(".md-cell")
    assert widths.count() == 7
    board.button(re.compile(r"^Details of portal .*<b>")).click()
    board.said("the mapping doesn't let a row be made (insert)", ".md-facts")
    board.button(re.compile(r"^Details of portal .*!torn")).click()
    board.board.get_by_label(re.compile("^Another id, gcid,")).fill("space:b")
    board.button(re.compile("^Use this id for")).click()
    board.said('id ["space:b",""]. Nothing is decided yet.')
    board.page.set_theme("dark")
    look_with_axe(board)
    board.page.page.set_viewport_size({"width": 800, "height": 900})
    board.board.locator("xpath=self::*[contains(@class, 'md-narrow')]").wait_for()
    text = board.text()
    assert not FOREIGN.search(text), FOREIGN.findall(text)
    board.button(re.compile("^Approve with id")).click()
    board.button(re.compile("^Apply 1 room")).click()
    board.said("Written: 1 row.")
    assert board.rows("portal")["space:b"][1] == "!torn"
    board.page.assert_harmless()
