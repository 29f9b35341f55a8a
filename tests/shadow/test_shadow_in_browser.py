"""A shadow run on the board, with the mouse: one unit of what a bot's function would write is written."""

from __future__ import annotations

import json
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.records import room_key, user_key

if TYPE_CHECKING:
    from tests.browser import NotebookPage

RUN = """from contextlib import suppress
from pathlib import Path
from tests.boards import small
from toolkit import SQLiteStore, ToolkitError, review, shadow_run

bench = small(Path({path!r}))

async def repair(client, store, chat_mgr):
    room = {{"chat_id": "C1", "matrix_user_id": "@alice:hs", "space_id": "!alice"}}
    await store.set("matrix_room:!a1", room)
    await store.set("matrix_user:@bob:hs", {{"space_id": "!bob", "next_chat_index": 2}})
    row = await store.get("matrix_room:!a2")
    await store.set("matrix_room:!a2", row | {{"space_id": "!alice"}})
    await store.set("config:<b>bot</b>", {{"colour": "$x$ \\u202e"}})
    with suppress(ToolkitError):
        store.backup()
    raise ValueError("no <img src=x onerror=\\"window.__hacked='raised'\\"> luck")

async with SQLiteStore(bench.path, read_only=True) as store:
    run = await shadow_run(repair, None, store)"""


def stored(path: Path, key: str) -> Any:
    with closing(sqlite3.connect(path)) as database:
        found = database.execute("SELECT value FROM kv WHERE key = ?", (key,)).fetchone()
    return found and json.loads(found[0])


def test_one_unit_of_a_shadow_run_is_approved_applied_and_taken_back_by_mouse(
    page: NotebookPage, tmp_path: Path
) -> None:
    path = tmp_path / "bot.db"
    page.lab.write("shadow.ipynb", [RUN.format(path=str(path)), "review(run)"])
    page.open("shadow.ipynb").run_all()
    board = page.page.locator(".md-board").first
    button = board.get_by_role
    board.get_by_text("repair would have written 4 rows in 4 units.").wait_for()
    board.get_by_text("store.backup()").wait_for()
    board.get_by_text("It raised ValueError: no <img").wait_for()

    button("button", name="Details of C1 of @alice:hs").click()
    board.locator(".md-panel ins", has_text='"@alice:hs"').wait_for()
    button("button", name="Approve C1 of @alice:hs").click()
    board.locator(".md-apply", has_text="Apply 1 room, 1 row").wait_for()
    assert button("button", name=re.compile("^(Approve|Settle) config")).count() == 0
    assert stored(path, room_key("!a1")) is None
    button("button", name=re.compile(r"^Apply \d")).click()
    board.locator(".md-message", has_text="Written: 1 row.").wait_for()
    assert stored(path, room_key("!a1"))["matrix_user_id"] == "@alice:hs"
    assert stored(path, user_key("@bob:hs")) is None
    assert stored(path, room_key("!a2"))["space_id"] == "!elsewhere"

    button("button", name="History").click()
    button("button", name=re.compile("^Undo… shadow")).click()
    button("button", name="Undo 1 row").click()
    board.locator(".md-message", has_text="Written: 1 row.").wait_for()
    button("button", name="History").click()
    button("button", name="Approve C1 of @alice:hs").wait_for()
    assert stored(path, room_key("!a1")) is None
    page.assert_harmless()
    assert page.typeset() == [] and page.errors == []
