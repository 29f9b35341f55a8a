"""Rows of a bot's own tables, written and taken back: the columns that change and no other."""

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
    outcome,
    portals,
    tickets,
)
from toolkit import SQLiteStore
from toolkit.database.sql import RowChange
from toolkit.records import Raw
from toolkit.writing.job import Result
from toolkit.writing.undo import history, undo


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


async def taken_back(desk: Desk, result: Result) -> Result:
    assert result.run
    async with desk.store() as store:
        return (await undo(store, result.run))[1]


def text(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"))


async def test_an_update_sets_the_room_and_no_other_column(path: Path) -> None:
    made = (
        TICKETS
        + """
        CREATE TABLE seen (columns TEXT);
        CREATE TRIGGER t AFTER UPDATE OF user_id, status ON tickets BEGIN INSERT INTO seen VALUES ('x'); END;
    """
    )
    desk = Desk(path, made, tickets(owner="user_id", show=["status"]))
    before = desk.dump()
    row = text(id=1, user_room_id="!one", user_id=1, status="open")
    result = await desk.write({"link:tickets:1": row})
    assert outcome(result) == ("applied", "")
    assert desk.sql("SELECT * FROM tickets WHERE id = 1") == [(1, 1, "!one", "open")]
    assert desk.sql("SELECT * FROM seen") == []
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.dump() == before


def outcome_of_undo(result: Result) -> list[str]:
    return [found.state for found in result.outcomes.values()]


@pytest.mark.parametrize("column", ["user_id", "status"])
async def test_every_mapped_column_is_compared_before_a_write(path: Path, column: str) -> None:
    desk = Desk(path, TICKETS, tickets(owner="user_id", show=["status"]))
    old = (await desk.rows())["link:tickets:1"]
    desk.sql(f"UPDATE tickets SET {column} = 2 WHERE id = 1")
    before = desk.dump()
    async with desk.store() as store, store.transaction() as transaction:
        new = str(old).replace("null", '"!one"')
        assert not await transaction.write([RowChange("link:tickets:1", old, new)])
    assert desk.dump() == before


async def test_what_is_not_mapped_may_move_meanwhile(path: Path) -> None:
    desk = Desk(path, TICKETS, tickets())
    old = (await desk.rows())["link:tickets:1"]
    desk.sql("UPDATE tickets SET status = 'closed' WHERE id = 1")
    result = await desk.write({"link:tickets:1": str(old).replace("null", '"!one"')})
    assert outcome(result)[0] == "applied"
    assert desk.sql("SELECT * FROM tickets WHERE id = 1") == [(1, 1, "!one", "closed")]


async def test_a_new_row_is_inserted_with_constants_and_defaults_and_undo_takes_it_back(
    path: Path,
) -> None:
    made = PORTALS.replace("name TEXT", "name TEXT NOT NULL").replace(
        "(gcid, gc_receiver, mxid) VALUES ('space:a', '', '!a'), ('space:b', '', NULL)",
        "(gcid, gc_receiver, mxid, name) VALUES ('space:a', '', '!a', '')",
    )
    desk = Desk(path, made, portals(insert={"name": "new"}, show=["name_set"]))
    before = desk.dump()
    key = 'link:portal:["space:c",""]'
    result = await desk.write({key: text(gcid="space:c", gc_receiver="", mxid="!c")})
    assert outcome(result) == ("applied", "")
    assert desk.sql("SELECT * FROM portal WHERE mxid = '!c'") == [("space:c", "", "!c", "new", 0)]
    async with desk.store() as store:
        [run] = await history(store)
    # What was read back, with the column that the table filled in.
    assert [w.after for e in run.entries for w in e.writes] == [
        text(gcid="space:c", gc_receiver="", mxid="!c", name_set=0)
    ]
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.dump() == before


async def test_a_constant_that_is_shown_as_well_is_taken_back_like_any_column(path: Path) -> None:
    made = """CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT, kind TEXT NOT NULL, n INT NOT NULL)"""
    more = {"show": ["kind"], "insert": {"kind": "portal", "n": 3}}
    desk = Desk(path, made, link_layout("links", "id", "room", **more))
    result = await desk.write({"link:links:a": text(id="a", room="!a")})
    assert desk.sql("SELECT * FROM links") == [("a", "!a", "portal", 3)]
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.sql("SELECT * FROM links") == []


@pytest.mark.parametrize(
    "filled", ["name = 'Friends'", "name_set = 1"], ids=["a nullable column", "one with a default"]
)
async def test_undo_leaves_an_inserted_row_into_which_the_bot_has_put_something(
    path: Path, filled: str
) -> None:
    desk = Desk(path, PORTALS, portals(insert=True))
    key = 'link:portal:["space:c",""]'
    result = await desk.write({key: text(gcid="space:c", gc_receiver="", mxid="!c")})
    desk.sql(f"UPDATE portal SET {filled} WHERE mxid = '!c'")
    before = desk.dump()
    back = await taken_back(desk, result)
    [found] = back.outcomes.values()
    assert found.state == "failed" and "something was put into its other columns" in found.detail
    assert desk.dump() == before


async def test_undo_leaves_an_inserted_row_that_another_row_names(path: Path) -> None:
    made = (
        PORTALS
        + """CREATE TABLE message (id INTEGER PRIMARY KEY, chat TEXT, receiver TEXT,
        FOREIGN KEY (chat, receiver) REFERENCES portal ON DELETE CASCADE);"""
    )
    desk = Desk(path, made, portals(insert=True))
    result = await desk.write(
        {'link:portal:["space:c",""]': text(gcid="space:c", gc_receiver="", mxid="!c")}
    )
    desk.sql("INSERT INTO message (chat, receiver) VALUES ('space:c', '')")
    before = desk.dump()
    [found] = (await taken_back(desk, result)).outcomes.values()
    assert found.state == "failed" and "another row names it" in found.detail
    assert desk.dump() == before


async def test_the_row_that_another_names_may_stand_in_a_table_called_child(path: Path) -> None:
    made = """CREATE TABLE child (id TEXT PRIMARY KEY, room TEXT);
        CREATE TABLE toy (id TEXT PRIMARY KEY, owner TEXT REFERENCES child (id)
            ON DELETE CASCADE);"""
    desk = Desk(path, made, link_layout("child", "id", "room", insert={}))
    result = await desk.write({"link:child:a": text(id="a", room="!a")})
    desk.sql("INSERT INTO toy VALUES ('ball', 'a')")
    before = desk.dump()
    [found] = (await taken_back(desk, result)).outcomes.values()
    assert found.state == "failed" and "another row names it" in found.detail
    assert desk.dump() == before


async def test_an_inserted_row_that_was_changed_stays(path: Path) -> None:
    desk = Desk(path, PORTALS, portals(insert=True))
    key = 'link:portal:["space:c",""]'
    result = await desk.write({key: text(gcid="space:c", gc_receiver="", mxid="!c")})
    assert result.run
    desk.sql("UPDATE portal SET mxid = '!d' WHERE mxid = '!c'")
    async with desk.store() as store:
        plan, back = await undo(store, result.run)
    assert [f.code for unit in plan.units for f in unit.findings] == ["stale_plan"]
    assert back.outcomes == {}


async def test_a_row_deleted_while_it_is_taken_back_is_stale(path: Path) -> None:
    desk = Desk(path, PORTALS, portals(insert=True))
    key = 'link:portal:["space:c",""]'
    row = text(gcid="space:c", gc_receiver="", mxid="!c")
    await desk.write({key: row})
    async with desk.store() as store, store.transaction() as transaction:
        changes = [RowChange(key, row, None)]
        assert await transaction.write(changes)
        assert not await transaction.write(changes)


async def test_an_id_that_has_a_row_by_now_is_not_inserted_again(path: Path) -> None:
    made = "CREATE TABLE links (id TEXT, room TEXT UNIQUE)"
    desk = Desk(path, made, link_layout("links", "id", "room", insert=True))
    async with desk.store() as store, store.transaction() as transaction:
        change = [RowChange("link:links:a", None, text(id="a", room="!a"))]
        assert await transaction.write(change)
        other = [RowChange("link:links:a", None, text(id="a", room="!b"))]
        assert not await transaction.write(other)


# The traps of SQLite, each with what happens.


async def test_trap_1_a_generated_column_is_read_and_never_written(path: Path) -> None:
    made = """CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT, upper TEXT AS (upper(id)) STORED);
        INSERT INTO links (id, room) VALUES ('a', NULL)"""
    desk = Desk(path, made, link_layout("links", "id", "room", show=["upper"], insert=True))
    result = await desk.write(
        {"link:links:a": text(id="a", room="!a", upper="A")},
        {"link:links:b": text(id="b", room="!b")},
    )
    assert (outcome(result, 0), outcome(result, 1)) == (("applied", ""), ("applied", ""))
    assert desk.sql("SELECT * FROM links") == [("a", "!a", "A"), ("b", "!b", "B")]
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied", "applied"]
    assert desk.sql("SELECT * FROM links") == [("a", None, "A")]


async def test_trap_2_a_blob_is_replaced_if_that_is_said_and_comes_back_as_a_blob(
    path: Path,
) -> None:
    desk = Desk(path, TICKETS, tickets())
    desk.sql("UPDATE tickets SET user_room_id = x'ff00' WHERE id = 2")
    before = desk.dump()
    result = await desk.write({"link:tickets:2": text(id=2, user_room_id="!two")})
    assert outcome(result) == ("applied", "")
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.dump() == before


async def test_trap_3_undo_is_exact_whatever_the_order_of_the_planned_fields(path: Path) -> None:
    desk = Desk(path, TICKETS, tickets(owner="user_id", show=["status"]))
    before = desk.dump()
    planned = '{"status": "open", "user_room_id": "!one", "user_id": 1, "id": 1}'
    result = await desk.write({"link:tickets:1": planned})
    assert outcome(result) == ("applied", "")
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.dump() == before


async def test_trap_3_undo_is_exact_where_a_column_makes_another_value_of_it(path: Path) -> None:
    desk = Desk(path, CONVERSATIONS, conversations(insert=True))
    before = desk.dump()
    key = "link:conversation_to_room:9"
    result = await desk.write({key: text(conversation_id=9, matrix_room_id="!nine")})
    assert outcome(result) == ("applied", "")
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.dump() == before


async def test_trap_4_a_child_without_a_parent_is_refused_by_the_database(path: Path) -> None:
    made = """CREATE TABLE chats (id TEXT PRIMARY KEY);
        CREATE TABLE links (id TEXT PRIMARY KEY REFERENCES chats (id), room TEXT);
        INSERT INTO chats VALUES ('a')"""
    desk = Desk(path, made, link_layout("links", "id", "room", insert=True))
    result = await desk.write(
        {"link:links:a": text(id="a", room="!a")}, {"link:links:b": text(id="b", room="!b")}
    )
    assert outcome(result, 0) == ("applied", "")
    state, why = outcome(result, 1)
    assert state == "failed" and "FOREIGN KEY constraint failed" in why
    assert desk.sql("SELECT * FROM links") == [("a", "!a")]


async def test_trap_4_a_parent_with_children_is_guarded_too(path: Path) -> None:
    desk = Desk(path, TICKETS, link_layout("users", "id", "login"))
    async with desk.store() as store:
        assert store._connection
        assert await store._connection.fetch("PRAGMA foreign_keys") == [(1,)]


async def test_where_no_table_has_foreign_keys_none_are_asked_for(path: Path) -> None:
    desk = Desk(path, CONVERSATIONS, conversations())
    async with desk.store() as store:
        assert store._connection
        assert await store._connection.fetch("PRAGMA foreign_keys") == [(0,)]


async def test_trap_5_another_row_in_the_way_is_said_and_not_called_stale(path: Path) -> None:
    desk = Desk(path, CONVERSATIONS, conversations())
    result = await desk.write(
        {"link:conversation_to_room:1": text(conversation_id=1, matrix_room_id="!two")}
    )
    state, why = outcome(result)
    assert state == "failed" and "UNIQUE constraint failed" in why


async def test_trap_5_a_table_that_replaces_rows_by_itself_deletes_none(path: Path) -> None:
    made = CONVERSATIONS.replace(
        "matrix_room_id TEXT UNIQUE", "matrix_room_id TEXT UNIQUE ON CONFLICT REPLACE"
    )
    desk = Desk(path, made, conversations())
    before = desk.dump()
    result = await desk.write(
        {"link:conversation_to_room:1": text(conversation_id=1, matrix_room_id="!two")}
    )
    assert outcome(result)[0] == "failed"
    assert desk.dump() == before


async def test_trap_5_a_trigger_that_ignores_a_write_is_said_and_not_called_stale(
    path: Path,
) -> None:
    made = (
        TICKETS + """CREATE TRIGGER t BEFORE UPDATE ON tickets BEGIN SELECT RAISE(IGNORE); END;"""
    )
    desk = Desk(path, made, tickets())
    result = await desk.write({"link:tickets:1": text(id=1, user_room_id="!one")})
    state, why = outcome(result)
    assert (
        state == "failed" and "a trigger, constraint or conflicting column ignored the write" in why
    )


async def test_trap_6_of_several_rows_with_one_id_none_is_written(path: Path) -> None:
    made = """CREATE TABLE links (id TEXT, room TEXT, active INTEGER, PRIMARY KEY (id, room));
        INSERT INTO links VALUES ('a', '!old', 0), ('a', '!new', 1)"""
    desk = Desk(path, made, link_layout("links", "id", "room"))
    before = desk.dump()
    result = await desk.write({"link:links:a": text(id="a", room="!other")})
    state, why = outcome(result)
    assert state == "failed" and "not an object" in why
    assert desk.dump() == before


@pytest.mark.parametrize(
    "column",
    ["room TEXT NOT NULL CHECK (room LIKE '!%')", "room ANY NOT NULL CHECK (length(room) > 3)"],
)
async def test_trap_7_what_a_constraint_refuses_stops_its_own_unit_alone(
    path: Path, column: str
) -> None:
    made = f"CREATE TABLE links (id INT PRIMARY KEY, {column}) STRICT"
    desk = Desk(path, made, link_layout("links", "id", "room", insert=True))
    result = await desk.write(
        {"link:links:1": text(id=1, room="odd")}, {"link:links:2": text(id=2, room="!two")}
    )
    assert outcome(result, 0)[0] == "failed" and "CHECK constraint failed" in outcome(result, 0)[1]
    assert outcome(result, 1) == ("applied", "")


async def test_trap_7_a_text_that_a_strict_column_refuses_stops_its_own_unit_alone(
    path: Path,
) -> None:
    made = "CREATE TABLE links (id INT PRIMARY KEY, room TEXT) STRICT"
    desk = Desk(path, made, link_layout("links", "id", "room", insert=True))
    result = await desk.write(
        {"link:links:x": text(id="x", room="!x")}, {"link:links:2": text(id=2, room="!two")}
    )
    assert outcome(result, 0)[0] == "failed" and "cannot store TEXT value" in outcome(result, 0)[1]
    assert outcome(result, 1) == ("applied", "")


async def test_trap_8_a_trigger_that_changes_the_link_stops_the_unit(path: Path) -> None:
    made = (
        CONVERSATIONS
        + """CREATE TRIGGER t AFTER INSERT ON conversation_to_room BEGIN
        UPDATE conversation_to_room SET matrix_room_id = lower(new.matrix_room_id)
        WHERE conversation_id = new.conversation_id; END;"""
    )
    desk = Desk(path, made, conversations(insert=True))
    before = desk.dump()
    key = "link:conversation_to_room:9"
    result = await desk.write({key: text(conversation_id=9, matrix_room_id="!NINE")})
    state, why = outcome(result)
    assert state == "failed" and "own type, changed matrix_room_id" in why
    assert desk.dump() == before


async def test_trap_8_what_a_trigger_adds_is_journalled_and_taken_back(path: Path) -> None:
    made = (
        CONVERSATIONS
        + """CREATE TRIGGER t AFTER INSERT ON conversation_to_room BEGIN
        UPDATE conversation_to_room SET last_event = 'made' WHERE conversation_id = new.conversation_id; END;"""
    )
    desk = Desk(path, made, conversations(insert=True, show=["last_event"]))
    before = desk.dump()
    key = "link:conversation_to_room:9"
    result = await desk.write({key: text(conversation_id=9, matrix_room_id="!nine")})
    assert outcome(result) == ("applied", "")
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.dump() == before


async def test_trap_8_what_a_trigger_adds_unseen_keeps_undo_from_deleting(path: Path) -> None:
    made = (
        CONVERSATIONS
        + """CREATE TRIGGER t AFTER INSERT ON conversation_to_room BEGIN
        UPDATE conversation_to_room SET last_event = 'made' WHERE conversation_id = new.conversation_id; END;"""
    )
    desk = Desk(path, made, conversations(insert=True))
    key = "link:conversation_to_room:9"
    result = await desk.write({key: text(conversation_id=9, matrix_room_id="!nine")})
    before = desk.dump()
    assert outcome_of_undo(await taken_back(desk, result)) == ["failed"]
    assert desk.dump() == before


# A run as a whole.


async def test_the_order_of_writes_is_kept(path: Path) -> None:
    """A room is taken from one row before another gets it."""
    desk = Desk(path, CONVERSATIONS, conversations())
    result = await desk.write(
        {
            "link:conversation_to_room:2": text(conversation_id=2, matrix_room_id="!free"),
            "link:conversation_to_room:1": text(conversation_id=1, matrix_room_id="!two"),
        }
    )
    assert outcome(result) == ("applied", "")


async def test_a_row_that_moved_stops_all_that_is_written_with_it(path: Path) -> None:
    desk = Desk(path, CONVERSATIONS, conversations(insert=True))
    async with desk.store() as store, store.transaction() as transaction:
        key = "link:conversation_to_room:"
        changes = [
            RowChange(
                f"{key}1",
                text(conversation_id=1, matrix_room_id="!before"),
                text(conversation_id=1, matrix_room_id="!x"),
            ),
            RowChange(f"{key}3", None, text(conversation_id=3, matrix_room_id="!three")),
        ]
        assert not await transaction.write(changes)
        assert await transaction.write([])


async def test_text_that_is_not_utf8_is_written_and_taken_back(path: Path) -> None:
    made = "CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT)"
    desk = Desk(path, made, link_layout("links", "id", "room"))
    desk.sql("INSERT INTO links VALUES (CAST(x'61ff' AS TEXT), CAST(x'ff' AS TEXT))")
    read = "SELECT hex(id), typeof(room), hex(room) FROM links"
    before = desk.sql(read)
    row: Raw = json.dumps({"id": "a\udcff", "room": "!a"})
    result = await desk.write({"link:links:a\udcff": row})
    assert outcome(result) == ("applied", "")
    assert desk.sql(read) == [("61FF", "text", "2161")]
    assert outcome_of_undo(await taken_back(desk, result)) == ["applied"]
    assert desk.sql(read) == before


async def test_a_run_that_was_cut_off_is_worked_out_by_the_rows(path: Path) -> None:
    desk = Desk(path, TICKETS, tickets())
    await desk.write({"link:tickets:1": text(id=1, user_room_id="!one")})
    journal = path.with_name(f"{path.name}.matrix-drift.jsonl")
    lines = journal.read_text().splitlines()
    journal.write_text("\n".join(line for line in lines if line.startswith('{"intent"')) + "\n")
    async with desk.store(read_only=True) as store:
        [run] = await history(store)
    assert [entry.outcome for entry in run.entries] == ["applied"]


async def test_a_change_to_what_no_column_holds_is_refused(path: Path) -> None:
    desk = Desk(path, TICKETS, tickets())
    result = await desk.write({"link:tickets:2": text(id=2, user_room_id="!two", mood="x")})
    state, why = outcome(result)
    assert state == "failed" and "nothing that a column holds" in why


async def test_a_collation_of_the_columns_own_makes_no_other_row_of_it(path: Path) -> None:
    made = """CREATE TABLE links (id TEXT COLLATE NOCASE PRIMARY KEY, room TEXT COLLATE NOCASE);
        INSERT INTO links VALUES ('a', '!A')"""
    desk = Desk(path, made, link_layout("links", "id", "room"))
    desk.sql("UPDATE links SET room = '!a'")
    async with SQLiteStore(path, layout=desk.layout) as store, store.transaction() as transaction:
        old, new = text(id="a", room="!A"), text(id="a", room="!b")
        assert not await transaction.write([RowChange("link:links:a", old, new)])
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("SELECT * FROM links").fetchall() == [("a", "!a")]
