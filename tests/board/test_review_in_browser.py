"""The lessons and the review table as a person uses them: JupyterLab, Chromium, the demo's real Synapse."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import Lab
from toolkit.demo.world import DemoWorld
from toolkit.records import chat_key, room_key

if TYPE_CHECKING:
    from tests.browser import NotebookPage

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("*.ipynb"))
REVIEW = NOTEBOOKS / "2-approve-and-apply.ipynb"

Opened = Callable[[Path], "NotebookPage"]


@pytest.fixture
def opened(page: NotebookPage, demo: DemoWorld) -> Iterator[Opened]:
    """Opens a notebook, with the demo's bot in its kernel's environment."""
    bot = {
        "MATRIX_HOMESERVER": demo.url,
        "MATRIX_ACCESS_TOKEN": demo.account.access_token,
        "BOT_DATABASE": str(demo.database),
        "MATRIX_DRIFT_PRACTICE": "nobody",  # the cells of the lesson approve nothing
    }

    def opened(notebook: Path) -> NotebookPage:
        page.open(notebook.name).execute(f"import os; os.environ.update({bot!r})")
        return page

    yield opened
    page.execute(f"import os; [os.environ.pop(name) for name in {[*bot]!r}]")


def copied(lesson: Path, lab: Lab) -> Path:
    return Path(shutil.copy(lesson, lab.root))


def row(demo: DemoWorld, key: str) -> Any:
    with closing(sqlite3.connect(demo.database)) as database:
        found = database.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
    return found and json.loads(found[0])


def test_a_room_is_approved_and_applied_by_clicking(
    opened: Opened, demo: DemoWorld, lab: Lab
) -> None:
    room, alice = demo.rooms["alice/1"], demo.users["alice"].user_id
    assert row(demo, room_key(room)) is None
    page = opened(copied(REVIEW, lab))
    page.run_all()
    button = page.page.get_by_role
    button("button", name=f"Approve C1 of {alice}").click()
    button("button", name=re.compile(r"^Apply \d")).click()
    page.wait_for_text(re.compile(r"Written: \d rows"))
    assert row(demo, room_key(room))["matrix_user_id"] == alice
    assert row(demo, chat_key(alice, "C2")) is None
    page.assert_harmless()
    assert page.errors == []


@pytest.mark.parametrize("lesson", LESSONS, ids=[path.stem for path in LESSONS])
def test_a_lesson_runs_in_light_and_dark_and_names_do_nothing(
    opened: Opened, lesson: Path, lab: Lab, tmp_path: Path
) -> None:
    page = opened(copied(lesson, lab))
    page.run_all()
    assert page.errors == []  # before the themes: JupyterLab stumbles over its own style sheets
    light = page.screenshot(tmp_path / "light.png", "light")
    assert light != page.screenshot(tmp_path / "dark.png", "dark")
    assert page.typeset() == []
    page.assert_harmless()


_SELECTED = """cell => {
  getSelection().selectAllChildren(cell);
  return getSelection().toString();
}"""


def test_a_table_copies_ids_whole_and_the_map_follows_the_theme(
    opened: Opened, demo: DemoWorld, lab: Lab
) -> None:
    shown = lab.write(
        "shown.ipynb",
        [
            "from toolkit import Session\nsession = await Session.open()",
            "session.pending()[['owner']]",
            "session.plot()",
        ],
    )
    page = opened(shown)
    page.run_all()
    unit = page.page.locator(
        "th:has(> span[title])"
    ).first  # a room of version 12, without a server's name
    assert unit.evaluate(_SELECTED) in demo.rooms.values()
    short = unit.locator("span span")
    assert short.evaluate("part => part.scrollWidth > part.clientWidth")
    picture = page.page.locator("img.matrix-drift-map")
    page.set_theme("light")
    assert picture.evaluate("it => getComputedStyle(it).filter") == "none"
    page.set_theme("dark")
    assert "invert" in picture.evaluate("it => getComputedStyle(it).filter")
    page.assert_harmless()
