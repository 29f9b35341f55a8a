"""The bot's two functions and their report, over real HTTP (rules 5)."""

import asyncio
import json
import logging
import time
from typing import Any, ClassVar

import nio
import pytest

from tests.bench import A1, ALICE, B1, BOB, BOT, C1, C2, CB, UA, UB, Bench, small_rows
from tests.reconcile.calls import ROOMS, SPACES, full, lost, news, paths, single
from toolkit import (
    ChatManager,
    Decision,
    HomeserverError,
    RemoteIncomplete,
    SQLiteStore,
    StoreError,
    ToolkitError,
    reconcile_matrix_state,
)
from toolkit.database.journal import RunJournal
from toolkit.model import Choices
from toolkit.records import chat_key, room_key
from toolkit.testing import FakeHomeserver, Fault, Garbage, Hang, Hook, Status
from toolkit.writing.report import Report


class TestReport:
    async def test_all_keys_are_there_sorted_and_json_can_hold_them(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        moved = {**small_rows()[C2], "surface_ref": "!gone"}
        bench.fill(
            lost(UA, A1, CB)
            | {C2: moved, UB: {"space_id": "!bob", "next_chat_index": 9}, B1: {"vip": 1}}
            | {room_key("!left"): small_rows()[A1], chat_key(ALICE, "C8"): "{"}
        )
        bench.world.room("!lobby", name="Lobby")
        report = await full(bench, client)
        detail: dict[str, Any] = dict.fromkeys(
            ("unreadable_row", "counter_too_high", "wrong_surface_ref")
        )
        entries: list[Any] = [*report["conflicts"], *report["notes"]]
        for entry in entries:
            detail[entry["code"]] = entry.pop("detail")
        assert list(report) == list(Report.__annotations__)
        assert report == {
            "joined_rooms": [*ROOMS, "!lobby"],
            "restored_user_meta": [ALICE],
            "repaired_user_meta": [BOB],
            "restored_room_meta": ["!a1"],
            "repaired_room_meta": [],
            "restored_chat_rows": [],
            "repaired_chat_rows": [
                {
                    "user_id": ALICE,
                    "chat_id": "C2",
                    "room_id": "!a2",
                    "previous_surface_ref": "!gone",
                }
            ],
            "skipped_rooms": [*SPACES, {"room_id": "!lobby", "reason": "no_space"}],
            "conflicts": [
                {"code": "unreadable_row", "room_id": "!b1", "key": B1, "user_id": BOB},
                {"code": "unreadable_row", "key": chat_key(ALICE, "C8"), "user_id": ALICE},
            ],
            "orphaned_rows": [room_key("!left")],
            "unchanged_rooms": [],
            "notes": [
                {"code": "wrong_surface_ref", "key": C2},
                {"code": "counter_too_high", "key": UB},
            ],
        }
        assert all(detail.values())
        assert json.loads(json.dumps(report)) == report

    async def test_a_second_run_restores_and_repairs_nothing(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill({})
        first = await full(bench, client)
        assert news(first).keys() == {
            "restored_user_meta",
            "restored_room_meta",
            "restored_chat_rows",
        }
        before = bench.bytes()
        assert news(await full(bench, client)) == {}
        assert bench.bytes() == before

    async def test_a_dry_run_says_the_same_and_writes_nothing(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(UA, A1, CB))
        before = bench.path.read_bytes()
        dry = await full(bench, client, dry_run=True)
        assert bench.path.read_bytes() == before
        assert list(bench.path.parent.iterdir()) == [bench.path]
        assert dry == await full(bench, client)

    async def test_a_dry_run_needs_no_right_to_write(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1))
        async with SQLiteStore(bench.path, read_only=True) as store:
            report = await reconcile_matrix_state(client, store, None, dry_run=True)
        assert report["restored_room_meta"] == ["!a1"]

    async def test_a_row_that_the_bot_wrote_meanwhile_is_a_stale_plan(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(lost(A1, CB))
        server.fault(Fault("/state$", Hook(lambda: bench.put({CB: {"surface_ref": "!x"}})), 1))
        report = await full(bench, client)
        assert [(c["code"], c["room_id"]) for c in report["conflicts"]] == [("stale_plan", "!b1")]
        assert report["restored_room_meta"] == ["!a1"]
        assert report["restored_chat_rows"] == []

    async def test_a_journal_that_fails_after_the_writing_is_logged(
        self,
        bench: Bench,
        client: nio.AsyncClient,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        async def fail(self: RunJournal, run: Any) -> None:
            raise StoreError("the disk is full")

        bench.fill(lost(A1))
        monkeypatch.setattr(RunJournal, "finish", fail)
        with caplog.at_level(logging.WARNING, "toolkit"):
            report = await full(bench, client)
        assert report["restored_room_meta"] == ["!a1"]
        assert "the disk is full" in caplog.text


class TestRequests:
    async def test_a_bot_in_sync_pays_one_request_after_a_full_sync(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(small_rows())
        await client.sync(full_state=True)
        server.requests.clear()
        report = await full(bench, client)
        assert paths(server) == ["joined_rooms"]
        assert report["unchanged_rooms"] == ["!a1", "!a2", "!b1"]
        assert report["skipped_rooms"] == SPACES
        assert news(report) == {}

    @pytest.mark.parametrize("synced", ["never", "fully", "thinly"])
    async def test_however_the_client_was_synced_the_report_is_the_same(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver, synced: str
    ) -> None:
        bench.fill(lost(UA, A1, CB))
        if synced == "fully":
            await client.sync(full_state=True)
        if synced == "thinly":  # as after a start from a stored token: rooms without their state
            client.rooms["!a1"] = nio.MatrixRoom("!a1", BOT)
            client.rooms["!left"] = nio.MatrixRoom("!left", BOT)
        server.requests.clear()
        report = await full(bench, client)
        assert news(report) == {
            "restored_user_meta": [ALICE],
            "restored_room_meta": ["!a1"],
            "restored_chat_rows": [{"user_id": BOB, "chat_id": "C1", "room_id": "!b1"}],
        }
        assert report["joined_rooms"] == ROOMS
        assert {key: bench.row(key) for key in small_rows()} == small_rows()
        assert {request.method for request in server.requests} == {"GET"}
        assert not any("since" in request.query for request in server.requests)

    @pytest.mark.parametrize("wanted", [True, False])
    async def test_all_rooms_are_one_request_where_the_homeserver_can_and_the_bot_may(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver, wanted: bool
    ) -> None:
        server.sliding_sync = True
        for number in range(9):
            bench.world.room(f"!lobby{number}")
        bench.fill(lost(A1, CB))
        one = await single(bench, client, "!a1", ALICE, sliding_sync=wanted)
        report = await full(bench, client, sliding_sync=wanted)
        assert one["restored_room_meta"] == ["!a1"] and len(report["restored_chat_rows"]) == 1
        asked = [request.method for request in server.requests]
        assert (asked.count("POST"), len(asked)) == ((1, 5 + 4) if wanted else (0, 5 + 16))

    async def test_what_only_memory_says_is_never_written(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(A1))
        await client.sync(full_state=True)
        client.rooms["!a1"].name = "Чат 7"
        await full(bench, client)
        assert bench.row(A1) == small_rows()[A1]


class TestErrors:
    """Each is raised before anything is written, and is a `ToolkitError`."""

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault("/joined_rooms$", Status(403, {"errcode": "M_FORBIDDEN"})), HomeserverError),
            (Fault("/joined_rooms$", Status(401, {"errcode": "M_UNKNOWN_TOKEN"})), HomeserverError),
            (Fault("/joined_rooms$", Status(404)), HomeserverError),
            (Fault("/whoami$", Status(401)), HomeserverError),
            (Fault("/state$", Status(403)), RemoteIncomplete),
            (Fault("/state$", Status(401)), RemoteIncomplete),
            (Fault("/state$", Hang()), RemoteIncomplete),
            (Fault("/joined_rooms$", Hang()), RemoteIncomplete),
            (Fault("/state$", Garbage(b'{"not": "a list"}')), RemoteIncomplete),
        ],
    )
    @pytest.mark.parametrize("call", [full, single])
    async def test_a_remote_side_that_cannot_be_read(
        self,
        bench: Bench,
        client: nio.AsyncClient,
        server: FakeHomeserver,
        fault: Fault,
        error: type[ToolkitError],
        call: Any,
    ) -> None:
        bench.fill(lost(UA, A1, CB))
        before = bench.bytes()
        server.fault(fault)
        more = ("!a1", ALICE) if call is single else ()
        with pytest.raises(error) as caught:
            await call(bench, client, *more, deadline=0.7)
        assert "fake-token" not in str(caught.value)
        assert bench.bytes() == before
        assert list(bench.path.parent.iterdir()) == [bench.path]

    async def test_an_empty_list_of_rooms_beside_rows_unless_it_is_allowed(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows())
        bench.world.rooms.clear()
        with pytest.raises(RemoteIncomplete, match="no room at all"):
            await full(bench, client)
        report = await full(bench, client, allow_empty=True)
        assert report["orphaned_rows"] == sorted(small_rows())
        assert news(report).keys() == {"orphaned_rows", "notes"}
        assert [note["code"] for note in report["notes"]] == ["no_room_joined"]

    async def test_an_empty_list_of_rooms_without_rows_is_simply_empty(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.world.rooms.clear()
        assert await full(bench, client) == {key: [] for key in Report.__annotations__}

    async def test_one_unreadable_room_stops_only_its_owner(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(lost(A1, CB))
        server.fault(Fault("/!a2/state$", Status(403)))
        report = await full(bench, client)
        assert ("room_unreadable", "!a2") in [
            (conflict["code"], conflict.get("room_id")) for conflict in report["conflicts"]
        ]
        assert report["restored_chat_rows"] == [{"user_id": BOB, "chat_id": "C1", "room_id": "!b1"}]

    async def test_a_closed_store(self, bench: Bench, client: nio.AsyncClient) -> None:
        store = SQLiteStore(bench.path)
        with pytest.raises(StoreError, match="isn't open"):
            await reconcile_matrix_state(client, store, None)

    async def test_a_store_that_may_only_read(self, bench: Bench, client: nio.AsyncClient) -> None:
        bench.fill(lost(A1))
        before = bench.path.read_bytes()
        async with SQLiteStore(bench.path, read_only=True) as store:
            with pytest.raises(StoreError, match="read_only"):
                await reconcile_matrix_state(client, store, None)
        assert bench.path.read_bytes() == before

    async def test_a_decision_that_makes_no_sense(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(lost(A1))
        with pytest.raises(ToolkitError, match="A decision can't be read"):
            await full(bench, client, decisions={"!a1": {"choices": {"owner": 5}}})
        assert server.requests == []

    async def test_the_deadline_counts_the_wait_for_another_call(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(lost(A1))
        server.fault(Fault("/joined_rooms$", Hang(), times=1))
        first = asyncio.create_task(full(bench, client))
        await asyncio.sleep(0.1)
        started = time.monotonic()
        with pytest.raises(RemoteIncomplete, match="waiting for another run"):
            await full(bench, client, deadline=0.2)
        assert time.monotonic() - started < 1
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first

    async def test_past_the_deadline_nothing_more_is_begun(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(C1, CB))
        before = bench.bytes()

        class Slow(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> Any:
                await asyncio.sleep(60)

        async with SQLiteStore(bench.path) as store:
            report = await reconcile_matrix_state(client, store, Slow(store), deadline=0.8)
        assert {conflict["code"] for conflict in report["conflicts"]} == {"stale_plan"}
        assert {conflict["room_id"] for conflict in report["conflicts"]} == {"!a1", "!b1"}
        assert bench.bytes() == before


class TestCounters:
    HIGH: ClassVar = {UA: {"space_id": "!gone", "next_chat_index": 9, "vip": True}}

    async def test_a_start_up_lowers_them_and_says_so(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows() | self.HIGH)
        report = await full(bench, client)
        assert report["repaired_user_meta"] == [ALICE]
        assert [note["code"] for note in report["notes"]] == ["counter_too_high"]
        assert bench.row(UA) == {"space_id": "!alice", "next_chat_index": 3, "vip": True}

    async def test_it_does_not_if_told_so(self, bench: Bench, client: nio.AsyncClient) -> None:
        bench.fill(small_rows() | self.HIGH)
        report = await full(bench, client, lower_counters=False)
        assert [note["code"] for note in report["notes"]] == ["counter_too_high"]
        assert bench.row(UA) == {"space_id": "!alice", "next_chat_index": 9, "vip": True}

    async def test_a_single_room_never_does_but_repairs_the_other_fields(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows() | self.HIGH)
        report = await single(bench, client, "!a1", ALICE)
        assert report["repaired_user_meta"] == [ALICE]
        assert bench.row(UA)["next_chat_index"] == 9
        bench.put({UA: {"space_id": "!alice", "next_chat_index": 1}})
        await single(bench, client, "!a1", ALICE)
        assert bench.row(UA)["next_chat_index"] == 3

    async def test_with_decisions_only_where_it_was_chosen(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows() | self.HIGH)
        await full(bench, client, decisions={ALICE: {}})
        assert bench.row(UA)["next_chat_index"] == 9
        chosen = Decision(choices=Choices(lower_counter=True))
        report = await full(bench, client, decisions={ALICE: chosen})
        assert report["repaired_user_meta"] == [ALICE]
        assert bench.row(UA)["next_chat_index"] == 3
