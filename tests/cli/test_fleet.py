"""`matrix-drift fleet`: what it shows, writes and ends with, on fake homeservers."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
from tests.bench import A1, B1, BOT, small_rows, small_world
from tests.cli.command import Done, Md
from tests.fleet.yard import TOKEN, Yard, adrift_rows
from tests.tables import TICKETS, Desk, tickets
from toolkit.database.journal import Journal
from toolkit.demo.recorded import serve_rooms
from toolkit.fleet.outcome import failure
from toolkit.testing import FakeHomeserver


@pytest.fixture
def served() -> Iterator[FakeHomeserver]:
    """Answers while a command runs a loop of its own."""
    with serve_rooms(small_world().rooms, BOT) as server:
        server.access_token = TOKEN
        yield server


@pytest.fixture
def yard(tmp_path: Path, served: FakeHomeserver) -> Yard:
    """One bot in sync, and two adrift."""
    yard = Yard(tmp_path)
    yard.add("good", served.url)
    yard.add("desk-10", served.url, adrift_rows())
    yard.add("desk-9", served.url, adrift_rows())
    return yard


@pytest.fixture
def md(yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Md:
    monkeypatch.chdir(yard.folder)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdin", None)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = toolkit.cli.run(["fleet", *arguments])
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    return run


def fail(yard: Yard) -> None:
    """One more bot, whose database is not there."""
    yard.tables["lost"] = {**yard.tables["good"], "database": "lost.db"}
    yard.write()


def test_check_has_a_line_per_bot_in_a_persons_order(md: Md, yard: Yard) -> None:
    done = md("check")
    assert done.code == 2
    lines = done.out.splitlines()
    assert [line.split()[0] for line in lines[:4]] == ["BOT", "desk-9", "desk-10", "good"]
    assert lines[1].split() == [
        "desk-9",
        "adrift",
        "5",
        "2",
        "1",
        "1",
        "missing_row,",
        "1",
        "unreadable_row",
    ]
    assert lines[3].split() == ["good", "in", "sync", "5", "0", "0"]
    assert lines[5] == "3 bots: 1 in sync, 2 adrift."
    assert done.said("The results are in fleet-results")
    assert len([*yard.results.iterdir()]) == 3


def test_the_exit_code_is_that_of_the_worst_bot(md: Md, yard: Yard) -> None:
    assert md("check", "--only", "good").code == 0
    assert md("check", "--only", "good", "--only", "desk-9").code == 2
    fail(yard)
    done = md("check")
    assert done.code == 1
    assert "lost" in done.out and "4 bots: 1 in sync, 2 adrift, 1 failed." in done.out
    assert md("report").code == 1
    assert md("report", "--only", "desk-9").code == 2
    assert md("report", "--only", "good").code == 0


def test_json_has_each_bots_numbers_and_causes(md: Md, yard: Yard) -> None:
    fail(yard)
    for command in ("check", "report"):
        found = md(command, "--json").json
        assert [line["bot"] for line in found["bots"]] == ["desk-9", "desk-10", "good", "lost"]
        assert found["causes"]["desk-9"] == {"missing_row": 1, "unreadable_row": 1}
        assert [line["state"] for line in found["bots"]] == ["drift", "drift", "in_sync", "failed"]
        assert found["bots"][0]["looked"].endswith("+00:00")


def test_plan_shows_the_rows_and_its_files_are_what_apply_takes(md: Md, yard: Yard) -> None:
    fail(yard)
    done = md("plan", "--out", "agreed")
    assert done.code == 1
    assert "── desk-9: 2 units" in done.out and "+ insert room row matrix_room:!a1" in done.out
    assert "lost: failed: " in done.out and "── good" not in done.out
    assert done.said("Decisions about 2 units of 2 bots are in agreed")
    files = sorted(path.name for path in (yard.folder / "agreed").iterdir())
    assert files == ["desk-10.decisions.json", "desk-9.decisions.json"]
    again = md("plan", "--out", "agreed")
    assert again.code == 1 and again.said("is there already and stays; name another folder")
    done = md("apply", "--decisions", "agreed")
    assert done.code == 0
    [run] = Journal(yard.folder / "desk-9.db").runs()
    assert f"desk-9: 1 row of 1 unit written, run {run.id}\n  Backup: " in done.out
    assert "A running bot still has the old rows" in done.out
    planned = md("plan", "--json", "--only", "desk-9").json
    assert [unit["unit"] for unit in planned[0]["plan"]["units"]] == ["!b1"]


def test_alone_it_prints_its_help(md: Md) -> None:
    done = md()
    assert (done.code, done.err) == (0, "")
    assert done.out == md("--help").out and "\n  check " in done.out


def test_nothing_is_promised_where_nothing_can_be_planned(md: Md, yard: Yard) -> None:
    fail(yard)
    assert "fleet plan" not in md("check", "--only", "lost", "--only", "good").out
    done = md("plan", "--only", "lost", "--only", "good", "--out", "agreed")
    assert done.said("There is nothing to agree to: agreed gets no decisions.")
    assert not (yard.folder / "agreed").exists()
    done = md("apply", "--decisions", "agreed")
    assert done.code == 1 and done.said("there is no such file or folder; `fleet plan --out`")


def test_apply_of_what_is_certain_leaves_the_rest_to_decide(md: Md, yard: Yard) -> None:
    done = md("apply", "--approve-certain", "--json")
    assert done.code == 2
    written = {line["bot"]: line["written"]["units"] for line in done.json}
    assert written == {"desk-9": ["!a1"], "desk-10": ["!a1"], "good": []}
    done = md("apply", "--approve-certain")
    assert "desk-9: nothing to write" in done.out
    assert md("apply", "--approve-certain", "--only", "good").code == 0


def test_what_moved_is_named_and_is_no_success(md: Md, yard: Yard) -> None:
    md("plan", "--out", "agreed")
    fail(yard)
    from tests.bench import Bench

    Bench(yard.folder / "desk-9.db").put({A1: small_rows()[A1], B1: small_rows()[B1]})
    Bench(yard.folder / "desk-10.db").put({A1: "{"})
    done = md("apply", "--decisions", "agreed")
    assert done.code == 2
    assert "desk-9: nothing to write" in done.out
    assert "  Not written: !a1: " in done.out
    done = md("apply", "--decisions", "agreed", "--approve-certain")
    assert "lost: failed: " in done.out


def test_a_plan_shows_rows_of_no_unit_and_why_nothing_could_be_compared(md: Md, yard: Yard) -> None:
    from tests.bench import Bench

    Bench(yard.folder / "good.db").put({"chat:@gone:hs:C1": "{"})
    done = md("plan", "--only", "good")
    assert done.code == 2 and "── good: 0 units" in done.out
    assert "Conflict: chat:@gone:hs:C1: the row can't be read" in done.out and "→ look" in done.out
    Desk(yard.folder / "tickets.db", TICKETS, tickets())
    yard.tables = {"desk": {**yard.tables["good"], "database": "tickets.db"}}
    yard.write()
    with yard.file.open("a") as file:
        file.write('[bots.desk.shape]\nkind = "links"\n[bots.desk.rows.link]\n')
        file.write('table = "tickets"\nid = "id"\nroom = "user_room_id"\n')
    assert "── desk: Rows of tickets name rooms that nothing could be compared" in md("plan").out


def test_decisions_about_a_bot_that_the_file_does_not_name_are_said_to_be_left_out(
    md: Md, yard: Yard
) -> None:
    md("plan", "--out", "agreed")
    (yard.folder / "agreed/desk-10.decisions.json").rename(
        yard.folder / "agreed/desk.decisions.json"
    )
    done = md("apply", "--decisions", "agreed", "--only", "desk-9")
    assert done.code == 0 and done.said("Left out, since fleet.toml doesn't name them: desk.")
    assert "good" not in done.err


def test_report_draws_and_says_what_is_missing_or_strange(md: Md, yard: Yard) -> None:
    assert md("report").said("There are no results fleet-results; `matrix-drift fleet check`")
    md("check", "--only", "desk-9")
    from toolkit.fleet.dataset import save_outcome

    save_outcome(yard.results, failure("gone", "why"))
    done = md("report", "--picture", "fleet.png")
    assert done.said("Left out, since fleet.toml doesn't name them: gone.")
    assert done.said("Not looked at yet: desk-10, good.", "The picture is fleet.png.")
    assert done.code == 1 and md("report", "--only", "desk-9").code == 2
    assert "missing_row         1     1  desk-9 1" in done.out
    assert (yard.folder / "fleet.png").read_bytes().startswith(b"\x89PNG")
    done = md("report", "--picture", "fleet.xyz")
    assert done.code == 1 and done.said("Can't draw fleet.xyz")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["check", "other.toml"], "There is no other.toml"),
        (["check", "--only", "desk-8"], "there is no bot 'desk-8'; did you mean 'desk-"),
        (["check", "--tls-ca", "ca.pem"], "--tls-ca is for a --scheduler."),
        (["check", "--scheduler", "tcp://h:1", "--at-once", "3"], "leave out --at-once"),
        (["check", "--scheduler", "h:1"], "must be named as tcp://HOST:PORT"),
        (["check", "--at-once", "0"], "--at-once"),
        (["apply"], "Say what is to be written: --decisions, or --approve-certain."),
        (["apply", "--decisions", "none"], "Can't read the decisions none"),
        (["apply", "--approve-certain", "--scheduler", "tcp://h:1"], "--insecure-scheduler"),
        (["check", "--insecure-scheduler"], "No such option"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_1(
    md: Md, yard: Yard, arguments: Any, words: str
) -> None:
    if arguments[1:2] == ["--decisions"]:
        arguments = [*arguments, "--only", "good"]
    done = md(*arguments)
    assert done.code == 1
    assert done.said("Error: ", words)
    assert done.out == ""
    assert len(done.err.splitlines()) == 1
    assert not yard.results.exists()


def test_an_open_scheduler_is_said_before_it_is_used(
    md: Md, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.fleet import cluster

    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.3)
    done = md("check", "--scheduler", "tcp://127.0.0.1:1")
    assert done.code == 1
    assert done.said("The scheduler is reached without TLS", "can't be reached")


def test_without_its_packages_a_fleet_says_what_to_install(
    md: Md, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [
        name for name in sys.modules if name.startswith(("toolkit.fleet", "toolkit.cli.fl"))
    ]:
        monkeypatch.delitem(sys.modules, name)
    import toolkit.cli as package

    monkeypatch.delattr(package, "fleet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    done = md("check")
    assert done.code == 1
    assert done.said("Error: A fleet needs pyarrow: pip install 'matrix-drift[fleet]'.")


def test_without_dask_only_a_scheduler_is_refused(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "toolkit.fleet.cluster", raising=False)
    monkeypatch.setitem(sys.modules, "distributed", None)
    assert md("check", "--only", "good").code == 0
    done = md("check", "--scheduler", "tls://h:1")
    assert done.code == 1
    assert done.said("Error: A scheduler needs distributed: pip install 'matrix-drift[fleet]'.")


def test_ctrl_c_says_what_is_kept(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("toolkit.cli.fleet.run_fleet", stop)
    done = md("check")
    assert (done.code, done.out) == (1, "")
    assert done.err == "Cancelled; results of bots that were done are kept.\n"
    assert md("apply", "--approve-certain").said("What was finished by then is written")


def test_what_is_ignored_at_a_bot_is_no_drift_and_told(
    md: Md, served: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    where = ["--homeserver", served.url, "--database", "desk-9.db"]
    assert toolkit.cli.run(["ignore", "!a1", "!b1", "--reason", "a test", *where]) == 0
    done = md("check", "--only", "desk-9")
    assert done.code == 0
    assert " ".join(done.out.splitlines()[1].split()) == "desk-9 in sync 5 0 0 2 units ignored"


def test_each_running_bot_has_a_line_on_a_terminal(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    md("check")
    said = terminal.getvalue()
    assert "Reading bots" in said
    assert all(f"  {name} " in said for name in ("desk-9", "desk-10", "good"))


def test_a_settings_file_of_one_bot_is_none_of_a_fleets(md: Md, yard: Yard) -> None:
    (yard.folder / "matrix-drift.toml").write_text("no TOML at all =")
    assert md("check").code == 2
    assert json.loads(md("check", "--json").out)
