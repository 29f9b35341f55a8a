"""A session on a bot of shape links: looks, frames, picks, decisions, runs; in the bot's own words."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.tables import TICKETS, Desk
from toolkit import InMemoryStore, Layout, Session, SQLiteStore, ToolkitError
from toolkit.frames import LINK_COLUMNS
from toolkit.plots import user_lines
from toolkit.testing import FakeHomeserver, World

BOT = "@bot:hs"


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    link = {"table": "tickets", "id": "id", "room": "user_room_id", "owner": "user_id"}
    evidence = [{"name": r"Ticket #{id} \(.+\)"}]
    layout = Layout.of({"kind": "links"}, {"link": link}, evidence)
    return Desk(tmp_path / "bot.db", TICKETS, layout)


@pytest.fixture
def world() -> World:
    """Rooms of three tickets, a twin of one, and a lobby."""
    found = World(BOT)
    found.room("!one", name="Ticket #1 (Anna)")
    found.room("!two", name="renamed")
    found.room("!new", name="Ticket #3 (Ben)")
    found.room("!twin", name="Ticket #2 (Anna)")
    found.room("!lobby", name="Lobby")
    return found


@pytest.fixture
async def homeserver(world: World) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(world.rooms, BOT, access_token="secret") as found:
        yield found


@pytest.fixture
async def session(desk: Desk, homeserver: FakeHomeserver) -> AsyncIterator[Session]:
    async with desk.store() as store:
        yield await look(homeserver, store)


async def look(homeserver: FakeHomeserver, store: Any) -> Session:
    return await Session.open(homeserver=homeserver.url, access_token="secret", store=store)


def rooms_of(desk: Desk) -> dict[int, Any]:
    return dict(desk.sql("SELECT id, user_room_id FROM tickets"))


def test_what_a_session_says_of_itself(session: Session) -> None:
    for said in (repr(session), session._repr_html_()):
        assert "Rooms" in said and "tickets 3 of 2" in said and "User rows" not in said
        assert "chat" not in said.lower() and "Space" not in said


def test_rooms_have_ids_and_no_spaces(session: Session) -> None:
    frame = session.rooms
    assert [frame.index.name, *frame.columns] == list(LINK_COLUMNS["rooms"])
    assert {"kind", "chat_id", "space_id"}.isdisjoint(frame.columns)
    told = frame[["status", "id", "owner", "evidence"]].astype(object).where(frame.notna(), None)
    assert told.T.to_dict("list") == {
        "!lobby": ["skipped", None, None, None],
        "!new": ["mismatched", "3", "2", "room_name"],
        "!one": ["mismatched", "1", "1", "room_name"],
        "!twin": ["conflict", "2", "1", "room_name"],
        "!two": ["in_sync", "2", "1", "row"],
    }
    assert frame.loc["!lobby", "reason"] == "no_evidence"


def test_rows_are_those_of_the_bots_own_table(session: Session, desk: Desk) -> None:
    frame = session.rows
    assert [frame.index.name, *frame.columns] == list(LINK_COLUMNS["rows"])
    row = frame.loc["link:tickets:3"]
    assert [row["id"], row["room_id"], row["owner"], row["unit"]] == ["3", "!three", "2", "!new"]
    assert frame["readable"].all() and not frame["orphaned"].any()


async def test_an_odd_row_and_a_surplus_one(
    desk: Desk, world: World, homeserver: FakeHomeserver
) -> None:
    desk.sql("INSERT INTO tickets (id, user_id, user_room_id) VALUES (8, 1, x'ff'), (9, 2, '!two')")
    world.name("!two", "Ticket #2 (Anna)")
    async with desk.store() as store:
        session = await look(homeserver, store)
    rows = session.rows
    assert not rows.loc["link:tickets:8", "readable"]
    assert "BLOB" in str(rows.loc["link:tickets:8", "problem"])
    assert list(session.rooms.loc["!two", ["id", "owner"]]) == ["2", "1"]
    drift = session.drift
    assert list(drift.loc[drift["code"] == "surplus_row", "id"]) == ["9"]


def test_findings_plan_and_changes(session: Session) -> None:
    plan = session.plan.to_frame()
    assert [plan.index.name, *plan.columns] == list(LINK_COLUMNS["plan"])
    assert dict(plan["id"]) == {"!new": "3", "!one": "1", "!twin": "2"}
    drift = session.drift.set_index("unit")
    assert drift.loc["!new", "field"] == "user_room_id"
    assert "the twin that the row names !two" in str(drift.loc["!twin", "facts"])
    changes = session.plan.changes()
    assert set(changes["key"]) == {"link:tickets:1", "link:tickets:3"}
    assert set(session.plan.rows("!one")["link:tickets:1"]) == {"before", "after"}


async def test_decisions_are_taken_written_and_taken_back(session: Session, desk: Desk) -> None:
    before = desk.dump()
    session.reject("!one")
    session.defer("!twin")
    assert len(session.approve(session.pending()).units) == 1
    done = await session.apply()
    assert done["repaired_links"] == [{"id": "3", "room_id": "!new", "previous_room": "!three"}]
    assert done.rows == 1 and "Written: 1 row." in repr(done)
    assert rooms_of(desk) == {1: None, 2: "!two", 3: "!new"}
    assert len(session.history()) == 1
    await session.undo()
    assert desk.dump() == before
    session.ignore("!twin", reason="on purpose")
    assert dict(session.plan.to_frame()["decision"])["!twin"] == "ignored"


async def test_an_id_is_picked(session: Session, desk: Desk) -> None:
    desk.sql("INSERT INTO tickets (id, user_id) VALUES (9, 1)")
    await session.reload()
    assert "no id of tickets" in session.approve("!twin", id="nine").refused["!twin"]
    assert "only its id" in session.approve("!twin", owner="@a:hs").refused["!twin"]
    assert session.approve("!twin", id=9).units
    await session.apply()
    assert rooms_of(desk)[9] == "!twin"


async def test_a_row_that_moved_is_left_alone(session: Session, desk: Desk) -> None:
    session.approve("!new")
    desk.sql("UPDATE tickets SET user_room_id = '!other' WHERE id = 3")
    done = await session.apply()
    assert done.rows == 0 and "link:tickets:3" in done.stale["!new"]
    assert rooms_of(desk)[3] == "!other"


async def test_ids_are_for_links_alone(homeserver: FakeHomeserver, tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "kv.db") as store:
        session = await look(homeserver, store)
        with pytest.raises(ToolkitError, match="chat_id="):
            session.approve("!one", id="1")


async def test_a_store_without_the_mapping_is_refused(
    desk: Desk, homeserver: FakeHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = '[shape]\nkind = "links"\n[rows.link]\ntable = "tickets"\nid = "id"\nroom = "r"\n'
    (tmp_path / "matrix-drift.toml").write_text(text)
    with pytest.raises(ToolkitError, match="open it with SQLiteStore"):
        await look(homeserver, InMemoryStore())


def test_the_map_shows_owners_with_their_ids(session: Session) -> None:
    told = session.plot().words
    assert told.startswith("2 owners, 4 rooms: 1 in sync, 2 mismatched, 1 in conflict.")


async def test_a_map_without_owners_is_one_of_the_table(
    desk: Desk, homeserver: FakeHomeserver
) -> None:
    link = {"table": "tickets", "id": "id", "room": "user_room_id"}
    layout = Layout.of({"kind": "links"}, {"link": link}, [{"name": r"Ticket #{id} .+"}])
    async with SQLiteStore(desk.path, layout=layout) as store:
        session = await look(homeserver, store)
    [line] = user_lines(session.state.plan, session.state.local)
    assert line.name == "tickets" and [mark.label for mark in line.chats] == ["1", "2", "2", "3"]
    assert (frame := session.rooms)["owner"].isna().all() and len(frame) == 5
