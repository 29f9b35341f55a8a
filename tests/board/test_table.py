"""The table's Python side: what a browser is told, what it may ask, and what is refused whoever asks."""

import ast
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

import toolkit.board
from tests.bench import A1, A2, ALICE, BOB, BOT, C2, TOKEN, Bench, small_rows
from tests.boards import HOSTILE, look, many, small
from toolkit import reconcile_matrix_state
from toolkit.board import find_model
from toolkit.board.table import ReviewTable
from toolkit.board.views import KEPT
from toolkit.board.windows import MOST
from toolkit.decisions.ledger import Vote
from toolkit.records import chat_key, room_key
from toolkit.testing import FakeHomeserver
from toolkit.text.html import SHOWN

Told = dict[str, Any]
FOLDER = Path(toolkit.board.__file__).parent


@pytest.fixture
def bench(bench: Bench) -> Bench:
    """Besides what is shared, a chat of a hostile name."""
    bench.world.chat("!a9", "!alice", HOSTILE, owner=ALICE)
    return bench


class Browser:
    """A view of a table, as the JavaScript is one: it asks, and keeps what it is told."""

    def __init__(self, view: ReviewTable, name: str = "one") -> None:
        self.view, self.name = view, name
        self.told: list[Told] = []
        send = view.widget.send

        def heard(content: Told, buffers: Any = None) -> None:
            send(content, buffers)
            if content["to"] in ("", name):
                self.told.append(json.loads(json.dumps(content)))

        view.widget.send = heard

    def ask(self, do: str, **rest: Any) -> list[Told]:
        """Everything that comes as an answer."""
        self.told.clear()
        self.view._on_message(None, {"do": do, "view": self.name, **rest}, [])
        return list(self.told)

    def get(self, do: str, kind: str, **rest: Any) -> Told:
        """The answer of one kind."""
        return next(told for told in self.ask(do, **rest) if told["kind"] == kind)

    def refused(self, do: str, **rest: Any) -> str:
        """Why it is refused."""
        answer = self.get(do, "answer", **rest)
        assert answer["accepted"] is False
        return str(answer["words"])

    def lines(self, **query: Any) -> dict[str, Told]:
        """Those of a query, by default all units."""
        lines: list[Told] = self.get("window", "window", **query)["lines"]
        return {line["unit"]: line for line in lines}

    def state(self) -> Told:
        return self.get("ready", "state")

    def decide(self, unit: str, vote: str, **why: str) -> list[Told]:
        return self.ask("decide", unit=unit, vote=vote, change=self.lines()[unit]["change"], **why)

    async def apply(self) -> None:
        self.ask("apply", plan=self.state()["plan"])
        assert self.view.task
        await self.view.task


@pytest.fixture
async def browser(bench: Bench, server: FakeHomeserver) -> Browser:
    return Browser(ReviewTable(find_model(await look(bench, server))))


