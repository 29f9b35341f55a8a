"""The two functions for bots of shape links and their report, over real HTTP (rules 6)."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import nio
import pytest

from tests.tables import CONVERSATIONS, TICKETS, Desk, conversations, tickets
from toolkit import (
    Decision,
    HomeserverError,
    InMemoryStore,
    Layout,
    RemoteIncomplete,
    SQLiteStore,
    StoreError,
    ToolkitError,
    reconcile_links,
    reconcile_single_link,
)
from toolkit.database.journal import RunJournal
from toolkit.links import LinkReport
from toolkit.model import Choices
from toolkit.testing import FakeHomeserver, Fault, Hook, Status, World
from toolkit.writing.undo import history, undo

BOT, EVA = "@bot:hs", "@eva:hs"
TICKET = [{"name": r"Ticket #{id} \(.+\)"}]
CASE = [{"event": "desk.case", "id": "conversation_id"}]


def mapping(layout: Layout, evidence: Any, **shape: Any) -> Layout:
    """The same table, with evidence and grounds."""
    link = msgspec.to_builtins(layout.link)
    return Layout.of({"kind": "links", **shape}, {"link": link}, evidence)


@pytest.fixture
def world() -> World:
    return World(BOT)


@pytest.fixture
async def server(world: World) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(world.rooms, BOT) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    found = nio.AsyncClient(server.url, BOT)
    found.restore_login(BOT, server.device_id, server.access_token)
    yield found
    await found.close()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Three tickets: without a room, with one, and with one that was left."""
    layout = mapping(tickets(owner="user_id", show=["status"]), TICKET)
    return Desk(tmp_path / "bot.db", TICKETS, layout)


@pytest.fixture
def support(world: World) -> World:
    """Rooms of all three tickets, of a fourth that has no row, twins, a lobby, and a stranger's."""
    world.room("!one", name="Ticket #1 (Anna)")
    world.room("!two", name="renamed")
    world.room("!new", name="Ticket #3 (Ben)")
    world.room("!four", name="Ticket #4 (Eva)")
    world.room("!twin", name="Ticket #2 (Anna)")
    world.room("!lobby", name="Lobby")
    world.room("!eva", name="Ticket #1 (Eva)", creator=EVA)
    return world


async def full(desk: Desk, client: Any, **options: Any) -> LinkReport:
    async with desk.store() as store:
        return await reconcile_links(client, store, desk.layout, **options)


async def single(desk: Desk, client: Any, room_id: str, **options: Any) -> LinkReport:
    async with desk.store() as store:
        return await reconcile_single_link(client, store, desk.layout, room_id, **options)


def rooms_of(desk: Desk) -> dict[int, Any]:
    return dict(desk.sql("SELECT id, user_room_id FROM tickets"))


