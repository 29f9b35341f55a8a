"""`--new-database`: the lost database, looked at as empty before anybody writes to it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench import ALICE, BOB, Bench, small_rows
from tests.cli.command import Md
from toolkit.testing import FakeHomeserver


def without_table(path: Path, mode: str) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
        database.execute("PRAGMA user_version = 1")


LOST: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: None,
    "no byte": Path.touch,
    "no table": lambda path: without_table(path, "DELETE"),
    "no table, WAL": lambda path: without_table(path, "WAL"),
}


@pytest.fixture(params=sorted(LOST))
def lost(request: pytest.FixtureRequest, bench: Bench) -> Bench:
    """The database as it is after the accident."""
    bench.path.unlink()
    bench.world.name("!a2", "Чат 2")
    LOST[request.param](bench.path)
    return bench


def files(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


REFUSED = "look at it as empty with --new-database"


@pytest.mark.parametrize("command", ["check", "plan"])
def test_looking_makes_no_file_and_says_the_whole_path_and_what_comes_back(
    md: Md, lost: Bench, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    lost.world.room("!lobby", name="Lobby")
    lost.world.chat("!b2", "!bob", "Разговор", owner=BOB)
    monkeypatch.setenv("BOT_DATABASE", "bot.db")
    before = files(lost.path)
    done = md(command, "--new-database")
    assert (done.code, done.err) == (2, "")
    said = " ".join(done.out.split())
    assert f"New database: {lost.path} is looked at as empty." in said
    assert "would bring back 2 user rows, 3 room rows and 3 chat rows." in said
    assert "1 unit would then wait for a person's decision." in said
    assert "`matrix-drift apply --new-database 'UNIT'` with what its arrow says." in said
    assert "Of joined rooms that are no chats, nothing comes back: 1 no_space." in said
    assert "No room tells, and only a backup has: what its users called their chats" in said
    assert "the numbers of chats whose rooms the bot has left" in said
    assert "`matrix-drift apply --new-database` writes them." in said
    assert "one at a time: `matrix-drift apply --new-database 'UNIT'` with" in said
    assert files(lost.path) == before


def test_json_tells_it_too(md: Md, lost: Bench) -> None:
    done = md("check", "--new-database", "--json")
    found = done.json["new_database"]
    assert found["path"] == str(lost.path)
    assert found["brought_back"] == {"user row": 2, "room row": 3, "chat row": 3}
    assert found["skipped"] == {} and len(found["lost"]) == 4
    [note] = done.json["notes"]
    assert (note["code"], note["key"]) == ("new_database", str(lost.path))


@pytest.mark.parametrize("command", ["check", "plan", "apply"])
def test_without_the_option_it_is_refused_and_the_option_is_named(
    md: Md, lost: Bench, command: str
) -> None:
    before = files(lost.path)
    done = md(command, *["--approve-certain"] * (command == "apply"))
    assert done.code == 1
    assert done.said(str(lost.path), REFUSED, "`allow_new=True`")
    assert files(lost.path) == before


def test_apply_makes_it_with_what_was_shown(md: Md, lost: Bench) -> None:
    assert md("apply", "--new-database").said("Nobody is there to be asked")
    done = md("apply", "--new-database", "--approve-certain")
    assert done.code == 0
    assert f"New database: {lost.path}" in done.out
    assert "2 user rows restored, 3 room rows restored, 3 chat rows restored" in done.out
    found = {key: lost.row(key) for key in lost.bytes()}
    assert found.keys() == small_rows().keys()
    assert {row["chat_id"] for key, row in found.items() if key.startswith("chat:")} == {"C1", "C2"}
    told = md("check", "--new-database")
    assert told.code == 0 and "New database" not in told.out
    assert md("check", "--json").json["new_database"] is None


def test_nothing_to_write_makes_no_file(md: Md, lost: Bench) -> None:
    before = files(lost.path)
    lost.world.chat("!b2", "!bob", "Разговор", owner=BOB)
    done = md("apply", "!b2", "--new-database")
    assert done.code == 2 and "Not written: !b2" in done.out
    assert files(lost.path) == before


def test_a_database_without_rooms_is_named_as_well(
    md: Md, lost: Bench, server: FakeHomeserver
) -> None:
    lost.world.rooms.clear()
    done = md("check", "--new-database", "--allow-empty")
    assert done.code == 0
    said = " ".join(done.out.split())
    assert f"New database: {lost.path} is looked at as empty." in said
    assert "0 user rows, 0 room rows and 0 chat rows" in said


def test_another_table_in_the_file_is_no_new_database(md: Md, bench: Bench) -> None:
    done = md("check", "--new-database", "--table", "other")
    assert done.code == 1
    assert done.said("has no table 'other', only 'kv'")
    assert not done.said(REFUSED)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("check", "--snapshot", "x.snapshot", "--new-database"), "leave out --new-database"),
        (("plan", "--shadow", "a:b", "--new-database"), "leave out --snapshot, --new-database and"),
        (("apply", "--shadow", "a:b", "--new-database"), "leave out --new-database"),
        (("apply", "--shadow", "a:b", "--space", "!s"), "leave out --space"),
    ],
)
def test_it_is_about_the_two_sides_alone(md: Md, arguments: tuple[str, ...], words: str) -> None:
    done = md(*arguments)
    assert done.code == 1
    assert done.said(words)


def test_a_user_is_decided_about_in_a_new_database(md: Md, lost: Bench) -> None:
    done = md("apply", ALICE, "--new-database")
    assert done.code == 0
    assert [*lost.bytes()] == [f"matrix_user:{ALICE}"]
