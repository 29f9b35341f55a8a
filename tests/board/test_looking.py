"""Looking again from a review, and what an apply does by itself that somebody else was faster than."""

import asyncio

import pytest

from tests.bench import A1, A2, ALICE, BOB, C1, Bench, small_rows
from tests.boards import look
from toolkit import Session
from toolkit.board import ReviewModel, find_model, to_browser
from toolkit.board.deciding import Batch
from toolkit.board.looking import say_what_moved
from toolkit.decisions.ledger import Vote
from toolkit.errors import HomeserverError, ToolkitError
from toolkit.testing import FakeHomeserver


@pytest.fixture
async def model(bench: Bench, server: FakeHomeserver) -> ReviewModel:
    return find_model(await look(bench, server))


async def again(model: ReviewModel) -> str:
    """What is said of it."""
    task = model.look_again()
    assert task
    await task
    return model.message


class TestLooking:
    async def test_it_tells_what_has_moved_since(self, model: ReviewModel, bench: Bench) -> None:
        model.decide("!a2", "approve")
        assert await again(model) == "Looked again: nothing has changed."
        bench.put({key: small_rows()[key] for key in (A1, C1)})
        assert await again(model) == "Looked again: 1 unit no longer in the list."
        bench.put({A2: small_rows()[A2] | {"space_id": "!elsewhere"}, A1: None})
        words = await again(model)
        assert words == ("Looked again: 1 unit new, 1 unit changed, 1 unit no longer approved.")

    async def test_its_time_is_that_of_the_look_and_not_of_a_run(self, model: ReviewModel) -> None:
        first = model.session.looked
        assert first and to_browser.state(model)["looked"] == first.isoformat()
        model.decide("!a1", "approve")
        await model.start_apply()
        assert model.session.looked == first
        await again(model)
        assert model.session.looked > first

    async def test_a_second_press_finds_the_look_that_is_at_it(self, model: ReviewModel) -> None:
        task = model.look_again()
        assert model.busy and not model.running and model.message == "Looking again…"
        assert model.look_again() is task and task
        await task
        assert not model.busy
        later = model.look_again()
        assert later and later is not task
        await later

    async def test_how_far_it_is_is_told(self, model: ReviewModel) -> None:
        seen = set[int]()
        model.subscribe(lambda event: seen.add(model.progress.total))
        await again(model)
        assert seen > {0}

    async def test_meanwhile_nothing_is_written(self, model: ReviewModel, bench: Bench) -> None:
        model.decide("!a1", "approve")
        run = await model.start_apply()
        before = bench.bytes()
        model.decide("!a2", "approve")
        task = model.look_again()
        for write in (model.start_apply, lambda: model.start_undo(str(run.run))):
            with pytest.raises(ToolkitError, match="A look is going on"):
                write()
        assert task
        await task
        assert bench.bytes() == before
        apply = model.start_apply()
        assert model.look_again() is None and "A run is going on" in model.message
        await apply
        assert bench.row(A2)

    async def test_it_may_be_cancelled(self, model: ReviewModel) -> None:
        before = model.session.state
        task = model.look_again()
        await asyncio.sleep(0)
        assert model.cancel().accepted and task
        with pytest.raises(asyncio.CancelledError):
            await task
        assert model.failed and "was cancelled" in model.message
        assert model.session.state is before and not model.busy

    async def test_one_that_fails_leaves_what_is_shown(
        self, model: ReviewModel, server: FakeHomeserver
    ) -> None:
        before = model.session.state
        await server.__aexit__(None, None, None)
        task = model.look_again()
        assert task
        with pytest.raises(HomeserverError):
            await task
        assert model.failed and "as of the look before" in model.message
        assert model.session.state is before and not model.busy

    async def test_what_nobody_thought_of_is_told_by_its_name(
        self, model: ReviewModel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Session, "reload", lambda *_: 1 / 0)
        task = model.look_again()
        assert task
        with pytest.raises(ZeroDivisionError):
            await task
        assert "ZeroDivisionError" in model.message

    async def test_without_a_loop_it_says_what_to_type(self, model: ReviewModel) -> None:
        def elsewhere() -> ReviewModel:
            with pytest.raises(ToolkitError, match=r"session\.reload"):
                find_model(Session(model.session.road, None)).look_again()
            return model

        await asyncio.to_thread(elsewhere)


