"""The review of a bot of shape links: its lines, what may be picked, what is written; in the bot's own words."""

import json
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.link_boards import ANNA, BOT, CASE, DESK, Shown, make_desk
from tests.tables import Desk
from toolkit.board import ReviewModel, find_model, review, to_browser
from toolkit.board.items import Item
from toolkit.board.windows import Query
from toolkit.decisions.ledger import Vote
from toolkit.layout import Layout
from toolkit.model import Status
from toolkit.session.session import Session
from toolkit.testing import World

MOVE = "UPDATE cases SET room = '!second' WHERE number = 1"
FOREIGN = re.compile(r"\bchats?\b|\bchat id|\bspaces?\b(?!:)|user row|surface", re.IGNORECASE)


@pytest.fixture
async def shown(tmp_path: Path) -> AsyncIterator[Shown]:
    async with make_desk("desk", tmp_path / "desk.db") as found:
        yield found


@pytest.fixture
async def bridge(tmp_path: Path) -> AsyncIterator[Shown]:
    async with make_desk("bridge", tmp_path / "bridge.db") as found:
        yield found


@pytest.fixture
def model(shown: Shown) -> ReviewModel:
    return find_model(shown.session)


def item(model: ReviewModel, unit: str) -> Item:
    found = model.item(unit)
    assert found
    return found


def rooms_of(desk: Desk) -> dict[int, Any]:
    return dict(desk.sql("SELECT number, room FROM cases"))


def said(model: ReviewModel) -> str:
    """Everything that a browser is told of a review, but the names of messages and fields."""
    told = [
        to_browser.state(model),
        to_browser.say_words(model.words),
        to_browser.history(model.history()),
    ]
    lines = model.window(Query(quiet=True), 0, 100).lines
    told += [to_browser._any_line(line) for line in lines]
    groups = model.window(Query(quiet=True, grouped=True), 0, 100).lines
    told += [to_browser._any_line(line) for line in groups]
    told += [
        to_browser.details(model.details(line.unit)) for line in lines if isinstance(line, Item)
    ]
    told += [to_browser.opened("run", model.open_run(past.run)) for past in model.history()]

    def texts(value: Any) -> list[str]:
        if isinstance(value, dict):
            return [text for inner in value.values() for text in texts(inner)]
        if isinstance(value, list | tuple):
            return [text for inner in value for text in texts(inner)]
        return [value] if isinstance(value, str) else []

    return "\n".join(texts(json.loads(json.dumps(told))))


class TestWords:
    async def test_nothing_speaks_of_chats_before_or_after_a_run(self, model: ReviewModel) -> None:
        assert not FOREIGN.search(said(model)), FOREIGN.findall(said(model))
        model.pick("!twin1", {"chat_id": "6"})
        for unit in ("!twin1", "!new", "!moved"):
            model.decide(unit, "approve")
        await model.start_apply()
        assert "cases 2" in said(model)
        assert not FOREIGN.search(said(model)), FOREIGN.findall(said(model))

    async def test_nor_where_ids_are_composite(self, bridge: Shown) -> None:
        text = said(find_model(bridge.session))
        assert not FOREIGN.search(text), FOREIGN.findall(text)

    def test_what_stands_where_no_javascript_runs(self, shown: Shown) -> None:
        found = review(shown.session)._repr_mimebundle_()
        for text in (found["text/plain"], found["text/html"]):
            assert "cases 3 of @ben:hs" in text and not FOREIGN.search(text)

    async def test_columns_are_the_bots_own(self, shown: Shown, bridge: Shown) -> None:
        desk, portals = (to_browser.say_words(find_model(s.session).words) for s in (shown, bridge))
        assert (desk["owner"], desk["chat"], desk["id"], desk["parts"]) == ("Owner", "Id", "id", [])
        assert desk["search"].startswith("room, owner, words")
        assert portals["owner"] == "" and portals["search"].startswith("room, words")
        assert portals["parts"] == ["gcid", "gc_receiver"]

    def test_the_headline_counts_rooms(self, model: ReviewModel) -> None:
        told = to_browser.state(model)
        assert told["headline"]["words"] == "14 rooms: 1 right, 0 decided, 13 to decide"
        assert told["besides"] == ""

    async def test_rows_in_conflict_of_no_room_are_told_besides(self, shown: Shown) -> None:
        shown.desk.sql("INSERT INTO cases (number, room) VALUES (30, x'ff')")
        await shown.session.reload()
        told = to_browser.state(find_model(shown.session))
        assert told["besides"] == "Besides, in no list: 1 row in conflict; see session.drift."


