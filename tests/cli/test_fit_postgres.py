"""`fit` on a server: from a bot's tables to a file with which `check` and `apply` run, and why not where they can't."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import small_rows, small_world
from tests.cli.command import Md
from tests.cli.fitter import Fitter, ServerFitter, for_server
from tests.fit_worlds import BOT, EVA, GHOSTED, SPACES, bridge, desk, spaces, support
from tests.tables import CONVERSATIONS, PORTALS, TICKETS
from toolkit.testing import FakeHomeserver, World
from toolkit.testing.postgres import Postgres

CASES = """
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE DOMAIN room_id AS text CHECK (VALUE LIKE '!%');
    CREATE DOMAIN kind AS varchar(20) NOT NULL;
    CREATE TABLE cases (
        number bigint GENERATED ALWAYS AS IDENTITY, id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
        room room_id UNIQUE, owner varchar(255), kind kind, mood mood NOT NULL DEFAULT 'calm',
        tags text[] NOT NULL DEFAULT '{}', meta jsonb NOT NULL, price numeric(9, 2) DEFAULT 1.50,
        weight real, icon bytea, open boolean NOT NULL DEFAULT true,
        made timestamptz NOT NULL DEFAULT now(), seen timestamp, label text GENERATED ALWAYS AS (id::text) STORED
    );
    INSERT INTO cases (id, room, owner, kind, meta, weight, icon)
        SELECT ('00000000-0000-0000-0000-00000000000' || n)::uuid, '!case' || n, '@eva:hs', 'case', '{"v": 1}', n, 'x'
        FROM generate_series(1, 3) AS n;
    UPDATE cases SET room = NULL WHERE id::text LIKE '%3';
"""


def cases() -> World:
    """Five rooms of cases, of which one has an empty row and one none, and a stranger's."""
    world = World(BOT)
    for number in (1, 2, 3, 4):
        world.room(f"!case{number}", members=[EVA])
        content = {"case": {"id": f"00000000-0000-0000-0000-00000000000{number}", "at": number}}
        world.event(f"!case{number}", "com.example.case", content)
    world.room("!eva", creator=EVA)
    return world


