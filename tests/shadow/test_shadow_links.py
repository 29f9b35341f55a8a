"""A shadow run for a bot of shape links: its function on a copy of its own tables, by any SQL that it likes."""

from __future__ import annotations

import asyncio
import functools
import json
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nio
import pytest

import toolkit.cli
from tests.clients import TOKEN, nio_client
from tests.shadow.functions import files
from tests.tables import CONVERSATIONS, TICKETS, Desk, conversations, link_layout
from toolkit import (
    ChatManager,
    Layout,
    ToolkitError,
    reconcile_links,
    reconcile_single_link,
    review,
    shadow_run,
)
from toolkit.board import find_model, to_browser
from toolkit.model import Choices
from toolkit.shadow import ShadowRun
from toolkit.testing import FakeHomeserver, World
from toolkit.writing.undo import history, undo

BOT = "@bot:hs"
LINK = {"table": "tickets", "id": "id", "room": "user_room_id", "show": ["status"]}
EVIDENCE = [{"name": r"Ticket #{id} \(.+\)"}]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """Ticket 1 names no room, 2 one that it is in, 3 one that it isn't in."""
    (tmp_path / "bot").mkdir()
    layout = Layout.of({"kind": "links"}, {"link": LINK}, EVIDENCE)
    return Desk(tmp_path / "bot" / "own.db", TICKETS, layout)


@pytest.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    world = World(BOT)
    world.room("!one", name="Ticket #1 (Anna)")
    world.room("!two", name="renamed")
    world.room("!new", name="Ticket #3 (Ben)")
    async with FakeHomeserver(world.rooms, BOT, access_token=TOKEN) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    async with nio_client(server.url, BOT) as found:
        yield found


async def run(fn: Any, client: Any, desk: Desk, *, read_only: bool = True) -> ShadowRun:
    """One that leaves the database as it is, to the byte, and nothing beside it."""
    async with desk.store(read_only=read_only) as store:
        before, dump = files(store), desk.dump()
        found = await shadow_run(fn, client, store)
        assert (files(store), desk.dump()) == (before, dump)
    assert TOKEN not in repr(found) + found._repr_html_()
    return found


def by_sql(statement: str) -> Any:
    """A function that opens the database by itself, as such bots do."""

    async def repair(client: Any, store: Any, layout: Layout) -> None:
        with closing(sqlite3.connect(store.path)) as database, database:
            database.executescript(statement)

    return repair


def rooms_of(desk: Desk) -> dict[int, Any]:
    return dict(desk.sql("SELECT id, user_room_id FROM tickets"))


async def test_the_toolkits_own_functions_show_what_they_would_write(
    desk: Desk, client: nio.AsyncClient
) -> None:
    found = await run(reconcile_links, client, desk)
    assert [unit.id for unit in found.value.units] == ["!new", "!one"]
    assert found.headline() == (
        "Nothing was written; reconcile_links would have written 2 rows in 2 units."
    )
    assert "!one (change row of tickets)" in repr(found)
    assert (found.refused, found.elsewhere, found.warning) == ((), (), "")
    single = functools.partial(reconcile_single_link, room_id="!one")
    found = await run(single, client, desk, read_only=False)
    assert [unit.id for unit in found.value.units] == ["!one"]
    assert "restored_links" in found.returned


async def test_units_are_written_by_the_one_writer_and_taken_back(
    desk: Desk, client: nio.AsyncClient
) -> None:
    before = desk.dump()
    found = await run(by_sql("UPDATE tickets SET user_room_id = '!one' WHERE id = 1"), client, desk)
    applied = await found.apply("!one", by="eva")
    assert applied["repaired_links"] == [{"id": "1", "room_id": "!one", "previous_room": None}]
    assert rooms_of(desk) == {1: "!one", 2: "!two", 3: "!three"}
    async with desk.store() as store:
        [done] = await history(store)
        assert (done.action, done.entries[0].by) == ("shadow", "eva")
        await undo(store, done.id)
    assert desk.dump() == before


