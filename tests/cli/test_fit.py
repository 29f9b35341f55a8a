"""`fit`: from a database that no mapping describes to a file that works, on four bots of other shapes and our own."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.bench import small_rows, small_world
from tests.cli.command import TOKEN, Md
from tests.cli.fitter import Fitter
from tests.fit_worlds import EVA, GHOSTED, SPACES, bridge, desk, spaces, support
from tests.tables import CONVERSATIONS, PORTALS, TICKETS
from toolkit.testing import FakeHomeserver, World


@pytest.fixture
def fitter(tmp_path: Path, md: Md, server: FakeHomeserver) -> Fitter:
    (tmp_path / "bot.db").unlink()
    return Fitter(tmp_path, md, server)


def tables(out: str) -> dict[str, Any]:
    return tomllib.loads(out)


def test_a_support_bots_tickets_by_the_names_of_its_rooms(fitter: Fitter) -> None:
    fitter.fill(TICKETS, support())
    done = fitter.fit()
    assert done.code == 0
    assert tables(done.out) == {
        "homeserver": fitter.server.url,
        "database": "store.db",
        "shape": {"kind": "links", "rooms": "bot", "type": "room"},
        "rows": {"link": {"table": "tickets", "id": "id", "room": "user_room_id", "insert": False}},
        "evidence": [{"name": r"Ticket #{id} \(.+\)"}],
    }
    assert "no row can be made: its column 'id' is numbered by the database itself" in done.out
    assert done.said("Rows: 3; 2 name a room.", "5 joined, 2 in sync, 1 mismatched (wrong_field)")
    assert done.said("1 no_evidence, 1 not_created_by_bot")
    report = fitter.reconcile()
    assert [(link["id"], link["room_id"]) for link in report["repaired_links"]] == [("1", "!one")]
    assert report["unchanged_rooms"] == ["!three", "!two"]


def test_a_help_desks_rooms_by_the_event_that_marks_them(fitter: Fitter) -> None:
    fitter.fill(CONVERSATIONS, desk())
    told = tables(fitter.fit().out)
    assert told["shape"]["rooms"] == "bot-event"
    assert told["rows"]["link"] == {
        "table": "conversation_to_room",
        "id": "conversation_id",
        "room": "matrix_room_id",
        "insert": True,
    }
    assert told["evidence"] == [{"event": "desk.case", "id": "conversation_id"}]
    report = fitter.reconcile()
    assert report["restored_links"] == [{"id": "3", "room_id": "!lost"}]
    assert [skip["room_id"] for skip in report["skipped_rooms"]] == ["!forged"]


def test_a_bridges_portals_with_composite_ids_and_its_ghosts(fitter: Fitter) -> None:
    fitter.fill(PORTALS + GHOSTED, bridge())
    done = fitter.fit()
    told = tables(done.out)
    assert told["shape"]["rooms"] == ["@ghost_.+:hs"]
    assert (told["rows"]["link"]["id"], told["rows"]["link"]["insert"]) == (
        ["gcid", "gc_receiver"],
        True,
    )
    paths = ["channel.id", "channel.receiver"]
    assert told["evidence"] == [{"event": "m.bridge", "state_key": "*", "id": paths}]
    report = fitter.reconcile()
    assert [link["room_id"] for link in report["repaired_links"]] == ["!b"]
    assert report["restored_links"] == [{"id": '["dm:z","eva"]', "room_id": "!new"}]


def test_spaces_of_users_by_who_is_in_them(fitter: Fitter) -> None:
    fitter.fill(SPACES, spaces())
    done = fitter.fit()
    told = tables(done.out)
    assert told["shape"]["type"] == "space"
    assert told["rows"]["link"] == {
        "table": "user_spaces",
        "id": "user_id",
        "room": "space_id",
        "where": {"active": True},
        "insert": True,
    }
    assert told["evidence"] == [{"sole_member": True}]
    assert "a proposal only" in done.out
    [conflict] = fitter.reconcile()["conflicts"]
    assert (conflict["room_id"], conflict["proposal"]) == ("!s9", "@new:hs")


def test_a_key_value_table_of_our_own_shape_by_its_rows(
    fitter: Fitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = small_rows()
    fitter.fill("CREATE TABLE storage (id INTEGER PRIMARY KEY, k TEXT UNIQUE, v TEXT, note TEXT)")
    with closing(sqlite3.connect(fitter.path)) as database, database:
        for key, row in {**rows, "config:x": {}}.items():
            database.execute("INSERT INTO storage (k, v) VALUES (?, ?)", (key, json.dumps(row)))
    fitter.server.rooms.update(small_world().rooms)
    monkeypatch.delenv("BOT_DATABASE")
    done = fitter.fit()
    told = tables(done.out)
    assert {name: told[name] for name in told if name != "homeserver"} == {
        "database": "store.db",
        "table": "storage",
        "key_column": "k",
        "value_column": "v",
    }
    assert done.said("the key-value table storage, which is of the toolkit's own shape", "Rows: 8.")
    assert done.said("Rooms: 5 joined, 3 in sync.", "2 space")
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN")
    assert fitter.fit().said("Rows: 8.", "Can't tell: which rooms are joined")
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    assert fitter.md("check").code == 0


def test_without_a_token_the_rows_alone_are_told(
    fitter: Fitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitter.fill(TICKETS, support())
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN")
    done = fitter.fit()
    assert tables(done.out)["rows"]["link"]["room"] == "user_room_id"
    assert "evidence" not in tables(done.out)
    assert done.said("Can't tell: who made the rooms", "there is no access token")
    assert fitter.server.requests == []
    monkeypatch.delenv("MATRIX_HOMESERVER")
    (fitter.folder / "matrix-drift.toml").unlink()
    done = fitter.fit()
    assert '# homeserver = ""' in done.out and done.said("no homeserver is named")


def test_a_database_that_nobody_names_is_said(
    fitter: Fitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BOT_DATABASE", raising=False)
    done = fitter.md("fit")
    assert done.code == 1
    assert done.said("No database is named: give its file or address after `fit`, BOT_DATABASE, or")
    fitter.fill(TICKETS, support())
    monkeypatch.setenv("BOT_DATABASE", "store.db")
    assert fitter.md("fit").code == 0


def test_an_empty_database_and_one_without_rooms_are_said(fitter: Fitter) -> None:
    fitter.fill("", support())
    done = fitter.fit()
    assert (done.code, done.out) == (1, "") and done.said("store.db has no table")
    fitter.fill("CREATE TABLE feeds (url TEXT)")
    fitter.server.rooms.update(support().rooms)
    assert fitter.fit().said("Nothing to propose: no column of store.db holds ids of rooms")


def test_what_could_not_be_read_is_told_where_nothing_is_proposed(fitter: Fitter) -> None:
    fitter.fill(
        """PRAGMA writable_schema = ON;
        INSERT INTO sqlite_master VALUES ('table', 'alien', 'alien', 0, 'CREATE VIRTUAL TABLE alien USING no(a)');""",
        support(),
    )
    done = fitter.fit()
    assert done.code == 1 and done.said("store.db has no table that could be read.")
    assert done.said("Can't tell: what stands in alien, which couldn't be read.")


def test_an_account_without_rooms_and_anothers_are_said(fitter: Fitter) -> None:
    fitter.fill(TICKETS)
    done = fitter.fit()
    assert done.code == 1 and done.said("Nothing to propose: @bot:hs is in no room.")
    fitter.server.rooms.update(desk().rooms)
    del fitter.server.rooms["!two"]
    done = fitter.fit()
    assert done.said("tickets.user_room_id may be of rooms", "another account's database?")


def test_names_from_strangers_stay_names(fitter: Fitter) -> None:
    fitter.fill(
        """CREATE TABLE "odd ""t""
