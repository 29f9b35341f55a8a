"""A table that doesn't fit its mapping is refused when it is opened, in one sentence that says what to do."""

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
from toolkit import SQLiteStore, StoreError
from toolkit.layout import Layout, TableFacts


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


async def refusal(desk: Desk, **options: Any) -> str:
    """What is said when the store is opened; the file stays as it is."""
    before = desk.dump()
    with pytest.raises(StoreError) as caught:
        async with desk.store(**options):
            pass
    said = str(caught.value)
    assert str(desk.path) in said and "\n" not in said and said.endswith(".")
    assert desk.dump() == before
    return said


async def facts(desk: Desk) -> TableFacts:
    async with desk.store(read_only=True) as store:
        return store.facts


def links(made: str, path: Path, **more: Any) -> Desk:
    return Desk(path, made, link_layout("links", "id", "room", **more))


@pytest.mark.parametrize("read_only", [True, False])
async def test_a_table_that_is_not_there_is_refused_and_never_made(
    path: Path, read_only: bool
) -> None:
    desk = Desk(path, TICKETS, conversations())
    said = await refusal(desk, read_only=read_only)
    assert "has no table 'conversation_to_room', only 'tickets', 'users'" in said
    assert said.endswith("check the path, and table in [rows.link].")


async def test_a_database_that_is_not_there_is_not_made(path: Path) -> None:
    for read_only in (True, False):
        with pytest.raises(StoreError, match="there is no such file"):
            async with SQLiteStore(path, layout=tickets(), read_only=read_only):
                pass
    assert not path.exists()


async def test_an_empty_database_is_refused(path: Path) -> None:
    assert "it is empty" in await refusal(Desk(path, "", tickets()))


@pytest.mark.parametrize(
    "more",
    [{"owner": "login"}, {"show": ["login"]}, {"where": {"login": 1}}, {"insert": {"login": 1}}],
)
async def test_a_column_that_is_not_there_is_named_with_those_that_are(
    path: Path, more: dict[str, Any]
) -> None:
    said = await refusal(Desk(path, TICKETS, tickets(**more)))
    assert "has no column 'login', it has 'id', 'user_id', 'user_room_id', 'status'" in said


@pytest.mark.parametrize("read_only", [True, False])
@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("CREATE TABLE links (id TEXT, room TEXT)", "neither the id nor the room is unique"),
        (
            "CREATE TABLE links (id TEXT, room TEXT, bot TEXT, PRIMARY KEY (bot, id))",
            "its rows are unique only together with 'bot'",
        ),
        (
            "CREATE TABLE links (id TEXT, room TEXT, gone INT); "
            "CREATE UNIQUE INDEX active ON links (id) WHERE gone IS NULL",
            "(the index 'active' is partial)",
        ),
        (
            "CREATE TABLE links (id TEXT, room TEXT); CREATE UNIQUE INDEX i ON links (lower(id))",
            "neither the id nor the room is unique",
        ),
        (
            "CREATE TABLE links (serial INTEGER PRIMARY KEY, id TEXT, room TEXT)",
            "its rows are unique only together with 'serial'",
        ),
    ],
)
async def test_rows_that_nothing_tells_apart_are_refused(
    path: Path, made: str, why: str, read_only: bool
) -> None:
    said = await refusal(links(made, path), read_only=read_only)
    assert why in said and "[rows.link]" in said


@pytest.mark.parametrize(
    ("made", "more"),
    [
        (
            "CREATE TABLE links (id TEXT, room TEXT, bot TEXT, PRIMARY KEY (bot, id))",
            {"where": {"bot": ""}},
        ),
        (
            "CREATE TABLE links (serial INTEGER PRIMARY KEY, id TEXT, room TEXT)",
            {"show": ["serial"]},
        ),
        ("CREATE TABLE links (id TEXT, ROOM TEXT UNIQUE)", {}),
        ("CREATE TABLE links (id INTEGER PRIMARY KEY, room TEXT)", {}),
        ("CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT) WITHOUT ROWID", {}),
        ("CREATE TABLE links (id TEXT, room TEXT, PRIMARY KEY (room, id))", {}),
    ],
)
async def test_rows_that_something_mapped_tells_apart_are_taken(
    path: Path, made: str, more: dict[str, Any]
) -> None:
    async with links(made, path, **more).store() as store:
        assert await store.load_rows() == []


