"""The review's model: what a view is told, what is refused whoever asks, and one apply at a time."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import pytest

from tests.bench import (
    A1,
    A2,
    ALICE,
    BOB,
    BOT,
    C1,
    TOKEN,
    UB,
    Bench,
    small_rows,
)
from tests.boards import look
from tests.scenario import Scenario, load_scenarios
from toolkit.board import ReviewModel, find_model
from toolkit.board.events import Event
from toolkit.board.items import Item
from toolkit.board.offers import say_action
from toolkit.decisions.ledger import Vote
from toolkit.decisions.offers import FREE, Offering, Offers, list_options, why_unfit
from toolkit.errors import ToolkitError
from toolkit.model import Choices, Status, find_unit
from toolkit.records import chat_key, load_records, room_key, user_key
from toolkit.repairs import Repairs
from toolkit.session.session import Session
from toolkit.testing import FakeHomeserver

SCENARIOS = [s for s in load_scenarios() if not s.data.get("choices")]


@pytest.fixture
async def model(bench: Bench, server: FakeHomeserver) -> ReviewModel:
    return find_model(await look(bench, server))


@pytest.fixture
async def unnamed(bench: Bench, server: FakeHomeserver) -> ReviewModel:
    """Besides, a chat of Alice's that nothing tells the id of."""
    bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
    return find_model(await look(bench, server))


def item(model: ReviewModel, unit: str) -> Item:
    found = model.item(unit)
    assert found
    return found


