"""A notebook that was executed and is read where no kernel answers: the counts and the first units are there."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.board.opened import OPEN, REVIEW
from tests.browser import NotebookPage
from tests.children import finding_us
from tests.lab import Lab
from tests.make_notebooks import KERNEL, make_notebook, read_notebook, write_notebook
from toolkit.text.html import SHOWN

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator

WIDGET = "application/vnd.jupyter.widget-view+json"
SAVE_STATE = "@jupyter-widgets/jupyterlab-manager:saveWidgetState"

has_papermill = importlib.util.find_spec("papermill") is not None
EXECUTORS = {
    "nbconvert": ["nbconvert", "--to", "notebook", "--execute", "--output", "nbconvert.ipynb"],
    "papermill": ["papermill", "--no-progress-bar"],
}


def run(folder: Path, *command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=os.environ | finding_us(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def cells(folder: Path) -> list[str]:
    return [OPEN.format(world="seventy", path=str(folder / "bot.db")), REVIEW]


@pytest.fixture(
    scope="module",
    params=[
        "nbconvert",
        pytest.param(
            "papermill", marks=pytest.mark.skipif(not has_papermill, reason="no papermill")
        ),
    ],
)
def executed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the executor has stored."""
    folder = tmp_path_factory.mktemp(request.param)
    notebook = make_notebook(cells(folder))
    notebook.metadata.kernelspec = KERNEL
    write_notebook(folder / "plain.ipynb", notebook)
    output = ["papermill.ipynb"] if request.param == "papermill" else []
    name, *options = EXECUTORS[request.param]
    run(folder, name, "plain.ipynb", *output, *options)
    return folder / f"{request.param}.ipynb"


def assert_shows(output: Locator) -> None:
    """Counts, units, and nothing to press: who presses it would wait for ever."""
    output.filter(has_text="and 27 more").first.wait_for()
    text = output.first.inner_text()
    assert re.search(r"Chats.*missing", text, re.DOTALL) and "77 × a row is missing" in text
    assert text.count("→") == SHOWN
    assert "C1 of @u0:hs" in text and "C1 of @u6:hs" not in text
    assert output.locator("button").count() == 0


def test_the_executors_save_no_state_that_would_hide_the_table(executed: Path) -> None:
    notebook = read_notebook(executed)
    [output] = notebook.cells[-1].outputs
    assert {WIDGET, "text/html", "text/plain"} == output.data.keys()
    state = notebook.metadata.get("widgets", {}).get("application/vnd.jupyter.widget-state+json")
    assert not state or not state["state"]


def test_as_a_page_with_scripts_and_without(chromium: Browser, executed: Path) -> None:
    run(executed.parent, "nbconvert", "--to", "html", executed.name)
    for scripts in (True, False):
        context = chromium.new_context(java_script_enabled=scripts)
        page = context.new_page()
        page.goto(executed.with_suffix(".html").as_uri(), wait_until="domcontentloaded")
        assert_shows(page.locator(".jp-OutputArea-output"))
        context.close()


def test_opened_again_with_another_kernel(page: NotebookPage, lab: Lab, executed: Path) -> None:
    (lab.root / executed.name).write_bytes(executed.read_bytes())
    page.open(executed.name)
    assert_shows(page.page.locator(".jp-OutputArea-output"))
    page.command("kernelmenu:shutdown")
    assert_shows(page.page.locator(".jp-OutputArea-output"))
    assert page.page.locator(".md-board").count() == 0


def test_state_that_jupyterlab_has_saved_shows_the_words_and_no_buttons(
    page: NotebookPage, lab: Lab, tmp_path: Path
) -> None:
    name = "saved.ipynb"
    path = lab.write(name, cells(tmp_path))
    page.open(name).run_all()
    page.page.locator(".md-board .md-row").first.wait_for()
    page.command(SAVE_STATE)
    page.save()
    states: Any = json.loads(path.read_text())["metadata"]["widgets"]
    assert "No kernel" in json.dumps(states)
    lab.end_session(name)
    page.clear()
    page.open(name)
    until = page.page.locator(".md-until")
    page.wait_for_text("No kernel answers here.")
    assert until.inner_text().startswith("No kernel answers here.")
    assert_shows(until)
    assert page.page.locator(".md-board").count() == 0
    page.run_all()  # and then it is a board
    page.page.locator(".md-board .md-row").first.wait_for()
    assert until.count() == 0
