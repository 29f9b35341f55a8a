"""A shadow run reviewed: the same model and the same sessions, with the function's plan and its own writer."""

from __future__ import annotations

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock

import pytest

from tests.bench import ALICE, BOB, Bench, small_rows
from toolkit import InMemoryStore, SQLiteStore, ToolkitError, review, shadow_run
from toolkit.board import ReviewModel, find_model, to_browser
from toolkit.board.items import Item
from toolkit.database.journal import Journal, RunJournal
from toolkit.database.lock import hold_lock
from toolkit.decisions.ledger import Vote
from toolkit.errors import StoreError
from toolkit.model import Choices, Status
from toolkit.records import chat_key, room_key, user_key
from toolkit.shadow import ShadowRun

A1, C1, USER = room_key("!a1"), chat_key(ALICE, "C1"), user_key(ALICE)
ROOM = {"chat_id": "C1", "matrix_user_id": ALICE, "space_id": "!alice", "room_type": "chat"}
ALICES = {"space_id": "!alice", "next_chat_index": 3}


async def repair(client: Any, store: Any, chat_mgr: Any) -> None:
    """Alice's user row and room row, Bob's poisoned one, a setting, a row of no user, a deletion."""
    await store.set(USER, ALICES)
    await store.set(A1, ROOM)
    await store.set(room_key("!b1"), ROOM | {"chat_id": "C1", "matrix_user_id": BOB})
    await store.set("config:bot", {"colour": "blue\u202e"})
    await store.set("matrix_user:nobody", {"vip": True})
    await store.delete("config:old")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path / "bot.db")
    rows = {key: row for key, row in small_rows().items() if key not in (A1, USER)}
    found.fill(rows | {room_key("!b1"): "{", "config:bot": {"colour": "red"}, "config:old": {}})
    return found


@pytest.fixture
async def run(bench: Bench) -> AsyncIterator[ShadowRun]:
    """On a store that only reads and is closed by the time of the review, as in lesson 5."""

    class Deleting(SQLiteStore):
        async def delete(self, key: str) -> None:
            raise AssertionError("the real store was reached")

    async with Deleting(bench.path, read_only=True) as store:
        yield await shadow_run(repair, None, store)


@pytest.fixture
def model(run: ShadowRun) -> ReviewModel:
    return find_model(run.session)


def item(model: ReviewModel, unit: str) -> Item:
    found = model.item(unit)
    assert found
    return found


class TestShowing:
    async def test_every_unit_is_a_line_that_wants_a_persons_yes(self, model: ReviewModel) -> None:
        assert [i.unit for i in model.items()] == [
            ALICE,
            "!a1",
            "!b1",
            "config:bot",
            "matrix_user:nobody",
        ]
        line = item(model, "!a1")
        assert (line.status, line.vote, line.owner, line.chat_id) == (
            "missing",
            "pending",
            ALICE,
            "C1",
        )
        assert line.needs_human and line.action == "needs your yes: would insert the room row"
        assert model.would_approve().units == 0
        assert model.counts().by_status[Status.MISSING] == 3

    async def test_rows_before_and_after_open(self, model: ReviewModel) -> None:
        [row] = model.details("config:bot").rows
        assert (row.key, row.verb) == ("config:bot", "change")
        [colour] = row.fields
        assert (colour.before, colour.after) == ('"red"', '"blue\\u{202e}"')

    async def test_the_head_says_whose_run_it_was_and_what_was_refused(
        self, model: ReviewModel
    ) -> None:
        about = to_browser.state(model)["about"]
        assert about[0] == "repair would have written 5 rows in 5 units."
        assert "store.delete('config:old')" in "".join(about)
        json.dumps(about)

    async def test_nothing_is_offered_to_pick(self, model: ReviewModel) -> None:
        assert not any(i.options or i.offers.free for i in model.items())
        answer = model.pick("!b1", Choices(overwrite=True))
        assert not answer.accepted and "Nothing can be picked here" in answer
        assert not model.decide("!b1", "approve", choices=Choices(owner=ALICE)).accepted
        with pytest.raises(ToolkitError, match="Nothing can be picked"):
            model.session.approve("!b1", chat_id="C7")
        assert {i.vote for i in model.items()} == {Vote.PENDING}

    async def test_what_is_only_shown_cant_be_approved_and_says_why(
        self, model: ReviewModel
    ) -> None:
        line = item(model, "config:bot")
        assert not line.approvable and line.action.startswith("shown only: config:bot is none of")
        assert to_browser.line(line)["barred"]
        answer = model.decide("config:bot", "approve", change=line.change)
        assert not answer.accepted and "config:bot is none of the rows" in answer
        for unit in ("config:bot", ["config:bot"]):
            refused = model.session.approve(unit).refused
            assert "none of the rows" in refused["config:bot"]
        assert model.decide("config:bot", "reject").accepted

    async def test_a_run_has_one_session_and_one_model(self, run: ShadowRun) -> None:
        assert run.session is run.session
        table = review(run)
        assert table.model is find_model(run.session) and review(run) is table
        bundle = table._repr_mimebundle_()
        assert (
            "store.delete" in bundle["text/html"]
            and "!a1 (insert room row)" in bundle["text/plain"]
        )

    async def test_its_session_has_all_frames(self, run: ShadowRun) -> None:
        session = run.session
        assert len(session.pending()) == len(session.plan.to_frame()) == 5
        assert session.rooms.empty and session.history().empty and not session.drift.empty
        assert set(session.rows.index) == set(run.look.rows)
        assert session.plot() is not None

    async def test_it_is_no_session_of_the_bots(self, model: ReviewModel, bench: Bench) -> None:
        """Its decisions stay in memory."""
        model.decide("!a1", "approve")
        model.decide("!b1", "reject")
        assert model.session.decisions_file is None
        assert sorted(path.name for path in bench.path.parent.iterdir()) == ["bot.db"]


