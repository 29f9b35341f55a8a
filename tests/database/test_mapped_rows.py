"""Rows of a bot's own tables as keys and texts: what is seen of them, one by one."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.tables import (
    CONVERSATIONS,
    PORTALS,
    TICKETS,
    Desk,
    conversations,
    link_layout,
    portals,
    tickets,
)
from toolkit import StoreError
from toolkit.database.mapped_sql import SQLite
from toolkit.database.virtual_rows import tables_of
from toolkit.records import Names, Raw


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


async def test_a_row_is_shown_under_its_table_and_id_with_its_columns_in_a_fixed_order(
    path: Path,
) -> None:
    desk = Desk(path, TICKETS, tickets(owner="user_id", show=["status"]))
    assert await desk.rows() == {
        "link:tickets:1": '{"id":1,"user_room_id":null,"user_id":1,"status":"open"}',
        "link:tickets:2": '{"id":2,"user_room_id":"!two","user_id":1,"status":"open"}',
        "link:tickets:3": '{"id":3,"user_room_id":"!three","user_id":2,"status":"open"}',
    }


async def test_a_composite_id_is_a_list_in_the_key_so_that_no_two_become_one(path: Path) -> None:
    desk = Desk(path, PORTALS, portals())
    desk.sql("INSERT INTO portal (gcid, gc_receiver) VALUES ('space', 'b:'), ('space:b:', '')")
    rows = await desk.rows()
    assert set(rows) == {
        'link:portal:["space:a",""]',
        'link:portal:["space:b",""]',
        'link:portal:["space","b:"]',
        'link:portal:["space:b:",""]',
    }


async def test_only_rows_that_count_are_seen(path: Path) -> None:
    made = """CREATE TABLE user_spaces (space_id TEXT NOT NULL, user_id TEXT NOT NULL,
        active BOOLEAN NOT NULL DEFAULT TRUE, PRIMARY KEY (space_id, user_id));
        INSERT INTO user_spaces VALUES ('!old', '@anna:hs', FALSE), ('!new', '@anna:hs', TRUE)"""
    layout = link_layout("user_spaces", "user_id", "space_id", where={"active": True})
    rows = await Desk(path, made, layout).rows()
    assert rows == {"link:user_spaces:@anna:hs": '{"user_id":"@anna:hs","space_id":"!new"}'}


async def test_several_rows_of_one_id_are_a_list_and_never_the_last_of_them(path: Path) -> None:
    made = """CREATE TABLE user_spaces (space_id TEXT, user_id TEXT, PRIMARY KEY (space_id, user_id));
        INSERT INTO user_spaces VALUES ('!b', '@anna:hs'), ('!a', '@anna:hs'), ('!c', '@ben:hs')"""
    desk = Desk(path, made, link_layout("user_spaces", "user_id", "space_id"))
    rows = await desk.rows()
    several = [{"user_id": "@anna:hs", "space_id": room} for room in ("!a", "!b")]
    assert json.loads(str(rows["link:user_spaces:@anna:hs"])) == several
    assert json.loads(str(rows["link:user_spaces:@ben:hs"])) == {
        "user_id": "@ben:hs",
        "space_id": "!c",
    }
    async with desk.store() as store:
        with pytest.raises(StoreError, match="not an object"):
            await store.get("link:user_spaces:@anna:hs")


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        (b"\xff\x00", {"blob": "ff00"}),
        (1.5, 1.5),
        (float("inf"), float("inf")),
        ("nul\0nul", "nul\0nul"),
        ('{"a": "\u2028"}', '{"a": "\u2028"}'),
        (None, None),
    ],
)
async def test_an_odd_cell_is_shown_in_its_own_row_and_no_other_suffers(
    path: Path, cell: Any, shown: Any
) -> None:
    desk = Desk(
        path,
        "CREATE TABLE links (id INTEGER PRIMARY KEY, room)",
        link_layout("links", "id", "room"),
    )
    desk.sql("INSERT INTO links VALUES (1, ?), (2, '!two')", cell)
    rows = await desk.rows()
    assert json.loads(str(rows["link:links:1"])) == {"id": 1, "room": shown}
    assert rows["link:links:2"] == '{"id":2,"room":"!two"}'


async def test_what_is_not_utf8_is_shown_and_found_again(path: Path) -> None:
    desk = Desk(
        path,
        "CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT)",
        link_layout("links", "id", "room"),
    )
    desk.sql("INSERT INTO links VALUES (CAST(x'61ff' AS TEXT), CAST(x'ff' AS TEXT))")
    [(key, raw)] = (await desk.rows()).items()
    assert key == "link:links:a\udcff"
    assert json.loads(str(raw)) == {"id": "a\udcff", "room": "\udcff"}
    async with desk.store() as store:
        assert await store.get(key) == {"id": "a\udcff", "room": "\udcff"}


@pytest.mark.parametrize("cell", [None, b"\xff", 1.5])
async def test_a_row_whose_id_is_none_is_unreadable_under_a_key_of_its_own(
    path: Path, cell: Any
) -> None:
    made = "CREATE TABLE links (id, room TEXT PRIMARY KEY)"
    desk = Desk(path, made, link_layout("links", "id", "room"))
    desk.sql("INSERT INTO links VALUES (?, '!one'), (?, '!two'), ('a', '!three')", cell, cell)
    rows = await desk.rows()
    assert rows.pop("link:links:a") == '{"id":"a","room":"!three"}'
    [(key, raw)] = rows.items()
    assert [row["room"] for row in json.loads(str(raw))] == ["!one", "!two"]
    result = await desk.write({key: None})
    assert result.left


async def test_one_row_whose_id_is_none_is_no_object_either(path: Path) -> None:
    desk = Desk(
        path, "CREATE TABLE links (id, room TEXT PRIMARY KEY)", link_layout("links", "id", "room")
    )
    desk.sql("INSERT INTO links VALUES (NULL, '!one')")
    assert await desk.rows() == {'link:links:{"id":null}': '[{"id":null,"room":"!one"}]'}


async def test_an_id_is_found_as_text_and_as_integer(path: Path) -> None:
    desk = Desk(path, "CREATE TABLE links (id UNIQUE, room)", link_layout("links", "id", "room"))
    desk.sql("INSERT INTO links VALUES (7, '!int'), ('8', '!text'), ('007', '!zeros')")
    async with desk.store() as store:
        assert await store.get("link:links:7") == {"id": 7, "room": "!int"}
        assert await store.get("link:links:8") == {"id": "8", "room": "!text"}
        assert await store.get("link:links:007") == {"id": "007", "room": "!zeros"}
        assert await store.get("link:links:9") is None
        assert await store.keys("link:links:00") == ["link:links:007"]


async def test_an_id_that_is_there_as_text_and_as_integer_is_two_rows_of_one_key(
    path: Path,
) -> None:
    desk = Desk(path, "CREATE TABLE links (id UNIQUE, room)", link_layout("links", "id", "room"))
    desk.sql("INSERT INTO links VALUES (7, '!int'), ('7', '!text')")
    rows = await desk.rows()
    assert json.loads(str(rows["link:links:7"])) == [
        {"id": "7", "room": "!text"},
        {"id": 7, "room": "!int"},
    ]


async def test_what_a_table_takes_for_the_same_comes_along(path: Path) -> None:
    made = "CREATE TABLE links (id TEXT COLLATE NOCASE PRIMARY KEY, room TEXT)"
    desk = Desk(path, made, link_layout("links", "id", "room"))
    desk.sql("INSERT INTO links VALUES ('Anna', '!a')")
    async with desk.store() as store, store.transaction() as transaction:
        assert set(await transaction.rows_of(["link:links:anna"])) == {"link:links:Anna"}


async def test_many_rows_are_found_by_their_keys(path: Path) -> None:
    desk = Desk(path, PORTALS, portals())
    with sqlite3.connect(path) as database:
        database.executemany(
            "INSERT INTO portal (gcid, gc_receiver) VALUES (?, 'x')",
            [(str(n),) for n in range(450)],
        )
    database.close()
    keys = [f'link:portal:["{n}","x"]' for n in range(450)]
    async with desk.store() as store, store.transaction() as transaction:
        assert list(await transaction.rows_of(keys)) == keys
        assert len(await transaction.load_rows(Names(frozenset({"!a"})))) == 452


async def test_a_row_is_set_whole_and_read_back(path: Path) -> None:
    desk = Desk(path, CONVERSATIONS, conversations(show=["last_event"]))
    async with desk.store() as store:
        key = "link:conversation_to_room:3"
        await store.set(key, {"conversation_id": 3, "matrix_room_id": "!three"})
        assert await store.get(key) == {
            "conversation_id": 3,
            "matrix_room_id": "!three",
            "last_event": None,
        }
        await store.set(key, {"conversation_id": 3, "matrix_room_id": "!four", "last_event": "$y"})
        await store.set(key, {"conversation_id": 3, "matrix_room_id": "!four", "last_event": "$y"})
    assert desk.sql("SELECT * FROM conversation_to_room")[2:] == [("!four", 3, "$y")]


@pytest.mark.parametrize(
    ("key", "row", "said"),
    [
        ("link:conversation_to_room:3", {"mood": "x"}, "no column for mood"),
        ("link:tickets:3", {}, "belongs to no table of the mapping"),
        ("link:conversation_to_room:1", {"conversation_id": 2}, "part of the key, which stays"),
        ("link:conversation_to_room:4", {"conversation_id": 1 << 63}, "larger than a column"),
        ("link:conversation_to_room:4", {"conversation_id": [4]}, "is a list"),
    ],
)
async def test_a_row_that_no_column_can_hold_is_refused(
    path: Path, key: str, row: dict[str, Any], said: str
) -> None:
    desk = Desk(path, CONVERSATIONS, conversations())
    before = desk.dump()
    async with desk.store() as store:
        with pytest.raises(StoreError, match=said):
            await store.set(key, row)
    assert desk.dump() == before


async def test_a_row_that_moved_while_it_was_set_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(path, CONVERSATIONS, conversations())

    async def stale(*_: Any) -> Raw:
        return '{"conversation_id":1,"matrix_room_id":"!before"}'

    async with desk.store() as store:
        monkeypatch.setattr(store._rows, "get", stale)
        with pytest.raises(StoreError, match="somebody wrote it meanwhile"):
            await store.set(
                "link:conversation_to_room:1", {"conversation_id": 1, "matrix_room_id": "!x"}
            )


async def test_another_store_on_the_same_rows_is_made_by_the_settings(path: Path) -> None:
    desk = Desk(path, TICKETS, tickets())
    assert desk.store().settings == {"layout": desk.layout, "busy_timeout": 0.05}


async def test_a_row_without_a_room_is_found_by_its_id_and_not_among_all_that_have_none(
    path: Path,
) -> None:
    """By an index of rooms it would be looked for among every row that names none, for each row anew."""
    desk = Desk(path, PORTALS, portals())
    [table] = tables_of(desk.layout).values()
    before = {"gcid": "space:b", "gc_receiver": "", "mxid": None}
    statement = SQLite().update(table, before, before | {"mxid": "!b"})
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE UNIQUE INDEX rooms ON portal (gc_receiver, mxid)")
        explained = database.execute(f"EXPLAIN QUERY PLAN {statement.sql}", statement.parameters)
        [(*_, how)] = explained.fetchall()
    assert "(gcid=? AND gc_receiver=?)" in how