@pytest.fixture
def on_server(
    tmp_path: Path,
    md: Md,
    server: FakeHomeserver,
    postgres: Postgres,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[ServerFitter]:
    (tmp_path / "bot.db").unlink()
    monkeypatch.delenv("BOT_DATABASE")
    monkeypatch.setenv("PGPASSWORD", Postgres.PASSWORD)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    dsn = postgres.borrow_database()
    yield ServerFitter(tmp_path, md, server, dsn)
    postgres.give_back(dsn)


def told(out: str) -> dict[str, Any]:
    """What the file says but of where the database is."""
    return {name: value for name, value in tomllib.loads(out).items() if name != "database"}


def page(out: str) -> list[str]:
    """The lines of the file, reasons included, but for that one."""
    return [line for line in out.splitlines() if not line.startswith("database = ")]


_SAME: dict[str, tuple[str, Callable[[], World]]] = {
    "tickets": (TICKETS, support),
    "conversations": (CONVERSATIONS, desk),
    "portals": (PORTALS + GHOSTED, bridge),
    "spaces": (SPACES, spaces),
}


@pytest.mark.parametrize("bot", _SAME)
@pytest.mark.parametrize("looked", [True, False])
def test_the_same_bot_gets_the_same_mapping_and_the_same_repairs(
    on_server: ServerFitter, bot: str, looked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, world = _SAME[bot]
    in_file = Fitter(on_server.folder, on_server.md, on_server.server)
    if not looked:
        monkeypatch.delenv("MATRIX_ACCESS_TOKEN")
    in_file.fill(made, world())
    expected = in_file.fit()
    report = in_file.reconcile() if looked else None
    on_server.fill(made, world())
    found = on_server.fit()
    assert page(found.out) == page(expected.out) and found.err == expected.err
    if looked:
        assert on_server.reconcile() == report


def test_a_table_of_every_type_is_mapped_checked_written_and_taken_back(
    on_server: ServerFitter, md: Md
) -> None:
    on_server.fill(CASES, cases())
    done = on_server.fit()
    assert done.code == 0
    assert told(done.out) == {
        "homeserver": on_server.server.url,
        "shape": {"kind": "links", "rooms": "bot", "type": "room"},
        "rows": {
            "link": {
                "table": "cases",
                "id": "id",
                "room": "room",
                "owner": "owner",
                "insert": {"kind": "case", "meta": '{"v": 1}'},
            }
        },
        "evidence": [{"event": "com.example.case", "id": "case.id"}],
    }
    assert done.said("Rows: 3; 2 name a room.", "2 in sync", "1 missing (missing_row)")
    before = on_server.sql("SELECT t::text FROM cases AS t ORDER BY id")
    assert md("check").code == 2
    assert md("apply", "--approve-certain").code == 0
    assert md("check").code == 0
    rows = on_server.sql("SELECT room, kind, meta::text, mood::text FROM cases ORDER BY id")
    assert rows == [(f"!case{number}", "case", '{"v": 1}', "calm") for number in (1, 2, 3, 4)]
    [run] = md("history", "--json").json
    assert md("undo", run["run"], "--yes").code == 0
    assert on_server.sql("SELECT t::text FROM cases AS t ORDER BY id") == before


def test_a_key_value_table_of_jsonb_is_known_by_its_rows(on_server: ServerFitter, md: Md) -> None:
    rows = ", ".join(f"('{key}', '{json.dumps(row)}')" for key, row in small_rows().items())
    made = "CREATE TABLE storage (id bigserial PRIMARY KEY, k text UNIQUE, v jsonb);"
    on_server.fill(f"{made} INSERT INTO storage (k, v) VALUES {rows}", small_world())
    done = on_server.fit()
    found = told(done.out)
    assert [found[name] for name in ("table", "key_column", "value_column")] == [
        "storage",
        "k",
        "v",
    ]
    assert done.said("Rows: 8.", "Rooms: 5 joined, 3 in sync.")
    assert md("check").code == 0


def test_the_password_is_left_out_of_the_file_and_the_rest_of_the_address_is_kept(
    on_server: ServerFitter, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_server.fill(TICKETS, support())
    on_server.reader += "?application_name=fit&password=worker-secret"
    done = on_server.fit()
    [line] = [line for line in done.out.splitlines() if line.startswith("database")]
    where = on_server.dsn.partition("@")[2]
    assert line == (
        f'database = "postgresql://{on_server.role}@{where}?application_name=fit"'
        "  # without its password: set PGPASSWORD, or use a passfile"
    )
    on_server.reader = on_server.reader.replace(":worker-secret", "").partition("?")[0]
    monkeypatch.setenv("PGPASSWORD", "worker-secret")
    done = on_server.fit()
    assert tomllib.loads(done.out)["database"] == on_server.reader
    assert "without its password" not in done.out


def test_a_table_that_the_role_may_not_read_is_told_and_the_others_are_proposed(
    on_server: ServerFitter, md: Md
) -> None:
    on_server.fill(f"{TICKETS} CREATE TABLE vault (id int PRIMARY KEY, room text);", support())
    on_server.sql(f"REVOKE SELECT ON vault FROM {on_server.role}")
    done = on_server.fit()
    assert done.code == 0 and told(done.out)["rows"]["link"]["table"] == "tickets"
    why = "Can't tell: what stands in vault, which the role may not read: grant it SELECT."
    assert done.said(why)
    on_server.sql(f"REVOKE SELECT ON tickets, users FROM {on_server.role}")
    done = on_server.fit()
    assert done.code == 1 and done.out == ""
    assert done.said("what stands in tickets, users, vault, which the role may not read")
    assert done.said("has no table that could be read.")


def test_the_file_of_a_role_that_may_only_read_is_checked_and_its_writes_are_refused(
    on_server: ServerFitter, md: Md, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_server.fill(CONVERSATIONS, desk())
    assert on_server.fit().code == 0
    path = on_server.folder / "matrix-drift.toml"
    path.write_text(path.read_text("utf-8").replace("admin@", f"{on_server.role}@"))
    monkeypatch.setenv("PGPASSWORD", "worker-secret")
    assert md("check").code == 2
    done = md("apply", "--approve-certain")
    assert done.code == 1 and done.said("the role may not INSERT, UPDATE there")


def test_tables_of_another_schema_are_told_and_fitted_once_the_address_shows_them(
    on_server: ServerFitter, md: Md
) -> None:
    on_server.fill("CREATE TABLE feeds (url text)", support())
    on_server.sql(
        f"""CREATE SCHEMA bot; SET search_path = bot; {for_server(TICKETS)};
        GRANT USAGE ON SCHEMA bot TO {on_server.role};
        GRANT SELECT ON ALL TABLES IN SCHEMA bot TO {on_server.role}"""
    )
    done = on_server.fit()
    assert done.code == 1
    assert done.said("what stands in bot.tickets, bot.users, which the role's search_path doesn't")
    assert done.said("?options=-csearch_path%3DSCHEMA in the address", 'table = "SCHEMA.TABLE"')
    on_server.reader += "?options=-csearch_path%3Dbot"
    done = on_server.fit()
    assert told(done.out)["rows"]["link"]["table"] == "tickets"
    assert md("check").code == 2


_REFUSED = {
    "a partitioned table": (
        """CREATE TABLE links (id text, room text, PRIMARY KEY (id)) PARTITION BY HASH (id);
        CREATE TABLE links_0 PARTITION OF links FOR VALUES WITH (MODULUS 1, REMAINDER 0);""",
        "it is a partitioned table",
    ),
    "an inherited table": (
        """CREATE TABLE links (id text PRIMARY KEY, room text);
        CREATE TABLE more () INHERITS (links);""",
        "other tables inherit from it",
    ),
    "row security": (
        """CREATE TABLE links (id text PRIMARY KEY, room text);
        ALTER TABLE links ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON links USING (true);""",
        "row security hides rows of it from this role",
    ),
    "nothing that is unique": (
        "CREATE TABLE links (id text, room text); CREATE INDEX ON links (id);",
        "neither the id nor the room is unique in it",
    ),
    "unique among some rows": (
        "CREATE TABLE links (id text, room text); CREATE UNIQUE INDEX ON links (id) WHERE room LIKE '!%';",
        "unique only among some of them",
    ),
}


@pytest.mark.parametrize("what", _REFUSED)
def test_a_table_that_can_not_be_mapped_is_refused_in_a_sentence(
    on_server: ServerFitter, what: str
) -> None:
    made, why = _REFUSED[what]
    on_server.fill(f"{made} INSERT INTO links VALUES ('1', '!one'), ('2', '!two')", support())
    done = on_server.fit()
    assert (done.code, done.out) == (1, "")
    assert done.said("Refused: Can't use the table 'links'", why)


_LOOKED_AT_ONLY = {
    "rules": "CREATE RULE no AS ON UPDATE TO conversation_to_room DO INSTEAD NOTHING",
    "a deferred constraint": "ALTER TABLE conversation_to_room ADD UNIQUE (last_event) INITIALLY DEFERRED",
}


@pytest.mark.parametrize(
    ("what", "why"),
    [("rules", "it has rules"), ("a deferred constraint", "is looked at when a transaction ends")],
)
def test_a_table_that_can_only_be_looked_at_says_so_in_the_file_and_in_check(
    on_server: ServerFitter, md: Md, what: str, why: str
) -> None:
    on_server.fill(f"{CONVERSATIONS}; {_LOOKED_AT_ONLY[what]}", desk())
    done = on_server.fit()
    assert "it can only be looked at: " in done.out and why in done.out
    assert told(done.out)["rows"]["link"]["insert"] is False
    checked = md("check")
    assert checked.code == 2 and why in checked.out
    assert md("apply", "--approve-certain").said("nothing to write")


def test_names_from_strangers_stay_names_on_a_server_too(on_server: ServerFitter, md: Md) -> None:
    table = 'odd ""t"".%s\n[shape]'
    on_server.fill(
        f"""CREATE TABLE "{table}" ("i'd"" \\ %" text PRIMARY KEY, "r\u202eo\nom" text, "k\x1b[2J" text NOT NULL);
        INSERT INTO "{table}" VALUES ('a', '!one', E'x"\\ny'), ('b', '!two', E'x"\\ny');"""
    )
    world = World(BOT)
    for number, room in enumerate(("!one", "!two", "!three")):
        world.room(room)
        world.event(room, 'ev\n[[evidence]]\nname = "{id}"', {"a.b\n": {"'x'": "abc"[number]}})
    on_server.server.rooms.update(world.rooms)
    done = on_server.fit()
    assert not any(char in done.out + done.err for char in "\u202e\x1b")
    assert sum(line.startswith("[") for line in done.out.splitlines()) == 3
    link = told(done.out)["rows"]["link"]
    assert link == {
        "table": f'"{table}"',
        "id": "i'd\" \\ %",
        "room": "r\u202eo\nom",
        "insert": {"k\x1b[2J": 'x"\ny'},
    }
    assert md("apply", "--approve-certain").code == 0
    assert md("check").code == 0


def test_an_empty_database_one_without_rooms_and_a_closed_door_are_said(
    on_server: ServerFitter, md: Md
) -> None:
    on_server.fill("", support())
    done = on_server.fit()
    assert (done.code, done.out) == (1, "") and done.said("has no table.")
    on_server.fill("CREATE TABLE feeds (url TEXT)", support())
    assert on_server.fit().said("Nothing to propose: no column of postgresql://", "holds ids of")
    done = md("fit", "postgresql://bot:hunter2@127.0.0.1:1/state")
    assert done.code == 1 and "hunter2" not in done.err
    assert done.said("Can't open the database postgresql://bot@127.0.0.1:1/state")
    done = md("fit", "postgresql://bot:hun ter2@db/state")
    assert done.code == 1 and "ter2" not in done.err and done.said("The DSN of the database can't")
    assert md("fit", "mysql://bot:hunter2@db/state").said("neither by a file nor by an address")


def test_check_says_that_a_mapping_can_be_proposed_for_tables_of_ones_own(
    on_server: ServerFitter, md: Md
) -> None:
    on_server.fill(TICKETS, support())
    done = md("check", "--database", on_server.dsn)
    assert done.code == 1
    assert done.said("has no table 'kv', only 'tickets', 'users'", "or let `matrix-drift fit`")
