"""The bot's functions with a person's decisions: what is written, and what is stale."""

from typing import Any

import nio
import pytest

from tests.bench import A1, A2, ALICE, B1, BOB, C1, CB, UA, UB, Bench, small_rows
from tests.reconcile.calls import full, lost, news
from toolkit import Decision
from toolkit.database.journal import Journal
from toolkit.model import Choices
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, load_records, room_key, user_key


class TestDecisions:
    async def shown(self, bench: Bench, client: Any, unit: str) -> str:
        """The fingerprint of a unit's change, as a human was shown it."""
        plan = plan_repairs(
            bench.remote(), load_records([(k, v[1].decode()) for k, v in bench.bytes().items()])
        )
        found = plan.unit(unit)
        assert found
        assert found.change
        return found.change.fingerprint

    async def test_only_approved_units_are_written_and_a_room_takes_its_user_row_along(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill({})
        decisions = {"!a1": Decision(await self.shown(bench, client, "!a1"), by="eva")}
        report = await full(bench, client, decisions=decisions)
        assert news(report) == {
            "restored_user_meta": [ALICE],
            "restored_room_meta": ["!a1"],
            "restored_chat_rows": [{"user_id": ALICE, "chat_id": "C1", "room_id": "!a1"}],
        }
        assert bench.bytes().keys() == {UA, A1, C1}
        [run] = Journal(bench.path).runs()
        assert {entry.unit: entry.by for entry in run.entries} == {ALICE: "eva", "!a1": "eva"}

    async def test_decisions_may_come_from_json(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill({})
        change = await self.shown(bench, client, BOB)
        await full(bench, client, decisions={BOB: {"change": change, "by": "eva"}})
        assert bench.bytes().keys() == {UB}

    async def test_no_decision_is_no_write(self, bench: Bench, client: nio.AsyncClient) -> None:
        bench.fill(lost(A1))
        before = bench.bytes()
        assert news(await full(bench, client, decisions={})) == {}
        assert bench.bytes() == before

    async def test_an_approval_of_another_change_is_stale(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1, UA))
        decisions = {"!a1": Decision(await self.shown(bench, client, "!a1"))}
        bench.world.name("!a1", "Holiday")
        report = await full(bench, client, decisions=decisions)
        [conflict] = report["conflicts"]
        assert (conflict["code"], conflict["room_id"]) == ("stale_plan", "!a1")
        assert (bench.row(A1), bench.row(UA)) == (None, None)

    async def test_a_stale_user_row_is_not_taken_along(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1, UA))
        decisions = {"!a1": Decision(), ALICE: Decision("another change")}
        report = await full(bench, client, decisions=decisions)
        assert [conflict["key"] for conflict in report["conflicts"]] == [UA]
        assert bench.row(A1) == small_rows()[A1]
        assert bench.row(UA) is None

    async def test_an_approval_whose_unit_has_no_change_any_more_is_stale(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1))
        decisions = {"!a1": Decision(await self.shown(bench, client, "!a1"))}
        bench.put({A1: "{"})
        report = await full(bench, client, decisions=decisions)
        assert [conflict["code"] for conflict in report["conflicts"]] == ["stale_plan"]

    @pytest.mark.parametrize(
        ("unit", "where", "words"),
        [
            ("!gone", {"room_id": "!gone"}, "no longer in the plan"),
            (
                "@gone:hs",
                {"key": "matrix_user:@gone:hs", "user_id": "@gone:hs"},
                "no longer in the plan",
            ),
            ("!lobby", {"room_id": "!lobby"}, "it is skipped (no_space)"),
        ],
    )
    async def test_a_decision_about_no_unit_is_stale(
        self, bench: Bench, client: nio.AsyncClient, unit: str, where: Any, words: str
    ) -> None:
        bench.world.room("!lobby", name="Lobby")
        bench.fill(lost(A1))
        report = await full(bench, client, decisions={unit: Decision(), "!a1": Decision()})
        [conflict] = report["conflicts"]
        assert words in conflict["detail"]
        assert conflict == {"code": "stale_plan", "detail": conflict["detail"], **where}
        assert bench.row(A1) == small_rows()[A1]

    async def test_a_decision_about_what_is_in_sync_is_none_that_went_wrong(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows())
        chosen = Decision("0", choices=Choices(space_id="!other"))
        decisions = {"!a1": chosen, ALICE: chosen, "!alice": chosen}
        assert news(await full(bench, client, decisions=decisions)) == {}

    async def test_a_no_is_never_stale(self, bench: Bench, client: nio.AsyncClient) -> None:
        bench.fill(lost(A1))
        no = Decision("0", agreed=False)
        assert news(await full(bench, client, decisions={"!gone": no, "!a1": no})) == {}

    async def test_a_picked_space_that_fits_nothing_is_stale(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1, A2))
        decisions = {
            "!a1": Decision(choices=Choices(space_id="!other")),
            "!a2": Decision(choices=Choices(space_id="!alice")),
        }
        report = await full(bench, client, decisions=decisions)
        assert [(c["code"], c["room_id"]) for c in report["conflicts"]] == [("stale_plan", "!a1")]
        assert "!other" in report["conflicts"][0]["detail"]
        assert (bench.row(A1), bench.row(A2)) == (None, small_rows()[A2])

    async def test_a_picked_space_is_compared_with_those_that_a_room_could_be_in(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.world.link("!bob", "!a1")
        bench.fill(lost(A1))
        for space_id, code in (("!other", "stale_plan"), (None, "owner_ambiguous")):
            decisions = {"!a1": Decision(choices=Choices(space_id=space_id))}
            report = await full(bench, client, decisions=decisions)
            assert [conflict["code"] for conflict in report["conflicts"]] == [code]
        report = await full(
            bench, client, decisions={"!a1": Decision(choices=Choices(space_id="!alice"))}
        )
        assert report["restored_room_meta"] == ["!a1"]

    async def test_a_space_that_has_its_owner_by_now_is_decided_under_the_owners_name(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(UB))
        report = await full(bench, client, decisions={"!bob": Decision("0")})
        [conflict] = report["conflicts"]
        assert (conflict["code"], conflict["room_id"]) == ("stale_plan", "!bob")
        assert f"the user row of {BOB} by now" in conflict["detail"]
        choice = Decision(choices=Choices(owner=BOB))
        assert news(await full(bench, client, decisions={"!bob": choice})) == {}

    async def test_of_two_guessed_spaces_of_one_user_the_first_is_written_and_the_second_stale(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        for number, space in enumerate(("!s1", "!s2"), 1):
            bench.world.space(space)
            bench.world.chat(f"!r{number}", space, f"Чат {number}")
            bench.world.member(space, "@eve:hs", "leave")
        bench.fill(small_rows())
        units = ("!s1", "!s2", "!r1", "!r2")
        shown = {unit: Decision(await self.shown(bench, client, unit)) for unit in units}
        foretold = await full(bench, client, decisions=shown, dry_run=True)
        report = await full(bench, client, decisions=shown)
        assert foretold == report
        stale = [(c["code"], c["room_id"]) for c in report["conflicts"]]
        assert stale == [("stale_plan", "!r2"), ("stale_plan", "!s2")]
        assert report["restored_user_meta"] == ["@eve:hs"]
        assert bench.row(user_key("@eve:hs")) == {"space_id": "!s1", "next_chat_index": 2}
        made = bench.bytes().keys() - small_rows().keys()
        chat = chat_key("@eve:hs", "C1")
        assert made == {user_key("@eve:hs"), room_key("!r1"), chat}

    async def test_an_unreadable_row_is_overwritten_if_chosen(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows() | {A1: "{not json"})
        report = await full(bench, client)
        assert [conflict["code"] for conflict in report["conflicts"]] == ["unreadable_row"]
        chosen = Decision(choices=Choices(overwrite=True))
        report = await full(bench, client, decisions={"!a1": chosen})
        assert report["repaired_room_meta"] == ["!a1"]
        assert bench.row(A1) == small_rows()[A1]

    async def test_an_owner_who_left_is_written_once_a_human_agrees(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        for room_id in ("!bob", "!b1"):
            bench.world.member(room_id, BOB, "leave")
        bench.fill(lost(UB, B1, CB))
        report = await full(bench, client)
        assert {(c["code"], c["proposal"]) for c in report["conflicts"]} == {("owner_left", BOB)}
        report = await full(bench, client, decisions={"!b1": Decision()})
        assert report["restored_user_meta"] == [BOB]
        assert report["restored_room_meta"] == ["!b1"]