class TestTelling:
    async def test_lines_come_when_a_view_is_ready_and_then_only_those_that_change(
        self, browser: Browser
    ) -> None:
        browser.view.model.session.approve("!a2")
        assert browser.told == []
        lines = browser.lines()
        assert set(lines) == {ALICE, BOB, "!a1", "!a2", "!a9"} - {ALICE}
        assert lines["!a2"]["vote"] == "approved" and lines["!a1"]["chat"] == "C1"
        told = browser.decide("!a1", "approve")
        [changed] = [told for told in told if told["kind"] == "lines"]
        assert [line["unit"] for line in changed["lines"]] == ["!a1"]
        assert not [told for told in browser.told if told["kind"] == "window"]

    async def test_what_a_cell_does_shows_at_once(self, browser: Browser) -> None:
        browser.lines()
        browser.told.clear()
        browser.view.model.session.reject("!a1")
        kinds = [told["kind"] for told in browser.told]
        assert kinds == ["lines", "state"]
        assert browser.told[0]["lines"][0]["vote"] == "rejected"

    async def test_apply_says_what_it_would_write(self, browser: Browser) -> None:
        browser.decide("!a1", "approve")
        assert browser.state()["apply"] == "1 room, 2 rows"
        browser.decide(BOB, "approve")
        assert browser.state()["apply"] == "1 room and 1 user, 3 rows"

    async def test_details_hold_rows_field_by_field_evidence_and_choices(
        self, browser: Browser
    ) -> None:
        details = browser.get("details", "details", unit="!a2")
        [row] = details["rows"]
        fields = {field["name"]: field for field in row["fields"]}
        assert fields["chat_id"] == {
            "name": "chat_id",
            "before": "",
            "after": '"C2"',
            "changed": True,
        }
        assert details["facts"][0]["evidence"] == "chat row" and details["facts"][0]["events"]
        conflict = browser.get("details", "details", unit="!a9")
        offers = [(offer["label"], offer["why"]) for offer in conflict["offers"]]
        assert offers[:2] == [
            ("chat id C3", "the next free number"),
            ("chat id C4", "free as well"),
        ]
        assert conflict["free"] and not conflict["rows"]

    async def test_an_opened_conflict_shows_its_rooms_side_by_side_also_once_an_id_is_picked(
        self, browser: Browser, bench: Bench
    ) -> None:
        for room in ("!t1", "!t2"):
            bench.world.chat(room, "!alice", "Чат 7", owner=ALICE)
        bench.world.member("!t2", ALICE, "leave")
        await browser.view.model.session.reload()
        own, twin = browser.get("details", "details", unit="!t1")["sides"]
        assert (own["title"], own["room_id"]) == ("this room", "!t1")
        assert (twin["title"], twin["link"]) == ("its twin", "https://matrix.to/#/!t2?via=hs")
        assert dict(own["facts"])["joined"] == ALICE and dict(twin["facts"])["left"] == ALICE
        browser.ask("pick", unit="!t1", choices={"chat_id": "C7"})
        details = browser.get("details", "details", unit="!t1")
        assert details["rows"] and details["sides"] == [own, twin]
        assert [o["label"] for o in details["offers"]].count("chat id C7") == 1
        assert browser.get("details", "details", unit="!a1")["sides"] == []

    async def test_names_beside_each_other_are_visible(
        self, browser: Browser, bench: Bench
    ) -> None:
        for room in ("!t1", "!t\u202e2"):
            bench.world.chat(room, "!alice", "Чат 7", owner=ALICE)
        bench.world.member("!t1", "@\u202ex:hs", "join")
        await browser.view.model.session.reload()
        sides = browser.get("details", "details", unit="!t1")["sides"]
        assert not {"\u202e", "\x1b"} & set(json.dumps(sides, ensure_ascii=False))
        assert sides[1]["room_id"] == "!t\\u{202e}2" and "%E2%80%AE" in sides[1]["link"]

    async def test_of_a_changed_row_what_stays_is_told_as_well(
        self, browser: Browser, bench: Bench
    ) -> None:
        bench.put({A2: small_rows()[A2] | {"space_id": "!x"}})
        await browser.view.model.session.reload()
        [row] = browser.get("details", "details", unit="!a2")["rows"]
        changed = {field["name"]: field["changed"] for field in row["fields"]}
        assert changed.pop("space_id") and not any(changed.values()) and len(changed) >= 4

    async def test_rooms_in_sync_and_skipped_ones_come_when_asked_for(
        self, browser: Browser
    ) -> None:
        lines = browser.lines(quiet=True)
        found = {unit: (line["status"], line["cause"]) for unit, line in lines.items()}
        assert found["!b1"] == ("in sync", "its rows are right")
        assert found["!alice"] == ("skipped", "it is a Space")
        assert browser.state()["quiet"] == {"in sync": 2, "skipped": 2, "orphaned": 0}

    async def test_orphaned_rows_can_be_looked_at(self, browser: Browser, bench: Bench) -> None:
        row = {**small_rows()[A2], "chat_id": "C8"}
        gone, chat = room_key("!gone"), chat_key(BOB, "C8")
        bench.put({gone: row, chat: {**small_rows()[C2], "surface_ref": "!gone"}})
        await browser.view.model.session.reload()
        lines = browser.lines(status="orphaned", quiet=True)
        told = {key: (line["owner"], line["chat"], line["name"]) for key, line in lines.items()}
        assert told == {gone: (ALICE, "C8", gone), chat: (BOB, "C8", chat)}
        assert {line["cause"] for line in lines.values()} == {
            "no joined room belongs to this row; it is kept as it is"
        }
        assert browser.state()["quiet"]["orphaned"] == 2 and not browser.state()["besides"]
        assert set(browser.lines(quiet=True, keep=[gone])) > {gone, chat}

    async def test_of_it_nothing_is_saved_with_the_notebook_but_the_text_that_stands_there_anyway(
        self, browser: Browser
    ) -> None:
        browser.lines()
        bundle = browser.view._repr_mimebundle_()
        state = browser.view.widget.get_state()
        assert state.pop("until") == bundle["text/plain"]
        saved = json.dumps(state, default=str)
        assert len(saved) < 100_000 and "!a1" not in saved

    async def test_hostile_names_are_visible_text(self, browser: Browser) -> None:
        told = json.dumps([browser.lines(), browser.get("details", "details", unit="!a9")])
        assert "\\u202e" not in told and "u{202e}" in told


