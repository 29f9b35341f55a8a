"""The bot of rules 1 to 5 with its rows in three tables of its own: the same plan, written where they stand."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.bench import ALICE, BOB, BOT, Bench, small_rows, states
from tests.clients import nio_client
from tests.tables import CHAT_TABLES, CHATS, Desk, fill_chats
from toolkit import (
    ChatManager,
    SQLiteStore,
    StoreError,
    get_user_meta,
    reconcile_single_room,
    set_user_meta,
)
from toolkit.database.look import Look, load_look
from toolkit.model import Choices, Code, Status
from toolkit.records import Names, Raw, chat_key, load_records, room_key, user_key
from toolkit.testing import FakeHomeserver
from toolkit.writing.undo import undo

BROKEN = {
    user_key(ALICE): None,
    room_key("!a1"): None,
    chat_key(ALICE, "C2"): {"surface_ref": "!gone"},
    room_key("!b1"): {"display_name": "Old", "space_id": "!elsewhere"},
}


def broken() -> dict[str, Any]:
    rows = {}
    for key, row in small_rows().items():
        change = BROKEN.get(key, {})
        if change is not None:
            rows[key] = {**row, **change}
    return rows


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "bot.db", CHAT_TABLES, CHATS)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "other.db")


def as_objects(rows: Mapping[str, Raw]) -> dict[str, Any]:
    return {key: json.loads(str(raw)) for key, raw in rows.items()}


async def test_the_rows_are_those_of_the_key_value_table(desk: Desk) -> None:
    fill_chats(desk, small_rows())
    desk.sql("INSERT INTO chats VALUES ('@alice:hs', 9, '!other', 'x', 'another')")
    assert as_objects(await desk.rows()) == small_rows()


async def test_the_plan_is_that_of_the_key_value_table_field_by_field(
    desk: Desk, tmp_path: Path
) -> None:
    fill_chats(desk, broken())
    bench, other = Bench(desk.path), Bench(tmp_path / "kv.db")
    other.fill(broken())
    async with desk.store() as store, SQLiteStore(other.path) as key_value:
        mapped = bench.plan(await load_look(store))
        plain = other.plan(await load_look(key_value))
    assert len(mapped.units) == 4 and len(plain.units) == 4
    for ours, theirs in zip(mapped.units, plain.units, strict=True):
        assert (ours.id, ours.status, ours.findings) == (theirs.id, theirs.status, theirs.findings)
        for write, wanted in zip(ours.writes, theirs.writes, strict=True):
            assert write.key == wanted.key
            assert json.loads(str(write.after)) == json.loads(str(wanted.after))


async def test_what_is_planned_is_written_and_nothing_is_left_and_undo_is_exact(
    desk: Desk,
) -> None:
    fill_chats(desk, broken())
    before = desk.dump()
    bench = Bench(desk.path)
    async with desk.store() as store:
        result = await bench.run(store, ChatManager(store))
        assert set(states(result).values()) == {"applied"} and len(result.outcomes) == 4
        assert as_objects(dict(await store.load_rows())) == small_rows()
        again = await bench.run(store)
        assert again.outcomes == {}
        assert result.run
        _, back = await undo(store, result.run)
        assert set(states(back).values()) == {"applied"}
    assert desk.dump() == before
    assert desk.sql("SELECT DISTINCT bot FROM chats") == [("me",)]


async def test_a_manager_of_the_bots_own_on_this_store_makes_the_row(desk: Desk) -> None:
    fill_chats(desk, {k: row for k, row in small_rows().items() if k != chat_key(BOB, "C1")})

    class Mine(ChatManager):
        async def get_or_create(self, *args: Any, **named: Any) -> Any:
            return await super().get_or_create(*args, **named)

    async with desk.store() as store:
        result = await Bench(desk.path).run(store, Mine(store))
        assert states(result) == {"!b1": "applied"}
        assert as_objects(dict(await store.load_rows())) == small_rows()


async def test_an_odd_cell_makes_its_row_unreadable_and_may_be_overwritten(desk: Desk) -> None:
    fill_chats(desk, small_rows())
    desk.sql("UPDATE rooms SET space = x'ff' WHERE id = '!a1'")
    before = desk.dump()
    bench = Bench(desk.path)
    async with desk.store() as store:
        plan = bench.plan(await load_look(store))
        [unit] = plan.units
        assert (unit.id, unit.status) == ("!a1", Status.CONFLICT)
        assert [f.code for f in unit.findings] == [Code.UNREADABLE_ROW]
        result = await bench.run(store, choices={"!a1": Choices(overwrite=True)})
        assert states(result) == {"!a1": "applied"} and result.run
        assert as_objects(dict(await store.load_rows())) == small_rows()
        await undo(store, result.run)
    assert desk.dump() == before


async def test_a_row_without_a_user_is_unreadable_and_no_other(desk: Desk) -> None:
    fill_chats(desk, small_rows())
    desk.sql("INSERT INTO users (mxid, space, next) VALUES (NULL, '!x', 1), (NULL, '!y', 1)")
    local = load_records(await desk.rows())
    assert set(local.users) == {ALICE, BOB} and len(local.unreadable) == 1
    plan = Bench(desk.path).plan(_look(await desk.rows()))
    assert plan.units == ()


def _look(rows: dict[str, Raw]) -> Any:

    return Look(rows)


async def test_a_number_is_compared_with_and_without_its_prefix(desk: Desk) -> None:
    fill_chats(desk, small_rows())
    desk.sql("UPDATE rooms SET n = 'odd' WHERE id = '!a1'")
    desk.sql("UPDATE rooms SET n = NULL WHERE id = '!a2'")
    rows = as_objects(await desk.rows())
    assert rows[room_key("!a1")]["chat_id"] == "Codd"
    assert rows[room_key("!a2")]["chat_id"] is None
    async with desk.store() as store:
        result = await Bench(desk.path).run(store, choices={"!a2": Choices(overwrite=True)})
    assert states(result) == {"!a1": "applied", "!a2": "applied"}
    assert desk.sql("SELECT id, n, typeof(n) FROM rooms WHERE id < '!b'") == [
        ("!a1", 1, "integer"),
        ("!a2", 2, "integer"),
    ]


async def test_a_number_in_a_text_column_stays_a_text(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "bot.db", CHAT_TABLES.replace("n INTEGER", "n VARCHAR(9)"), CHATS)
    fill_chats(desk, {k: row for k, row in small_rows().items() if k != chat_key(BOB, "C1")})
    async with desk.store() as store:
        assert states(await Bench(desk.path).run(store)) == {"!b1": "applied"}
    assert desk.sql("SELECT n, typeof(n) FROM chats WHERE mxid = '@bob:hs'") == [("1", "text")]


@pytest.mark.parametrize(
    ("key", "row", "said"),
    [
        (room_key("!x"), {"room_type": "game"}, "room_type is always 'chat' by the mapping"),
        (room_key("!x"), {"chat_id": "7"}, "chat_id doesn't begin with 'C'"),
        (room_key("!x"), {"mood": 1}, "no column for mood"),
    ],
)
async def test_what_the_mapping_cannot_say_is_refused(
    desk: Desk, key: str, row: dict[str, Any], said: str
) -> None:
    async with desk.store() as store:
        with pytest.raises(StoreError, match=said):
            await store.set(key, row)


async def test_the_bots_own_functions_for_rows_work(desk: Desk) -> None:
    async with desk.store() as store:
        row = {"space_id": "!s", "next_chat_index": 4}
        await set_user_meta(store, ALICE, row)
        assert await get_user_meta(store, ALICE) == row
        assert await store.keys("matrix_user:") == [user_key(ALICE)]
        context = await ChatManager(store).get_or_create(ALICE, "C3", "matrix", "!r", "Cakes")
        assert context.surface_ref == "!r"
    assert desk.sql("SELECT * FROM users") == [(ALICE, "!s", 4, "no")]
    assert desk.sql("SELECT * FROM chats") == [(ALICE, 3, "!r", "Cakes", "me")]


async def test_where_an_insert_would_need_more_the_table_is_refused_for_writing(
    tmp_path: Path,
) -> None:
    made = CHAT_TABLES.replace("vip TEXT DEFAULT 'no'", "vip TEXT NOT NULL")
    desk = Desk(tmp_path / "bot.db", made, CHATS)
    assert await desk.rows() == {}
    with pytest.raises(StoreError) as caught:
        async with desk.store():
            pass
    assert str(caught.value).endswith(
        "nothing can be inserted there: its column 'vip' needs a value; give it in "
        "insert = { column = value } of [rows.user]."
    )


@pytest.mark.parametrize(
    ("rooms", "users", "keys"),
    [
        ((), (), ()),
        (("!a1",), (), ("matrix_room:!a1", "chat:@alice:hs:C1")),
        (("!bob",), (), ("matrix_user:@bob:hs", "matrix_room:!b1")),
        ((), (BOB,), ("matrix_user:@bob:hs", "matrix_room:!b1", "chat:@bob:hs:C1")),
        (("!a1",), (BOB,), (*small_rows(),)[1:3] + (*small_rows(),)[5:]),
        (("!x",), ("@x:hs",), ()),
    ],
)
async def test_a_single_room_reads_the_rows_that_concern_it_and_not_the_tables(
    desk: Desk, rooms: tuple[str, ...], users: tuple[str, ...], keys: tuple[str, ...]
) -> None:
    fill_chats(desk, small_rows())
    async with desk.store() as store:
        found = await store.load_rows(Names(frozenset(rooms), frozenset(users)))
    assert sorted(key for key, _ in found) == sorted(keys)
    assert as_objects(dict(found)) == {key: small_rows()[key] for key in keys}


async def test_a_single_room_is_repaired_by_the_rows_that_concern_it(
    desk: Desk, bench: Bench
) -> None:
    fill_chats(desk, {k: row for k, row in small_rows().items() if k != room_key("!a1")})
    async with FakeHomeserver(bench.world.rooms, BOT) as server, desk.store() as store:
        async with nio_client(server.url, BOT, server.access_token, server.device_id) as client:
            manager = ChatManager(store)
            report = await reconcile_single_room(client, store, manager, "!a1", ALICE)
        assert report["restored_room_meta"] == ["!a1"]
        assert as_objects(dict(await store.load_rows())) == small_rows()
