"""The review outside of JupyterLab: in Notebook 7 and in Voilà, which one server shows beside it."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.bench import ALICE
from tests.board.opened import OPEN, REVIEW

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser import NotebookPage


def write(page: NotebookPage, name: str, database: Path) -> str:
    page.lab.write(name, [OPEN.format(world="small", path=str(database)), REVIEW])
    page.notebook = name
    return name


def decide_and_apply(board: Locator) -> None:
    """A line is decided about by keys, another by mouse; what is approved is written."""
    board.locator(".md-row", has_text="Чат 1").focus()
    board.page.keyboard.press("a")
    board.locator(".md-apply", has_text="Apply 1 room, 2 rows").wait_for()
    board.locator(".md-row:focus", has_text="Чат 2").wait_for()
    board.get_by_role("button", name=f"Reject C2 of {ALICE}").click()
    board.locator(".md-chip", has_text="rejected 1").wait_for()
    board.get_by_role("button", name=re.compile(r"^Apply \d")).click()
    board.locator(".md-message", has_text="Written: 2 rows").wait_for()


@pytest.mark.skipif(not find_spec("notebook"), reason="Notebook 7 is not installed")
def test_notebook_7_shows_the_review_and_applies(page: NotebookPage, tmp_path: Path) -> None:
    name = write(page, "seven.ipynb", tmp_path / "bot.db")
    window = page.page
    window.goto(f"{page.lab.url}/notebooks/{name}?token={page.lab.token}")
    window.locator(".jp-Notebook-ExecutionIndicator").wait_for(state="attached")
    page.await_kernel()
    board = window.locator(".md-board")
    for cell in range(2):
        window.locator(".jp-Notebook .jp-CodeCell").nth(cell).locator(".cm-content").click()
        window.keyboard.press("Control+Enter")
        prompt = window.locator(".jp-InputPrompt").nth(cell)
        prompt.filter(has_text=f"[{cell + 1}]:").wait_for()
    decide_and_apply(board)
    assert window.locator(".jp-Notebook .jp-Cell").count() == 2  # no key meant a cell
    page.assert_harmless()  # Notebook 7 stumbles over a schema of its own, so the console isn't looked at


@pytest.mark.skipif(not find_spec("voila"), reason="Voilà is not installed")
def test_voila_shows_the_review_and_applies(page: NotebookPage, tmp_path: Path) -> None:
    name = write(page, "voila.ipynb", tmp_path / "bot.db")
    page.page.goto(f"{page.lab.url}/voila/render/{name}?token={page.lab.token}")
    decide_and_apply(page.page.locator(".md-board"))
    assert page.hacked() == [] and page.dialogs == []
