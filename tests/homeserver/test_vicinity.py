"""What one room costs, and what of the account is read for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import Bench
from tests.clients import TOKEN, nio_client
from tests.homeserver.meeting import Quiet
from tests.homeserver.remembering import ALICE, BOB, CAROL, PLAIN, Bot, paths, rooms_in, states
from tests.worlds import BOT, STRANGER
from toolkit import ChatManager, Decision, SQLiteStore, reconcile_single_room
from toolkit.errors import RemoteIncomplete
from toolkit.homeserver.vicinity import load_vicinity
from toolkit.model import Code, Reason
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver, Fault
from toolkit.testing import Status as Answer
from toolkit.writing.report import Report

USERS = [f"@user{n:04}:example.org" for n in range(4000)]


async def fresh(bot: Bot, room_id: str, user: str = BOB) -> tuple[list[str], Any]:
    """What a client that never synced asks for."""
    return await bot.meets(room_id, user, sync=False)


# -- how many requests ----------------------------------------------------------------------------


@pytest.mark.parametrize("rooms", [100, 1_000, 10_000])
@pytest.mark.parametrize("lost", ["nothing", "the rows of the room", "every row"])
async def test_a_chat_costs_its_owners_rooms_however_many_there_are(
    rooms: int, lost: str, tmp_path: Path
) -> None:
    bot = Bot(*USERS[: rooms // 3])
    bench = Bench(tmp_path / "bot.db")
    keys = {"nothing": set[str](), "every row": set(bot.rows)}.get(
        lost, {room_key("!user00071"), chat_key(USERS[7], "C1")}
    )
    bench.fill({key: row for key, row in bot.rows.items() if key not in keys})
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
        SQLiteStore(bench.path) as store,
    ):
        report = await reconcile_single_room(
            client, store, ChatManager(store), "!user00071", USERS[7]
        )
    assert len(server.requests) == 2 + 3  # the list, the account; the Space and its two chats
    told = report["unchanged_rooms"] if lost == "nothing" else report["restored_room_meta"]
    assert told == ["!user00071"] and not report["conflicts"]


async def test_a_room_that_the_bot_is_not_in_costs_the_list_of_rooms() -> None:
    bot = Bot(ALICE, BOB)
    bot.rows[chat_key(BOB, "C3")] = {"surface_ref": "!left"}
    asked, plan = await fresh(bot, "!left")
    assert asked == ["joined_rooms"] and plan.orphans == (chat_key(BOB, "C3"),)


async def test_a_strangers_room_costs_itself() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.room("!lounge", creator=STRANGER, members=[BOB])
    bot.world.parent("!lounge", "!bob", sender=STRANGER)
    asked, plan = await fresh(bot, "!lounge")
    assert len(asked) == 3 and plan.skipped[0].reason is Reason.NOT_CREATED_BY_BOT


async def test_a_strangers_room_that_a_users_rows_name_costs_that_users_rooms() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.room("!lounge", creator=STRANGER, members=[BOB])
    bot.rows[chat_key(BOB, "C3")] = {"surface_ref": "!lounge"}
    asked, plan = await fresh(bot, "!lounge")
    assert rooms_in(asked) == states("!lounge", "!bob", "!bob1", "!bob2")
    assert [note.code for note in plan.notes] == [Code.ROW_OF_NO_CHAT]


@pytest.mark.parametrize("names", ["both", "parent", "child"])
async def test_a_root_above_all_users_spaces_leads_to_none_of_them(names: str) -> None:
    bot = Bot(*USERS[:100])
    bot.world.space("!root")
    for user in USERS[:100]:
        space = f"!{user[1:9]}"
        if names != "parent":
            bot.world.link("!root", space)
        if names != "child":
            bot.world.parent(space, "!root")
    del bot.rows[user_key(USERS[7])], bot.rows[room_key("!user00071")]
    asked, plan = await fresh(bot, "!user00071", USERS[7])
    assert len(asked) <= 10
    assert {unit.id for unit in plan.units} == {USERS[7], "!user00071"}
    assert all(unit.certain for unit in plan.units)


async def test_a_root_with_one_member_leads_to_no_other_users_either() -> None:
    bot = Bot(*USERS[:30])
    bot.world.space("!root", owner=CAROL)
    for user in USERS[:30]:
        bot.world.link("!root", f"!{user[1:9]}")
        bot.world.parent(f"!{user[1:9]}", "!root")
    del bot.rows[user_key(USERS[7])]
    asked, plan = await fresh(bot, "!user00071", USERS[7])
    assert len(asked) <= 10 and plan.units[0].certain


async def test_of_a_root_that_a_row_names_or_with_members_all_is_read() -> None:
    for members, row in (([ALICE, BOB], False), ([], True)):
        bot = Bot(*USERS[:10])
        bot.world.space("!root", members=members)
        for user in USERS[:10]:
            bot.world.link("!root", f"!{user[1:9]}")
            bot.world.parent(f"!{user[1:9]}", "!root")
        if row:
            bot.rows[user_key(CAROL)] = {"space_id": "!root", "next_chat_index": 1}
        asked, _ = await fresh(bot, "!user00071", USERS[7])
        assert {*states(*(f"!{user[1:9]}" for user in USERS[:10]))} <= {*asked}


async def test_a_large_space_is_read_in_parts() -> None:
    bot = Bot(ALICE, BOB)
    for number in range(3, 120):
        bot.add_chat(BOB, f"!bob{number}", f"C{number}", "!bob")
    bot.rows[user_key(BOB)]["next_chat_index"] = 120
    asked, plan = await fresh(bot, "!bob7")
    assert len(asked) == 2 + 1 + 119 and plan.in_sync_rooms == ("!bob7",)


async def test_what_a_user_linked_is_looked_at_and_leads_nowhere() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    bot.world.link("!bob", "!alice1", sender=BOB)
    bot.world.parent("!bob", "!carol", sender=BOB)
    asked, _ = await fresh(bot, "!bob1")
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2", "!alice1", "!carol")


async def test_a_guests_own_link_to_a_room_counts() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.member("!alice1", BOB, "join")
    bot.world.link("!bob", "!alice1", sender=BOB)
    asked, _ = await fresh(bot, "!bob1")
    assert {*states("!alice", "!alice2")} <= {*asked}


# -- what leads to a Space ------------------------------------------------------------------------


def unlink(bot: Bot, room_id: str, type: str = "m.space.parent") -> None:
    """Take one half of its links away."""
    for events in bot.world.rooms.values():
        events[:] = [
            e for e in events if e["type"] != type or room_id not in (e["room_id"], e["state_key"])
        ]


async def test_a_room_that_names_no_space_is_found_by_the_rows_of_its_user() -> None:
    bot = Bot(*USERS[:20])
    unlink(bot, "!user00071")
    del bot.rows[room_key("!user00071")]
    asked, plan = await fresh(bot, "!user00071", USERS[7])
    assert len(rooms_in(asked)) == 3 and plan.units[0].certain


async def test_a_room_that_nothing_links_is_looked_for_everywhere() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    unlink(bot, "!bob1")
    bot.rows.clear()
    asked, plan = await fresh(bot, "!bob1")
    assert len(asked) == 2 + 9 and {unit.id for unit in plan.units} == {BOB, "!bob1"}


async def test_before_half_a_link_is_written_down_everything_is_read() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    unlink(bot, "!bob1", "m.space.child")
    asked, _ = await fresh(bot, "!bob1")
    assert len(rooms_in(asked)) == 3  # nothing is to be written
    del bot.rows[room_key("!bob1")]
    asked, plan = await fresh(bot, "!bob1")
    assert len(rooms_in(asked)) == 9 and plan.unit("!bob1").certain


async def test_before_a_user_row_is_moved_everything_is_read() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    bot.rows[user_key(BOB)]["space_id"] = "!gone"
    bot.world.space("!bob-too", owner=BOB)
    asked, plan = await fresh(bot, "!bob1")
    assert "rooms/!bob-too/state" in asked
    assert [write.key for unit in plan.units for write in unit.writes] == [user_key(BOB)]


async def test_before_a_row_is_written_beside_a_room_that_hangs_nowhere_everything_is_read() -> (
    None
):
    bot = Bot(ALICE, BOB, CAROL)
    bot.world.room("!adrift", members=[BOB])
    bot.rows[chat_key(BOB, "C3")] = {"surface_ref": "!adrift"}
    bot.rows[user_key(BOB)]["next_chat_index"] = 4
    asked, _ = await fresh(bot, "!bob1")
    assert len(rooms_in(asked)) == 4
    del bot.rows[room_key("!bob1")]
    asked, _ = await fresh(bot, "!bob1")
    assert len(rooms_in(asked)) == 10


async def test_a_persons_decision_is_carried_out_after_a_look_at_everything() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.member("!bob", CAROL, "leave")
    bot.rows = {key: row for key, row in bot.rows.items() if BOB not in f"{key}{row}"}
    for decided, count in (((), 3), (["!bob1"], 6)):
        client = Quiet(bot.world.rooms)
        await load_vicinity(client, await bot.store(), PLAIN, ("!bob1", BOB), plan_repairs, decided)
        assert len(client.asked) == count


async def test_a_synced_client_remembers_who_else_lists_a_room() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    bot.world.link("!carol", "!bob1")
    asked, plan = await bot.meets("!bob1", BOB)
    assert [f.code for f in plan.units[0].findings] == [Code.OWNER_AMBIGUOUS]
    assert not {*states("!alice", "!alice1")} & {*asked}


async def test_a_synced_client_remembers_what_a_room_went_on_as() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.upgrade("!bob2", "!bob2new")
    asked, plan = await bot.meets("!bob2new", BOB)
    assert rooms_in(asked) == states("!bob", "!bob1", "!bob2", "!bob2new")
    assert plan.units[0].certain


async def test_a_synced_client_reads_of_the_whole_account_the_spaces() -> None:
    bot = Bot(ALICE, BOB, CAROL)
    bot.world.room("!adrift", members=[BOB])
    asked, _ = await bot.meets("!adrift", BOB)
    assert rooms_in(asked) == states("!adrift", "!alice", "!bob", "!carol")


async def test_the_memory_of_another_account_leads_nowhere() -> None:
    bot = Bot(ALICE, BOB)
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, "@other:example.org") as client,
    ):
        await client.sync(full_state=True)
        server.requests.clear()
        _, plan = await load_vicinity(
            client, await bot.store(), PLAIN, ("!bob1", BOB), plan_repairs
        )
    assert rooms_in(paths(server)) == states("!bob", "!bob1", "!bob2")
    assert plan.in_sync_rooms == ("!bob1",)


# -- what goes wrong ------------------------------------------------------------------------------


async def test_one_unreadable_room_is_a_conflict_and_of_several_it_is_the_homeserver() -> None:
    bot = Bot(ALICE, BOB)
    store = await bot.store()
    async with (
        FakeHomeserver(bot.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
    ):
        server.fault(Fault("!bob1/state$", Answer(403)))
        report = await reconcile_single_room(client, store, None, "!bob1", BOB)
        assert [c["code"] for c in report["conflicts"]] == ["room_unreadable"]
        server.fault(Fault("/state$", Answer(403)))
        with pytest.raises(RemoteIncomplete):
            await reconcile_single_room(client, store, None, "!bob1", BOB)


async def test_a_room_that_is_left_meanwhile_is_not_joined() -> None:
    bot = Bot(ALICE, BOB)

    class Leaving(Quiet):
        async def room_get_state(self, room_id: str) -> Any:
            if room_id == "!bob1":
                self.state = {r: e for r, e in self.state.items() if r != room_id}
                return None
            return await super().room_get_state(room_id)

    client = Leaving(bot.world.rooms)
    _, plan = await load_vicinity(client, await bot.store(), PLAIN, ("!bob1", BOB), plan_repairs)
    assert plan.skipped[0].reason is Reason.NOT_JOINED


@asynccontextmanager
async def writing_while_it_is_read(
    bench: Bench, bot: Bot, write: Callable[[], object]
) -> AsyncIterator[tuple[Quiet, SQLiteStore]]:
    class Interrupted(Quiet):
        async def room_get_state(self, room_id: str) -> Any:
            if self.asked.count("!bob1") == 1 and room_id == "!bob1":
                write()
            return await super().room_get_state(room_id)

    client = Interrupted(bot.world.rooms)
    client.asked.append("!bob1")
    bench.fill(bot.rows)
    async with SQLiteStore(bench.path) as store:
        yield client, store


async def test_what_was_read_before_the_rows_changed_is_read_again(tmp_path: Path) -> None:
    """Renamed by the bot, row and all, just after its state was read: the old name must not come back."""
    bot, bench = Bot(ALICE, BOB), Bench(tmp_path / "bot.db")
    renamed = {**bot.rows[room_key("!bob1")], "display_name": "New"}
    old = list(bot.world.rooms["!bob1"])

    def rename() -> None:
        bench.put({room_key("!bob1"): renamed})

    async with writing_while_it_is_read(bench, bot, rename) as (client, store):
        bot.world.name("!bob1", "New", BOT)
        new, client.state = bot.world.rooms["!bob1"], {**bot.world.rooms, "!bob1": old}

        class Later(dict[str, Any]):
            def __getitem__(self, room_id: str) -> Any:
                again = room_id == "!bob1" and client.asked.count("!bob1") > 2
                return new if again else super().__getitem__(room_id)

        client.state = Later(client.state)
        _, plan = await load_vicinity(client, store, PLAIN, ("!bob1", BOB), plan_repairs)
    assert client.asked.count("!bob1") == 3
    assert plan.in_sync_rooms == ("!bob1",)


@pytest.mark.parametrize(
    ("key", "row"),
    [
        (room_key("!bob2"), {"chat_id": "C1", "matrix_user_id": BOB, "space_id": "!bob"}),
        (room_key("!elsewhere"), {"chat_id": "C1", "matrix_user_id": BOB, "space_id": "!x"}),
        (chat_key(CAROL, "C1"), {"surface_ref": "!bob2"}),
        (chat_key(BOB, "C8"), {"surface_ref": "!elsewhere"}),
        (user_key(CAROL), {"space_id": "!bob", "next_chat_index": 1}),
    ],
)
async def test_a_row_that_comes_before_the_writing_makes_it_stale(
    key: str, row: dict[str, Any], tmp_path: Path
) -> None:
    """As for the whole account: rows that nobody had when it was planned are found all the same."""
    bot, bench = Bot(ALICE, BOB), Bench(tmp_path / "bot.db")
    del bot.rows[room_key("!bob1")], bot.rows[user_key(BOB)]
    bench.fill(bot.rows)

    class Busy(SQLiteStore):
        async def backup(self, *args: Any, **named: Any) -> Path:
            bench.put({key: row})
            return await super().backup(*args, **named)

    async with Busy(bench.path) as store:
        client = Quiet(bot.world.rooms)
        report: Report = await reconcile_single_room(
            client, store, ChatManager(store), "!bob1", BOB
        )
    assert "stale_plan" in {conflict["code"] for conflict in report["conflicts"]}


async def test_decisions_are_never_answered_from_memory() -> None:
    bot = Bot(ALICE, BOB)
    bot.world.room("!lounge", creator=STRANGER)
    client, store = Quiet(bot.world.rooms), await bot.store()
    for count in (1, 2):
        await reconcile_single_room(
            client, store, None, "!lounge", BOB, decisions={"!lounge": Decision()}
        )
        assert len(client.asked) == count