class TestFasterThanUs:
    @pytest.fixture
    async def other(self, model: ReviewModel, bench: Bench, server: FakeHomeserver) -> Session:
        """Another kernel, which writes one of two units that both have approved."""
        for unit in ("!a1", "!a2"):
            model.decide(unit, "approve")
        other = await look(bench, server)
        other.withdraw("!a2")
        await other.apply()
        other.approve("!a2")
        return other

    async def test_a_refused_apply_looks_again_and_offers_what_is_left(
        self, model: ReviewModel, other: Session, bench: Bench
    ) -> None:
        assert to_browser.state(model)["apply"] == "2 rooms, 3 rows"
        before = bench.bytes()
        with pytest.raises(ToolkitError, match="changed elsewhere"):
            await model.start_apply()
        assert model.failed and model.message.endswith("what is left: 1 unit approved.")
        assert bench.bytes() == before and not other.state.plan.unit("!a1")
        assert model.item("!a1") is None
        assert to_browser.state(model)["apply"] == "1 room, 1 row"
        await model.start_apply()
        assert bench.row(A2)

    async def test_where_that_look_fails_both_are_told(
        self, model: ReviewModel, other: Session, server: FakeHomeserver
    ) -> None:
        await server.__aexit__(None, None, None)
        with pytest.raises(ToolkitError, match=r"changed elsewhere.*Look again, then apply: "):
            await model.start_apply()
        assert model.session.state.votes == {
            "!a1": Vote.PENDING,
            "!a2": Vote.APPROVED,
            BOB: Vote.PENDING,
        }


def test_what_is_new_is_told_of_the_first_look(model: ReviewModel) -> None:
    state = model.session.state
    empty = Session(model.session.road, None).state
    assert say_what_moved(empty, state) == "Looked again: 3 units new."


def test_of_many_kinds_the_rarest_are_folded_and_all_are_told() -> None:
    what = {f"kind {number}": 9 - number for number in range(8)}
    asked = to_browser.question(Batch(44, 50, {"!a": "x"}, what), "", "")
    assert [*asked["what"][:1], len(asked["what"])] == ["9 × kind 0", 6]
    assert asked["rest"] == "5 other units, of 2 other kinds"
    assert asked["others"] == ["3 × kind 6", "2 × kind 7"]
    few = to_browser.question(Batch(1, 1, {"!a": "x"}, {"kind": 1}), "", "")
    assert (few["rest"], few["others"]) == ("", [])


class TestLeftAlone:
    async def test_a_row_that_the_bot_wrote_is_named(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        model.decide("!a2", "approve")
        bench.put({A2: small_rows()[A2] | {"space_id": "!elsewhere"}})
        await model.start_apply()
        assert model.results["!a2"].why == f"row {A2} was written meanwhile"
        assert f"Left alone: !a2: row {A2} was written meanwhile" in model.message
        item = model.item("!a2")
        assert item and item.again == "approved"

    async def test_rooms_that_say_something_else_are_told(
        self, model: ReviewModel, bench: Bench, server: FakeHomeserver
    ) -> None:
        model.decide("!a1", "approve")
        bench.world.chat("!twin", "!alice", "Чат 1", owner=ALICE)
        await model.start_apply()
        assert model.results["!a1"].state == "stale"
        assert model.results["!a1"].why == "its rooms say something else by now"

    async def test_what_somebody_else_has_written_alike_is_not_called_ours(
        self, model: ReviewModel, bench: Bench
    ) -> None:
        model.decide("!a2", "approve")
        bench.put({A2: small_rows()[A2]})
        await model.start_apply()
        [item] = model.finished()
        assert item.result and item.result.state == "not applied"
        assert "somebody else has written it" in item.result.why
        assert item.action == "nothing is left to write"