class TestRefusing:
    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ({}, "do"),
            ({"do": "delete"}, "delete"),
            ({"do": ["apply"]}, "asked for what there isn't"),
            (None, "asked for what there isn't"),
            ("apply", "asked for what there isn't"),
            ({"do": "apply"}, "plan"),
            ({"do": "ready", "more": 1}, "more"),
            ({"do": "window", "start": -1}, "start"),
            ({"do": "window", "start": "0"}, "start"),
            ({"do": "window", "count": MOST + 1}, "count"),
            ({"do": "window", "count": 1.5}, "count"),
            ({"do": "window", "number": -1}, "number"),
            ({"do": "window", "sort": "change"}, "sort"),
            ({"do": "window", "keep": ["!a1"] * (KEPT + 1)}, "keep"),
            ({"do": "window", "keep": [1]}, "keep"),
            ({"do": "window", "quiet": "yes"}, "quiet"),
            ({"do": "window", "text": None}, "text"),
            ({"do": "details", "unit": 5}, "unit"),
            ({"do": "details", "unit": "!nobody"}, "no unit"),
            ({"do": "details", "unit": "!b1"}, "in sync"),
            ({"do": "decide", "unit": "!a1", "vote": "approve"}, "change"),
            ({"do": "decide", "unit": "!a1", "vote": "eat", "change": ""}, "no decision"),
            ({"do": "decide", "unit": "!a1", "vote": "approve", "change": "old"}, "has changed"),
            ({"do": "decide", "unit": "!b1", "vote": "approve", "change": ""}, "in sync"),
            ({"do": "decide", "unit": "!bob", "vote": "approve", "change": ""}, "skipped"),
            ({"do": "decide", "unit": "!a9", "vote": "approve", "change": ""}, "pick a chat id"),
            ({"do": "pick", "unit": "!a9", "choices": {"chat_id": "C1"}}, "another room"),
            ({"do": "pick", "unit": "!a9", "choices": {"chat_id": "x"}}, "C and a number"),
            ({"do": "pick", "unit": "!a9", "choices": {"chat_id": 3}}, "choices"),
            ({"do": "approve_all", "plan": "old"}, "has changed"),
            ({"do": "apply", "plan": "old"}, "Nothing is approved"),
            ({"do": "cancel"}, "Nothing is being applied"),
            ({"do": "open_run", "run": "none"}, "no run"),
            ({"do": "plan_undo", "run": "none"}, "no run"),
            ({"do": "undo", "run": "none", "plan": ""}, "no run"),
        ],
    )
    async def test_what_does_not_fit_is_refused_and_changes_nothing(
        self, browser: Browser, bench: Bench, content: Any, words: str
    ) -> None:
        before = bench.bytes()
        browser.lines()
        browser.told.clear()
        browser.view._on_message(None, content, [])
        [answer] = [told for told in browser.told if told["kind"] == "answer"] or [{}]
        assert answer["accepted"] is False and words in answer["words"]
        assert set(browser.view.model.session.plan.votes.values()) == {Vote.PENDING}
        assert bench.bytes() == before

    async def test_apply_of_something_else_than_the_button_said_is_refused(
        self, browser: Browser, bench: Bench
    ) -> None:
        browser.decide("!a1", "approve")
        plan = browser.state()["plan"]
        browser.view.model.session.approve("!a2")
        assert "has changed since the click" in browser.refused("apply", plan=plan)
        assert browser.view.task is None and bench.row(A1) is None


