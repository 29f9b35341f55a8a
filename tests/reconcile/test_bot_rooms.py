"""`BotRooms`: a bot's start and its messages, whatever is the matter with a row or the homeserver."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nio
import pytest

from tests.bench import A1, ALICE, B1, BOB, BOT, C1, CB, UA, UB, Bench, SyncManager, small_rows
from tests.reconcile.calls import lost, paths
from toolkit import (
    BotRooms,
    ChatManager,
    Convention,
    FoundChat,
    InMemoryStore,
    SQLiteStore,
    StoreError,
)
from toolkit.records import chat_key, room_key
from toolkit.testing import FakeHomeserver

EVE = "@eve:hs"


@pytest.fixture(autouse=True)
def listening(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "toolkit")


def lines(caplog: pytest.LogCaptureFixture, level: int = logging.WARNING) -> list[str]:
    """What the bot said at this level, one line each; then it is forgotten."""
    said = [
        r.getMessage() for r in caplog.records if r.name == "toolkit.bot" and r.levelno == level
    ]
    assert all(r.exc_info is None for r in caplog.records)
    caplog.clear()
    return said


def met(room_id: str, user_id: str) -> tuple[Any, Any]:
    """What nio's callback gets."""
    return SimpleNamespace(room_id=room_id), SimpleNamespace(sender=user_id)


def unreachable() -> nio.AsyncClient:
    client = nio.AsyncClient("http://localhost:9", BOT)
    client.access_token = "none"
    return client


