"""A unit is left as it is in JupyterLab: why is typed where it opens, by keys alone."""

from __future__ import annotations

import json

from tests.board.opened import ALICE, Open


def test_a_reason_is_typed_after_i_and_enter_ignores(table: Open) -> None:
    board = table()
    board.row("Чат 1").focus()
    board.press("i")
    board.page.page.wait_for_function(
        "() => document.activeElement.dataset.key === 'ignore:why'", timeout=30_000
    )
    assert board.focused() == f"Why C1 of {ALICE} may stay as it is"
    board.press("Enter")
    board.said("say why")
    board.page.page.keyboard.type("a drill, i.e. a test")  # letters that mean something in the list
    board.press("Enter")
    board.said(f"Ignored C1 of {ALICE}: its rows stay as they are, and it counts as no drift.")
    board.said("ignored 1", ".md-chip")
    board.said("a drill, i.e. a test", '.md-row[data-vote="ignored"] .md-cause')
    kept = json.loads((board.path.parent / "bot.db.decisions.json").read_text())["ignored"]
    assert kept["!a1"]["reason"] == "a drill, i.e. a test"
    assert board.focused() != "OUTSIDE"
    board.button("Ignore no longer").click()
    board.said("Pending again")
    assert board.page.errors == []


def test_a_last_day_goes_with_it(table: Open) -> None:
    board = table()
    board.row("Чат 1").locator(".md-more").click()
    board.board.get_by_label(f"Why C1 of {ALICE} may stay as it is").fill("a test")
    board.board.get_by_label(f"Last day of ignoring C1 of {ALICE}").fill("2999-12-31")
    board.button(f"Ignore C1 of {ALICE}").click()
    board.said("until 2999-12-31: a test", ".md-ignore")