class TestDeciding:
    async def test_all_of_a_filter_are_counted_told_and_approved(self, browser: Browser) -> None:
        asked = browser.get("count", "question", status="missing", text="alice")
        assert (asked["units"], asked["rows"]) == ("2 units", "3 rows")
        assert "1 × would insert the room row and insert the chat row" in asked["what"]
        assert not browser.view.model.items(vote="approved")
        browser.ask("approve_all", plan=asked["plan"], status="missing", text="alice")
        assert [i.unit for i in browser.view.model.items(vote="approved")] == ["!a1", "!a2"]
        assert browser.get("count", "question", text="nothing")["plan"] == ""

    async def test_a_conflict_is_picked_approved_and_written(
        self, browser: Browser, bench: Bench
    ) -> None:
        browser.ask("pick", unit="!a9", choices={"chat_id": "C4"})
        details = browser.get("details", "details", unit="!a9")
        assert details["line"]["picked"] == "chat id C4" and len(details["rows"]) == 2
        browser.decide("!a9", "approve")
        await browser.apply()
        assert bench.row(room_key("!a9"))["chat_id"] == "C4"

    async def test_an_approval_that_settling_changes_is_pending_again_and_says_so(
        self, browser: Browser, bench: Bench
    ) -> None:
        bench.put({f"matrix_user:{ALICE}": None})
        await browser.view.model.session.reload()
        browser.decide(ALICE, "approve")
        browser.ask("pick", unit="!a9", choices={"chat_id": "C9"})
        told = browser.decide("!a9", "approve")
        line = browser.lines()[ALICE]
        assert (line["vote"], line["again"]) == ("pending", "approved")
        assert any("Pending again" in t.get("words", "") for t in told)


