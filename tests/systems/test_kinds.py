"""Kinds of tables that other bots and bridges keep, each from `fit` to undo: made up after what such programs do."""

from __future__ import annotations

import json
import sqlite3
import tomllib
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
from tests.bench import BOT, Bench
from tests.cli.command import TOKEN, Done
from tests.cli.conftest import environment, server
from tests.tables import Desk
from toolkit import Layout
from toolkit.testing import FakeHomeserver, World

__all__ = ["environment", "server"]  # fixtures
NUMBERS = range(1, 7)


@dataclass(frozen=True)
class Kind:
    """Six rows of six rooms; `lost` then takes the room of 2, and the row of 3, as accidents do.

    `left` are the rooms that `apply` leaves open, `told` what is said of them.
    """

    made: str
    row: str
    lost: str
    room: Callable[[World, int], Any]
    found: dict[str, Any]
    left: tuple[str, ...] = ()
    told: str = ""


def named(pattern: str, **more: Any) -> Callable[[World, int], Any]:
    return lambda world, n: world.room(f"!r{n}", name=pattern.format(n), **more)


def marked(content: Callable[[int], dict[str, Any]], *, by: str = BOT, key: str = "") -> Any:
    def make(world: World, n: int) -> None:
        world.room(f"!r{n}", creator=by.format(n))
        world.event(f"!r{n}", "org.own.link", content(n), state_key=key.format(n), sender=BOT)

    return make


def aliased(alias: str) -> Any:
    def make(world: World, n: int) -> None:
        world.room(f"!r{n}", name="general")
        content = {"alias": alias.format(n)}
        world.event(f"!r{n}", "m.room.canonical_alias", content, sender=BOT)

    return make


KINDS = {
    "a bridge's portals in one table for several bridges, with many columns": Kind(
        """CREATE TABLE bridge (id TEXT PRIMARY KEY); INSERT INTO bridge VALUES ('');
        CREATE TABLE portal (bridge_id TEXT NOT NULL REFERENCES bridge, id TEXT NOT NULL,
        receiver TEXT NOT NULL, mxid TEXT, name TEXT NOT NULL, metadata jsonb NOT NULL,
        PRIMARY KEY (bridge_id, id, receiver), UNIQUE (bridge_id, mxid))""",
        "INSERT INTO portal VALUES ('', 'c{0}', 'me{0}', '!r{0}', 'n{0}', '{{}}')",
        "UPDATE portal SET mxid = NULL WHERE id = 'c2'; DELETE FROM portal WHERE id = 'c3'",
        marked(lambda n: {"channel": {"id": f"c{n}", "fi.mau.receiver": f"me{n}"}}, key="x://{0}"),
        {"id": ["id", "receiver"], "room": "mxid", "where": {"bridge_id": ""}},
        ("!r3",),
        "its column 'name', 'metadata' needs a value",
    ),
    "a room's key and a number, in a table without rowid": Kind(
        """CREATE TABLE conversations (matrix_room_id TEXT PRIMARY KEY, number INTEGER UNIQUE NOT NULL,
        last_event TEXT) WITHOUT ROWID""",
        "INSERT INTO conversations VALUES ('!r{0}', {0}, NULL)",
        """UPDATE conversations SET matrix_room_id = '!gone' WHERE number = 2;
        DELETE FROM conversations WHERE number = 3""",
        marked(lambda n: {"n": str(n)}, by="@user{0}:hs"),
        {"id": "number", "room": "matrix_room_id", "insert": True},
    ),
    "numbers in a column without a type": Kind(
        "CREATE TABLE links (id PRIMARY KEY, room)",
        "INSERT INTO links VALUES ({0}, '!r{0}')",
        "UPDATE links SET room = '' WHERE id = 2; DELETE FROM links WHERE id = 3",
        marked(lambda n: {"n": str(n)}),
        {"id": "id", "room": "room", "insert": True},
    ),
    "numbers as texts, beside a generated column and a view": Kind(
        """CREATE TABLE links (num VARCHAR(9) NOT NULL UNIQUE, room TEXT,
        label TEXT AS ('T-' || num), made INTEGER NOT NULL DEFAULT (strftime('%s', 'now')));
        CREATE VIEW shown AS SELECT * FROM links""",
        "INSERT INTO links (num, room, made) VALUES ('{0}', '!r{0}', 1)",
        "UPDATE links SET room = NULL WHERE num = '2'; DELETE FROM links WHERE num = '3'",
        marked(lambda n: {"n": n}),
        {"id": "num", "room": "room", "insert": True},
    ),
    "a composite key of numbers": Kind(
        """CREATE TABLE links (net INTEGER, chan INTEGER, room TEXT, PRIMARY KEY (net, chan))""",
        "INSERT INTO links VALUES ({0} % 2, {0}, '!r{0}')",
        "UPDATE links SET room = NULL WHERE chan = 2; DELETE FROM links WHERE chan = 3",
        lambda world, n: world.room(f"!r{n}", name=f"net {n % 2} / chan {n}"),
        {"id": ["net", "chan"], "room": "room", "insert": True},
    ),
    "rows that were given up, with the same ids": Kind(
        """CREATE TABLE links (pk INTEGER PRIMARY KEY, team TEXT, room TEXT, deleted INTEGER);
        CREATE UNIQUE INDEX live ON links (team) WHERE deleted = 0""",
        "INSERT INTO links (team, room, deleted) VALUES ('t{0}', '!o{0}', 1), ('t{0}', '!r{0}', 0)",
        """UPDATE links SET room = NULL WHERE team = 't2' AND NOT deleted;
        DELETE FROM links WHERE team = 't3' AND NOT deleted""",
        named("Team t{0}"),
        {"id": "team", "room": "room", "show": ["pk"], "where": {"deleted": 0}},
        ("!r3",),
        "nothing keeps a second row of the same id away",
    ),
    "aliases, constants and several equalities": Kind(
        """CREATE TABLE rooms (origin TEXT, room_id TEXT, domain TEXT, channel TEXT, json TEXT,
        type TEXT NOT NULL, PRIMARY KEY (room_id, domain, channel, origin))""",
        "INSERT INTO rooms VALUES ('alias', '!r{0}', 'irc.x', '#chan{0}', '{{}}', 'channel')",
        "UPDATE rooms SET room_id = '!gone' WHERE channel = '#chan2'; DELETE FROM rooms WHERE channel = '#chan3'",
        aliased("#irc_#chan{0}:hs"),
        {
            "id": "channel",
            "room": "room_id",
            "where": {"origin": "alias", "domain": "irc.x"},
            "insert": {"type": "channel"},
        },
    ),
    "a Space for each account of a user who has several": Kind(
        """CREATE TABLE logins (bridge TEXT, mxid TEXT NOT NULL, id TEXT, space_room TEXT,
        PRIMARY KEY (bridge, id))""",
        "INSERT INTO logins VALUES ('wa', '@u:hs', '100{0}', '!r{0}')",
        "UPDATE logins SET space_room = NULL WHERE id = '1002'; DELETE FROM logins WHERE id = '1003'",
        named("WhatsApp (+100{0})", room_type="m.space", members={"@u:hs": "join"}),
        {"id": "id", "room": "space_room", "owner": "mxid", "where": {"bridge": "wa"}},
        ("!r3",),
        "its column 'mxid' needs a value",
    ),
    "names that SQL and TOML would take for something else": Kind(
        """CREATE TABLE "we""ird 'select];--" ("i d" TEXT PRIMARY KEY, "gro""up" TEXT)""",
        """INSERT INTO "we""ird 'select];--" VALUES ('it''s "{0}"', '!r{0}')""",
        """UPDATE "we""ird 'select];--" SET "gro""up" = NULL WHERE "i d" LIKE '%2%';
        DELETE FROM "we""ird 'select];--" WHERE "i d" LIKE '%3%'""",
        named('Talk it\'s "{0}"'),
        {"id": "i d", "room": 'gro"up', "insert": True},
    ),
    "rows that a trigger guards, and one that a foreign key does": Kind(
        """CREATE TABLE rooms (id TEXT PRIMARY KEY);
        CREATE TABLE links (id TEXT PRIMARY KEY, room TEXT REFERENCES rooms);
        CREATE TRIGGER no BEFORE INSERT ON links WHEN NEW.room = '!r3' AND 1 IN
        (SELECT count(*) FROM rooms WHERE id = '!lost') BEGIN SELECT RAISE(IGNORE); END""",
        "INSERT INTO rooms VALUES ('!r{0}'); INSERT INTO links VALUES ('l{0}', '!r{0}')",
        """UPDATE links SET room = NULL WHERE id = 'l2'; DELETE FROM links WHERE id = 'l3';
        INSERT INTO rooms VALUES ('!lost'), ('!new')""",
        named("Link l{0}"),
        {"id": "id", "room": "room", "insert": True},
        ("!r3",),
        "a trigger, constraint or conflicting column ignored the write",
    ),
}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path / "unused.db")
    found.world.rooms.clear()
    return found