async def test_what_a_link_never_gets_is_only_shown(desk: Desk) -> None:
    found = await run(
        by_sql("""
            UPDATE tickets SET status = 'closed' WHERE id = 1;
            UPDATE tickets SET user_room_id = NULL WHERE id = 2;
            DELETE FROM tickets WHERE id = 3;
            INSERT INTO tickets (id, user_id, user_room_id) VALUES (8, 1, '!eight'), (9, 1, x'00');
            INSERT INTO users VALUES (3, 'eva');
        """),
        None,
        desk,
    )
    whys = {unit.id: found.why_not(unit) for unit in found.value.units}
    assert whys == {
        "link:tickets:1": "of link:tickets:1 only user_room_id is ever written, not status",
        "link:tickets:2": None,
        "!eight": (
            "no row such as link:tickets:8 is made: its column 'id' is numbered by the database itself"
        ),
        "link:tickets:9": "link:tickets:9 would be no row that can be read",
    }
    assert found.refused == ("DELETE of the row link:tickets:3",)
    assert found.elsewhere == ("users",)
    assert "It wrote to more than the mapping names, which is never written here: users" in repr(
        found
    )
    with pytest.raises(ToolkitError, match="only user_room_id is ever written"):
        await found.apply("link:tickets:1")


async def test_a_row_that_cant_be_read_is_overwritten_and_taken_back_if_it_is_one(
    tmp_path: Path, desk: Desk
) -> None:
    desk.sql("UPDATE tickets SET user_room_id = x'00' WHERE id = 1")
    before = desk.dump()
    found = await run(by_sql("UPDATE tickets SET user_room_id = '!one' WHERE id = 1"), None, desk)
    await found.apply("!one")
    assert rooms_of(desk)[1] == "!one"
    async with desk.store() as store:
        await undo(store, (await history(store))[-1].id)
    assert desk.dump() == before
    (tmp_path / "other").mkdir()
    made = (
        "CREATE TABLE t (room TEXT UNIQUE, id INTEGER); INSERT INTO t VALUES ('!a', 1), ('!b', 1)"
    )
    twins = Desk(tmp_path / "other" / "own.db", made, link_layout("t", "id", "room"))
    found = await run(by_sql("DELETE FROM t WHERE room = '!a'"), None, twins)
    assert "link:t:1 is no row that can be read" in str(found.why_not(found.value.units[0]))


async def test_columns_that_are_not_mapped_and_tables_that_are_made_are_told(desk: Desk) -> None:
    found = await run(by_sql("UPDATE tickets SET user_id = 2 WHERE id = 1"), None, desk)
    assert (found.elsewhere, found.quiet) == (("other columns of its rows",), False)
    found = await run(by_sql("CREATE TABLE more (n)"), None, desk)
    assert found.elsewhere == ("how tables are made", "more")
    found = await run(by_sql("SELECT 1"), None, desk)
    assert (found.elsewhere, found.quiet) == ((), True)


async def test_a_row_that_a_mapping_may_insert_is_made_and_taken_back(tmp_path: Path) -> None:
    (tmp_path / "bot").mkdir()
    layout = conversations(insert=True, show=["last_event"])
    desk = Desk(tmp_path / "bot" / "own.db", CONVERSATIONS, layout)
    before = desk.dump()
    made = by_sql("INSERT INTO conversation_to_room VALUES ('!three', 3, '$y')")
    found = await run(made, None, desk, read_only=False)
    async with desk.store() as store:
        applied = await found.apply("!three", store=store)
        assert applied["restored_links"] == [{"id": "3", "room_id": "!three"}]
        assert desk.sql("SELECT * FROM conversation_to_room")[-1] == ("!three", 3, None)
        left = found.session
        left.see(dict(await store.load_rows()), left.state.past)
        assert left.state.plan.units == ()
        await undo(store, (await history(store))[-1].id)
    assert desk.dump() == before
    layout = conversations()
    (tmp_path / "other").mkdir()
    desk = Desk(tmp_path / "other" / "own.db", CONVERSATIONS, layout)
    found = await run(made, None, desk)
    assert "the mapping has no insert" in (found.why_not(found.value.units[0]) or "")


async def test_what_the_bot_wrote_meanwhile_is_left_alone(desk: Desk) -> None:
    moved = by_sql("UPDATE tickets SET user_room_id = '!one' WHERE id = 1")

    async def repair(client: Any, store: Any, layout: Layout) -> None:
        desk.sql("UPDATE tickets SET user_room_id = '!one' WHERE id = 2")
        await moved(client, store, layout)

    async with desk.store(read_only=True) as store:
        found = await shadow_run(repair, None, store)
    assert "The rows changed while the function ran" in found.warning
    applied = await found.apply("!one")
    assert "about this room was written meanwhile" in applied.stale["!one"]
    assert rooms_of(desk)[1] is None