class TestApplying:
    async def test_results_stay_in_the_list_of_the_last_run(self, browser: Browser) -> None:
        browser.decide("!a1", "approve")
        await browser.apply()
        assert "!a1" not in browser.lines()
        line = browser.lines(result="applied")["!a1"]
        assert (line["finished"], line["result"], line["action"]) == (
            True,
            "applied",
            "2 rows written",
        )
        assert browser.state()["results"] == {"applied": 1}

    async def test_twice_at_once_is_once(self, browser: Browser) -> None:
        browser.decide("!a1", "approve")
        plan = browser.state()["plan"]
        browser.ask("apply", plan=plan)
        task = browser.view.task
        browser.ask("apply", plan=plan)
        assert browser.view.task is task and browser.state()["running"]
        await task
        assert "Nothing is approved" in browser.refused("apply", plan=plan)
        assert len(browser.view.model.session.history()) == 1

    async def test_what_moved_comes_back_side_by_side(self, browser: Browser, bench: Bench) -> None:
        browser.decide("!a2", "approve")
        bench.put({A2: small_rows()[A2] | {"space_id": "!mine"}})
        await browser.apply()
        line = browser.lines()["!a2"]
        assert (line["vote"], line["result"], line["again"]) == ("pending", "stale", "approved")
        moved = browser.get("details", "details", unit="!a2")["moved"]
        [row] = moved["rows"]
        now = {field["name"]: (field["before"], field["after"]) for field in row["fields"]}
        assert row["key"] == A2 and now["space_id"] == ("", '"!mine"')
        browser.decide("!a2", "approve")
        await browser.apply()
        assert bench.row(A2)["space_id"] == "!alice"

    async def test_cancel_by_message(self, browser: Browser, bench: Bench) -> None:
        before = bench.bytes()
        browser.decide("!a1", "approve")
        browser.ask("apply", plan=browser.state()["plan"])
        assert browser.get("cancel", "answer")["accepted"]
        assert (await browser.view.task).cancelled and bench.bytes() == before
        assert browser.lines()["!a1"]["vote"] == "approved"

    async def test_two_tables_of_a_session_agree_and_answers_go_to_who_asked(
        self, browser: Browser
    ) -> None:
        other = Browser(ReviewTable(browser.view.model), "other")
        other.lines()
        browser.lines()
        other.told.clear()
        browser.decide("!a1", "approve")
        assert [t["lines"][0]["vote"] for t in other.told if t["kind"] == "lines"] == ["approved"]
        assert not [t for t in other.told if t["kind"] == "answer"]

    async def test_approving_everything_is_what_the_bot_does_at_start_up(
        self, tmp_path: Path
    ) -> None:
        mine, bots = small(tmp_path / "mine.db"), small(tmp_path / "bots.db")
        async with FakeHomeserver(mine.world.rooms, BOT, TOKEN) as server:
            browser = Browser(ReviewTable(find_model(await look(mine, server))))
            asked = browser.get("count", "question")
            browser.ask("approve_all", plan=asked["plan"])
            await browser.apply()
            from nio import AsyncClient

            from toolkit import ChatManager, SQLiteStore

            client = AsyncClient(server.url, BOT)
            client.access_token = TOKEN
            async with SQLiteStore(bots.path) as store:
                await reconcile_matrix_state(client, store, ChatManager(store))
            await client.close()
        assert mine.bytes() == bots.bytes()

    async def test_rejecting_everything_leaves_every_byte(
        self, browser: Browser, bench: Bench
    ) -> None:
        before = bench.path.read_bytes()
        for unit in browser.lines():
            browser.decide(unit, "reject")
        assert "Nothing is approved" in browser.refused("apply", plan="")
        await browser.view.model.start_apply()
        assert bench.path.read_bytes() == before


class TestLookingBack:
    async def test_a_run_is_shown_and_taken_back_as_it_was_shown(
        self, browser: Browser, bench: Bench
    ) -> None:
        before = bench.bytes()
        browser.decide("!a1", "approve")
        await browser.apply()
        [run] = browser.get("history", "history")["runs"]
        assert (run["applied"], run["rows"], run["undone_by"]) == (1, 2, "")
        wrote = browser.get("open_run", "run", run=run["run"])
        assert [unit["id"] for unit in wrote["units"]] == ["!a1"] and wrote["told"] == "2 rows"
        plan = browser.get("plan_undo", "undo", run=run["run"])
        assert {row["verb"] for row in plan["units"][0]["rows"]} == {"delete"}
        assert "changed" in browser.refused("undo", run=run["run"], plan="old")
        browser.ask("undo", run=run["run"], plan=plan["plan"])
        assert browser.view.task
        await browser.view.task
        assert bench.bytes() == before
        latest, first = browser.get("history", "history")["runs"]
        assert latest["undoes"] == first["run"] and first["undone_by"] == latest["run"]

    async def test_what_was_written_since_is_left_and_says_why(
        self, browser: Browser, bench: Bench
    ) -> None:
        browser.decide("!a1", "approve")
        await browser.apply()
        bench.put({A1: small_rows()[A1] | {"display_name": "mine"}})
        await browser.view.model.session.reload()
        [run] = browser.get("history", "history")["runs"]
        plan = browser.get("plan_undo", "undo", run=run["run"])
        assert plan["plan"] == "" and "written again" in plan["units"][0]["why"]


