"""The lessons and the review table as a person uses them: JupyterLab, Chromium, the demo's real Synapse."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.lab import Lab
from toolkit.demo.world import DemoWorld
from toolkit.records import chat_key, room_key

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser import NotebookPage

NOTEBOOKS = Path(__file__).parent.parent.parent / "notebooks"
REVIEW = "2-approve-and-apply.ipynb"


@pytest.fixture(scope="module")
def world(demo_template: DemoWorld, tmp_path_factory: pytest.TempPathFactory) -> DemoWorld:
    """The demo's world with a database of this module's own."""
    database = tmp_path_factory.mktemp("bot") / "bot.db"
    shutil.copy(demo_template.database, database)
    return replace(demo_template, database=database)


@pytest.fixture(scope="module")
def lab(
    chromium: Browser, world: DemoWorld, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """JupyterLab on a copy of the lessons, with the demo's bot in its environment."""
    root = tmp_path_factory.mktemp("lessons")
    for lesson in NOTEBOOKS.glob("*.ipynb"):
        shutil.copy(lesson, root)
    bot = {
        "MATRIX_HOMESERVER": world.url,
        "MATRIX_ACCESS_TOKEN": world.account.access_token,
        "BOT_DATABASE": str(world.database),
        "MATRIX_DRIFT_PRACTICE": "nobody",  # the cells of the lesson approve nothing
    }
    with Lab.start(tmp_path_factory.mktemp("lab"), root=root, env=bot) as lab:
        yield lab


@pytest.fixture(autouse=True)
def as_broken(world: DemoWorld, demo_template: DemoWorld) -> None:
    """Every test finds the database as the demo made it."""
    for file in world.database.parent.iterdir():
        file.unlink()
    shutil.copy(demo_template.database, world.database)


def row(world: DemoWorld, key: str) -> Any:
    with closing(sqlite3.connect(world.database)) as database:
        found = database.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
    return found and json.loads(found[0])


def test_a_room_is_approved_and_applied_by_clicking(page: NotebookPage, world: DemoWorld) -> None:
    room, alice = world.rooms["alice/1"], world.users["alice"].user_id
    assert row(world, room_key(room)) is None
    page.open(REVIEW).run_all()
    button = page.page.get_by_role
    button("button", name=f"Approve C1 of {alice}").click()
    button("button", name=re.compile(r"^Apply \d")).click()
    page.wait_for_text(re.compile(r"Written: \d rows"))
    assert row(world, room_key(room))["matrix_user_id"] == alice
    assert row(world, chat_key(alice, "C2")) is None
    page.assert_harmless()
    assert page.errors == []


@pytest.mark.parametrize("lesson", sorted(path.name for path in NOTEBOOKS.glob("*.ipynb")))
def test_a_lesson_runs_in_light_and_dark_and_names_do_nothing(
    page: NotebookPage, lesson: str, tmp_path: Path
) -> None:
    page.open(lesson).run_all()
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
    page: NotebookPage, world: DemoWorld, lab: Lab
) -> None:
    name = lab.write(
        "shown.ipynb",
        [
            "from toolkit import Session\nsession = await Session.open()",
            "session.pending()[['owner']]",
            "session.plot()",
        ],
    ).name
    page.open(name).run_all()
    unit = page.page.locator(
        "th:has(> span[title])"
    ).first  # a room of version 12, without a server's name
    assert unit.evaluate(_SELECTED) in world.rooms.values()
    short = unit.locator("span span")
    assert short.evaluate("part => part.scrollWidth > part.clientWidth")
    picture = page.page.locator("img.matrix-drift-map")
    page.set_theme("light")
    assert picture.evaluate("it => getComputedStyle(it).filter") == "none"
    page.set_theme("dark")
    assert "invert" in picture.evaluate("it => getComputedStyle(it).filter")
    page.assert_harmless()
