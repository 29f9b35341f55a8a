"""A list of thousands in JupyterLab, of which the browser holds a window: scrolling, filtering, sorting, keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.lab import Lab

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser import NotebookPage

CELLS = """from pathlib import Path
from tests.boards import show
server, session = await show("many", Path({path!r}))
told = []"""
REVIEW = """import json
from toolkit import review
view = review(session)
send = view.widget.send
view.widget.send = lambda content, buffers=None: (told.append(len(json.dumps(content))), send(content, buffers))
view"""
FIRST, LAST = "2", "5501"


def row(board: Locator, index: str, *, focused: bool = False) -> Locator:
    """The row at a place of the whole list, the head being the first."""
    return board.locator(f'.md-row[aria-rowindex="{index}"]{":focus" if focused else ""}')


def test_scrolling_filtering_and_keys_find_lines_that_were_not_there(
    page: NotebookPage, lab: Lab, tmp_path: Path
) -> None:
    lab.write("windows.ipynb", [CELLS.format(path=str(tmp_path / "bot.db")), REVIEW])
    page.open("windows.ipynb").run_all()
    board = page.page.locator(".md-board").first
    board.get_by_label("group by").uncheck()
    row(board, FIRST).wait_for()
    board.locator(".md-row:not(.md-group)").first.wait_for()
    assert page.evaluate("sum(told)") < 1_000_000

    grid = board.locator(".md-grid")
    grid.evaluate("node => { node.scrollTop = node.scrollHeight / 2 }")
    row(board, "2752").wait_for()
    assert board.locator(".md-row").count() < 60
    grid.evaluate("node => { node.scrollTop = node.scrollHeight }")
    row(board, LAST).wait_for()
    grid.evaluate("node => { node.scrollTop = 0 }")
    row(board, FIRST).wait_for()

    # Each for where the last one led, whatever is still on its way from scrolling.
    row(board, FIRST).focus()
    _press(page, "End", "ArrowUp", "a", "Home", "ArrowDown", "d")
    board.locator(".md-chip", has_text="deferred 1").wait_for()
    row(board, "4", focused=True).wait_for()  # the next one that nobody has decided about
    assert row(board, "3").get_attribute("data-vote") == "deferred"
    board.get_by_role("button", name="approved 2").click()  # the room's user goes along
    board.locator(".md-row", has_text="C8").wait_for()
    assert board.locator(".md-row").count() == 2

    board.get_by_role("button", name="approved 2").click()
    search = board.get_by_label("Filter by text")
    search.fill("@u77:")
    _press(page, "ArrowDown", "End", "r")
    board.locator(".md-chip", has_text="rejected 1").wait_for()
    row(board, FIRST, focused=True).wait_for()  # below the last one there is none
    assert "C9" in row(board, "12").inner_text()
    search.fill("nothing like it")
    board.locator(".md-empty", has_text="Nothing matches").wait_for()
    search.fill("")
    board.get_by_role("button", name="Owner").click()
    row(board, FIRST).wait_for()
    _press(page, "Tab")
    assert page.page.evaluate("Boolean(document.activeElement.closest('.md-board'))")
    assert page.errors == []


def _press(page: NotebookPage, *keys: str) -> Any:
    for key in keys:
        page.page.keyboard.press(key)
