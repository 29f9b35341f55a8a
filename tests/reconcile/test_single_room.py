"""`reconcile_single_room`: one room, its user row, and nothing of anybody else's."""

from typing import Any

import nio
import pytest

from tests.bench import A1, A2, ALICE, B1, BOB, C1, C2, CB, UA, Bench, small_rows
from tests.reconcile.calls import lost, news, paths, single
from toolkit import Decision
from toolkit.records import chat_key, room_key
from toolkit.testing import FakeHomeserver


class TestSingleRoom:
    async def test_decisions_about_other_rooms_are_none_of_its_business(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1, B1))
        decisions = {"!a1": Decision(), "!b1": Decision("0"), "!gone": Decision()}
        report = await single(bench, client, "!a1", ALICE, decisions=decisions)
        assert news(report) == {"restored_room_meta": ["!a1"]}

    async def test_an_unregistered_room_is_repaired_with_its_user_row_and_no_other(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        placeholder = chat_key(ALICE, "unregistered:!a1")
        bench.fill({placeholder: {"surface_ref": "!a1"}, room_key("!left"): small_rows()[A1]})
        report = await single(bench, client, "!a1", ALICE)
        assert {key: found for key, found in report.items() if found} == {
            "joined_rooms": ["!a1"],
            "restored_user_meta": [ALICE],
            "restored_room_meta": ["!a1"],
            "restored_chat_rows": [{"user_id": ALICE, "chat_id": "C1", "room_id": "!a1"}],
            "orphaned_rows": [placeholder],
        }
        assert bench.bytes().keys() == {placeholder, room_key("!left"), UA, A1, C1}

    async def test_the_note_of_a_moved_chat_is_kept(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        moved = {row: {**small_rows()[row], "surface_ref": "!gone"} for row in (C1, C2)}
        bench.fill(small_rows() | moved)
        report = await single(bench, client, "!a1", ALICE)
        assert [(note["code"], note["key"]) for note in report["notes"]] == [
            ("wrong_surface_ref", C1)
        ]

    async def test_a_room_in_sync_is_unchanged(self, bench: Bench, client: nio.AsyncClient) -> None:
        bench.fill(lost(A2, CB))
        report = await single(bench, client, "!a1", ALICE)
        assert {key: found for key, found in report.items() if found} == {
            "joined_rooms": ["!a1"],
            "unchanged_rooms": ["!a1"],
        }

    async def test_a_room_in_sync_has_its_user_row_restored(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(UA))
        report = await single(bench, client, "!a1", ALICE)
        assert news(report) == {"restored_user_meta": [ALICE]}

    async def test_a_room_that_is_not_joined_is_skipped(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        left = room_key("!left")
        bench.fill(lost(UA) | {left: small_rows()[A1]})
        report = await single(bench, client, "!left", ALICE)
        assert {key: found for key, found in report.items() if found} == {
            "skipped_rooms": [{"room_id": "!left", "reason": "not_joined"}],
            "orphaned_rows": [left],
        }
        assert bench.row(UA) is None

    @pytest.mark.parametrize("rows", [{}, small_rows()])
    async def test_a_room_of_somebody_else_is_a_conflict_and_nothing_is_written(
        self, bench: Bench, client: nio.AsyncClient, rows: dict[str, Any]
    ) -> None:
        bench.fill(rows)
        before = bench.bytes()
        for decisions in (None, {"!a1": Decision()}):
            report = await single(bench, client, "!a1", BOB, decisions=decisions)
            [conflict] = report["conflicts"]
            assert (conflict["code"], conflict["room_id"]) == ("owner_mismatch", "!a1")
            assert conflict["proposal"] == ALICE
            assert news(report).keys() == {"conflicts"}
            assert report["unchanged_rooms"] == []
        assert bench.bytes() == before

    async def test_a_mismatch_stands_beside_the_other_conflicts_of_the_room(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows() | {A1: "{"})
        report = await single(bench, client, "!a1", BOB)
        assert [conflict["code"] for conflict in report["conflicts"]] == [
            "owner_mismatch",
            "unreadable_row",
        ]

    async def test_a_strangers_room_is_no_chat_whatever_a_row_says_and_no_row_of_the_user_written(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.world.chat("!trap", "!alice", "Чат 2", creator="@eve:hs", owner=ALICE, link="parent")
        bench.fill({room_key("!trap"): {**small_rows()[A1], "chat_id": "C9"}})
        before = bench.bytes()
        report = await single(bench, client, "!trap", ALICE)
        assert report["skipped_rooms"] == []
        (conflict,) = report["conflicts"]
        assert (conflict["code"], conflict["room_id"]) == ("not_a_chat", "!trap")
        assert conflict["key"] == room_key("!trap") and "@eve:hs" in conflict["detail"]
        assert bench.bytes() == before

    async def test_a_space_is_skipped(self, bench: Bench, client: nio.AsyncClient) -> None:
        bench.fill({})
        report = await single(bench, client, "!alice", ALICE)
        assert report["skipped_rooms"] == [{"room_id": "!alice", "reason": "space"}]
        assert bench.bytes() == {}

    async def test_after_a_sync_only_what_the_room_rests_on_is_read(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(lost(A1, CB))
        await client.sync(full_state=True)
        server.requests.clear()
        report = await single(bench, client, "!a1", ALICE)
        assert report["restored_room_meta"] == ["!a1"]
        assert not any("!b1" in path or "!bob" in path for path in paths(server))