class TestShowing:
    async def test_a_line_says_who_what_why_and_what_would_happen(self, model: ReviewModel) -> None:
        line = item(model, "!a1")
        assert (line.status, line.vote, line.rows) == (Status.MISSING, Vote.PENDING, 2)
        assert (line.owner, line.chat_id, line.name) == (ALICE, "C1", "Чат 1")
        assert line.label == f"C1 of {ALICE}" and "both rows are gone" in line.cause
        assert line.action == "would insert the room row and insert the chat row"
        assert not line.needs_human and not line.options

    async def test_filters_are_status_vote_and_text(self, unnamed: ReviewModel) -> None:
        unnamed.decide("!a1", "approve")
        assert [i.unit for i in unnamed.items("conflict")] == ["!a9"]
        assert [i.unit for i in unnamed.items(vote="approved")] == ["!a1"]
        assert [i.unit for i in unnamed.items(text="разговор")] == ["!a9"]
        assert [i.unit for i in unnamed.items("missing", BOB.upper())] == [BOB]
        assert unnamed.items(text="nothing like it") == []

    async def test_counts_are_by_status_and_vote(self, unnamed: ReviewModel) -> None:
        unnamed.decide("!a1", "approve")
        counts = unnamed.counts()
        assert counts.units == 4
        assert counts.by_status == {Status.MISSING: 3, Status.CONFLICT: 1}
        assert counts.by_vote == {Vote.PENDING: 3, Vote.APPROVED: 1}
        assert (counts.approved_units, counts.approved_rows) == (1, 2)

    async def test_details_show_rows_field_by_field_and_what_proves_it(
        self, model: ReviewModel
    ) -> None:
        details = model.details("!a2")
        [row] = details.rows
        assert (row.key, row.verb) == (A2, "insert")
        assert {f.name: (f.before, f.after) for f in row.fields}["chat_id"] == ("", '"C2"')
        [fact] = details.facts
        assert fact.what == "room row is missing" and fact.evidence == "chat row" and fact.events

    async def test_what_strangers_wrote_is_visible(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        name = "a\u202eexe\x1b[2J" + "я" * 400
        bench.world.chat("!\u202ea9", "!alice", name, owner=ALICE)
        model = find_model(await look(bench, server))
        line = item(model, "!\u202ea9")
        assert line.id == "!\\u{202e}a9" and line.name.startswith("a\\u{202e}exe\\u{1b}[2J")
        assert len(line.name) <= 200
        refused = model.decide("!\u202enone", "approve")
        for words in (repr(line.label), refused, str(model.details(line.unit).item.cause)):
            assert "\u202e" not in words and "\x1b" not in words

    async def test_a_space_that_nobody_would_see_is_visible(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a9 ", "!alice", "Отпуск  в горах ", owner=ALICE)
        line = item(find_model(await look(bench, server)), "!a9 ")
        assert line.id == "!a9\\u{20}"
        assert line.name == "Отпуск \\u{20}в горах\\u{20}"

    async def test_units_of_the_same_name_are_told_apart(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a8", "!alice", "Чат 1", owner=ALICE)
        model = find_model(await look(bench, server))
        labels = [i.label for i in model.items()]
        assert len(set(labels)) == len(labels) and any("(!a8)" in label for label in labels)

    async def test_what_a_cell_decides_shows_at_once(self, model: ReviewModel) -> None:
        assert model.items() is not model.items()
        model.session.approve("!a1")
        assert item(model, "!a1").vote is Vote.APPROVED

    async def test_what_needs_a_person_says_so(self, bench: Bench, server: FakeHomeserver) -> None:
        for room in ("!bob", "!b1"):
            bench.world.member(room, BOB, "leave")
        bench.put({UB: None, room_key("!b1"): None, chat_key(BOB, "C1"): None})
        line = item(find_model(await look(bench, server)), "!b1")
        assert line.needs_human and line.action.startswith("needs your yes: would insert")
        assert line.offers.owners == (BOB,)

    async def test_a_session_has_one_model(self, model: ReviewModel) -> None:
        assert find_model(model.session) is model


class TestDeciding:
    @pytest.mark.parametrize("vote", ["approve", "reject", "defer"])
    async def test_a_decision_is_the_sessions(self, model: ReviewModel, vote: str) -> None:
        answer = model.decide("!a1", vote, change=item(model, "!a1").change)
        assert answer.accepted and f"C1 of {ALICE}" in answer and model.message == answer
        assert model.session.plan.votes["!a1"].value.startswith(vote)
        assert model.decide("!a1", "withdraw").accepted
        assert model.session.plan.votes["!a1"] is Vote.PENDING

    @pytest.mark.parametrize(
        ("message", "words"),
        [
            ({"unit": "!nobody", "vote": "approve"}, "no unit"),
            ({"unit": "!b1", "vote": "approve"}, "in sync"),
            ({"unit": "!bob", "vote": "approve"}, "skipped"),
            ({"unit": 5, "vote": "approve"}, "no unit"),
            ({"unit": "!a1", "vote": "delete"}, "no decision"),
            ({"unit": "!a1", "vote": None}, "no decision"),
            ({"unit": "!a1", "vote": []}, "no decision"),
            ({"unit": "!a1", "vote": "approve", "change": "0123"}, "has changed"),
            ({"unit": "!a1", "vote": "reject", "change": ""}, "has changed"),
            ({"unit": "!a1", "vote": "approve", "choices": {"chat_id": 5}}, "can't be read"),
            ({"unit": "!a1", "vote": "approve", "choices": "C5"}, "can't be read"),
            ({"unit": "!a9", "vote": "approve"}, "Next: pick a chat id"),
            ({"unit": "!a9", "vote": "approve", "choices": {"chat_id": "C2"}}, "another room"),
            ({"unit": "!a9", "vote": "approve", "choices": {"chat_id": "C05"}}, "C and a number"),
            ({"unit": "!a9", "vote": "approve", "choices": {"chat_id": ""}}, "C and a number"),
            ({"unit": "!a9", "vote": "approve", "choices": {"owner": "@eve:hs"}}, "never a member"),
        ],
    )
    async def test_what_does_not_fit_is_refused(
        self, unnamed: ReviewModel, message: dict[str, Any], words: str
    ) -> None:
        answer = unnamed.decide(**message)
        assert not answer.accepted and words in answer and unnamed.failed
        assert unnamed.message == answer and "--" not in answer
        assert {i.vote for i in unnamed.items()} == {Vote.PENDING}

    async def test_a_change_that_was_shown_before_a_reload_is_refused(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        shown = item(model, "!a1").change
        bench.put({C1: small_rows()[C1]})
        await model.session.reload()
        assert "has changed" in model.decide("!a1", "approve", change=shown)
        assert model.decide("!a1", "approve", change=item(model, "!a1").change).accepted

    async def test_an_approval_that_settling_reopens_is_told(
        self, unnamed: ReviewModel, bench: Bench
    ) -> None:
        bench.put({user_key(ALICE): None})
        await unnamed.session.reload()
        unnamed.decide(ALICE, "approve")
        assert f"Pending again, since what would be written changed: {ALICE}" in unnamed.decide(
            "!a9", "approve", choices=Choices(chat_id="C9")
        )

    async def test_all_of_a_filter_are_approved_as_counted(self, unnamed: ReviewModel) -> None:
        unnamed.decide(BOB, "reject")
        batch = unnamed.would_approve()
        assert (batch.units, batch.rows) == (2, 3)  # neither the conflict nor what was decided
        assert unnamed.approve_all(changes=batch.changes).accepted
        assert [i.unit for i in unnamed.items(vote="approved")] == ["!a1", "!a2"]
        assert "nothing here" in unnamed.approve_all()

    async def test_all_of_a_filter_that_moved_since_is_refused(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        batch = model.would_approve("missing", "alice")
        bench.put({C1: small_rows()[C1]})
        await model.session.reload()
        assert "has changed" in model.approve_all("missing", "alice", changes=batch.changes)
        assert not model.items(vote="approved")


class TestPicking:
    async def test_proposals_come_first_and_then_free_ids(self, unnamed: ReviewModel) -> None:
        assert item(unnamed, "!a9").offers.chat_ids == ("C3", "C4", "C5")

    async def test_a_pick_shows_what_would_be_written_and_decides_nothing(
        self, unnamed: ReviewModel
    ) -> None:
        answer = unnamed.pick("!a9", {"chat_id": "C4"})
        line = item(unnamed, "!a9")
        assert answer.accepted and line.picked == "chat id C4" and line.approvable
        assert (line.status, line.vote) == (Status.CONFLICT, Vote.PENDING)
        assert unnamed.details("!a9").rows[0].key == room_key("!a9")
        assert not unnamed.session.plan.value.unit("!a9").change  # type: ignore[union-attr]
        assert unnamed.decide("!a9", "approve", change=line.change).accepted
        assert item(unnamed, "!a9").chat_id == "C4" and item(unnamed, "!a9").vote is Vote.APPROVED

    async def test_a_pick_is_changed_and_taken_back(self, unnamed: ReviewModel) -> None:
        unnamed.pick("!a9", {"chat_id": "C4"})
        unnamed.pick("!a9", {"chat_id": "C5"})
        assert item(unnamed, "!a9").chat_id == "C5"
        unnamed.pick("!a9", None)
        assert not item(unnamed, "!a9").approvable and not item(unnamed, "!a9").picked

    @pytest.mark.parametrize("chat_id", ["C1", "C2", "C01", "foo", "C9999999999"])
    async def test_a_taken_or_ill_formed_id_is_refused_with_the_reason(
        self, unnamed: ReviewModel, chat_id: str
    ) -> None:
        answer = unnamed.pick("!a9", {"chat_id": chat_id})
        assert not answer.accepted and "the chosen chat id" in answer
        assert not item(unnamed, "!a9").picked

    async def test_several_conflicts_of_a_room_are_settled_one_after_the_other(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        world = bench.world
        world.chat("!a9", "!alice", "Разговор", owner=ALICE)
        for room in ("!alice", "!a1", "!a2", "!a9"):
            world.member(room, BOB, "join")
        bench.put({key: None for key in small_rows() if ALICE in key or key in (A1, A2)})
        model = find_model(await look(bench, server))
        assert item(model, "!a9").offers == Offers(owners=(ALICE, BOB))
        assert "pick a chat id" in model.decide("!a9", "approve", choices={"owner": ALICE})
        model.pick("!a9", {"owner": ALICE})
        assert item(model, "!a9").offers.chat_ids
        model.pick("!a9", {"chat_id": "C7"})
        assert item(model, "!a9").picked == f"chat id C7, owner {ALICE}"
        assert model.decide("!a9", "approve", change=item(model, "!a9").change).accepted

    async def test_an_unreadable_row_is_overwritten_by_choice_only(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.put({A1: "{broken"})
        model = find_model(await look(bench, server))
        assert item(model, "!a1").offers.overwrite
        assert not model.decide("!a1", "approve").accepted
        assert model.pick("!a1", {"overwrite": True}).accepted
        assert item(model, "!a1").picked == "overwrite the unreadable row"
        assert model.decide("!a1", "approve", change=item(model, "!a1").change).accepted

    async def test_a_counter_is_lowered_by_choice_only(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        row = small_rows()[user_key(ALICE)]
        bench.put({user_key(ALICE): row | {"next_chat_index": 50}})
        model = find_model(await look(bench, server))
        [option] = item(model, ALICE).options
        assert option.choices == Choices(lower_counter=True)
        assert model.decide(ALICE, "approve", choices=option.choices).accepted

    async def test_duplicates_are_offered_the_id_that_both_claim(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        bench.world.chat("!a8", "!alice", "Чат 1", owner=ALICE)
        model = find_model(await look(bench, server))
        assert item(model, "!a8").offers.chat_ids == ("C1", "C3", "C4", "C5")
        assert model.decide("!a1", "approve", choices={"chat_id": "C1"}).accepted
        assert not model.decide("!a8", "approve", choices={"chat_id": "C1"}).accepted


class TestApplying:
    async def test_it_writes_what_is_approved_and_says_what_became_of_it(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        model.decide("!a1", "approve")
        told: list[tuple[bool, int]] = []
        model.subscribe(lambda event: told.append((model.running, model.progress.done)))
        await model.start_apply()
        assert bench.row(A1) == small_rows()[A1] and bench.row(A2) is None
        assert model.results["!a1"].state == "applied" and not model.running and not model.failed
        assert "Written: 2 rows." in model.message and "running bot" in model.message
        assert told[0][0] and not told[-1][0] and told[-1][1] == 1

    async def test_what_moved_is_left_alone_and_says_why(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        model.decide("!a1", "approve")
        model.decide("!a2", "approve")
        bench.put({C1: small_rows()[C1] | {"name": "mine"}})
        await model.start_apply()
        assert (model.results["!a1"].state, model.results["!a2"].state) == ("stale", "applied")
        assert model.results["!a1"].why and model.failed and "Left alone: !a1" in model.message
        assert item(model, "!a1").vote is Vote.PENDING
        assert item(model, "!a1").result == model.results["!a1"]

    async def test_a_second_start_returns_the_running_task(self, model: ReviewModel) -> None:
        model.decide("!a1", "approve")
        first = model.start_apply()
        await asyncio.sleep(0)
        assert model.start_apply() is first
        await first
        assert len(model.session.history()) == 1

    async def test_another_session_on_the_database_gets_the_running_task(
        self, model: ReviewModel, bench: Bench, server: FakeHomeserver
    ) -> None:
        other = find_model(await look(bench, server))
        model.decide("!a1", "approve")
        first = model.start_apply()
        assert other.start_apply() is first and "already running" in other.message
        assert other.failed and not other.running
        await first

    async def test_an_apply_that_a_cell_has_started_is_told_of(self, model: ReviewModel) -> None:
        model.decide("!a1", "approve")
        cell = asyncio.create_task(model.session.apply())
        await asyncio.sleep(0)
        with pytest.raises(ToolkitError, match="already"):
            await model.start_apply()
        assert model.failed and "already" in model.message
        await cell

    async def test_what_goes_wrong_is_shown_and_raised(
        self, model: ReviewModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async def broken(*_: Any, **__: Any) -> Any:
            raise RuntimeError("no \x1b[2J luck")

        monkeypatch.setattr(model.session, "apply", broken)
        events: list[Event] = []
        model.subscribe(events.append)
        task = model.start_apply()
        with pytest.raises(RuntimeError):
            await task
        assert model.message == "The run failed: RuntimeError: no \\u{1b}[2J luck"
        assert model.failed and not model.running and Event.MESSAGE in events

    async def test_a_homeserver_that_is_gone_is_one_sentence(self, bench: Bench) -> None:
        async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
            model = find_model(await look(bench, server))
        model.session._applying._road = Repairs(replace(model.session.road.sides, deadline=1.0))
        model.decide("!a1", "approve")
        before = bench.bytes()
        with pytest.raises(ToolkitError):
            await model.start_apply()
        assert model.failed and model.message.endswith(".") and bench.bytes() == before

    @pytest.mark.parametrize("soon", [True, False])
    async def test_cancel_ends_it_and_leaves_what_was_not_begun(
        self, model: ReviewModel, bench: Bench, server: FakeHomeserver, soon: bool
    ) -> None:
        before = bench.bytes()
        model.decide("!a1", "approve")
        model.start_apply()
        for _ in range(0 if soon else 5):
            await asyncio.sleep(0)
        assert model.cancel().accepted
        assert model.task
        applied = await model.task
        assert applied.cancelled and "Cancelled." in model.message
        assert model.results["!a1"].state == "not applied" and bench.bytes() == before
        assert item(model, "!a1").vote is Vote.APPROVED

    async def test_cancel_without_an_apply_says_so(self, model: ReviewModel) -> None:
        assert "Nothing is being applied" in model.cancel()

    def test_without_a_loop_it_says_what_to_do(self, bench: Bench) -> None:
        async def opened() -> Session:
            async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
                return await look(bench, server)

        model = ReviewModel(asyncio.run(opened()))
        model.decide("!a1", "approve")
        model.soon(model.start_apply)
        assert "await session.apply()" in model.message and model.failed


class TestViews:
    async def test_every_view_hears_of_a_decision(self, model: ReviewModel) -> None:
        one, other = list[Event](), list[Event]()
        model.subscribe(one.append)
        stop = model.subscribe(other.append)
        model.decide("!a1", "approve")
        assert one == other == [Event.ITEMS, Event.MESSAGE]
        stop()
        stop()
        model.decide("!a1", "withdraw")
        assert len(one) == 4 and len(other) == 2

    async def test_a_view_that_breaks_spoils_neither_others_nor_the_apply(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        def broken(_: Event) -> None:
            raise ValueError("view")

        heard: list[Event] = []
        model.subscribe(broken)
        model.subscribe(heard.append)
        assert model.decide("!a1", "approve").accepted and heard
        assert "A view broke: ValueError: view" in model.message
        await model.start_apply()
        assert bench.row(A1)

    async def test_a_handler_on_another_thread_is_carried_out_at_home(
        self, model: ReviewModel
    ) -> None:
        where: list[int] = []

        def click() -> None:
            where.append(threading.get_ident())
            model.decide("!a1", "approve")
            model.start_apply()

        thread = threading.Thread(target=model.soon, args=(click,))
        thread.start()
        await asyncio.to_thread(thread.join)
        await asyncio.sleep(0)
        assert where == [threading.get_ident()] and model.task
        await model.task
        assert model.results["!a1"].state == "applied"

    async def test_a_handler_that_fails_is_shown_and_raised(self, model: ReviewModel) -> None:
        def click() -> None:
            raise KeyError("x")

        with pytest.raises(KeyError):
            model.soon(click)
        assert "That failed: KeyError" in model.message


@pytest.mark.parametrize("scenario", [pytest.param(s, id=s.rule) for s in SCENARIOS])
def test_what_is_offered_settles_what_it_is_offered_for(scenario: Scenario) -> None:
    plan = scenario.plan(choices={})
    offering = Offering(plan, load_records(scenario.rows().items()))
    for unit in plan.units:
        offers = offering.offers(unit)
        assert say_action(unit, offers)
        free = offers.chat_ids[-FREE:]
        for option in list_options(offers):
            picked = option.choices
            settled = find_unit(scenario.plan(choices={unit.id: picked}), unit.id)
            why = why_unfit(settled, picked) if settled else ""
            if picked.chat_id is None:
                assert not why, option.label
            elif picked.chat_id in free:  # another room may still want this one's row
                assert "chosen" not in why, option.label


async def test_progress_is_told_while_it_applies(model: ReviewModel) -> None:
    seen: list[tuple[int, int]] = []

    def listen(event: Event) -> None:
        if event is Event.PROGRESS:
            seen.append(model.progress[:2])

    model.decide("!a1", "approve")
    model.subscribe(listen)
    await model.start_apply()
    assert len(set(seen)) > 3 and all(done <= total for done, total in seen)
