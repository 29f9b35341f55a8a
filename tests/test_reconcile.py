"""The bot's two functions and their report, over real HTTP and with light fakes (rules 5)."""

import asyncio
import json
import logging
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar
from unittest.mock import AsyncMock

import nio
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.bench import (
    A1,
    A2,
    ALICE,
    B1,
    BOB,
    BOT,
    C1,
    C2,
    CB,
    UA,
    UB,
    Bench,
    SyncManager,
    small_rows,
    small_world,
)
from tests.worlds import CONVENTION, STRANGER, Sides, readable_worlds
from toolkit import (
    ChatManager,
    Convention,
    Decision,
    HomeserverError,
    InMemoryStore,
    RemoteIncomplete,
    SQLiteStore,
    StoreError,
    ToolkitError,
    reconcile_matrix_state,
    reconcile_single_room,
)
from toolkit.model import Choices
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, load_records, room_key, user_key
from toolkit.testing import FakeHomeserver, Fault, Garbage, Hang, Hook, Status
from toolkit.writing.journal import Journal
from toolkit.writing.report import KEYS

SPACES = [{"room_id": "!alice", "reason": "space"}, {"room_id": "!bob", "reason": "space"}]
ROOMS = ["!a1", "!a2", "!alice", "!b1", "!bob"]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bot.db")


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, BOT) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    found = nio.AsyncClient(server.url, BOT)
    found.restore_login(BOT, server.device_id, server.access_token)
    yield found
    await found.close()


def lost(*keys: str) -> dict[str, Any]:
    """The right rows without these."""
    return {key: row for key, row in small_rows().items() if key not in keys}