class TestLines:
    def test_a_line_says_which_row_and_what_would_happen_to_it(self, model: ReviewModel) -> None:
        line = item(model, "!moved")
        assert (line.label, line.chat, line.owner, line.who) == (
            *("cases 3 of @ben:hs", "3"),
            *("@ben:hs", "ben"),
        )
        assert line.action == "would change the row of cases (room)"
        assert str(line.marks[0]) == 'room "!gone" → "!moved"'
        assert str(item(model, "!new").marks[0]) == "+ row of cases"

    def test_groups_are_by_what_a_person_can_do(self, model: ReviewModel) -> None:
        found = model.window(Query(grouped=True, quiet=True), 0, 50).lines
        told = [(line.status, line.words, line.size) for line in found]  # type: ignore[union-attr]
        assert told == [
            ("conflict", "several rooms claim one id", 2),
            ("conflict", "a row can't be read", 1),
            ("conflict", "row of cases: the id is another joined room's", 1),
            ("conflict", "rows and rooms say different ids", 1),
            ("missing", "row of cases is missing", 5),
            ("mismatched", "row of cases: room is wrong", 3),
            ("in sync", "the row is right", 1),
            ("skipped", "not compared", 3),
            ("orphaned", "no joined room belongs to the row", 1),
            ("unlinked", "the row names no room, and no room claims its id", 1),
        ]

    def test_what_nobody_decides_about_is_told_by_its_row(self, model: ReviewModel) -> None:
        quiet = {line.unit: line for line in model.quiet()}
        right = quiet["!right"]
        assert (right.owner, right.who, right.chat_id, right.cause) == (
            *(ANNA, "anna"),
            *("1", "its row is right"),
        )
        assert quiet["!lobby"].cause == "nothing tells its id"
        orphan, unlinked = quiet["link:cases:20"], quiet["link:cases:21"]
        assert (orphan.status, orphan.chat_id) == ("orphaned", "20")
        assert orphan.cause.startswith("it names !left, which the account isn't in")
        assert (unlinked.status, unlinked.chat_id) == ("unlinked", "21")
        assert unlinked.cause.startswith("it names no room, and no room claims its id")

    async def test_of_several_rows_of_one_id_none_is_a_rooms_own(self, shown: Shown) -> None:
        shown.desk.sql("DROP TABLE cases")
        shown.desk.sql("CREATE TABLE cases (n INTEGER PRIMARY KEY, number INTEGER, room TEXT)")
        shown.desk.sql(
            "INSERT INTO cases (number, room) VALUES (1, '!right'), (30, '!right'), (30, NULL)"
        )
        link = {"table": "cases", "id": "number", "room": "room", "show": ["n"]}
        layout = Layout.of({"kind": "links"}, {"link": link}, [{"event": CASE, "id": "number"}])
        async with Shown(Desk(shown.desk.path, "", layout), shown.world) as found:
            model = find_model(found.session)
            right = next(line for line in model.quiet() if line.unit == "!right")
        assert right.chat_id == "1"

    def test_a_row_that_nobody_decides_about_is_no_unit(self, model: ReviewModel) -> None:
        for key, words in {"link:cases:20": "orphaned", "link:cases:21": "names no room"}.items():
            answer = model.decide(key, "defer")
            assert not answer.accepted and words in answer

    async def test_without_an_owners_column_nobody_is_named(self, bridge: Shown) -> None:
        [right] = find_model(bridge.session).quiet()
        assert (right.owner, right.chat_id) == ("", '["space:a",""]')

    async def test_one_that_nobody_may_insert_is_shown_with_the_reason(self, bridge: Shown) -> None:
        model = find_model(bridge.session)
        line = item(model, "!new")
        assert line.status is Status.MISSING and not line.approvable and not line.options
        assert line.cause.startswith("the mapping doesn't let a row be made (insert)")
        assert line.action.startswith("make the row by hand")
        answer = model.decide("!new", "approve", change="")
        assert not answer.accepted and "Next: make the row by hand" in answer

    async def test_that_nothing_could_be_compared_is_no_claim(self, tmp_path: Path) -> None:
        made = "CREATE TABLE cases (number INTEGER UNIQUE, room TEXT, login TEXT);"
        desk = Desk(tmp_path / "bot.db", f"{made} INSERT INTO cases VALUES (1, '!x', '');", DESK)
        async with Shown(desk, _with_a_lobby()) as found:
            told = to_browser.state(find_model(found.session))
            assert told["nothing"].startswith("Rows of cases name rooms that nothing could be")
            desk.sql("DELETE FROM cases")
            await found.session.reload()
            told = to_browser.state(find_model(found.session))
            assert told["nothing"] == "Nothing to decide: everything is in sync."
            desk.sql("INSERT INTO cases VALUES (2, x'ff', '')")
            await found.session.reload()
            told = to_browser.state(find_model(found.session))
            assert told["nothing"].startswith("Nothing to decide here; rows in conflict")