[shape]" ("i'd"" \\" TEXT PRIMARY KEY, "r\u202eo\nom" TEXT, "k\x1b[2J" TEXT NOT NULL);
        INSERT INTO "odd ""t""
[shape]" VALUES ('a', '!one', 'x"
y'), ('b', '!two', 'x"
y');"""
    )
    world = World("@bot:hs")
    for number, room in enumerate(("!one", "!two")):
        world.room(room)
        content = {"a.b\n": {"'x' \u202e": "ab"[number]}, 'q"': "ab"[number]}
        world.event(room, 'ev\n[[evidence]]\nname = "{id}"', content)
    fitter.server.rooms.update(world.rooms)
    done = fitter.fit()
    assert not any(char in done.out + done.err for char in "\u202e\x1b")
    assert sum(line.startswith("[") for line in done.out.splitlines()) == 3
    layout = fitter.settings()["layout"]
    assert layout.link.table == 'odd "t"\n[shape]'
    assert (layout.link.id, layout.link.room) == ("i'd\" \\", "r\u202eo\nom")
    assert layout.link.insert == {"k\x1b[2J": 'x"\ny'}
    assert layout.clues[0].event == 'ev\n[[evidence]]\nname = "{id}"'
    assert layout.clues[0].paths == (("a.b\n", "'x' \u202e"),)
    assert fitter.reconcile()["unchanged_rooms"] == ["!one", "!two"]


def test_what_makes_users_rooms_count_is_left_open_where_nothing_says_so(fitter: Fitter) -> None:
    fitter.fill(TICKETS, World("@bot:hs"))
    world = World("@bot:hs")
    world.room("!two", creator=EVA)
    world.room("!three", creator="@ben:hs")
    fitter.server.rooms.update(world.rooms)
    done = fitter.fit()
    assert tables(done.out)["shape"]["rooms"] == "bot"
    assert "rooms made by @ben:hs, @eva:hs don't count by this" in done.out
    assert done.said("Can't tell: what makes rooms count that 2 other accounts made")
    assert done.said("Can't tell: what else tells the id of a room")


def test_help_accounts_and_a_former_account_are_kept_in_the_file(fitter: Fitter) -> None:
    world = World("@old:hs")
    world.room("!two", name="Ticket #2 (Anna)")
    world.room("!three", name="Ticket #3 (Ben)")
    fitter.fill(TICKETS, world)
    for room in ("!two", "!three"):
        world.member(room, "@bot:hs")
    done = fitter.fit("--former-account", "@old:hs", "--helper-account", "@admin:hs")
    told = tables(done.out)
    assert (told["former_accounts"], told["helper_accounts"]) == (["@old:hs"], ["@admin:hs"])
    assert told["shape"]["rooms"] == "bot" and told["evidence"]