def news(report: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """What a report says beyond the rooms that there are."""
    usual = ("joined_rooms", "skipped_rooms", "unchanged_rooms")
    return {key: found for key, found in report.items() if found and key not in usual}


async def full(bench: Bench, client: Any, **options: Any) -> dict[str, list[Any]]:
    async with SQLiteStore(bench.path) as store:
        return await reconcile_matrix_state(client, store, ChatManager(store), **options)


async def single(
    bench: Bench, client: Any, room_id: str, user_id: str, **options: Any
) -> dict[str, list[Any]]:
    async with SQLiteStore(bench.path) as store:
        manager = ChatManager(store)
        return await reconcile_single_room(client, store, manager, room_id, user_id, **options)


def paths(server: FakeHomeserver) -> list[str]:
    return [request.path.rpartition("/v3/")[2] for request in server.requests]


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
        detail = {"unreadable_row": None, "counter_too_high": None, "wrong_surface_ref": None}
        for entry in (*report["conflicts"], *report["notes"]):
            detail[entry["code"]] = entry.pop("detail")
        assert list(report) == list(KEYS)
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
                {"code": "unreadable_row", "room_id": "!b1", "key": B1},
                {"code": "unreadable_row", "key": chat_key(ALICE, "C8")},
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
        def fail(self: Journal, run: Any) -> None:
            raise StoreError("the disk is full")

        bench.fill(lost(A1))
        monkeypatch.setattr(Journal, "finish", fail)
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
        assert await full(bench, client) == {key: [] for key in KEYS}

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
            ("@gone:hs", {"key": "matrix_user:@gone:hs"}, "no longer in the plan"),
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
        assert words in conflict.pop("detail")
        assert conflict == {"code": "stale_plan", **where}
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


def memory(**changes: Any) -> SimpleNamespace:
    """A light fake, as a bot's own unit tests have it: no network, only what it remembers."""

    def room(**fields: Any) -> SimpleNamespace:
        usual: dict[str, Any] = dict.fromkeys(("children", "parents", "users", "invited_users"), ())
        return SimpleNamespace(**{"room_type": "", "name": None, **usual, **fields})

    rooms = {
        "!alice": room(room_type="m.space", children=["!a1", "!a2"], users=[BOT, ALICE]),
        "!a1": room(name="Чат 1", parents={"!alice"}, users={BOT: 1}, invited_users={ALICE: 1}),
        "!a2": room(name="Чат 2", users=[BOT, ALICE]),
        "!bob": room(room_type="m.space", children={"!b1"}, users={BOB}),
        "!b1": room(name="Чат 1", users={BOB}),
        **changes,
    }
    return SimpleNamespace(user_id=BOT, rooms=rooms)


class Coroutines:
    """A client with nothing but the two calls; `refused` rooms answer with an error."""

    user_id = BOT

    def __init__(self, rooms: Any, errors: Any = SimpleNamespace, refused: Any = ()) -> None:
        self.state, self.errors, self.refused = rooms, errors, refused

    async def joined_rooms(self) -> Any:
        if self.refused == "all":
            return self.errors(message="no", status_code="M_FORBIDDEN")
        return SimpleNamespace(rooms=list(self.state))

    async def room_get_state(self, room_id: str) -> Any:
        if room_id in self.refused:
            return self.errors(message="no", status_code="M_FORBIDDEN")
        return SimpleNamespace(events=self.state[room_id])


class TestLightFakes:
    async def test_a_stand_in_is_taken_at_its_word(self) -> None:
        store = InMemoryStore()
        report = await reconcile_matrix_state(memory(), store, ChatManager(store))
        assert report["restored_user_meta"] == [ALICE, BOB]
        assert report["restored_room_meta"] == ["!a1", "!a2", "!b1"]
        assert {key: await store.get(key) for key in await store.keys("")} == small_rows()
        assert news(await reconcile_matrix_state(memory(), store, ChatManager(store))) == {}

    async def test_a_single_room_of_a_stand_in(self) -> None:
        store = InMemoryStore()
        report = await reconcile_single_room(memory(), store, ChatManager(store), "!b1", BOB)
        assert news(report).keys() == {
            "restored_user_meta",
            "restored_room_meta",
            "restored_chat_rows",
        }
        assert await store.keys("") == sorted([UB, B1, CB])

    async def test_without_a_room_it_is_in_no_room(self) -> None:
        store = InMemoryStore(small_rows())
        with pytest.raises(RemoteIncomplete):
            await reconcile_matrix_state(SimpleNamespace(user_id=BOT, rooms={}), store, None)

    async def test_two_coroutines_are_enough(self) -> None:
        store = InMemoryStore()
        client = Coroutines(small_world().rooms)
        await reconcile_matrix_state(client, store, ChatManager(store))
        assert {key: await store.get(key) for key in await store.keys("")} == small_rows()

    @pytest.mark.parametrize("errors", [SimpleNamespace, nio.ErrorResponse])
    async def test_their_error_responses_are_seen(self, errors: Any) -> None:
        store = InMemoryStore()
        with pytest.raises(HomeserverError, match="M_FORBIDDEN"):
            await reconcile_matrix_state(Coroutines({}, errors, "all"), store, None)
        client = Coroutines(small_world().rooms, errors, ROOMS)
        with pytest.raises(RemoteIncomplete):
            await reconcile_matrix_state(client, store, None)
        client = Coroutines(small_world().rooms, errors, ["!b1"])
        report = await reconcile_matrix_state(client, store, None)
        assert ("room_unreadable", "!b1") in [
            (conflict["code"], conflict.get("room_id")) for conflict in report["conflicts"]
        ]
        assert await store.keys("") == sorted([UA, A1, C1, A2, C2])

    async def test_helper_accounts_own_nothing(self) -> None:
        world = small_world()
        for room_id in world.rooms:
            world.member(room_id, "@admin:hs")
        store = InMemoryStore()
        helped = Convention(helper_accounts=("@admin:hs",))
        report = await reconcile_matrix_state(Coroutines(world.rooms), store, None)
        assert {c["code"] for c in report["conflicts"]} == {"owner_ambiguous"}
        await reconcile_matrix_state(Coroutines(world.rooms), store, None, convention=helped)
        assert {key: await store.get(key) for key in await store.keys("")} == small_rows()

    async def test_two_calls_at_once_run_one_after_the_other(self) -> None:
        store, log = InMemoryStore(), []

        class Slow(Coroutines):
            async def joined_rooms(self) -> Any:
                log.append("begin")
                await asyncio.sleep(0.01)
                return await super().joined_rooms()

        class Logging(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> Any:
                log.append("write")
                return await super().get_or_create(*args, **named)

        client, manager = Slow(small_world().rooms), Logging(store)
        first, second = await asyncio.gather(
            reconcile_matrix_state(client, store, manager),
            reconcile_single_room(client, store, manager, "!a1", ALICE),
        )
        assert log == ["begin", "write", "write", "write", "begin"]
        assert news(second) == {}
        assert first["restored_room_meta"] == ["!a1", "!a2", "!b1"]

    async def test_a_foreign_manager_restores_the_chat_rows(self, bench: Bench) -> None:
        bench.fill({})
        async with SQLiteStore(bench.path) as store:
            manager = SyncManager(bench.path)
            await reconcile_matrix_state(Coroutines(bench.world.rooms), store, manager)
        assert manager.called == ["!a1", "!a2", "!b1"]
        assert bench.row(C1)["mine"] == 1.0


class TestCrossCheck:
    """The single-room call writes exactly what the full run writes for that room."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(readable_worlds(), st.data())
    def test_in_any_world(self, sides: Sides, data: st.DataObject) -> None:
        assume(sides.rooms)
        room_id = data.draw(st.sampled_from(sorted(sides.rooms)))
        assume(all(isinstance(raw, str | bytes) for raw in sides.rows.values()))
        plan = plan_repairs(sides.remote(), sides.local(), CONVENTION)
        unit, row = plan.unit(room_id), sides.local().rooms.get(room_id)
        owner = (unit.owner if unit else row.matrix_user_id if row else None) or STRANGER
        with tempfile.TemporaryDirectory() as folder:
            before, wide = asyncio.run(self.both(sides, Path(folder), "wide.db"))
            _, narrow = asyncio.run(
                self.both(sides, Path(folder), "narrow.db", room_id=room_id, owner=owner)
            )
        wide = {key: row for key, row in wide.items() if before.get(key) != row}
        narrow = {key: row for key, row in narrow.items() if before.get(key) != row}
        assert narrow.items() <= wide.items()
        due = {room_key(room_id)} if unit else set()
        due |= {user_key(owner)} if unit or room_id in plan.in_sync_rooms else set()
        if unit and unit.change:
            due |= {write.key for write in unit.change.writes}
        assert {key for key in wide if key in due} == set(narrow)

    async def both(
        self, sides: Sides, folder: Path, name: str, **only: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        bench = Bench(folder / name)
        bench.fill(sides.rows)
        before = bench.bytes()
        client = Coroutines(sides.rooms)
        async with SQLiteStore(bench.path) as store:
            manager = ChatManager(store)
            if only:
                await reconcile_single_room(
                    client, store, manager, *only.values(), convention=CONVENTION
                )
            else:
                await reconcile_matrix_state(
                    client, store, manager, convention=CONVENTION, lower_counters=False
                )
        return before, bench.bytes()


async def test_a_forgotten_client_is_an_error_and_not_an_empty_homeserver() -> None:
    store = InMemoryStore()
    with pytest.raises(HomeserverError, match="no client"):
        await reconcile_matrix_state(None, store, ChatManager(store))


async def test_a_chat_manager_that_can_make_no_chat_is_an_error_before_anything_is_read() -> None:
    with pytest.raises(ToolkitError, match="get_or_create"):
        await reconcile_matrix_state(
            SimpleNamespace(user_id=BOT, rooms={}),
            InMemoryStore(),
            object(),  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("kind", ["plain", "joined", "foreign"])
async def test_a_chat_manager_that_leaves_fields_out_leaves_nothing_for_the_next_run(
    kind: str, tmp_path: Path
) -> None:
    class Sparse:
        def __init__(self, store: Any) -> None:
            self.store = store

        async def get_or_create(
            self,
            user_id: str,
            chat_id: str,
            platform: str,
            surface_ref: str,
            name: str | None = None,
        ) -> None:
            await self.store.set(chat_key(user_id, chat_id), {"surface_ref": surface_ref})

    rooms = {
        "!s": SimpleNamespace(room_type="m.space", users=[BOT, ALICE], children=["!c"]),
        "!c": SimpleNamespace(room_type="", users=[BOT, ALICE], name="Чат 1"),
    }
    client = SimpleNamespace(user_id=BOT, rooms=rooms)
    async with SQLiteStore(tmp_path / "bot.db") as database, SQLiteStore(database.path) as other:
        store: Any = InMemoryStore() if kind == "plain" else database
        manager = Sparse(other if kind == "foreign" else store)
        first = await reconcile_matrix_state(client, store, manager)
        assert [row["room_id"] for row in first["restored_chat_rows"]] == ["!c"]
        second = await reconcile_matrix_state(client, store, manager)
        assert second["unchanged_rooms"] == ["!c"]
        assert not second["repaired_chat_rows"]


async def test_a_single_room_call_lowers_no_counter_even_if_a_decision_says_so() -> None:
    rooms = {"!s": SimpleNamespace(room_type="m.space", users=[BOT, ALICE], children=[])}
    rooms["!c"] = SimpleNamespace(room_type="", users=[BOT, ALICE], name="Чат 1", parents=["!s"])
    client = SimpleNamespace(user_id=BOT, rooms=rooms)
    store = InMemoryStore({user_key(ALICE): {"space_id": "!s", "next_chat_index": 9}})
    decisions = {ALICE: Decision(choices=Choices(lower_counter=True))}
    await reconcile_single_room(client, store, None, "!c", ALICE, decisions=decisions)
    assert await store.get(user_key(ALICE)) == {"space_id": "!s", "next_chat_index": 9}


async def test_a_client_whose_methods_a_test_replaced_is_not_asked_over_the_network() -> None:
    client = nio.AsyncClient("https://example.invalid", BOT)
    client.user_id = BOT
    client.joined_rooms = AsyncMock(return_value=nio.JoinedRoomsResponse([]))
    client.room_get_state = AsyncMock()
    report = await reconcile_matrix_state(client, InMemoryStore(), None)
    assert report["joined_rooms"] == []


async def test_a_mock_of_a_store_is_taken_as_a_plain_one() -> None:
    store = AsyncMock()
    store.get.return_value, store.keys.return_value = None, []
    report = await reconcile_matrix_state(SimpleNamespace(user_id=BOT, rooms={}), store, None)
    assert report["conflicts"] == []