async def test_the_report_says_what_was_written_and_what_was_not(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    desk.sql("INSERT INTO tickets (id, user_id, user_room_id) VALUES (8, 1, '!left'), (9, 1, NULL)")
    desk.sql("INSERT INTO tickets (id, user_id, user_room_id) VALUES (10, 1, x'ff')")
    report = await full(desk, client)
    for entry in [*report["conflicts"], *report["notes"]]:
        assert entry.pop("detail")  # type: ignore[misc]
    assert report == {
        "joined_rooms": ["!eva", "!four", "!lobby", "!new", "!one", "!twin", "!two"],
        "restored_links": [],
        "repaired_links": [
            {"id": "3", "room_id": "!new", "previous_room": "!three"},
            {"id": "1", "room_id": "!one", "previous_room": None},
        ],
        "skipped_rooms": [
            {"room_id": "!eva", "reason": "not_created_by_bot"},
            {"room_id": "!lobby", "reason": "no_evidence"},
        ],
        "conflicts": [
            {"code": "duplicate_id", "room_id": "!twin", "key": "link:tickets:2"},
            {"code": "unreadable_row", "key": "link:tickets:10"},
        ],
        "orphaned_rows": ["link:tickets:8"],
        "unchanged_rooms": ["!two"],
        "notes": [{"code": "unlinked", "key": ""}],
    }
    assert list(report) == list(LinkReport.__annotations__)
    assert json.loads(json.dumps(report)) == report
    assert rooms_of(desk) == {1: "!one", 2: "!two", 3: "!new", 8: "!left", 9: None, 10: b"\xff"}


async def test_a_second_run_writes_nothing_and_undo_is_exact(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    before = desk.dump()
    first = await full(desk, client)
    again = await full(desk, client)
    assert len(first["repaired_links"]) == 2
    assert (again["restored_links"], again["repaired_links"]) == ([], [])
    assert again["unchanged_rooms"] == ["!new", "!one", "!two"]
    async with desk.store() as store:
        [run] = await history(store)
        assert run.action == "start-up"
        await undo(store, run.id)
    assert desk.dump() == before


async def test_a_room_that_users_made_gets_its_row_by_the_bots_event_and_a_forged_one_none(
    tmp_path: Path, world: World, client: nio.AsyncClient
) -> None:
    layout = mapping(conversations(insert=True), CASE, rooms="bot-event")
    desk = Desk(tmp_path / "bot.db", CONVERSATIONS, layout)
    before = desk.dump()
    for room in ("!one", "!three", "!forged"):
        world.room(room, creator=EVA)
    world.event("!one", "desk.case", {"conversation_id": 1})
    world.event("!three", "desk.case", {"conversation_id": 3})
    world.event("!forged", "desk.case", {"conversation_id": 9}, sender=EVA)
    report = await full(desk, client)
    assert report["restored_links"] == [{"id": "3", "room_id": "!three"}]
    assert report["skipped_rooms"] == [{"room_id": "!forged", "reason": "not_created_by_bot"}]
    assert desk.sql("SELECT * FROM conversation_to_room WHERE conversation_id > 2") == [
        ("!three", 3, None)
    ]
    async with desk.store() as store:
        [run] = await history(store)
        await undo(store, run.id)
    assert desk.dump() == before


async def test_without_insert_the_missing_row_is_told_by_a_dry_run_and_by_no_repair(
    tmp_path: Path, world: World, client: nio.AsyncClient
) -> None:
    desk = Desk(tmp_path / "bot.db", CONVERSATIONS, mapping(conversations(), CASE))
    world.room("!three")
    world.event("!three", "desk.case", {"conversation_id": 3})
    before = desk.dump()
    report = await full(desk, client, allow_empty=True)
    assert (report["restored_links"], report["conflicts"], report["unchanged_rooms"]) == (
        [],
        [],
        [],
    )
    assert desk.dump() == before


async def test_a_dry_run_writes_nothing_and_tells_the_same(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    before = desk.dump()
    dry = await full(desk, client, dry_run=True)
    assert desk.dump() == before
    assert dry == await full(desk, client)


async def test_with_decisions_only_those_are_written_and_one_that_fits_nothing_is_stale(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    decisions = {
        "!one": Decision(by="eva"),
        "!gone": Decision(),
        "!new": Decision(change="0123456789abcdef"),
        "!twin": Decision(choices=Choices(chat_id="9")),
    }
    report = await full(desk, client, decisions=decisions)
    assert [link["id"] for link in report["repaired_links"]] == ["1"]
    stale = [c["room_id"] for c in report["conflicts"] if c["code"] == "stale_plan"]
    assert stale == ["!gone", "!new"]
    async with desk.store() as store:
        [run] = await history(store)
    assert [(entry.unit, entry.by) for entry in run.entries] == [("!one", "eva")]


async def test_a_row_that_names_the_room_meanwhile_makes_the_change_stale(
    desk: Desk, support: World, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    def meanwhile() -> None:
        desk.sql("INSERT INTO tickets (id, user_id, user_room_id) VALUES (7, 1, '!one')")
        desk.sql("UPDATE tickets SET status = 'closed' WHERE id = 3")

    async def hook(*_: Any) -> None:
        if not desk.sql("SELECT 1 FROM tickets WHERE id = 7"):
            meanwhile()

    server.fault(Fault("/state$", Hook(hook)))
    report = await full(desk, client)
    stale = {c["room_id"]: c["detail"] for c in report["conflicts"] if c["code"] == "stale_plan"}
    assert set(stale) == {"!one", "!new"}
    assert "link:tickets:7 about this room" in stale["!one"]
    assert rooms_of(desk)[1] is None and report["repaired_links"] == []


async def test_a_single_room_costs_its_room_and_writes_no_other(
    desk: Desk, support: World, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    report = await single(desk, client, "!one")
    assert [link["id"] for link in report["repaired_links"]] == ["1"]
    assert report["joined_rooms"] == ["!one"] and report["orphaned_rows"] == []
    assert rooms_of(desk) == {1: "!one", 2: "!two", 3: "!three"}
    read = [r.path.rpartition("/v3/")[2] for r in server.requests]
    assert read == ["account/whoami", "joined_rooms", "rooms/!one/state"]
    async with desk.store() as store:
        [run] = await history(store)
    assert run.action == "single room"


async def test_a_single_room_is_told_of_with_what_it_replaced(
    desk: Desk, world: World, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    world.room("!two")
    world.upgrade("!two", "!two-b")
    world.room("!other", name="Ticket #1 (Anna)")
    for asked in ("!two-b", "!two"):
        report = await single(desk, client, asked, dry_run=True)
        assert report["repaired_links"] == [
            {"id": "2", "room_id": "!two-b", "previous_room": "!two"}
        ]
        assert report["skipped_rooms"] == [{"room_id": "!two", "reason": "tombstoned"}]
        assert report["joined_rooms"] == ["!two", "!two-b"]


async def test_a_single_room_keeps_off_a_room_that_its_row_names(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    report = await single(desk, client, "!twin")
    assert [c["code"] for c in report["conflicts"]] == ["duplicate_id"]
    assert "!two" in report["conflicts"][0]["detail"]


async def test_a_single_room_that_is_not_joined_is_skipped(
    desk: Desk, support: World, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    report = await single(desk, client, "!elsewhere")
    assert report["skipped_rooms"] == [{"room_id": "!elsewhere", "reason": "not_joined"}]
    assert report["joined_rooms"] == [] and report["notes"] == []


async def test_a_single_room_takes_decisions_about_itself_alone(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    decisions = {"!one": Decision(), "!new": Decision()}
    report = await single(desk, client, "!one", decisions=decisions)
    assert [link["id"] for link in report["repaired_links"]] == ["1"]
    assert report["conflicts"] == [] and rooms_of(desk)[3] == "!three"


async def test_a_room_that_could_not_be_read_is_a_conflict(
    desk: Desk, support: World, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    server.fault(Fault("!(two|lobby)/state", Status(403)))
    for report in (await full(desk, client), await single(desk, client, "!two")):
        [found] = [c for c in report["conflicts"] if c["room_id"] == "!two"]
        assert (found["code"], found["key"]) == ("room_unreadable", "link:tickets:2")
    report = await single(desk, client, "!lobby")
    [found] = report["conflicts"]
    assert (found["code"], found["room_id"]) == ("room_unreadable", "!lobby")
    assert "key" not in found


async def test_a_proposal_is_told_and_written_once_it_is_agreed_to(
    tmp_path: Path, world: World, client: nio.AsyncClient
) -> None:
    made = """CREATE TABLE user_spaces (space_id TEXT NOT NULL, user_id TEXT NOT NULL,
        active BOOLEAN NOT NULL DEFAULT TRUE, PRIMARY KEY (space_id, user_id));
        INSERT INTO user_spaces VALUES ('!left', '@anna:hs', TRUE), ('!old', '@anna:hs', FALSE)"""
    table = {"table": "user_spaces", "id": "user_id", "room": "space_id", "where": {"active": True}}
    shape = {"kind": "links", "type": "space"}
    layout = Layout.of(shape, {"link": {**table, "insert": True}}, [{"sole_member": True}])
    desk = Desk(tmp_path / "bot.db", made, layout)
    before = desk.dump()
    world.space("!s1", owner="@anna:hs")
    world.space("!s2", owner="@ben:hs")
    report = await full(desk, client)
    proposals = {c["room_id"]: c["proposal"] for c in report["conflicts"] if "proposal" in c}
    assert proposals == {"!s1": "@anna:hs", "!s2": "@ben:hs"} and desk.dump() == before
    report = await full(desk, client, decisions={"!s1": Decision(), "!s2": Decision()})
    assert report["repaired_links"] == [
        {"id": "@anna:hs", "room_id": "!s1", "previous_room": "!left"}
    ]
    assert report["restored_links"] == [{"id": "@ben:hs", "room_id": "!s2"}]
    assert desk.sql("SELECT * FROM user_spaces ORDER BY space_id") == [
        ("!old", "@anna:hs", 0),
        ("!s1", "@anna:hs", 1),
        ("!s2", "@ben:hs", 1),
    ]
    async with desk.store() as store:
        [run] = await history(store)
        await undo(store, run.id)
    assert sorted(desk.dump()) == sorted(before)


async def test_a_crowded_room_is_read_whole_if_it_may_count(
    tmp_path: Path,
    world: World,
    server: FakeHomeserver,
    client: nio.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("toolkit.homeserver.server.BIG_ROOM_BYTES", 4_000)
    for room, maker in (("!three", "@ghost_1:hs"), ("!eva", EVA)):
        members = {f"@user{n}:hs": "join" for n in range(40)}
        world.room(room, creator=maker, members=members)
        world.event(room, "desk.case", {"conversation_id": 3}, sender=maker)
    layout = mapping(conversations(insert=True), CASE, rooms=["@ghost_.+:hs"])
    desk = Desk(tmp_path / "bot.db", CONVERSATIONS, layout)
    desk.sql("DELETE FROM conversation_to_room")
    report = await full(desk, client)
    assert report["restored_links"] == [{"id": "3", "room_id": "!three"}]
    assert report["skipped_rooms"] == [{"room_id": "!eva", "reason": "not_created_by_bot"}]


async def test_rows_of_another_account_are_refused_as_a_whole(
    desk: Desk, world: World, client: nio.AsyncClient
) -> None:
    world.room("!one", name="Ticket #1 (Anna)")
    for number in range(10, 16):
        desk.sql(f"INSERT INTO tickets VALUES ({number}, 1, '!other{number}', 'open')")
    before = desk.dump()
    with pytest.raises(RemoteIncomplete, match="None of the 8 rooms that the local rows name"):
        await full(desk, client)
    assert desk.dump() == before
    report = await full(desk, client, allow_empty=True)
    assert [link["id"] for link in report["repaired_links"]] == ["1"]


async def test_an_empty_list_of_rooms_beside_rows_is_refused(
    desk: Desk, world: World, client: nio.AsyncClient
) -> None:
    with pytest.raises(RemoteIncomplete, match="in no room at all"):
        await full(desk, client)


async def test_more_changes_than_allowed_are_refused_as_a_whole(
    desk: Desk, support: World, client: nio.AsyncClient
) -> None:
    before = desk.dump()
    with pytest.raises(ToolkitError, match="would write 2 rows, and no more than 1"):
        await full(desk, client, max_changes=1)
    assert desk.dump() == before


async def test_the_deadline_is_for_the_whole_call(
    desk: Desk, support: World, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    with pytest.raises(RemoteIncomplete, match="deadline"):
        await full(desk, client, deadline=0.0)


async def test_what_is_no_client_or_no_store_of_this_layout_is_refused(
    desk: Desk, tmp_path: Path
) -> None:
    client: Any = object()
    async with desk.store() as store:
        with pytest.raises(HomeserverError, match="no client to ask"):
            await reconcile_links(None, store, desk.layout)
        with pytest.raises(ToolkitError, match="is of shape chats"):
            await reconcile_links(client, store, Layout())
        with pytest.raises(ToolkitError, match=r"open it with SQLiteStore\(path, layout=layout\)"):
            await reconcile_links(client, store, tickets())
    with pytest.raises(ToolkitError, match=r"The store \(InMemoryStore\)"):
        await reconcile_links(client, InMemoryStore(), desk.layout)
    async with SQLiteStore(tmp_path / "kv.db") as store:
        with pytest.raises(ToolkitError, match=r"The store \(SQLiteStore\)"):
            await reconcile_links(client, store, desk.layout)


async def test_a_warning_of_the_writer_is_logged(
    desk: Desk,
    support: World,
    client: nio.AsyncClient,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail(*_: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(RunJournal, "finish", fail)
    await full(desk, client)
    assert "the disk is full" in caplog.text
