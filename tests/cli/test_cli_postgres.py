"""The command line on a database that is a server's: the same words, and never its password."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import ALICE, Bench, small_rows
from tests.cli.command import Md
from tests.postgres.server_bench import ServerBench
from toolkit.records import room_key, user_key
from toolkit.testing.postgres import Postgres

SECRET = Postgres.PASSWORD


@pytest.fixture
def bench(postgres: Postgres, tmp_path: Path) -> Iterator[ServerBench]:
    """The same bot on a server."""
    found = ServerBench(tmp_path / "unused", dsn=postgres.borrow_database())
    rows = small_rows()
    del rows[user_key(ALICE)], rows[room_key("!a1")]
    rows[room_key("!b1")] = "{"
    found.world.name("!a2", "Отпуск")
    found.fill(rows)
    yield found
    postgres.give_back(found.dsn)


@pytest.fixture
def environment(
    environment: None, bench: ServerBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BOT_DATABASE", bench.dsn)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


def state(folder: Path) -> list[str]:
    """The kinds of files in one's own state."""
    found = (folder / "state" / "matrix-drift").glob("*")
    return sorted(path.name.rpartition(".")[2] for path in found)


def test_what_is_found_is_written_told_and_taken_back(
    md: Md, bench: ServerBench, tmp_path: Path
) -> None:
    before = bench.bytes()
    steps = [md("check"), md("plan"), md("apply", "--approve-certain")]
    assert [step.code for step in steps] == [2, 2, 2]
    [run] = md("history", "--json").json
    assert bench.row(room_key("!a1"))["chat_id"] == "C1" and state(tmp_path) == ["backup"]
    shown = md("history", run["run"])
    assert "insert room row" in shown.out and ".backup" in shown.out
    assert md("undo", run["run"], "--yes").code == 0 and bench.bytes() == before
    for step in [*steps, shown, md("history")]:
        assert SECRET not in step.out + step.err


@pytest.mark.parametrize("named", ["option", "file"])
def test_it_is_named_like_any_other(
    md: Md, bench: ServerBench, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    monkeypatch.delenv("BOT_DATABASE")
    if named == "file":
        Path("matrix-drift.toml").write_text(f'database = "{bench.dsn}"\ntable = "kv"\n', "utf-8")
        Path("below").mkdir()
        os.chdir("below")
        assert md("check").code == 2
    else:
        assert md("check", "--database", bench.dsn).code == 2


def test_a_decision_is_kept_beside_ones_own_state(md: Md, tmp_path: Path) -> None:
    assert md("ignore", "!b1", "--reason", "for now").code == 0
    assert "1 ignored" in (said := md("check")).out + said.err
    assert state(tmp_path) == ["json"]


def test_a_file_of_decisions_and_a_snapshot_are_made_and_carried_out(
    md: Md, bench: ServerBench, tmp_path: Path
) -> None:
    assert md("plan", "--out", "decisions.json").code == 2
    taken = md("snapshot", "both.snapshot"), md("snapshot", "--anonymise", "other.snapshot")
    assert [done.code for done in taken] == [0, 0]
    assert md("check", "--snapshot", "both.snapshot").code == 2
    kept = b"".join((tmp_path / name).read_bytes() for name in ("both.snapshot", "decisions.json"))
    assert SECRET.encode() not in kept
    md("apply", "--decisions", "decisions.json")
    assert bench.row(room_key("!a1"))["chat_id"] == "C1"


def test_what_can_not_be_gone_back_to_as_a_whole_is_said_in_a_sentence(md: Md) -> None:
    md("apply", "--approve-certain")
    done = md("restore", md("history", "--json").json[0]["run"], "--yes")
    assert done.code == 1 and done.said("Only a database that is one file", "matrix-drift undo")


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ((":throw", ":wrong"), "failed: FATAL: password authentication failed"),
        ((":throw", ":th row"), "The DSN of the database can't be read"),
        (("/bot", "/nobot"), "does not exist"),
    ],
)
def test_who_does_not_get_in_is_told_why(
    md: Md, bench: ServerBench, monkeypatch: pytest.MonkeyPatch, changed: tuple[str, str], why: str
) -> None:
    monkeypatch.setenv("BOT_DATABASE", bench.dsn.replace(*changed))
    for command in ("check", "history"):
        done = md(command)
        assert done.code == 1 and done.said(why) and "away-admin" not in done.out + done.err


def test_a_trace_shows_no_password(bench: Bench, md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(bench, ServerBench)
    bench.sql("DROP TABLE kv")
    done = md("check")
    assert done.code == 1 and done.said("has no table 'kv'") and SECRET not in done.err
