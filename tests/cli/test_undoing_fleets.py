"""`matrix-drift fleet undo`: what it shows before it asks, what it writes back, and what it ends with."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

import toolkit.cli
from tests.bench import A1, A2, BOT, Bench, small_rows, small_world
from tests.cli.command import Done, Md
from tests.fleet.yard import TOKEN, Yard, adrift_rows
from toolkit.database.journal import Journal
from toolkit.demo.recorded import serve_rooms
from toolkit.fleet.dataset import load_outcomes
from toolkit.fleet.run import run_fleet


@pytest.fixture
def yard(tmp_path: Path):  # type: ignore[no-untyped-def]
    """One bot in sync, and two adrift."""
    with serve_rooms(small_world().rooms, BOT) as server:
        server.access_token = TOKEN
        yard = Yard(tmp_path)
        yard.add("good", server.url)
        yard.add("desk", server.url, adrift_rows())
        two = {key: row for key, row in small_rows().items() if key not in (A1, A2)}
        yard.add("shop", server.url, two)
        yield yard


@pytest.fixture
def md(yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Md:
    """Runs commands of a fleet whose drift was repaired just now."""
    monkeypatch.chdir(yard.folder)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdin", None)

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = toolkit.cli.run(["fleet", *arguments])
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    assert (
        "`matrix-drift fleet undo` takes all of this back." in run("apply", "--approve-certain").out
    )
    return run


def bench(yard: Yard, name: str) -> Bench:
    return Bench(yard.folder / f"{name}.db")


def last_run(yard: Yard, name: str) -> str:
    return Journal(bench(yard, name).path).runs()[-1].id


def results(yard: Yard) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in yard.results.iterdir()}


def test_it_shows_what_it_puts_back_and_then_there_is_nothing_left(md: Md, yard: Yard) -> None:
    run = last_run(yard, "desk")
    done = md("undo", "--yes")
    assert done.code == 0
    assert f"── desk: take back run {run}\n" in done.out
    assert "- delete room row matrix_room:!a1" in done.out
    assert done.said("Nothing to take back, as far as fleet-results says: good.")
    back = last_run(yard, "desk")
    assert f"\ndesk: 1 row of 1 unit written back, run {back}\n  Backup: " in done.out
    assert "shop: 2 rows of 2 units written back, run " in done.out
    assert "2 bots: 2 adrift." in done.out
    assert "`matrix-drift fleet undo --run NAME=RUN` takes a run back." in done.out
    assert [bench(yard, name).row(A1) for name in ("desk", "shop")] == [None, None]
    again = md("undo", "--yes")
    assert (again.code, again.out) == (0, "")
    assert again.said("Nothing to take back, as far as fleet-results says: good, desk, shop.")
    forward = md("undo", "--yes", "--run", f"desk={back}")
    assert forward.code == 0 and bench(yard, "desk").row(A1)


def test_nothing_is_written_before_a_person_agrees(
    md: Md, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = results(yard)
    assert md("undo").said("Nobody is there to be asked: give --yes; nothing was written.")
    questions: list[str] = []

    def refuse(question: str) -> bool:
        questions.append(question)
        return False

    monkeypatch.setattr("toolkit.cli.fleet.someone_there", lambda: True)
    monkeypatch.setattr("toolkit.cli.fleet.agree", refuse)
    done = md("undo")
    assert done.code == 1 and done.said("Cancelled; nothing was written.")
    assert "- delete room row matrix_room:!a1" in done.out
    assert questions == ["Write this back to 2 bots?"]
    assert bench(yard, "desk").row(A1) and results(yard) == before
    monkeypatch.setattr("toolkit.cli.fleet.agree", lambda _: True)
    assert md("undo", "--only", "desk").code == 0
    assert bench(yard, "desk").row(A1) is None and bench(yard, "shop").row(A1)


def test_what_is_agreed_to_is_the_run_that_was_shown(
    md: Md, yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody else applies while the question stands."""

    def meanwhile(_: str) -> bool:
        bench(yard, "desk").put({A2: None})
        assert toolkit.cli.run(["fleet", "apply", "--approve-certain", "--only", "desk"]) == 2
        return True

    shown = last_run(yard, "desk")
    monkeypatch.setattr("toolkit.cli.fleet.someone_there", lambda: True)
    monkeypatch.setattr("toolkit.cli.fleet.agree", meanwhile)
    md("undo", "--only", "desk")
    runs = Journal(bench(yard, "desk").path).runs()
    assert [run.undoes for run in runs] == [None, None, shown]
    assert bench(yard, "desk").row(A1) is None and bench(yard, "desk").row(A2)
    assert {k.line.bot: k.to_undo for k in load_outcomes(yard.results)}["desk"] == runs[1].id


