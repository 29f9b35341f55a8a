"""What a review says once a run is over: how it is taken back, and that it was."""

import pytest

from tests.bench import A1, A2, ALICE, BOB, C1, TOKEN, UB, Bench, small_rows
from tests.boards import look
from toolkit import InMemoryStore, Session
from toolkit.board import ReviewModel, find_model, to_browser
from toolkit.board.history import open_run
from toolkit.database.journal import Entry, Run
from toolkit.model import RowWrite, UnitKind
from toolkit.records import chat_key
from toolkit.testing import FakeHomeserver


@pytest.fixture
async def model(bench: Bench, server: FakeHomeserver) -> ReviewModel:
    """Two rooms and a user row are written."""
    model = find_model(await look(bench, server))
    for unit in ("!a1", "!a2", BOB):
        model.decide(unit, "approve")
    await model.start_apply()
    return model


async def test_the_last_run_can_be_taken_back_from_where_its_result_stands(
    model: ReviewModel, bench: Bench
) -> None:
    told = to_browser.state(model)
    assert told["results"] == {"applied": 3} and not told["taken"]
    plan = model.plan_undo(told["undo"])
    await model.start_undo(told["undo"], plan.plan)
    told = to_browser.state(model)
    assert told["results"] == {"taken back": 3}
    assert (told["undo"], told["taken"]) == ("", False) and bench.row(A1) is None
    item = model.item("!a1")
    assert item and item.result and item.result.state == "taken back"


async def test_it_is_told_when_a_cell_has_taken_it_back(model: ReviewModel) -> None:
    await model.session.undo()
    told = to_browser.state(model)
    assert told["results"] == {"applied": 3} and told["taken"] and told["undo"] == ""


async def test_a_run_that_wrote_nothing_is_none_to_take_back(
    model: ReviewModel, bench: Bench
) -> None:
    await model.session.undo()
    await model.session.reload()
    model.decide("!a1", "approve")
    bench.put({A1: {"display_name": "mine"}})
    await model.start_apply()
    told = to_browser.state(model)
    assert told["results"] == {"stale": 1} and not told["undo"]


async def test_units_of_a_run_are_called_as_people_do(model: ReviewModel) -> None:
    [past] = model.history()
    named = {unit.id: unit.label for unit in model.open_run(past.run).units}
    wanted = {"!a1": f"C1 of {ALICE}", "!a2": f"C2 of {ALICE}", BOB: "user row"}
    assert named == wanted
    units = model.plan_undo(past.run).units
    assert {unit.id: unit.label for unit in units} == wanted
    fields = {row.key: row.fields for unit in units for row in unit.rows}
    assert all(field.before and not field.after for field in fields[UB] if field.changed)


def test_of_rows_that_tell_nothing_it_is_the_id_alone() -> None:
    placeholder = RowWrite(chat_key(ALICE, "unregistered:!x"), None, "{}")
    writes = (RowWrite("matrix_room:!x", None, "{damaged"), placeholder)
    entry = Entry("!x", UnitKind.ROOM, writes, "me")
    [unit] = open_run(Run("R", "", "approved", (entry,))).units
    assert (unit.id, unit.label) == ("!x", "")


async def test_what_was_written_can_be_opened(model: ReviewModel) -> None:
    told = to_browser.details(model.details("!a1"))
    assert told["line"]["finished"] and not told["offers"] and not told["free"]
    assert [(row["verb"], row["key"]) for row in told["rows"]] == [("insert", A1), ("insert", C1)]
    model.decide("!a1", "approve")
    assert model.failed  # it is only looked at


async def test_of_what_somebody_else_wrote_nothing_is_shown_as_ours(
    model: ReviewModel, bench: Bench
) -> None:
    await model.session.undo()
    for unit in ("!a1", "!a2"):
        model.decide(unit, "approve")
    bench.put({A2: small_rows()[A2]})
    await model.start_apply()
    assert [item.unit for item in model.finished()] == ["!a1", "!a2"]
    assert model.details("!a1").rows and not model.details("!a2").rows


async def test_without_a_journal_it_is_what_was_agreed_to(server: FakeHomeserver) -> None:
    store = InMemoryStore({key: row for key, row in small_rows().items() if key != A1})
    session = await Session.open(homeserver=server.url, access_token=TOKEN, store=store)
    model = find_model(session)
    model.decide("!a1", "approve")
    await model.start_apply()
    assert model.last_run == ""
    assert [row.key for row in model.details("!a1").rows] == [A1]