def _with_a_lobby() -> World:
    world = World(BOT)
    world.room("!lobby", name="The lobby")
    return world


class TestPicking:
    def test_each_id_that_evidence_tells_is_offered_with_how_its_row_stands(
        self, model: ReviewModel
    ) -> None:
        line = item(model, "!torn")
        assert line.action == "pick an id"
        assert [(option.label, option.why) for option in line.options] == [
            ("id 8", "its row names this room"),
            ("id 9", "its row names no room"),
        ]

    async def test_one_of_two_rooms_gets_the_id(self, shown: Shown, model: ReviewModel) -> None:
        assert item(model, "!twin1").action == "pick the id for the one room that gets it"
        details = model.details("!twin1")
        assert [side.title for side in details.sides] == ["this room", "its twin"]
        answer = model.pick("!twin1", {"chat_id": "6"})
        assert answer == f"Picked for cases 6 of {ANNA} (!twin1): id 6. Nothing is decided yet."
        [offer] = to_browser.details(model.details("!twin1"))["offers"]
        assert offer["picked"] and item(model, "!twin1").picked == "id 6"
        assert model.decide("!twin1", "approve").accepted
        await model.start_apply()
        assert rooms_of(shown.desk)[6] == "!twin1"
        assert item(model, "!twin2").cause.startswith("6 is !twin1 by the decision of ")

    def test_a_room_whose_id_a_joined_room_has_is_told_what_to_do(self, model: ReviewModel) -> None:
        line = item(model, "!second")
        assert line.cause.startswith("its row names !right, which the account is in as well")
        assert line.action == (
            "if !right is the right one, ignore this room or have the bot leave it; if this one is, "
            "have the bot leave !right, or point the row at this room by hand (its column room), then "
            "look again; if it is of another id, pick that with the field under “Your choice”"
        )
        details = to_browser.details(model.details("!second"))
        assert details["free"] and not details["offers"]
        assert [side["title"] for side in details["sides"]] == [
            "this room",
            "the twin that the row names",
        ]
        answer = model.pick("!second", {"chat_id": "1"})
        assert not answer.accepted and "its row names !right" in answer

    @pytest.mark.parametrize(
        ("cure", "left"),
        [
            (lambda shown: shown.world.leave("!second"), {}),
            (lambda shown: shown.world.leave("!right"), {"!second": "mismatched"}),
            (lambda shown: shown.desk.sql(MOVE), {"!right": "conflict"}),
        ],
        ids=["leave it", "leave the other", "by hand"],
    )
    async def test_what_is_advised_helps(
        self, shown: Shown, model: ReviewModel, cure: Callable[[Shown], Any], left: dict[str, str]
    ) -> None:
        cure(shown)
        await shown.session.reload()
        items = {unit: model.item(unit) for unit in ("!second", "!right")}
        assert {unit: item.status.value for unit, item in items.items() if item} == left

    async def test_it_may_be_another_one(self, shown: Shown, model: ReviewModel) -> None:
        for wrong in ("nine", "007", ""):
            answer = model.pick("!second", {"chat_id": wrong})
            assert not answer.accepted and "it must be number (a whole number)" in answer
        assert model.pick("!second", {"chat_id": "21"}).accepted
        assert model.decide("!second", "approve").accepted
        await model.start_apply()
        assert rooms_of(shown.desk)[21] == "!second"

    async def test_a_composite_id_is_typed_part_by_part(self, bridge: Shown) -> None:
        model = find_model(bridge.session)
        answer = model.pick("!torn", {"chat_id": '["space:b"]'})
        assert not answer.accepted and "the parts gcid (a text), gc_receiver (a text)" in answer
        assert model.pick("!torn", {"chat_id": '["space:b",""]'}).accepted
        assert item(model, "!torn").picked == 'id ["space:b",""]'
        assert model.decide("!torn", "approve").accepted
        await model.start_apply()
        assert bridge.desk.sql("SELECT mxid FROM portal WHERE gcid = 'space:b'") == [("!torn",)]

    async def test_an_id_without_a_row_leaves_it_open_where_none_may_be_made(
        self, bridge: Shown
    ) -> None:
        model = find_model(bridge.session)
        assert [option.label for option in item(model, "!torn").options] == ['id ["space:b",""]']
        assert model.pick("!torn", {"chat_id": '["space:c",""]'}).accepted
        line = item(model, "!torn")
        assert not line.approvable and line.action.startswith("make the row by hand")

    async def test_an_owner_or_space_is_no_pick_here(self, model: ReviewModel) -> None:
        for choices in ({"owner": ANNA}, {"space_id": "!s"}, {"lower_counter": True}):
            answer = model.pick("!torn", choices)
            assert not answer.accepted and "only its id can be picked" in answer

    async def test_an_odd_row_is_overwritten_on_a_word(
        self, shown: Shown, model: ReviewModel
    ) -> None:
        assert item(model, "!odd").action.startswith("look at the row, then pick whether")
        assert model.pick("!odd", {"overwrite": True}).accepted
        assert model.decide("!odd", "approve").accepted
        await model.start_apply()
        assert rooms_of(shown.desk)[7] == "!odd"