class TestStart:
    async def test_what_is_certain_comes_back_and_each_conflict_names_room_user_and_key(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.world.chat("!twin", "!bob", "Чат 1", owner=BOB)
        rows = lost(A1, B1, CB) | {UA: "{oops"}
        bench.fill(rows)
        async with SQLiteStore(bench.path) as store:
            report = await BotRooms(client, store, ChatManager(store)).start()
        assert report and report["restored_room_meta"] == ["!a1"]
        said = lines(caplog)
        assert [line.partition(": ")[::2] for line in said if "2 rooms" not in line] == [
            (
                "unreadable_row",
                f"user {ALICE}, key {UA}: the row is there but can't be read: it is not JSON; "
                "it is overwritten only if you say so",
            )
        ]
        for room_id in ("!b1", "!twin"):
            start = (
                f"duplicate_chat_id: room {room_id}, user {BOB}, key {room_key(room_id)}: 2 rooms"
            )
            assert any(line.startswith(start) for line in said)

    async def test_a_note_names_the_row_at_a_level_of_its_own(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fill(small_rows() | {C1: {**small_rows()[C1], "surface_ref": "!gone"}})
        async with SQLiteStore(bench.path) as store:
            await BotRooms(client, store, ChatManager(store)).start()
        [note] = lines(caplog, logging.INFO)
        assert note.startswith(f"wrong_surface_ref: user {ALICE}, key {C1}: ")

    async def test_a_new_database_is_told_once(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        async with SQLiteStore(bench.path) as store:
            await BotRooms(client, store, ChatManager(store)).start()
        said = [r.levelname for r in caplog.records if r.getMessage().startswith("new_database: ")]
        assert said == ["WARNING"]

    async def test_a_space_of_nobody_is_named_without_a_row_that_it_cannot_have(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.world.space("!empty")
        bench.world.chat("!c1", "!empty", "Чат 1")
        bench.fill(small_rows())
        async with SQLiteStore(bench.path) as store:
            await BotRooms(client, store, ChatManager(store)).start()
        said = lines(caplog)
        assert any(line.startswith("owner_unknown: room !empty: ") for line in said)
        assert any(
            line.startswith(f"owner_unknown: room !c1, key {room_key('!c1')}: ") for line in said
        )

    async def test_without_a_homeserver_it_goes_on_with_the_rows_as_they_are(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fill(small_rows())
        client, before = unreachable(), bench.bytes()
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store, ChatManager(store))
            assert await rooms.start(deadline=5) is None
            assert await rooms.find_chat(*met("!a1", ALICE))
        await client.close()
        [line] = lines(caplog)
        assert line.startswith(
            "starting with the rows as they are: Can't list the joined rooms: http"
        )
        assert bench.bytes() == before

    async def test_a_partial_read_and_a_passed_deadline_leave_the_rows_too(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fill(lost(A1))
        bench.world.rooms.clear()
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store)
            assert await rooms.start() is None
            assert await rooms.start(deadline=0) is None
        said = lines(caplog)
        assert len(said) == 2 and "deadline of 0 s" in said[1]
        assert bench.row(A1) is None

    async def test_a_database_that_cannot_be_read_is_fatal_in_one_sentence(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fill(small_rows())
        store = SQLiteStore(bench.path)
        with pytest.raises(StoreError, match=r"isn't open: `async with` or `open\(\)` it\.$"):
            await BotRooms(client, store).start()
        assert lines(caplog) == []

    async def test_the_convention_and_the_counters_are_handed_on(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.world.name("!a1", "Talk 1")
        rows = lost(A1, C1) | {UB: {**small_rows()[UB], "next_chat_index": 9}}
        bench.fill(rows)
        named = Convention(room_name_patterns=("Talk {n}",))
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store, ChatManager(store), convention=named)
            await rooms.start(lower_counters=False)
        assert bench.row(A1)["chat_id"] == "C1"
        assert bench.row(UB)["next_chat_index"] == 9


class TestFindChat:
    async def test_a_chat_in_order_costs_no_request_and_comes_with_the_bots_own_fields(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        rows = small_rows() | {A1: {**small_rows()[A1], "muted": True}}
        bench.fill(rows)
        async with SQLiteStore(bench.path) as store:
            found = await BotRooms(client, store).find_chat(*met("!a1", ALICE))
        assert found == FoundChat(ALICE, "C1", "!a1", rows[A1], rows[C1])
        assert server.requests == []

    @pytest.mark.parametrize("gone", [A1, C1])
    async def test_a_lost_row_is_brought_back(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture, gone: str
    ) -> None:
        bench.fill(lost(gone))
        async with SQLiteStore(bench.path) as store:
            found = await BotRooms(client, store, ChatManager(store)).find_chat(*met("!a1", ALICE))
        assert found and found.chat_id == "C1" and found.chat_row == small_rows()[C1]
        assert bench.row(gone) == small_rows()[gone]
        assert lines(caplog) == []

    async def test_a_row_that_points_elsewhere_is_put_right(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(small_rows() | {C1: {**small_rows()[C1], "surface_ref": "!gone"}})
        async with SQLiteStore(bench.path) as store:
            assert await BotRooms(client, store, ChatManager(store)).find_chat(*met("!a1", ALICE))
        assert bench.row(C1)["surface_ref"] == "!a1"

    @pytest.mark.parametrize("bad", ["{oops", b"\xff\xfe", "[]", 7, "{}", '{"chat_id": 7}', "null"])
    @pytest.mark.parametrize("key", [A1, C1])
    async def test_a_corrupt_row_never_raises_and_the_next_user_is_answered(
        self,
        bench: Bench,
        client: nio.AsyncClient,
        caplog: pytest.LogCaptureFixture,
        key: str,
        bad: Any,
    ) -> None:
        bench.fill(small_rows() | {key: bad})
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store, ChatManager(store))
            await rooms.start()
            for _ in range(2):
                caplog.clear()
                assert await rooms.find_chat(*met("!a1", ALICE)) is None
                said = lines(caplog)
                assert any(f"room !a1, user {ALICE}, key {key}: " in line for line in said)
                assert any(line.startswith("unreadable_row: ") for line in said)
                assert await rooms.find_chat(*met("!b1", BOB))
        assert bench.bytes() == before

    async def test_a_corrupt_user_row_is_logged_and_stops_no_chat_whose_own_rows_are_right(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fill(lost(A1) | {UA: "{oops"})
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store, ChatManager(store))
            assert await rooms.find_chat(*met("!a1", ALICE))
        [line] = lines(caplog)
        assert line.startswith(f"unreadable_row: user {ALICE}, key {UA}: ")
        assert bench.bytes()[UA] == ("text", b"{oops")

    @pytest.mark.parametrize("error", [ValueError, KeyError, RuntimeError, StoreError])
    async def test_a_store_of_the_bots_own_that_raises_for_a_row_ends_nothing(
        self,
        bench: Bench,
        client: nio.AsyncClient,
        caplog: pytest.LogCaptureFixture,
        error: type[Exception],
    ) -> None:
        class Own(InMemoryStore):
            async def get(self, key: str) -> dict[str, Any] | None:
                if key == A1:
                    raise error("{oops")
                return await super().get(key)

        rooms = BotRooms(client, Own(small_rows()))
        assert await rooms.find_chat(*met("!a1", ALICE)) is None
        assert await rooms.find_chat(*met("!b1", BOB))
        said = lines(caplog)
        assert any(f"room !a1, user {ALICE}, key {A1}: " in line for line in said)

    async def test_without_a_homeserver_there_is_no_chat_and_one_line_that_says_why(
        self, bench: Bench, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.fill(lost(A1))
        client = unreachable()
        async with SQLiteStore(bench.path) as store:
            assert await BotRooms(client, store).find_chat(*met("!a1", ALICE), deadline=5) is None
        await client.close()
        [line] = lines(caplog)
        start = f"no chat for certain: room !a1, user {ALICE}, key {A1}: there is no such row; "
        assert line.startswith(f"{start}it can't be looked at now: Can't list the joined rooms")

    async def test_a_room_that_is_no_chat_is_asked_about_once_and_no_warning(
        self,
        bench: Bench,
        client: nio.AsyncClient,
        server: FakeHomeserver,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        bench.world.room("!lounge", creator=EVE, members=[BOB], name="Lounge")
        bench.fill(small_rows())
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store)
            assert await rooms.find_chat(*met("!lounge", BOB)) is None
            asked = len(server.requests)
            assert asked and await rooms.find_chat(*met("!lounge", BOB)) is None
        assert len(server.requests) == asked
        told = f"room !lounge, user {BOB}, key {room_key('!lounge')}: it is no chat (not_created_by_bot)"
        assert lines(caplog, logging.INFO) == [f"no chat for certain: {told}"] * 2

    async def test_a_room_of_another_kind_is_no_chat(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        bench.world.room("!desk", members=[BOB])
        row = {**small_rows()[B1], "room_type": "support", "chat_id": "C7"}
        bench.fill(small_rows() | {room_key("!desk"): row})
        async with SQLiteStore(bench.path) as store:
            assert await BotRooms(client, store).find_chat(*met("!desk", BOB)) is None
        assert lines(caplog) == []

    @pytest.mark.parametrize("rows", [small_rows(), lost(A1)])
    async def test_what_a_guest_writes_is_not_the_owners(
        self,
        bench: Bench,
        client: nio.AsyncClient,
        caplog: pytest.LogCaptureFixture,
        rows: dict[str, Any],
    ) -> None:
        bench.fill(rows)
        async with SQLiteStore(bench.path) as store:
            assert await BotRooms(client, store).find_chat(*met("!a1", BOB)) is None
        said = [*lines(caplog, logging.INFO)] if A1 in rows else []
        assert said == (
            [f"a guest writes: room !a1, user {BOB}, key {A1}: it is C1 of {ALICE}"]
            if A1 in rows
            else []
        )
        assert bench.row(A1) == rows.get(A1)

    async def test_messages_of_one_room_wait_for_one_call_and_share_what_it_brings_back(
        self, bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
    ) -> None:
        bench.fill(lost(A1, B1))
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store, ChatManager(store))
            message = met("!a1", ALICE)
            found = await asyncio.gather(*(rooms.find_chat(*message) for _ in range(20)))
        assert {chat and chat.chat_id for chat in found} == {"C1"}
        assert paths(server).count("joined_rooms") == 1

    async def test_a_chat_manager_of_the_bots_own_makes_the_chat_row(
        self, bench: Bench, client: nio.AsyncClient
    ) -> None:
        bench.fill(lost(C1))
        manager = SyncManager(bench.path)
        async with SQLiteStore(bench.path) as store:
            found = await BotRooms(client, store, manager).find_chat(*met("!a1", ALICE))
        assert found and found.chat_row["mine"] == 1.0 and manager.called == ["!a1"]

    async def test_a_store_of_the_bots_own_that_hands_out_no_object_is_no_chat(
        self, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Own(InMemoryStore):
            async def get(self, key: str) -> Any:
                return [] if key == A1 else await super().get(key)

        rooms = BotRooms(client, Own(small_rows()))
        assert await rooms.find_chat(*met("!a1", ALICE)) is None
        assert await rooms.find_chat(*met("!b1", BOB))
        assert lines(caplog)[-1].endswith(f"user {ALICE}, key {A1}: the row is no JSON object")

    async def test_a_chat_manager_that_raises_ends_nothing(
        self, bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
    ) -> None:
        class Broken(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> Any:
                raise RuntimeError("no chats today")

        bench.fill(lost(C1))
        async with SQLiteStore(bench.path) as store:
            rooms = BotRooms(client, store, Broken(store))
            assert await rooms.find_chat(*met("!a1", ALICE)) is None
        assert any(
            f"room !a1, user {ALICE}, key {C1}: there is no such row" in s for s in lines(caplog)
        )


HOSTILE = "!a\x1b[2J\n\u202eroom, user @admin:hs"


async def test_names_of_strangers_are_harmless_in_the_log(
    tmp_path: Path, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    async with SQLiteStore(tmp_path / "bot.db") as store:
        assert await BotRooms(client, store).find_chat(*met(HOSTILE, f"{EVE}\r\nWARNING")) is None
        key = room_key(HOSTILE)
        await store.set(key, {"matrix_user_id": f"{EVE}\x07", "chat_id": "C1\x1b"})
        await store.set(chat_key(f"{EVE}\x07", "C1\x1b"), {"surface_ref": HOSTILE})
        assert await BotRooms(client, store).find_chat(*met(HOSTILE, EVE)) is None
    said = lines(caplog, logging.INFO)
    assert len(said) == 2 and all(line.isprintable() for line in said)
    assert said[0].startswith(
        'no chat for certain: room "!a\\u{1b}[2J\\u{a}\\u{202e}room, user @admin:hs", user "@eve'
    )
    assert json.dumps(said[1]).isascii()
