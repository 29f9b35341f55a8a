"""A room that is no chat: asked again, nothing is asked for, until something can have changed."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench import Bench
from tests.clients import TOKEN, nio_client
from tests.homeserver.meeting import Quiet
from tests.homeserver.remembering import ALICE, BOB, CAROL, Bot
from tests.worlds import BOT, STRANGER
from toolkit import Convention, InMemoryStore, SQLiteStore, reconcile_single_room
from toolkit.homeserver import answers
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver
from toolkit.writing.report import Report


@pytest.fixture
def bot() -> Bot:
    """Two users, a stranger's room, one of the bot's own that hangs nowhere, and that one with a row."""
    bot = Bot(ALICE, BOB)
    bot.world.room("!lounge", creator=STRANGER, members=[BOB], name="Lounge")
    bot.world.room("!adrift", members=[BOB])
    bot.world.room("!called", members=[BOB])
    bot.rows[room_key("!called")] = {**bot.rows[room_key("!bob1")], "chat_id": "C7"}
    return bot


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A database without a table yet."""
    return Bench(tmp_path / "bot.db")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, which a test may put forward."""
    time = [0.0]
    monkeypatch.setattr(answers, "now", lambda: time[0])
    return time


async def meet(client: Any, store: Any, room_id: str, user: str = BOB, **more: Any) -> Report:
    return await reconcile_single_room(client, store, None, room_id, user, **more)


NO_CHATS = ["!lounge", "!adrift", "!bob", "!called"]


@pytest.mark.parametrize("room_id", NO_CHATS)
@pytest.mark.parametrize("kind", [InMemoryStore, SQLiteStore])
async def test_a_room_that_is_no_chat_is_asked_about_once(
    bot: Bot, bench: Bench, room_id: str, kind: Any
) -> None:
    bench.fill(bot.rows)
    client = Quiet(bot.world.rooms)
    async with SQLiteStore(bench.path) as database:
        store = database if kind is SQLiteStore else await bot.store()
        first = await meet(client, store, room_id)
        client.asked.clear()
        assert await meet(client, store, room_id) == first
        assert client.asked == []
        await store.set("of:another", {})  # and a row that has nothing to do with it
        await store.set(chat_key(CAROL, "C1"), {"surface_ref": "!elsewhere"})
        assert await meet(client, store, room_id) == first
        assert await meet(client, store, room_id) == first
        assert client.asked == []


@pytest.mark.parametrize("room_id", ["!bob1", "!gone"])
async def test_a_chat_and_a_room_that_is_not_joined_are_looked_at_each_time(
    bot: Bot, room_id: str
) -> None:
    client, store = Quiet(bot.world.rooms), await bot.store()
    await meet(client, store, room_id)
    client.asked.clear()
    bot.world.room("!gone", creator=STRANGER)
    report = await meet(client, store, room_id)
    assert room_id in client.asked and report["joined_rooms"] == [room_id]


ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "its own": (room_key("!lounge"), {"chat_id": "C1", "matrix_user_id": BOB, "space_id": "!bob"}),
    "a chat row": (chat_key(CAROL, "C1"), {"surface_ref": "!lounge"}),
    "a placeholder": (chat_key(BOB, "unregistered:!lounge"), {"surface_ref": "!lounge"}),
    "a user row": (user_key(CAROL), {"space_id": "!lounge", "next_chat_index": 1}),
}


@pytest.mark.parametrize(("key", "row"), ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("kind", [InMemoryStore, SQLiteStore])
async def test_a_row_about_it_makes_it_a_new_question(
    bot: Bot, bench: Bench, key: str, row: dict[str, Any], kind: Any
) -> None:
    bench.fill(bot.rows)
    client = Quiet(bot.world.rooms)
    async with SQLiteStore(bench.path) as database:
        store = database if kind is SQLiteStore else await bot.store()
        await meet(client, store, "!lounge")
        client.asked.clear()
        await store.set(key, row)
        report = await meet(client, store, "!lounge")
        assert "!lounge" in client.asked
        fresh = Quiet(bot.world.rooms)
        assert report == await meet(fresh, store, "!lounge")


async def test_ten_minutes_later_it_is_a_new_question(bot: Bot, clock: list[float]) -> None:
    client, store = Quiet(bot.world.rooms), await bot.store()
    for seconds, asked in ((0, 1), (599, 1), (601, 2), (1200, 2), (1202, 3)):
        clock[0] = seconds
        await meet(client, store, "!lounge")
        assert len(client.asked) == asked


Change = Callable[[Any, Bot], object]
CHANGES: dict[str, tuple[str, Change]] = {
    "renamed": ("!lounge", lambda client, bot: setattr(client.rooms["!lounge"], "name", "New")),
    "linked by a Space": ("!adrift", lambda client, bot: client.rooms["!bob"].children.add("!adrift")),
    "named a Space": ("!adrift", lambda client, bot: client.rooms["!adrift"].parents.add("!bob")),
    "another room": ("!adrift", lambda client, bot: client.rooms.pop("!alice1")),
    "forgotten": ("!lounge", lambda client, bot: client.rooms.pop("!lounge")),
    "a member of a Space": ("!bob", lambda client, bot: client.rooms["!bob"].remove_member(BOB)),
    "another account": ("!lounge", lambda client, bot: setattr(client, "user_id", "@other:hs")),
    "another homeserver": ("!lounge", lambda client, bot: setattr(client, "homeserver", f"{client.homeserver}/")),
}  # fmt: skip


@pytest.mark.parametrize(("room_id", "change"), CHANGES.values(), ids=CHANGES)
async def test_what_the_client_hears_makes_it_a_new_question(
    bot: Bot, room_id: str, change: Change
) -> None:
    store = await bot.store()
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
    ):
        await client.sync(full_state=True)
        await meet(client, store, room_id)
        server.requests.clear()
        client.rooms["!lounge"].remove_member(STRANGER)  # a room's members say nothing about it
        await meet(client, store, room_id)
        assert server.requests == []
        change(client, bot)
        await meet(client, store, room_id)
        assert server.requests != []


async def test_another_convention_or_user_is_another_question(bot: Bot) -> None:
    client, store = Quiet(bot.world.rooms), await bot.store()
    await meet(client, store, "!lounge")
    await meet(client, store, "!lounge", ALICE)
    assert len(client.asked) == 2
    report = await meet(client, store, "!lounge", convention=Convention(former_accounts=[STRANGER]))
    assert report["skipped_rooms"] == [{"room_id": "!lounge", "reason": "no_space"}]


async def test_no_two_clients_or_databases_share_an_answer(bot: Bot) -> None:
    clients = [Quiet(bot.world.rooms), Quiet(bot.world.rooms)]
    stores = [await bot.store(), await bot.store()]
    for client in clients:
        for store in stores:
            await meet(client, store, "!lounge")
        assert client.asked == ["!lounge", "!lounge"]


async def test_a_database_that_was_closed_and_opened_again_is_compared_anew(
    bot: Bot, bench: Bench
) -> None:
    bench.fill(bot.rows)
    client, store = Quiet(bot.world.rooms), SQLiteStore(bench.path)
    async with store:
        await meet(client, store, "!lounge")
    bench.put({chat_key(BOB, "C9"): {"surface_ref": "!lounge"}})
    async with store:
        report = await meet(client, store, "!lounge")
    assert [note["key"] for note in report["notes"]] == [chat_key(BOB, "C9")]


async def test_answers_go_with_their_client_and_their_store(bot: Bot) -> None:
    gc.collect()
    before = len(answers._shelves)
    client, store = Quiet(bot.world.rooms), await bot.store()
    await meet(client, store, "!lounge")
    assert len(answers._shelves) == before + 1
    del store
    gc.collect()
    assert len(answers._shelves) == before


async def test_of_very_many_rooms_the_latest_are_kept(
    bot: Bot, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "KEPT", 2)
    for name in ("!one", "!two", "!three"):
        bot.world.room(name, creator=STRANGER)
    client, store = Quiet(bot.world.rooms), await bot.store()
    for room_id in ("!one", "!two", "!one", "!three"):
        await meet(client, store, room_id)
    assert client.asked == ["!one", "!two", "!three"]
    client.asked.clear()
    for room_id in ("!one", "!three", "!two"):
        await meet(client, store, room_id)
    assert client.asked == ["!two"]


async def test_a_client_that_nothing_tells_to_be_gone_is_asked_each_time(bot: Bot) -> None:
    class Slotted:
        __slots__ = ("client",)
        user_id = BOT

        def __init__(self) -> None:
            self.client = Quiet(bot.world.rooms)

        async def joined_rooms(self) -> Any:
            return await self.client.joined_rooms()

        async def room_get_state(self, room_id: str) -> Any:
            return await self.client.room_get_state(room_id)

    slotted, store = Slotted(), await bot.store()
    for count in (1, 2):
        await meet(slotted, store, "!lounge")
        assert len(slotted.client.asked) == count
