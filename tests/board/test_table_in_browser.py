"""The review table as a person uses it: JupyterLab, Chromium, mouse and keys, and the rows in SQLite."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.board.opened import (
    ALICE,
    BOB,
    BUSY,
    CLICK,
    OPEN,
    REVIEW,
    SHOWN,
    Open,
    Table,
    content,
    look_with_axe,
    start_bot,
)
from tests.boards import HOSTILE
from tests.lab import Lab
from toolkit.records import chat_key, room_key, user_key

if TYPE_CHECKING:
    from tests.browser import NotebookPage

HOLD = """from pathlib import Path
from toolkit.database.lock import hold_lock
held = hold_lock(Path({path!r}))
held.__enter__()"""


class TestDeciding:
    def test_open_approve_settle_and_apply(self, table: Open) -> None:
        board = table()
        board.row("Чат 1").locator(".md-more").click()
        board.said("insert matrix_room:!a1", ".md-rowtable")
        board.board.locator(".md-evidence summary").click()
        board.said("evidence:", ".md-proof")
        board.button(f"Approve C1 of {ALICE}").click()
        board.approved("Apply 1 room, 2 rows")
        board.button(f"Settle a chat of {ALICE}").click()
        board.board.get_by_label(f"Another chat id for a chat of {ALICE}").fill("C2")
        board.button("Use this chat id").click()
        board.said("another room")
        board.said("another room", '.md-row:has-text("Разговор")')
        board.button(f"chat id C4 for a chat of {ALICE}").click()
        board.button("Approve with chat id C4").click()
        board.approved("Apply 2 rooms")
        board.button(f"Reject C2 of {ALICE}").click()
        board.said("Skipped C2")
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written:")
        board.said("running bot")
        board.said("History takes this back")
        assert "session." not in board.board.locator(".md-message").inner_text()
        assert board.stored(room_key("!a1"))["matrix_user_id"] == ALICE
        assert board.stored(room_key("!a9"))["chat_id"] == "C4"
        assert board.stored(room_key("!a2"))["space_id"] == "!elsewhere"
        board.page.assert_harmless()
        assert board.page.errors == []

    def test_all_of_it_is_what_the_bot_writes_at_start_up(
        self, table: Open, tmp_path: Path
    ) -> None:
        board = table()
        board.button("Approve all 3").click()
        board.said("Approve 3 units, 4 rows?", ".md-question")
        assert board.button("Apply: nothing approved").count() == 1
        board.button("Approve 3 units").click()
        board.approved("Apply 2 rooms and 1 user, 4 rows")
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written: 4 rows")
        assert content(board.path) == start_bot("small", tmp_path / "bots.db")

    def test_rejecting_everything_leaves_every_byte(self, table: Open) -> None:
        board = table()
        before = board.path.read_bytes()
        board.row("Чат 1").focus()
        board.press("Home", *"rrrr")
        board.said("rejected 4", ".md-chip")
        board.button("Apply").click(force=True)
        board.page.page.wait_for_timeout(300)
        assert board.path.read_bytes() == before and board.runs() == []

    def test_what_moved_comes_back_side_by_side(self, table: Open) -> None:
        board = table()
        board.button(f"Approve C2 of {ALICE}").click()
        board.approved("Apply 1 room")
        row = board.stored(room_key("!a2")) | {"space_id": "!moved"}
        with closing(sqlite3.connect(board.path)) as database, database:
            database.execute(
                "UPDATE kv SET value = ? WHERE key = ?", (json.dumps(row), room_key("!a2"))
            )
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Left alone")
        board.said("left alone: row", ".md-cause")
        assert board.stored(room_key("!a2"))["space_id"] == "!moved"
        board.button("last run: stale 1").click()
        board.row("Чат 2").locator(".md-more").click()
        board.said("as approved", ".md-moved")
        moved = board.board.locator(".md-moved").inner_text()
        assert "!elsewhere" in moved and "!moved" in moved
        board.button(f"Approve C2 of {ALICE}").click()
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written: 1 row")
        assert board.stored(room_key("!a2"))["space_id"] == "!alice"

    def test_a_run_is_looked_at_and_taken_back(self, table: Open) -> None:
        board = table()
        before = content(board.path)
        board.button(f"Approve C1 of {ALICE}").click()
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written:")
        board.button("History").click()
        board.button(re.compile("^Undo… approved")).click()
        board.said("Taking it back would write", ".md-question")
        assert "delete matrix_room:!a1" in board.board.locator(".md-question").inner_text()
        board.button(re.compile(r"^Undo \d")).click()
        board.said("it took a run back", ".md-runs")
        assert content(board.path) == before


class TestChoosing:
    def settle(self, board: Table, unit: str, *options: str) -> None:
        """Open a unit, try the options one after the other, approve with the last, and apply."""
        board.button(f"Details of {unit}").click()
        board.said("Your choice", ".md-title")
        for option in options:
            board.button(f"{option} for {unit}").click()
            board.said(f"Picked for {unit}: {option}")
        board.button(f"Approve with {options[-1]}: {unit}").click()
        board.approved("Apply 1")
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written:")

    def test_which_owner_where_rows_and_members_disagree(self, table: Open) -> None:
        board = table("disputed")
        self.settle(board, "C1 of @dora:hs", "owner @olga:hs", "owner @dora:hs")
        assert board.stored(room_key("!d1"))["matrix_user_id"] == "@dora:hs"
        assert board.stored(chat_key("@dora:hs", "C1"))["surface_ref"] == "!d1"
        assert board.stored(user_key("@dora:hs"))["space_id"] == "!dora"
        assert board.stored(chat_key("@olga:hs", "C1")) is None

    def test_an_owner_who_has_left(self, table: Open) -> None:
        board = table("disputed")
        self.settle(board, "user row of @carol:hs", "owner @carol:hs")
        assert board.stored(user_key("@carol:hs"))["space_id"] == "!carol"
        assert board.stored(room_key("!c1")) is None

    def test_which_space_of_two(self, table: Open) -> None:
        board = table("disputed")
        self.settle(board, "user row of @eva:hs", "Space !eva1", "Space !eva2")
        assert board.stored(user_key("@eva:hs"))["space_id"] == "!eva2"
        board.button("Approve C2 of @eva:hs").click()
        board.approved("Apply 1 room, 2 rows")
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written: 2 rows")
        assert board.stored(room_key("!e2"))["space_id"] == "!eva2"
        assert board.stored(room_key("!e1")) is None
        board.page.assert_harmless()


class TestOnce:
    def test_a_double_click_on_apply_is_one_run(self, table: Open) -> None:
        board = table()
        board.button(f"Approve C1 of {ALICE}").click()
        board.approved("Apply 1 room")
        board.button(re.compile(r"^Apply \d")).dblclick()
        board.said("Written:")
        board.page.page.wait_for_timeout(500)
        assert len(board.runs()) == 1

    def test_a_rerun_cell_and_another_board_find_the_run_that_is_going_on(
        self, table: Open
    ) -> None:
        board = table("many", "review(session)")
        board.button("Approve all").click()
        board.button(re.compile(r"^Approve 5,\d+ units")).click()
        board.approved("Apply 5,000 rooms")
        board.button(re.compile(r"^Apply \d")).click()
        board.page.run_cell(1)
        for name in (0, 1):
            other = board.page.page.locator(".md-board").nth(name)
            other.locator(".md-apply").click(force=True)
        board.said("Written: 10,500 rows")
        assert len(board.runs()) == 1
        second = board.page.page.locator(".md-board").nth(1)
        second.filter(has_text="Written: 10,500").wait_for()

    def test_cancel_leaves_whole_units(self, table: Open) -> None:
        board = table("many")
        board.button("Approve all").click()
        board.button(re.compile(r"^Approve 5,\d+ units")).click()
        board.approved("Apply 5,000 rooms")
        board.button(re.compile(r"^Apply \d")).click()
        board.said(re.compile("[1-9][0-9]* of"), ".md-foot")
        board.button("Cancel").click()
        board.said("Cancelled.")
        rows = {key: value for key, _, value in content(board.path)}
        for key, value in rows.items():
            if key.startswith("matrix_room:") and key != room_key("!q1"):
                row = json.loads(value)
                assert chat_key(row["matrix_user_id"], row["chat_id"]) in rows
                assert user_key(row["matrix_user_id"]) in rows
        assert len(rows) < 10_000

    def test_a_second_kernel_writes_nothing_twice(
        self, table: Open, second_page: NotebookPage
    ) -> None:
        board, page = table(), second_page
        page.lab.write("second.ipynb", [OPEN.format(world="small", path=str(board.path)), REVIEW])
        page.open("second.ipynb").run_all()
        second = page.page.locator(".md-board")
        board.button(f"Approve C1 of {ALICE}").click()
        board.approved("Apply 1 room")
        second.get_by_role("button", name=f"Approve C1 of {ALICE}").click()
        second.locator(".md-apply", has_text="Apply 1 room").wait_for()
        board.button(re.compile(r"^Apply \d")).click()
        second.get_by_role("button", name=re.compile(r"^Apply \d")).click()
        board.said("Written:")
        ended = re.compile(
            "Written:|Another notebook or command|changed elsewhere"
        )  # as quick as we were
        second.locator(".md-message", has_text=ended).wait_for()
        page.settle()
        written = [e for run in board.runs() for e in run["entries"] if e["outcome"] == "applied"]
        assert [entry["unit"] for entry in written] == ["!a1"]

    def test_a_second_kernel_is_refused_while_the_first_writes(
        self, table: Open, second_page: NotebookPage
    ) -> None:
        board, page = table("many"), second_page
        page.lab.write("busy.ipynb", [OPEN.format(world="many", path=str(board.path)), REVIEW])
        page.open("busy.ipynb").run_all()
        second = page.page.locator(".md-board")
        board.button("Approve all").click()
        board.button(re.compile(r"^Approve 5,\d+ units")).click()
        board.approved("Apply 5,000 rooms")
        second.get_by_label("group by").uncheck()
        second.get_by_role("button", name="Approve user row of @u0:hs").click()
        second.locator(".md-apply", has_text=re.compile(r"^Apply \d")).wait_for()
        board.button(re.compile(r"^Apply \d")).click()
        board.said(re.compile("[0-9]+ of"), ".md-foot")
        second.get_by_role("button", name=re.compile(r"^Apply \d")).click()
        second.locator(".md-message", has_text="Another notebook or command").wait_for()
        board.said("Written: 10,500 rows")
        assert len(board.runs()) == 1
        second.get_by_role("button", name=re.compile(r"^Apply \d")).click()
        second.locator(".md-message", has_text="changed elsewhere").wait_for()
        page.settle()
        assert len(board.runs()) == 1

    def test_a_killed_kernel_stands_in_nobodys_way(self, table: Open, lab: Lab) -> None:
        board = table()
        board.button(f"Approve C1 of {ALICE}").click()
        board.approved("Apply 1 room")
        second = lab.start_kernel("killed.ipynb")
        second.execute(HOLD.format(path=str(board.path)))
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Another notebook or command is writing")
        assert board.stored(room_key("!a1")) is None
        os.kill(second.evaluate("__import__('os').getpid()"), signal.SIGKILL)
        board.page.page.wait_for_timeout(500)
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written: 2 rows")
        assert board.stored(room_key("!a1"))
        lab.end_session("killed.ipynb")


class TestAgain:
    def test_decisions_are_back_after_a_kernel_restart(self, table: Open) -> None:
        board = table()
        board.button(f"Approve C1 of {ALICE}").click()
        board.button(f"Defer user row of {BOB}").click()
        board.said("deferred 1", ".md-chip")
        board.page.restart_and_run_all()
        board.approved("Apply 1 room, 2 rows")
        board.said("deferred 1", ".md-chip")
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written: 2 rows")

    def test_a_restarted_kernel_is_told_of(self, table: Open) -> None:
        board = table()
        board.page.restart()
        if board.board.count():  # some versions take the output away
            board.button(f"Approve C1 of {ALICE}").click()
            board.said("run the cell again")

    def test_two_boards_agree_also_with_a_cell(self, table: Open) -> None:
        board = table("small", "review(session)")
        second = board.page.page.locator(".md-board").nth(1)
        board.button(f"Approve C1 of {ALICE}").click()
        second.locator(".md-apply", has_text="Apply 1 room").wait_for()
        second.get_by_role("button", name=f"Reject C1 of {ALICE}").click()
        board.approved("Apply: nothing approved")
        board.page.execute("session.approve('!a2')")
        board.approved("Apply 1 room, 1 row")
        second.locator(".md-apply", has_text="Apply 1 room, 1 row").wait_for()
        board.page.reload()
        board.page.run_all()
        board.approved("Apply 1 room, 1 row")


class TestMany:
    def test_figures_at_5000_rooms(self, table: Open) -> None:
        board = table("many")
        page = board.page.page
        board.page.execute("import ipywidgets")
        took: dict[str, float] = {}
        # From running the cell once more to rows on the screen; then from a click to the new words.
        page.evaluate("() => { window.jupyterapp.shell.currentWidget.content.activeCellIndex = 1 }")
        took["shown"] = page.evaluate(SHOWN)
        board.flatten()
        took["click"] = page.evaluate(CLICK)
        print(took)  # noqa: T201  # the figures, with -s
        assert took["shown"] < 1000 * BUSY and took["click"] < 200 * BUSY
        assert page.locator(".md-row").count() < 60
        widgets = board.page.evaluate("len(ipywidgets.widgets.widget._instances)")
        assert widgets < 20
        board.page.save()
        assert (board.page.lab.root / board.page.notebook).stat().st_size < 300_000

    def test_first_row_last_row_and_back(self, table: Open) -> None:
        board = table("thousand")
        board.flatten()
        board.board.locator(".md-row").first.focus()
        board.press("End", "a")
        board.said("approved 2", ".md-chip")  # its user's row goes along
        board.press("End")
        board.board.locator(".md-row:focus[aria-rowindex='1101']").wait_for()
        board.press("Enter")
        board.said("insert matrix_room:", ".md-rowtable")
        board.press("Home", "a")
        board.board.locator(".md-row:focus[aria-rowindex='2']").wait_for()
        board.said("approved 3", ".md-chip")
        board.press("Enter")
        board.said("insert matrix_user:", ".md-rowtable")
        shown = board.board.locator(".md-row")
        places = [int(row.get_attribute("aria-rowindex") or 0) for row in shown.all()]
        assert places == sorted(places) and places[0] == 2

    def test_filters_and_sorting(self, table: Open) -> None:
        board = table("thousand")
        board.flatten()
        board.board.get_by_label("Filter by text").fill("@u77:")
        board.button("Approve all 11").click()
        board.said("Approve 11 units, 21 rows?", ".md-question")
        board.button("Approve 11 units").click()
        board.approved("Apply 10 rooms and 1 user, 21 rows")
        board.button(re.compile("^all")).click()
        board.button("Owner").click()
        board.button("Owner").click()
        board.begins_with("u99")
        board.button("approved 11").click()
        board.said("u77", ".md-row")
        assert board.board.locator(".md-row").count() == 11
        board.board.get_by_label("show").check()
        board.button(re.compile("^all")).click()
        board.button("skipped 101").click()
        board.said("it is a Space", ".md-row")

    def test_a_narrow_window_sorts_too(self, table: Open) -> None:
        board = table("thousand")
        board.flatten()
        sorting = board.board.get_by_label("sort by")
        assert not sorting.is_visible()
        board.page.page.set_viewport_size({"width": 700, "height": 900})
        sorting.focus()
        sorting.select_option("Owner, descending")
        board.begins_with("u99")
        assert board.focused() != "OUTSIDE"
        board.page.page.set_viewport_size({"width": 1280, "height": 900})
        board.board.locator("[aria-sort=descending]", has_text="Owner").wait_for()
        assert not sorting.is_visible() and board.focused() != "OUTSIDE"
        board.page.page.set_viewport_size({"width": 700, "height": 900})
        sorting.select_option("as planned")
        board.begins_with("u0")


class TestOneAndNone:
    def test_a_table_of_one_row(self, table: Open) -> None:
        board = table("one")
        assert board.board.locator(".md-row").count() == 1
        board.button(f"Approve C1 of {ALICE}").click()
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written: 1 row")
        board.said("Nothing to decide", ".md-empty")
        assert board.stored(room_key("!a1"))

    def test_a_table_of_none(self, table: Open) -> None:
        board = table("none")
        board.said("everything is in sync", ".md-empty")
        board.board.get_by_label("show").check()
        board.said("its rows are right", ".md-row")


class TestKeys:
    def test_everything_by_keyboard(self, table: Open) -> None:
        board = table()
        board.board.get_by_label("Filter by text").focus()
        board.press("ArrowDown", "Home", "ArrowDown", "a")
        board.approved("Apply 1 room, 2 rows")
        board.press("Home", "ArrowDown", "u")
        board.approved("nothing approved")
        board.press("d")
        board.said("deferred 1", ".md-chip")
        board.press("Home", "ArrowDown", "r")
        board.said("rejected 1", ".md-chip")
        board.press("Home", "ArrowDown", "a", "?")
        board.said("take the decision back", ".md-help")
        board.press("Escape", "/")
        assert board.focused() == "Filter by text"
        page = board.page.page
        page.keyboard.type("azr")
        board.said("Nothing matches", ".md-empty")
        board.press("Control+a", "Delete", "ArrowDown", "End", "Enter")
        board.said("Your choice", ".md-title")
        for _ in range(12):
            board.press("Tab")
            if board.focused().startswith("chat id C5 for"):
                break
        board.press("Enter")
        board.said("Approve with chat id C5", ".md-primary")
        assert board.focused().startswith("chat id C5 for")
        board.press("a")
        board.approved("Apply 2 rooms")
        for _ in range(20):
            board.press("Tab")
            if board.focused().startswith("Apply "):
                break
        board.press("Enter")
        board.said("Written:")
        assert board.stored(room_key("!a9"))["chat_id"] == "C5"
        assert board.focused() != "OUTSIDE" and board.cells() == 2

    def test_d_d_never_deletes_the_cell(self, table: Open) -> None:
        board = table()
        cells = board.cells()

        def strike() -> None:
            board.press("d", "d", "b", "a", "u")
            board.page.page.wait_for_timeout(150)
            assert board.cells() == cells and board.focused() != "OUTSIDE"

        board.row("Чат 1").focus()
        strike()
        board.button(f"Approve C1 of {ALICE}").click()
        strike()
        board.row("Чат 1").locator(".md-more").click()
        board.board.locator(".md-panel .md-title").first.click()
        strike()
        blank = board.board.bounding_box()
        assert blank
        board.board.click(position={"x": blank["width"] - 20, "y": 10})
        strike()
        for name in (
            "History",
            "? Keyboard help",
            "? Keyboard help",
            re.compile("^conflict"),
            re.compile("^all"),
        ):
            board.button(name).click()
            strike()
        board.button("History").click()
        board.button(f"Approve C1 of {ALICE}").click()
        board.approved("Apply 1 room")
        board.button("Cancel").click(force=True)
        strike()
        board.button(re.compile(r"^Apply \d")).click()
        strike()
        board.said("Written:")
        strike()
        board.button("Cancel").focus()
        strike()
        board.row("Разговор").focus()
        board.button(re.compile("^missing")).click()
        strike()


class TestForEveryone:
    def test_hostile_names_do_nothing(self, table: Open) -> None:
        board = table("hostile")
        board.button(re.compile("^conflict")).click()
        board.said("conflict", ".md-row")
        for index in range(board.board.locator(".md-row").count()):
            board.board.locator(".md-more").nth(index).click()
            board.said("Your choice", ".md-title")
        assert HOSTILE[:30] in board.board.inner_text()
        board.button("chat id C8").first.click()
        board.button(re.compile("Approve with")).click()
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written:")
        board.button("History").click()
        board.button(re.compile("^Show")).first.click()
        assert board.page.typeset() == []
        board.page.assert_harmless()
        assert board.page.errors == []

    @pytest.mark.parametrize("theme", ["light", "dark"])
    def test_axe_finds_nothing(self, table: Open, theme: Any) -> None:
        board = table("hostile")
        board.page.set_theme(theme)
        look_with_axe(board)
        board.button(f"Settle a chat of {ALICE}").first.click()
        board.said("Your choice", ".md-title")
        board.button("chat id C8").first.click()
        board.said("Approve with", ".md-primary")
        look_with_axe(board)
        board.button("? Keyboard help").click()
        look_with_axe(board)
        board.button(f"Approve C1 of {ALICE}").click()
        board.button("Approve all").click()
        board.said(re.compile("Approve . units"), ".md-question")
        look_with_axe(board)
        board.button(re.compile(r"^Apply \d")).click()
        board.said("Written:")
        board.button("History").click()
        board.button(re.compile("^Undo…")).click()
        board.said("Taking it back", ".md-question")
        look_with_axe(board)
        board.button("History").click()
        board.page.page.set_viewport_size({"width": 700, "height": 900})
        board.page.page.wait_for_timeout(300)
        look_with_axe(board)

    def test_every_control_names_its_room(self, table: Open) -> None:
        board = table("hostile")
        board.page.page.set_viewport_size({"width": 1400, "height": 1400})
        names = [
            node.get_attribute("aria-label") or ""
            for node in board.board.locator(".md-row button").all()
        ]
        assert len(names) > 20 and len(set(names)) == len(names)
