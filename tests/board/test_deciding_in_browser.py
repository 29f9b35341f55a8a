"""Many units decided in JupyterLab: groups that fold, the next line, an opened unit, several at once, wide columns."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.board.opened import ALICE, Open, Table, look_with_axe

if TYPE_CHECKING:
    from playwright.sync_api import Locator


def current(board: Table, words: str) -> Locator:
    """Wait until the focus is on a row that says so."""
    row = board.board.locator(".md-row:focus", has_text=words)
    row.wait_for()
    return row


def test_a_group_is_unfolded_shown_and_approved_by_keys(table: Open) -> None:
    board = table("various")
    board.said("158 rooms and user rows: 88 right, 0 decided, 70 to decide", ".md-headline")
    assert board.board.locator(".md-row").count() == 5
    board.board.locator(".md-row").first.focus()
    board.press("ArrowDown", "ArrowDown")
    current(board, "the room was renamed")
    board.press("ArrowRight")
    line = board.board.locator(".md-row:not(.md-group)").first
    line.wait_for()
    assert line.locator(".md-marks").inner_text() == 'display_name "Чат 5" → "Отпуск 5"'
    board.press("a")
    board.said("Approve 22 units, 22 rows?", ".md-question")
    look_with_axe(board)
    assert board.board.locator(".md-each li").count() == 22
    board.button("Approve 22 units").click()
    board.approved("Apply 22 rooms, 22 rows")
    board.said("all decided", ".md-group")
    board.said("22 decided, 48 to decide", ".md-headline")
    assert board.focused() != "OUTSIDE"
    twins = board.board.locator(".md-group", has_text="several rooms")
    assert not twins.get_by_role("button", name=re.compile("^Approve")).is_visible()
    assert board.page.errors == []


def test_after_a_decision_the_next_undecided_line_is_current(table: Open) -> None:
    board = table("various")
    board.flatten()
    board.button(re.compile("^mismatched")).click()
    board.row("Отпуск 5").focus()
    board.press("a", "r", "d")  # each for the line after
    current(board, "user10")
    board.said("approved 1", ".md-chip")
    board.said("rejected 1", ".md-chip")
    board.said("deferred 1", ".md-chip")
    board.button("Defer C6 of @user10:hs").click()
    board.said("deferred 2", ".md-chip")
    board.board.locator('button:focus[aria-label="Defer C5 of @user1:hs"]').wait_for()
    board.press("Enter")  # the same of the next one
    board.said("deferred 3", ".md-chip")


def test_nothing_moves_while_a_unit_is_read_and_n_goes_on(table: Open) -> None:
    board = table("various")
    board.button(re.compile("^conflict")).click()
    board.flatten()
    board.row("user0").focus()
    board.press("a")  # it must be settled: it is opened
    board.said("Nothing would be written yet", ".md-panel")
    assert "user0" in board.focused()
    board.button("chat id C7 for a chat of @user0:hs").click()
    board.said("What would be written", ".md-title")
    board.said("chat id unknown", ".md-facts")  # the reason stays
    board.button(re.compile("^Approve with chat id C7")).click()
    board.said("Approved a chat of @user0:hs")
    board.board.get_by_role("button", name=re.compile("^Approved with chat id C7")).wait_for()
    assert board.board.locator(".md-is-open", has_text="user0").count() == 1
    assert "C7" in board.focused()
    board.button("Next to decide").click()
    board.board.locator(".md-is-open", has_text="user1").wait_for()
    current(board, "user1")
    board.press("n")
    board.board.locator(".md-is-open", has_text="user2").wait_for()
    row = board.row("user0")
    assert row.get_attribute("data-vote") == "approved" and "conflict" in row.inner_text()


def test_of_what_opens_nothing_is_cut_off(table: Open) -> None:
    board = table("various")
    board.flatten()
    board.row("user0").focus()
    board.press("End", "Enter")
    board.said("Why", ".md-title")
    board.page.page.wait_for_timeout(300)
    below = board.board.locator(".md-panel").evaluate(
        "it => it.closest('.md-grid').getBoundingClientRect().bottom - it.getBoundingClientRect().bottom"
    )
    assert below >= 0
    assert not board.board.locator(".md-evidence dl").is_visible()
    board.board.locator(".md-evidence summary").click()
    board.said("room", ".md-evidence dt")


def test_a_range_is_selected_by_shift_and_decided_at_once(table: Open) -> None:
    board = table("various")
    board.flatten()
    board.button(re.compile("^mismatched")).click()
    board.said("Отпуск", ".md-row")
    board.row("Отпуск 5").focus()
    rows = board.board.locator(".md-row")
    rows.nth(3).locator(".md-owner").click(modifiers=["Shift"])
    board.said("4 selected", ".md-selection")
    assert board.board.locator(".md-row[aria-selected=true]").count() == 4
    board.press("Shift+ArrowDown")
    board.said("2 selected", ".md-selection")  # from where it began to where the keys are
    rows.nth(5).locator(".md-owner").click(modifiers=["Control"])
    board.said("3 selected", ".md-selection")
    board.page.set_theme("dark")
    look_with_axe(board)
    rows.nth(1).focus()
    board.press("r")
    board.said("rejected 3", ".md-chip")
    assert not board.board.locator(".md-selection").is_visible()
    current(board, "Отпуск").focus()
    board.press(" ", "i")
    board.page.page.keyboard.type("a test")
    board.press("Enter")
    board.said("ignored 1", ".md-chip")
    assert board.focused() != "OUTSIDE"
    board.button("ignored 1").click()  # what is ignored can be looked at
    board.said("a test", ".md-cause")
    board.press("Shift+ArrowDown")
    board.page.page.keyboard.press("Escape")
    assert board.page.errors == []


def test_columns_are_resized_by_keys_and_mouse(table: Open) -> None:
    board = table()
    head = board.board.locator(".md-head[data-key=owner]")
    before = head.evaluate("it => it.offsetWidth")
    assert board.row("Чат 1").locator(".md-owner").inner_text() == "alice"
    assert board.row("Чат 1").locator(".md-owner").get_attribute("title") == ALICE
    board.button("Owner").focus()
    board.press("Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowLeft")
    assert head.evaluate("it => it.offsetWidth") == before + 20
    grip = head.locator(".md-grip")
    box = grip.bounding_box()
    assert box
    mouse = board.page.page.mouse
    mouse.move(box["x"] + 4, box["y"] + 9)
    mouse.down()
    mouse.move(box["x"] + 34, box["y"] + 9)
    mouse.up()
    assert head.evaluate("it => it.offsetWidth") == before + 50
    mouse.move(0, 0)
    assert head.evaluate("it => it.offsetWidth") == before + 50
    grip.dblclick()
    assert head.evaluate("it => it.offsetWidth") == before