def test_rows_written_since_stay_and_end_it_with_2(md: Md, yard: Yard) -> None:
    bench(yard, "shop").put({A1: {"room_type": "chat", "chat_id": "C9"}})
    bench(yard, "desk").put({A1: {"room_type": "chat", "chat_id": "C9"}})
    done = md("undo", "--yes")
    assert done.code == 2
    assert done.out.count("Stays: matrix_room:!a1: the row was written again after the run") == 2
    assert "shop: 1 row of 1 unit written back" in done.out
    assert "  Not written: !a1: the row was written again after the run" in done.out
    assert "desk: " not in done.out.split("written back")[0].split("── shop")[1]  # nothing to do
    assert bench(yard, "desk").row(A1)["chat_id"] == "C9"
    assert len(Journal(bench(yard, "desk").path).runs()) == 1
    done = md("undo", "--yes", "--json")
    assert done.code == 2
    told = {line["bot"]: line["written"] for line in done.json}
    assert told["desk"]["run"] is None and [*told["desk"]["not_written"]] == ["!a1"]


def test_a_bot_that_fails_is_a_line_with_its_reason(md: Md, yard: Yard) -> None:
    with closing(sqlite3.connect(bench(yard, "shop").path)) as holder:
        holder.execute("BEGIN EXCLUSIVE")
        done = md("undo", "--yes")
    assert done.code == 1
    assert "shop: failed: " in done.out and "desk: 1 row of 1 unit written back" in done.out
    assert md("undo", "--yes").code == 0
    assert bench(yard, "shop").row(A1) is None


def test_rows_are_back_also_without_a_homeserver(md: Md, yard: Yard) -> None:
    for name in yard.tables:
        yard.tables[name]["homeserver"] = "http://127.0.0.1:1"
    yard.write()
    done = md("undo", "--yes")
    assert done.code == 0
    assert "desk: 1 row of 1 unit written back" in done.out
    assert "  How it stands after the undo isn't known: " in done.out
    assert "2 bots: 2 failed." in done.out
    assert bench(yard, "desk").row(A1) is None
    report = md("report", "--json").json
    assert {line["bot"]: line["state"] for line in report["bots"]} == {
        "good": "in_sync",
        "desk": "failed",
        "shop": "failed",
    }


def test_json_tells_each_bots_undo(md: Md, yard: Yard) -> None:
    run = last_run(yard, "desk")
    done = md("undo", "--yes", "--json", "--only", "desk")
    assert done.code == 0
    [line] = done.json
    assert line["bot"] == "desk" and line["state"] == "drift"
    assert line["written"]["undoes"] == run and line["written"]["units"] == ["!a1"]
    assert line["written"]["run"] == line["run"] == last_run(yard, "desk")
    assert md("undo", "--yes", "--json", "--only", "desk").json == []


def test_bots_that_must_be_stopped_are_named(md: Md, yard: Yard) -> None:
    yard.tables["desk"]["shape"] = {"stopped": True}
    yard.write()
    done = md("undo", "--yes")
    assert done.code == 0
    assert done.said("These must be stopped, else they write their own rows over these: desk.")


@pytest.mark.parametrize("runs", [["desk"], ["desk="], ["desk=a", "desk=b"]])
def test_a_run_is_named_with_its_bot(md: Md, runs: list[str]) -> None:
    options = [word for run in runs for word in ("--run", run)]
    done = md("undo", "--yes", *options)
    assert done.code == 1 and done.said("Name a run as --run NAME=RUN, one of each bot.")


def test_it_writes_over_no_open_scheduler(md: Md, yard: Yard) -> None:
    done = md("undo", "--yes", "--scheduler", "tcp://127.0.0.1:1")
    assert done.code == 1 and done.said("--insecure-scheduler")
    assert bench(yard, "desk").row(A1)


def test_ctrl_c_says_that_something_may_be_written(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stop(where, tasks, watcher):  # type: ignore[no-untyped-def]
        if tasks[0].action.writes:
            raise KeyboardInterrupt
        return await run_fleet(where, tasks, watcher)

    monkeypatch.setattr("toolkit.cli.fleet.run_fleet", stop)
    assert md("undo", "--yes").said("What was finished by then is written")
