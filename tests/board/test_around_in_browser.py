"""What stands around the list: looking again, names of landmarks and buttons, history where there is no room."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing

from tests.bench import A1, C1, small_rows
from tests.board.opened import ALICE, Open, Table

FOOT = """() => { window.__foot = [];
  const foot = document.querySelector('.md-board .md-foot');
  new MutationObserver(() => window.__foot.push(foot.innerText)).observe(
    foot, {subtree: true, childList: true, characterData: true}); }"""
LINES = """node => { const range = document.createRange(); range.selectNodeContents(node);
  return new Set([...range.getClientRects()].map(box => Math.round(box.top / 6))).size; }"""


def repair(board: Table) -> None:
    """Somebody else brings a room's rows back."""
    rows = {key: json.dumps(small_rows()[key]) for key in (A1, C1)}
    with closing(sqlite3.connect(board.path)) as database, database:
        database.executemany("INSERT INTO kv VALUES (?, ?)", rows.items())


def write(board: Table) -> None:
    board.button(f"Approve C1 of {ALICE}").click()
    board.approved("Apply 1 room")
    board.button(re.compile(r"^Apply \d")).click()
    board.said("Written:")


def test_a_press_looks_again_and_says_what_has_moved(table: Open) -> None:
    board = table()
    board.button(f"Approve C2 of {ALICE}").click()
    board.approved("Apply 1 room")
    repair(board)
    again = board.button(re.compile(r"^Look again · \d\d:\d\d$"))
    again.click()
    board.said("Looked again: 1 unit no longer in the list.")
    board.approved("Apply 1 room, 1 row")
    assert board.row("Чат 1").count() == 0
    assert board.focused().startswith("Look again")
    board.page.page.evaluate(FOOT)
    again.press("Enter")
    board.said("nothing has changed")
    said = board.page.page.evaluate("window.__foot")
    assert said and not [words for words in said if "0 of 0" in words]


def test_two_boards_are_two_landmarks(table: Open) -> None:
    from axe_playwright_python.sync_playwright import Axe

    board = table("small", "view")
    boards = board.page.page.locator(".md-board")
    boards.nth(1).wait_for()
    names = [one.get_attribute("aria-label") for one in boards.all()]
    assert names == [
        "Review of units that are not in sync",
        "Review 2 of units that are not in sync",
    ]
    for one in boards.all():
        one.get_by_role("button", name="History").click()
        one.locator(".md-history", has_text="Nothing was written yet.").wait_for()
    options = {"runOnly": ["landmark-unique"]}
    assert Axe().run(board.page.page, options=options).response["violations"] == []


def test_history_is_read_where_there_is_little_room(table: Open) -> None:
    board = table()
    write(board)
    board.page.command("application:toggle-left-area")
    board.page.page.set_viewport_size({"width": 720, "height": 900})
    board.button("History").click()
    board.said("approved", ".md-runs")
    board.page.page.wait_for_function("document.querySelector('.md-board.md-narrow')")
    assert 540 < board.board.evaluate("node => node.clientWidth") < 640
    cells = board.board.locator(".md-runs td[data-head]")
    assert "When (UTC)" in str(cells.first.get_attribute("data-head"))
    assert {cell.evaluate(LINES) for cell in cells.all() if cell.inner_text()} == {1}
    history = board.board.locator(".md-history")
    assert history.evaluate("node => node.scrollWidth <= node.clientWidth")
    assert board.board.get_by_role("table").get_by_role("cell").count() == 6


def test_buttons_of_runs_are_named_as_people_say_it(table: Open) -> None:
    board = table()
    write(board)
    board.button("History").click()
    board.said("approved", ".md-runs")
    names = [
        str(button.get_attribute("aria-label"))
        for button in board.board.locator(".md-runs button").all()
    ]
    said = r"approved, run 1, \d{1,2} [A-Z][a-z]{2} \d{4}, \d\d:\d\d UTC"
    assert [bool(re.fullmatch(f"(Show|Undo…) {said}", name)) for name in names] == [True, True]


def test_a_run_is_taken_back_where_its_result_stands(table: Open) -> None:
    board = table()
    back = board.button("Undo this run…")
    assert back.count() == 0
    write(board)
    back.click()
    board.said("Taking it back would write 2 rows", ".md-question")
    board.said(f"C1 of {ALICE} !a1 ready", "summary")
    board.button("Undo 2 rows").click()
    board.said("last run: taken back 1", ".md-chip")
    assert board.stored(A1) is None and back.count() == 0
    assert board.focused() != "OUTSIDE"
    board.button("History").click()
    board.button(f"Approve C1 of {ALICE}").click()
    board.approved("Apply 1 room")
    board.button(re.compile(r"^Apply \d")).click()
    board.said("last run: applied 1", ".md-chip")
    back.focus()
    board.page.execute("await session.undo()")  # and from another cell
    board.said("last run, taken back: applied 1", ".md-chip")
    assert board.focused() != "OUTSIDE" and back.count() == 0


def test_what_a_run_wrote_is_opened_in_the_list(table: Open) -> None:
    board = table()
    write(board)
    board.button("last run: applied 1").click()
    board.button(f"Details of C1 of {ALICE}").click()
    board.said("What the last run wrote", ".md-panel .md-title")
    board.said("insert matrix_room:!a1", ".md-rowtable")
    assert board.board.locator(".md-row .md-verbs button").count() == 0
    board.press("a", "r")
    board.press("Escape")
    assert board.board.locator(".md-panel").count() == 0


def test_orphaned_rows_are_looked_at_by_the_switch(table: Open) -> None:
    board = table()
    with closing(sqlite3.connect(board.path)) as database, database:
        row = json.dumps(small_rows()[A1])
        database.execute("INSERT INTO kv VALUES ('matrix_room:!gone', ?)", [row])
    board.button(re.compile("^Look again")).click()
    board.said("Looked again")
    board.board.get_by_label(re.compile("^show .*skipped, 1 orphaned$")).check()
    board.button("orphaned 1").click()
    board.begins_with("matrix_room:!gone")
    assert board.board.locator(".md-row button").count() == 0
    board.board.get_by_label(re.compile("^show ")).uncheck()
    board.row("Чат 1").wait_for()


def test_a_double_click_selects_no_words(table: Open) -> None:
    board = table("one")
    board.button("Approve the only certain one…").click()
    board.button("Approve 1 unit").click()
    board.approved("Apply 1 room")
    board.button(re.compile(r"^Apply \d")).dblclick()
    board.said("Written:")
    assert board.page.page.evaluate("getSelection().toString()") == ""
    assert len(board.runs()) == 1