class TestApplying:
    async def test_exactly_what_is_approved_is_written(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        """The user row doesn't go along with the room: nobody agreed to it."""
        before = bench.bytes()
        model.decide("!a1", "approve", change=item(model, "!a1").change)
        assert item(model, ALICE).vote is Vote.PENDING
        applied = await model.start_apply()
        assert bench.row(A1) == ROOM
        assert {key: row for key, row in bench.bytes().items() if key != A1} == before
        assert (applied.rows, applied.stale, applied["restored_room_meta"]) == (1, {}, ["!a1"])
        assert model.item("!a1") is None
        assert [(i.unit, i.result and i.result.state) for i in model.finished()] == [
            ("!a1", "applied")
        ]
        [run] = Journal(bench.path).runs()
        assert (run.action, run.entries[0].unit, bool(run.entries[0].by)) == ("shadow", "!a1", True)
        assert len(bench.backups()) == 1

    async def test_rows_of_no_user_and_poisoned_ones_are_written_too(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        for unit in (ALICE, "!b1", "matrix_user:nobody"):
            assert model.decide(unit, "approve").accepted
        words = to_browser.state(model)["apply"]
        assert words == "1 room and 1 user and 1 other unit, 3 rows"
        assert (await model.start_apply()).rows == 3
        assert bench.row("matrix_user:nobody") == {"vip": True}
        assert [i.unit for i in model.items()] == ["!a1", "config:bot"]

    async def test_what_moved_is_left_alone_and_stays_without_a_change(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        for unit in (ALICE, "!a1"):
            model.decide(unit, "approve")
        bench.put({A1: {"chat_id": "C8"}})
        applied = await model.start_apply()
        assert list(applied.stale) == ["!a1"] and bench.row(A1) == {"chat_id": "C8"}
        assert bench.row(USER) == ALICES
        line = item(model, "!a1")
        assert (line.status, line.vote, line.again) == (Status.CONFLICT, Vote.PENDING, "approved")
        assert line.result and line.result.state == "stale" and not line.approvable
        assert line.action.endswith("make another one") and "written meanwhile" in line.cause
        assert "make another one" in model.decide("!a1", "approve")
        moved = model.details("!a1").moved
        assert moved and [row.key for row in moved.rows] == [A1]
        assert "!a1 (moved since)" in repr(model.session)

    async def test_looking_again_shows_what_moved_and_runs_nothing(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        bobs = {"chat_id": "C9", "matrix_user_id": BOB, "space_id": "!bob"}
        bench.put({A1: ROOM, room_key("!b1"): bobs})
        await model.session.reload()
        assert [(i.unit, i.approvable) for i in model.items()] == [
            (ALICE, True),
            ("!b1", False),
            ("config:bot", False),
            ("matrix_user:nobody", True),
        ]
        assert "Left of what repair would have written: 3 rows in 3 units." in repr(model.session)

    async def test_it_is_taken_back_and_may_be_written_again(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        before = bench.bytes()
        model.decide("!a1", "approve")
        await model.start_apply()
        [past] = model.history()
        assert past.action == "shadow"
        await model.start_undo(past.run, model.plan_undo(past.run).plan)
        assert bench.bytes() == before
        line = item(model, "!a1")
        assert line.vote is Vote.PENDING and line.approvable
        model.decide("!a1", "approve")
        assert (await model.start_apply()).rows == 1

    async def test_one_unit_after_the_other(self, model: ReviewModel, bench: Bench) -> None:
        """What a run itself wrote makes none of its other units stale."""
        for unit in ("!a1", ALICE, "!b1"):
            model.decide(unit, "approve")
            assert (await model.start_apply()).stale == {}
        assert bench.row(USER) == ALICES

    async def test_what_a_cell_applies_shows_on_the_board(
        self, run: ShadowRun, bench: Bench
    ) -> None:
        await run.apply("!a1")
        model = find_model(run.session)
        assert model.item("!a1") is None
        heard: list[Any] = []
        model.subscribe(heard.append)
        await run.apply(ALICE)
        assert model.item(ALICE) is None and heard

    async def test_too_many_rows_are_refused_as_a_whole(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        before = bench.bytes()
        model.session.approve(["!a1", ALICE])
        with pytest.raises(ToolkitError, match="would write 2 rows"):
            await model.session.apply(max_changes=1)
        assert bench.bytes() == before

    async def test_progress_is_told_and_a_cancelled_run_keeps_what_is_finished(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        model.decide("!a1", "approve")
        task = model.start_apply()
        assert model.cancel().accepted
        assert (await task).cancelled and model.progress[:2] == (1, 1)
        assert bench.row(A1) == ROOM and model.item("!a1") is None
        assert item(model, ALICE).approvable

    async def test_one_run_at_a_time_on_a_database(
        self, run: ShadowRun, model: ReviewModel, bench: Bench
    ) -> None:
        before = bench.bytes()
        model.decide("!a1", "approve")
        with hold_lock(bench.path):
            with pytest.raises(ToolkitError, match="Another notebook"):
                await model.start_apply()
            with pytest.raises(ToolkitError, match="Another notebook"):
                await run.apply("!a1")
        assert bench.bytes() == before

    async def test_a_plain_store_is_reviewed_as_well(self) -> None:
        rows = {key: row for key, row in small_rows().items() if key not in (A1, USER)}
        plain = InMemoryStore(rows)

        async def mend(client: Any, store: Any, chat_mgr: Any) -> None:
            await store.set(USER, ALICES)

        model = find_model((await shadow_run(mend, None, plain)).session)
        model.decide(ALICE, "approve")
        assert (await model.start_apply()).rows == 1
        assert await plain.get(USER) == ALICES
        assert (model.items(), model.history()) == ([], [])

    async def test_beside_a_session_of_the_bots(self, model: ReviewModel, bench: Bench) -> None:
        """The real session's file of decisions is nobody else's, and its history tells of the run."""
        real = bench.path.with_name("bot.db.decisions.json")
        real.write_text('{"version": 1, "decisions": {}}')
        model.decide("!a1", "approve")
        await model.start_apply()
        assert real.read_text() == '{"version": 1, "decisions": {}}'

    async def test_rows_that_name_no_space_take_nobody_along(self, bench: Bench) -> None:
        async def halves(client: Any, store: Any, chat_mgr: Any) -> None:
            await store.set("matrix_room:!b2", {"chat_id": "C2", "matrix_user_id": BOB})
            await store.set(USER, {"space_id": "!evil"})

        run = await _shadow(bench, halves)
        decided = run.session.approve("!b2")
        assert (decided.along, run.session.approve(ALICE).along) == ((), ())
        run.session.withdraw(ALICE)
        assert (await run.session.apply()).rows == 1
        assert bench.row(USER) is None

    @pytest.mark.parametrize("apply_it", ["cell", "session"])
    async def test_a_room_rests_on_its_owners_user_row(self, bench: Bench, apply_it: str) -> None:
        """The function copied the Space from there, and the bot has moved the user since."""
        bench.put({USER: ALICES})

        async def copy(client: Any, store: Any, chat_mgr: Any) -> None:
            space_id = (await store.get(USER))["space_id"]
            await store.set(A1, ROOM | {"space_id": space_id})

        run = await _shadow(bench, copy)
        run.session.approve("!a1")
        bench.put({USER: ALICES | {"space_id": "!new"}})
        applied = await (run.apply("!a1") if apply_it == "cell" else run.session.apply())
        assert list(applied.stale) == ["!a1"] and bench.row(A1) is None

    async def test_a_journal_that_cannot_be_read_is_in_the_way_of_its_session_alone(
        self, bench: Bench
    ) -> None:
        journal = Path(f"{bench.path}.matrix-drift.jsonl")
        journal.mkdir()
        run = await _shadow(bench, repair)
        assert run.value.units
        with pytest.raises(StoreError, match="journal"):
            _ = run.session
        journal.rmdir()
        assert (await run.apply("!a1")).rows
        assert list(run.session.history()["action"]) == ["shadow"]

    async def test_rows_of_others_make_nothing_stale(self, run: ShadowRun, bench: Bench) -> None:
        bench.put({chat_key(BOB, "C9"): {"surface_ref": "!b9"}})
        assert (await run.apply("!a1", ALICE)).stale == {}

    async def test_a_counter_rests_on_the_chats_of_its_user(self, bench: Bench) -> None:
        """Also in a row that lacks its Space."""

        async def count(client: Any, store: Any, chat_mgr: Any) -> None:
            chats = await store.keys(f"chat:{ALICE}:")
            await store.set(USER, {"next_chat_index": len(chats) + 1})

        run = await _shadow(bench, count)
        bench.put({chat_key(ALICE, "C3"): {"surface_ref": "!a3"}})
        assert list((await run.apply(ALICE)).stale) == [ALICE]
        assert bench.row(USER) is None

    async def test_rooms_that_name_two_spaces_already_are_written_both(self, bench: Bench) -> None:
        old = ROOM | {"space_id": "!old"}
        bench.put({A1: old})

        async def rename(client: Any, store: Any, chat_mgr: Any) -> None:
            for key in (A1, room_key("!a2")):
                await store.set(key, await store.get(key) | {"display_name": "new"})

        run = await _shadow(bench, rename)
        applied = await run.apply("!a1", "!a2")
        assert (applied.rows, applied.stale) == (2, {})
        assert bench.row(A1) == old | {"display_name": "new"}

    async def test_a_journal_that_cant_be_told_loses_no_row(
        self, run: ShadowRun, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            RunJournal, "finish", AsyncMock(side_effect=StoreError("No space left."))
        )
        applied = await run.apply("!a1")
        assert (applied.rows, bench.row(A1)) == (1, ROOM)
        assert "No space left" in applied.warning and applied.warning in repr(applied)
        run.session.approve(ALICE)
        applied = await run.session.apply()
        assert applied.rows == 1 and "No space left" in applied.warning

    async def test_what_is_written_elsewhere_is_not_this_sessions(
        self, run: ShadowRun, bench: Bench, tmp_path: Path
    ) -> None:
        elsewhere = tmp_path / "other.db"
        shutil.copy(bench.path, elsewhere)
        assert run.session.plan.value.unit("!a1")
        async with SQLiteStore(elsewhere) as other:
            assert (await run.apply("!a1", store=other)).rows == 1
        assert run.session.plan.value.unit("!a1") and bench.row(A1) is None
        async with SQLiteStore(bench.path) as same:
            await run.apply("!a1", store=same)
        assert run.session.plan.value.unit("!a1") is None


async def _shadow(bench: Bench, function: Any) -> ShadowRun:
    async with SQLiteStore(bench.path, read_only=True) as store:
        return await shadow_run(function, None, store)