class TestShowing:
    async def test_without_javascript_there_is_the_sessions_own_table(
        self, browser: Browser
    ) -> None:
        bundle = browser.view._repr_mimebundle_()
        session = browser.view.model.session
        assert bundle["text/plain"] == repr(session) == repr(browser.view)
        assert bundle["text/html"] == session._repr_html_()
        assert bundle["application/vnd.jupyter.widget-view+json"]["model_id"]

    async def test_at_many_units_it_is_as_small(self, tmp_path: Path) -> None:
        bench = many(tmp_path / "bot.db", 300)
        before = set(_widgets())
        async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
            view = ReviewTable(find_model(await look(bench, server)))
            bundle = view._repr_mimebundle_()
            assert len(set(_widgets()) - before) <= 3
            assert bundle["text/html"].count("<tr>") <= SHOWN + 5
            assert "330 missing" in bundle["text/plain"] or "300 missing" in bundle["text/plain"]

    async def test_a_view_is_shown_again_with_what_is_so_by_then(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        first = Browser(ReviewTable(find_model(await look(bench, server))))
        first.decide("!a1", "approve")
        again = Browser(ReviewTable(find_model(await look(bench, server))))  # a kernel later
        assert again.lines()["!a1"]["vote"] == "approved"

    def test_only_the_table_knows_its_library(self) -> None:
        for path in FOLDER.glob("*.py"):
            names = {
                name.split(".")[0]
                for node in ast.walk(ast.parse(path.read_text("utf-8")))
                if isinstance(node, ast.Import | ast.ImportFrom)
                for name in (
                    [node.module or ""]
                    if isinstance(node, ast.ImportFrom)
                    else [alias.name for alias in node.names]
                )
            }
            assert ("anywidget" in names) == (path.name == "table.py")

    def test_no_script_makes_markup_of_data(self) -> None:
        for path in (FOLDER / "browser").glob("*.js"):
            text = path.read_text("utf-8")
            for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "eval("):
                assert word not in text


def _widgets() -> list[str]:
    from ipywidgets.widgets.widget import _instances

    return list(_instances)


async def test_a_model_loads_no_widgets() -> None:
    code = "import sys, toolkit.board; print({'anywidget', 'ipywidgets'} & sys.modules.keys())"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    out, _ = await process.communicate()
    assert out.decode().strip() == "set()"


class TestIgnoring:
    async def test_a_unit_is_ignored_with_a_reason_and_taken_back(self, browser: Browser) -> None:
        browser.decide("!a1", "ignore", reason="a test room", until="2999-12-31")
        line = browser.lines()["!a1"]
        assert line["vote"] == "ignored"
        assert line["ignored"].endswith("until 2999-12-31: a test room")
        assert browser.state()["votes"]["ignored"] == 1
        assert "!a1" not in browser.lines(vote="pending")
        assert browser.lines(text="a test room").keys() == {"!a1"}
        assert browser.get("count", "question", text="alice")["units"] == "1 unit"
        browser.decide("!a1", "withdraw")
        assert "ignored" not in browser.lines()["!a1"]

    async def test_why_and_a_day_to_come_must_be_given(self, browser: Browser) -> None:
        change = browser.lines()["!a1"]["change"]
        ask = {"unit": "!a1", "vote": "ignore", "change": change}
        assert "say why" in browser.refused("decide", **ask)
        assert "has passed" in browser.refused("decide", **ask, reason="x", until="2001-01-01")
        assert browser.lines()["!a1"]["vote"] == "pending"

    async def test_what_is_ignored_no_longer_says_why(self, browser: Browser, bench: Bench) -> None:
        browser.decide("!a2", "ignore", reason="a test room")
        bench.put({A2: small_rows()[A2] | {"space_id": "!mine"}})
        await browser.view.model.session.reload()
        line = browser.lines()["!a2"]
        assert line["vote"] == "pending" and "again" not in line
        assert line["returned"] == "it is another change or conflict than was ignored"

    async def test_a_name_that_is_near_is_answered_by_the_unit(self, browser: Browser) -> None:
        assert "Did you mean '!a1'" in browser.refused("decide", unit="C1", vote="defer", change="")
