"""Choices that are tried before anybody decides."""

from tests.bench import Bench, small_rows
from tests.boards import look
from toolkit.board import find_model
from toolkit.decisions.ledger import Vote
from toolkit.model import Status
from toolkit.testing import FakeHomeserver


async def test_a_pick_after_which_all_rows_are_right_leaves_nothing_to_approve(
    bench: Bench, server: FakeHomeserver
) -> None:
    bench.put(small_rows())
    bench.world.link("!bob", "!a1")  # whose chat is it?
    model = find_model(await look(bench, server))
    before = model.session.state
    known = model.item("!a1")
    assert known and known.status is Status.CONFLICT
    assert model.pick("!a1", {"space_id": "!alice"}).accepted
    assert model.item("!a1") == known and model.details("!a1").rows == ()
    answer = model.decide("!a1", Vote.APPROVED)
    assert not answer.accepted and "rows already that your pick leads to" in answer
    assert model.session.state is before