class TestWriting:
    async def test_what_is_approved_is_written_told_and_taken_back(
        self, shown: Shown, model: ReviewModel
    ) -> None:
        before = shown.desk.dump()
        assert model.would_approve().what == {
            "would insert the row of cases": 5,
            "would change the row of cases (room)": 3,
        }
        assert model.approve_all().accepted
        assert to_browser.state(model)["apply"] == "8 rooms, 8 rows"
        await model.start_apply()
        found = rooms_of(shown.desk)
        assert [found[n] for n in (2, 3, 4, 5)] == ["!new", "!moved", "!null", "!upgraded"]
        [past] = model.history()
        labels = {unit.id: unit.label for unit in model.open_run(past.run).units}
        assert labels["!moved"] == "cases 3" and labels["!new"] == "cases 2"
        planned = model.plan_undo(past.run)
        await model.start_undo(past.run, planned.plan)
        assert shown.desk.dump() == before
        assert item(model, "!moved").vote is Vote.PENDING

    async def test_a_row_that_moved_is_left_alone_and_shown(
        self, shown: Shown, model: ReviewModel
    ) -> None:
        model.decide("!moved", "approve")
        shown.desk.sql("UPDATE cases SET room = '!other' WHERE number = 3")
        await model.start_apply()
        line = item(model, "!moved")
        assert line.result and line.result.state == "stale"
        moved = model.details("!moved").moved
        assert moved and [row.key for row in moved.rows] == ["link:cases:3"]

    async def test_other_decisions(self, shown: Shown, model: ReviewModel) -> None:
        for unit, vote in {"!new": "reject", "!torn": "defer"}.items():
            assert model.decide(unit, vote).accepted
        assert model.decide("!second", "ignore", reason="moved on").accepted
        assert model.counts().by_vote == {
            Vote.PENDING: 10,
            Vote.REJECTED: 1,
            Vote.DEFERRED: 1,
            Vote.IGNORED: 1,
        }
        assert "moved on" in item(model, "!second").ignored
        again = find_model(await shown.look())  # by the file beside the database
        assert item(again, "!second").vote is Vote.IGNORED
        assert model.decide("!second", "withdraw").accepted

    async def test_two_boards_agree_and_another_session_reads_the_file(
        self, shown: Shown, model: ReviewModel
    ) -> None:
        assert find_model(shown.session) is model
        model.pick("!twin1", {"chat_id": "6"})
        model.decide("!twin1", "approve")
        other = item(find_model(await shown.look()), "!twin1")
        assert (other.vote, other.picked, other.status) == (
            *(Vote.APPROVED, "id 6"),
            Status.CONFLICT,
        )
        shown.desk.sql("UPDATE cases SET room = '!twin2' WHERE number = 6")
        await shown.session.reload()
        line = item(model, "!twin1")
        assert line.vote is Vote.PENDING and line.again == "approved"


async def test_what_a_look_has_found(shown: Shown, model: ReviewModel) -> None:
    shown.desk.sql("UPDATE cases SET room = '!moved' WHERE number = 3")
    task = model.look_again()
    assert task
    await task
    assert model.message == "Looked again: 1 unit no longer in the list."


async def test_a_bot_whose_rooms_are_of_no_type_but_its_own(tmp_path: Path) -> None:
    """Rooms that aren't Spaces are skipped where ids stand for Spaces."""
    made = (
        "CREATE TABLE homes (id TEXT PRIMARY KEY, room TEXT); INSERT INTO homes VALUES ('a', '!a');"
    )
    link = {"table": "homes", "id": "id", "room": "room"}
    layout = Layout.of({"kind": "links", "type": "space"}, {"link": link})
    world = World(BOT)
    world.room("!a", room_type="m.space")
    world.room("!plain")
    async with Shown(Desk(tmp_path / "bot.db", made, layout), world) as found:
        session: Session = found.session
        causes = {line.unit: line.cause for line in find_model(session).quiet()}
    assert causes == {"!a": "its row is right", "!plain": "it is no Space"}