class Place:
    """A folder with a bot's database, where a newcomer runs the commands."""

    def __init__(self, desk: Desk, capsys: pytest.CaptureFixture[str]) -> None:
        self.desk, self.capsys = desk, capsys

    def run(self, *words: str) -> Done:
        code = toolkit.cli.run(list(words))
        said = self.capsys.readouterr()
        assert TOKEN not in said.out + said.err
        return Done(code, said.out, said.err)

    def dump(self) -> Any:
        names = [name for (name,) in self.desk.sql("SELECT name FROM sqlite_master")]
        tables = [n for n in names if not n.startswith("sqlite_") and n not in ("no", "live")]
        quoted = ('"' + name.replace('"', '""') + '"' for name in tables)
        return [self.desk.sql(f"SELECT * FROM {name}") for name in quoted]  # quoted


@pytest.mark.parametrize("name", KINDS)
def test_a_kind_of_table_is_fitted_repaired_and_taken_back(
    name: str,
    bench: Bench,
    server: FakeHomeserver,
    environment: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    kind = KINDS[name]
    monkeypatch.delenv("BOT_DATABASE")
    rows = "; ".join(kind.row.format(n) for n in NUMBERS)
    desk = Desk(tmp_path / "store.db", f"{kind.made}; {rows}", Layout())
    for number in NUMBERS:
        kind.room(bench.world, number)
    bench.world.upgrade("!r5", "!new")
    place = Place(desk, capsys)
    fitted = place.run("fit", "store.db")
    assert fitted.code == 0, fitted.err
    (tmp_path / "matrix-drift.toml").write_text(fitted.out, encoding="utf-8")
    link = tomllib.loads(fitted.out)["rows"]["link"]
    assert {name: link.get(name) for name in kind.found} == kind.found
    with closing(sqlite3.connect(desk.path)) as database, database:
        database.executescript(kind.lost)
    before = place.dump()
    assert place.run("check").code == 2
    assert place.dump() == before
    done = place.run("apply", "--approve-certain", "--json").json
    written = {"!r2", "!r3", "!new"} - {*kind.left}
    assert written <= {*done["units"]} and not written & done["not_written"].keys()
    left = place.run("check", "--json").json["units"]
    assert tuple(unit["unit"] for unit in left) == kind.left
    assert kind.told in json.dumps([left, done["not_written"]])
    [run] = place.run("history", "--json").json
    assert place.run("undo", "--yes", run["run"]).code == 0
    assert place.dump() == before