async def test_a_view_is_looked_at_and_never_written(path: Path) -> None:
    made = TICKETS + "CREATE VIEW links AS SELECT id, user_room_id AS room FROM tickets;"
    desk = links(made, path)
    assert len(await desk.rows()) == 3
    assert (await facts(desk)).why_no_write == "it is a view, which can only be read"
    assert "it is a view, which can only be read" in await refusal(desk)


async def test_a_generated_room_is_looked_at_and_never_written(path: Path) -> None:
    made = "CREATE TABLE links (id INT PRIMARY KEY, part TEXT, room TEXT AS ('!' || part))"
    desk = links(made, path)
    desk.sql("INSERT INTO links VALUES (1, 'one')")
    assert await desk.rows() == {"link:links:1": '{"id":1,"room":"!one"}'}
    assert "its column 'room' is generated from others" in await refusal(desk)


async def test_foreign_keys_that_are_looked_at_late_are_refused_for_writing(path: Path) -> None:
    made = """CREATE TABLE chats (id TEXT PRIMARY KEY);
        CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT,
            chat TEXT REFERENCES chats DEFERRABLE INITIALLY DEFERRED)"""
    desk = links(made, path)
    assert await desk.rows() == {}
    assert "looked at when a transaction ends" in await refusal(desk)


@pytest.mark.parametrize(
    ("made", "more", "why"),
    [
        ("CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT)", {}, ""),
        (
            "CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT, kind TEXT NOT NULL, n INT NOT NULL)",
            {"insert": {"n": 1}},
            "its column 'kind' needs a value",
        ),
        (
            "CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT, kind TEXT NOT NULL)",
            {"show": ["kind"], "insert": {"kind": "portal"}},
            "",
        ),
        ("CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT, n INT NOT NULL DEFAULT 1)", {}, ""),
        (
            "CREATE TABLE links (n INTEGER PRIMARY KEY, id TEXT UNIQUE NOT NULL, room TEXT)",
            {},
            "",
        ),
        (
            "CREATE TABLE links (id INTEGER PRIMARY KEY, room TEXT)",
            {},
            "its column 'id' is numbered by the database itself",
        ),
        ("CREATE TABLE links (id INT PRIMARY KEY, room TEXT)", {}, ""),
        (
            "CREATE TABLE links (id DOUBLE PRIMARY KEY, room TEXT)",
            {},
            "its column 'id' holds floating point numbers, which are no ids",
        ),
        (
            "CREATE TABLE links (id TEXT AS (substr(room, 2)) UNIQUE, room TEXT)",
            {},
            "its column 'id' is generated from others",
        ),
        (
            "CREATE TABLE links (serial INTEGER PRIMARY KEY, id TEXT, room TEXT)",
            {"show": ["serial"]},
            "nothing keeps a second row of the same id away",
        ),
    ],
)
async def test_what_an_insert_would_need_is_told(
    path: Path, made: str, more: dict[str, Any], why: str
) -> None:
    assert (await facts(links(made, path, **more))).why_no_insert == why


async def test_the_columns_that_hold_integers_are_told(path: Path) -> None:
    desk = Desk(path, TICKETS, tickets(owner="user_id", show=["status"]))
    assert (await facts(desk)).integers == {"id", "user_id"}
    assert (await facts(Desk(path.with_name("b"), PORTALS, portals()))).integers == set()
    assert (await facts(Desk(path.with_name("c"), CONVERSATIONS, conversations()))).integers == {
        "conversation_id"
    }


async def test_a_key_value_table_says_nothing_of_links(path: Path) -> None:
    desk = Desk(path, "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)", Layout())
    async with desk.store() as store:
        assert store.facts == TableFacts()
        assert "table" in store.settings
