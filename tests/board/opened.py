"""The review table in a notebook, as a person has it open."""

from __future__ import annotations

import asyncio
import json
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.bench import TOKEN
from tests.boards import WORLDS

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from tests.browser import NotebookPage

ALICE, BOB = "@alice:hs", "@bob:hs"
OPEN = """from pathlib import Path
from tests.boards import show
server, session = await show({world!r}, Path({path!r}))"""
REVIEW = """from toolkit import review
view = review(session)
view"""
SECONDS = 60.0
BUSY = 3
"""How much slower than promised a busy machine may be before it is a failure."""

SHOWN = """() => new Promise(done => {
  const old = new Set(document.querySelectorAll('.md-board')), begin = performance.now();
  window.jupyterapp.commands.execute('notebook:run-cell');
  const look = () => {
    const board = [...document.querySelectorAll('.md-board')].find(node => !old.has(node));
    if (board?.querySelector('.md-row')?.offsetHeight) done(performance.now() - begin);
    else requestAnimationFrame(look);
  };
  look();
})"""
CLICK = """() => new Promise(done => {
  const begin = performance.now();
  document.querySelectorAll('.md-board .md-approve')[3].click();
  const look = () => {
    const words = document.querySelector('.md-board .md-apply').textContent;
    if (words.startsWith('Apply 1 ')) done(performance.now() - begin);
    else requestAnimationFrame(look);
  };
  look();
})"""


class Table:
    """The table in a notebook of its own, and the database behind it."""

    opens = OPEN

    def __init__(self, page: NotebookPage, world: str, path: Path, *more: str) -> None:
        self.page, self.path = page, path
        name = f"{path.parent.name}-{world}.ipynb"
        page.lab.write(name, [self.opens.format(world=world, path=str(path)), REVIEW, *more])
        page.open(name).run_all()
        self.board = page.page.locator(".md-board").first
        self.board.wait_for()
        self.said(re.compile("all [0-9]"), ".md-chip")

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.board.get_by_role("button", name=name)

    def row(self, text: str) -> Locator:
        return self.board.locator(".md-row", has_text=text).first

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.page.keyboard.press(key)

    def said(self, words: str | re.Pattern[str], where: str = ".md-message") -> None:
        from playwright.sync_api import TimeoutError

        try:
            self.board.locator(where, has_text=words).first.wait_for(timeout=SECONDS * 1000)
        except TimeoutError:
            raise AssertionError(f"no {words!r} in {where}: {self.board.inner_text()}") from None

    def flatten(self) -> None:
        """Show each unit, where so many are shown in groups first."""
        self.board.get_by_label("group by").uncheck()
        self.board.locator(".md-row:not(.md-group)").first.wait_for()

    def begins_with(self, words: str) -> None:
        """Wait until the first row says so."""
        self.board.locator(".md-row").first.filter(has_text=words).wait_for()

    def approved(self, words: str) -> None:
        """Wait until Apply says so."""
        self.said(words, ".md-apply")

    def focused(self) -> str:
        """The focused element's name, None outside of the table."""
        return str(
            self.page.page.evaluate(
                """() => { const node = document.activeElement;
                return node.closest('.md-board') ? node.getAttribute('aria-label') || node.innerText : 'OUTSIDE'; }"""
            )
        )

    def stored(self, key: str) -> Any:
        with closing(sqlite3.connect(self.path)) as database:
            found = database.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
        return found and json.loads(found[0])

    def runs(self) -> list[Any]:
        """The runs in the journal that have ended."""
        journal = self.path.with_name(f"{self.path.name}.matrix-drift.jsonl")
        lines = journal.read_text().splitlines() if journal.exists() else []
        return [json.loads(line)["outcome"] for line in lines if '{"outcome"' in line[:12]]

    def cells(self) -> int:
        return self.page.page.locator(".jp-Notebook .jp-Cell").count()


def look_with_axe(board: Table) -> None:
    """Names, roles and contrast as axe checks them."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(board.page.page, context=".md-board")
    told = [
        (v["id"], [(n["html"][:120], n["failureSummary"][:200]) for n in v["nodes"][:2]])
        for v in found.response["violations"]
    ]
    assert told == [], told


Open = Callable[..., Table]


def content(path: Path) -> list[Any]:
    with closing(sqlite3.connect(path)) as database:
        return database.execute("SELECT key, typeof(value), value FROM kv ORDER BY key").fetchall()


def start_bot(world: str, path: Path) -> list[Any]:
    """The rows after the bot's own call at start-up, in a database of its own."""

    async def start() -> None:
        from nio import AsyncClient

        from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state
        from toolkit.testing import FakeHomeserver

        bench = WORLDS[world](path)
        async with FakeHomeserver(bench.world.rooms, "@bot:hs", TOKEN) as server:
            client = AsyncClient(server.url, "@bot:hs")
            client.access_token = TOKEN
            async with SQLiteStore(path) as store:
                await reconcile_matrix_state(client, store, ChatManager(store))
            await client.close()

    from tests.browser import beside

    beside(lambda: asyncio.run(start()))
    return content(path)