async def test_a_function_that_raises_shows_what_came_before(desk: Desk) -> None:
    def fail(client: Any, store: Any, layout: Layout) -> None:
        with closing(sqlite3.connect(store.path)) as database, database:
            database.execute("UPDATE tickets SET user_room_id = '!one' WHERE id = 1")
        raise ValueError("no luck")

    found = await run(fail, None, desk)
    assert found.raised == "ValueError: no luck" and len(found.value.units) == 1


async def test_a_session_decides_about_it(desk: Desk, client: nio.AsyncClient) -> None:
    async with desk.store() as store:
        session = (await shadow_run(reconcile_links, client, store)).session
        session.approve("!new")
        assert [unit.id for unit in session.state.plan.units] == ["!new", "!one"]
        applied = await session.apply()
        assert list(applied["repaired_links"][0].values()) == ["3", "!new", "!three"]
        assert session.state.plan.units[0].id == "!one"
    assert rooms_of(desk)[3] == "!new"


async def test_its_frames_speak_of_ids(desk: Desk, client: nio.AsyncClient) -> None:
    found = await run(reconcile_links, client, desk)
    assert dict(found.plan.to_frame()["id"]) == {"!new": "3", "!one": "1"}
    assert set(found.plan.changes()["key"]) == {"link:tickets:1", "link:tickets:3"}
    assert set(found.plan.findings()["field"]) == {"user_room_id"}
    rows = found.plan.rows("!new")["link:tickets:3"]
    assert (rows["before"]["user_room_id"], rows["after"]["user_room_id"]) == ("!three", "!new")
    assert "row of tickets" in repr(found.plan) and "chat" not in found.plan._repr_html_()


async def test_there_is_no_chat_manager(desk: Desk) -> None:
    async with desk.store() as store:
        with pytest.raises(ToolkitError, match="leave chat_mgr out"):
            await shadow_run(reconcile_links, None, store, ChatManager(store))


async def test_the_command_line_runs_it_in_the_bots_words(
    desk: Desk,
    server: FakeHomeserver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = desk.path.parent
    (folder / "matrix-drift.toml").write_text(
        '[shape]\nkind = "links"\n[rows.link]\ntable = "tickets"\nid = "id"\nroom = "user_room_id"\n'
        "[[evidence]]\nname = 'Ticket #{id} .+'\n"
    )
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(desk.path))

    async def say(*words: str) -> tuple[int, str]:
        code = await asyncio.to_thread(
            toolkit.cli.run, [words[0], "--shadow", "toolkit:reconcile_links", *words[1:]]
        )
        return code, capsys.readouterr().out

    code, said = await say("plan")
    assert code == 2 and "~ change row of tickets link:tickets:1" in said
    assert "chat" not in said
    code, said = await say("plan", "--json")
    assert (code, json.loads(said)["elsewhere"]) == (2, [])
    code, said = await say("apply", "!one")
    assert code == 0 and "Written: 1 row repaired." in said
    assert rooms_of(desk)[1] == "!one"
    assert {request.method for request in server.requests} <= {"GET"}


async def test_it_is_reviewed_and_applied_unit_by_unit(desk: Desk, client: nio.AsyncClient) -> None:
    found = await run(reconcile_links, client, desk)
    table = review(found)
    model = table.model
    assert [item.unit for item in model.items()] == ["!new", "!one"]
    line = model.item("!one")
    assert line and line.needs_human and line.chat_id == "1"
    assert line.action.startswith("needs your yes: would change the row of tickets")
    [row] = model.details("!one").rows
    assert ("user_room_id", '"!one"') in [(field.name, field.after) for field in row.fields]
    assert "reconcile_links would have written 2 rows" in to_browser.state(model)["about"][0]
    assert not model.pick("!one", Choices(chat_id="3")).accepted
    assert model.decide("!one", "approve", change=line.change).accepted
    applied = await found.session.apply()
    assert applied["repaired_links"][0]["room_id"] == "!one" and rooms_of(desk)[1] == "!one"
    assert [item.unit for item in model.items()] == ["!new"]


async def test_what_is_only_shown_is_barred_in_the_review(desk: Desk) -> None:
    found = await run(by_sql("UPDATE tickets SET status = 'closed' WHERE id = 1"), None, desk)
    model = find_model(found.session)
    line = model.item("link:tickets:1")
    assert line and not line.approvable and "not status" in line.action
    assert "It wrote to" not in repr(found)
