"""A chat id that somebody picks: who else may have it, by board, by cell and by command alike."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
from tests.bench import A1, ALICE, C1, TOKEN, Bench, small_rows
from tests.boards import look
from toolkit.board import ReviewModel, find_model
from toolkit.decisions.ledger import Vote
from toolkit.records import chat_key, new_chat_row, room_key, user_key
from toolkit.testing import FakeHomeserver

A7, A8, A9 = room_key("!a7"), room_key("!a8"), room_key("!a9")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's two chats are in sync; a third says by its name that it is the first, two say nothing."""
    bench = Bench(tmp_path / "bot.db")
    bench.fill(small_rows())
    for room, name in (("!a7", "Планы"), ("!a8", "Чат 1"), ("!a9", "Разговор")):
        bench.world.chat(room, "!alice", name, owner=ALICE)
    return bench


@pytest.fixture
async def model(bench: Bench, server: FakeHomeserver) -> ReviewModel:
    return find_model(await look(bench, server))


async def command(
    bench: Bench, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch, *words: str
) -> int:
    """Run the command line beside the homeserver; its exit code."""
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))

    return await asyncio.to_thread(toolkit.cli.run, words)


def put_chat(bench: Bench, chat_id: str, room: str) -> None:
    bench.put({chat_key(ALICE, chat_id): new_chat_row(ALICE, chat_id, "matrix", room, chat_id)})


@pytest.mark.parametrize("unit", ["!a8", "!a9"])
async def test_a_room_in_sync_keeps_its_id_and_is_named(
    model: ReviewModel,
    bench: Bench,
    server: FakeHomeserver,
    unit: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = "the chosen chat id C1 is taken: another room, !a1, claims it by its room row"
    before = bench.bytes()
    answer = model.pick(unit, {"chat_id": "C1"})
    assert not answer.accepted and words in answer
    assert words in model.decide(unit, "approve", choices={"chat_id": "C1"})
    assert words in model.session.approve(unit, chat_id="C1").refused[unit]
    assert await command(bench, server, monkeypatch, "apply", unit, "--chat-id", "C1") == 2
    assert words in " ".join(capsys.readouterr().out.split())
    item = model.item(unit)
    assert item and "C1" not in item.offers.chat_ids and item.offers.chat_ids
    assert "!a1" in model.session.plan.value.in_sync_rooms and bench.bytes() == before


async def test_that_room_is_first_given_another_one(model: ReviewModel, bench: Bench) -> None:
    assert model.session.approve("!a1", chat_id="C5").units
    assert "taken" in model.pick("!a8", {"chat_id": "C1"})  # not before that is written
    await model.start_apply()
    assert bench.row(A1)["chat_id"] == "C5"
    await model.session.reload()
    item = model.item("!a8")
    # An older room has a higher id now, so that the name alone is no proof any more.
    assert item and item.chat_id == "C1" and item.needs_human
    model.decide("!a8", "approve")
    await model.start_apply()
    assert bench.row(A8)["chat_id"] == "C1" and bench.row(C1)["surface_ref"] == "!a8"
    assert bench.row(chat_key(ALICE, "C5"))["surface_ref"] == "!a1"


async def test_an_orphaned_chat_rows_id_may_be_picked_and_the_row_moves(
    model: ReviewModel, bench: Bench
) -> None:
    put_chat(bench, "C3", "!gone")
    await model.session.reload()
    assert model.pick("!a9", {"chat_id": "C3"}).accepted
    changed = {row.key: row.verb for row in model.details("!a9").rows}
    assert changed == {A9: "insert", chat_key(ALICE, "C3"): "change"}
    model.decide("!a9", "approve")
    await model.start_apply()
    assert bench.row(chat_key(ALICE, "C3"))["surface_ref"] == "!a9"


async def test_an_id_that_a_room_in_conflict_may_hold_is_refused_and_names_that_room(
    model: ReviewModel, bench: Bench
) -> None:
    for chat_id in ("C3", "C4"):
        put_chat(bench, chat_id, "!a7")  # which of the two it is, nobody knows
    await model.session.reload()
    words = "C3 is taken: another room, !a7, claims it by its chat row"
    assert words in model.pick("!a9", {"chat_id": "C3"})
    assert model.decide("!a7", "approve", choices={"chat_id": "C4"}).accepted
    assert "taken" in model.pick("!a9", {"chat_id": "C3"})  # not before that is written
    await model.start_apply()
    assert bench.row(A7)["chat_id"] == "C4"
    assert model.pick("!a9", {"chat_id": "C3"}).accepted  # it certainly is another chat now


async def test_an_id_that_is_approved_for_another_room_is_refused_and_that_stays_approved(
    model: ReviewModel,
) -> None:
    assert model.decide("!a9", "approve", choices={"chat_id": "C5"}).accepted
    words = "chat id C5 was chosen for another room, !a9"
    for answer in (
        model.pick("!a7", {"chat_id": "C5"}),
        model.decide("!a7", "approve", choices={"chat_id": "C5"}),
    ):
        assert not answer.accepted and words in answer
    assert words in model.session.approve("!a7", chat_id="C5").refused["!a7"]
    votes: Any = model.session.plan.votes
    assert votes["!a9"] is Vote.APPROVED and votes["!a7"] is Vote.PENDING
    item = model.item("!a7")
    assert item and item.offers.chat_ids == ("C6", "C7", "C8")


async def test_of_two_that_dispute_an_id_one_gets_it_and_the_other_another(
    model: ReviewModel, bench: Bench
) -> None:
    bench.put({A1: None, C1: None, user_key(ALICE): None})
    await model.session.reload()
    for unit in ("!a1", "!a8"):
        item = model.item(unit)
        assert item and item.offers.chat_ids[0] == "C1"
    assert model.decide("!a8", "approve", choices={"chat_id": "C1"}).accepted
    item = model.item("!a1")
    assert item and "C1 was chosen for another room, !a8" in item.cause
    assert item.offers.chat_ids[0] == "C3"
    assert model.decide("!a1", "approve", choices={"chat_id": "C3"}).accepted
    assert model.session.plan.votes["!a8"] is Vote.APPROVED
    await model.start_apply()
    assert (bench.row(A8)["chat_id"], bench.row(A1)["chat_id"]) == ("C1", "C3")


@pytest.mark.parametrize("proof", ["room row", "chat row"])
async def test_what_is_picked_for_a_room_frees_its_old_id_once_it_is_written(
    model: ReviewModel, bench: Bench, proof: str
) -> None:
    """If writing the pick fails, the other room must not have got the old id meanwhile."""
    bench.put({C1: new_chat_row(ALICE, "C1", "matrix", "!a8", "Чат 1")})
    if proof == "room row":
        bench.put({A8: bench.row(A1)})
    await model.session.reload()
    assert model.decide("!a8", "approve", choices={"chat_id": "C5"}).accepted
    item = model.item("!a1")
    assert item and item.status == "conflict" and not item.approvable
    assert not model.session.approve("!a1").units
    await model.start_apply()
    assert bench.row(A8)["chat_id"] == "C5" and bench.row(C1)["surface_ref"] == "!a8"
    await model.session.reload()
    item = model.item("!a1")
    assert item and item.chat_id == "C1" and not item.needs_human
    model.decide("!a1", "approve")
    await model.start_apply()
    assert bench.row(C1)["surface_ref"] == "!a1"
