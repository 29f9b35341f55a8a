"""`history`: the runs of this database, the rows of one, and what was written to an older one."""

from __future__ import annotations

import json

import pytest

from tests.bench import A1, ALICE, UA, Bench, small_rows
from tests.cli.command import Md
from toolkit.records import room_key, user_key

BROKEN = {k: row for k, row in small_rows().items() if k not in (room_key("!a1"), user_key(ALICE))}


@pytest.fixture
def run(md: Md) -> str:
    """A run that wrote three units."""
    assert md("apply", "--approve-certain").code == 2
    return name_of(md)


def name_of(md: Md) -> str:
    return str(md("history", "--json").json[-1]["run"])


def make_anew(bench: Bench) -> None:
    bench.path.unlink()
    bench.fill(BROKEN)


def test_a_run_shows_its_rows_field_by_field(md: Md, run: str) -> None:
    out = md("history", run).out
    lines = out.splitlines()
    assert lines[0].startswith(run) and lines[0].endswith("UTC")
    assert lines[1].startswith("approved: 3 applied, by ")
    assert "!a1  applied" in lines and f"  + insert room row {A1}" in lines
    assert '    chat_id         "C1"' in lines
    assert '    display_name  "Чат 2" → "Отпуск"' in lines
    assert f"{run}.backup" in out


def test_a_run_is_json_with_the_texts_of_its_rows(md: Md, run: str) -> None:
    told = md("history", run, "--json").json
    assert (told["run"], told["older_database"], len(told["units"])) == (run, False, 3)
    [row] = next(unit["rows"] for unit in told["units"] if unit["unit"] == "!a1")
    assert (row["key"], row["before"]) == (A1, None) and json.loads(row["after"])["chat_id"] == "C1"
    rows = {unit["unit"]: unit["rows"] for unit in md("history", "--json").json[0]["units"]}
    assert rows["!a1"] == [A1]


def test_what_became_of_a_unit_that_was_not_written_is_told(md: Md, bench: Bench, run: str) -> None:
    bench.put({A1: "{}"})
    assert md("undo", run, "--yes").code == 2
    out = md("history", name_of(md)).out
    assert f"takes back {run}" in out and f"{ALICE}  applied" in out
    assert ", partly taken back by" in md("history", run).out


def test_an_unknown_run_is_an_error(md: Md, run: str) -> None:
    done = md("history", "20200101T000000Z-0000")
    assert (done.code, done.out) == (1, "") and done.said("There is no run", run)


def test_runs_of_a_database_that_was_made_anew_are_left_out(md: Md, bench: Bench, run: str) -> None:
    make_anew(bench)
    done = md("history")
    assert done.code == 0 and "No run of matrix-drift is known that wrote" in done.out
    assert done.said(
        "1 run of an older database of this name left out: `matrix-drift history --all`"
    )
    assert md("apply", "--approve-certain").code == 0
    again = name_of(md)
    assert run not in md("history").out and again in md("history").out
    both = md("history", "--all")
    assert both.out.index(again) < both.out.index("Of an older database") < both.out.index(run)
    assert not both.said("left out")
    told = md("history", "--all", "--json").json
    assert [(one["run"], one["older_database"]) for one in told] == [(run, True), (again, False)]
    shown = md("history", run)
    assert shown.code == 0 and "It wrote to an older database of this name" in shown.out


def test_an_older_run_is_refused_in_a_sentence(md: Md, bench: Bench, run: str) -> None:
    make_anew(bench)
    before = bench.bytes()
    for command in ("undo", "restore"):
        done = md(command, run, "--yes")
        assert (done.code, done.out) == (1, "") and done.err.count("\n") == 1
        assert done.said(f"Run {run} wrote to an older database of this name", "move this one away")
    assert bench.bytes() == before and bench.row(UA) is None
    bench.path.unlink()
    assert md("restore", run, "--yes").code == 0
    assert md("history").out.count(run) == 1


def test_a_restore_is_called_what_it_was_and_undo_names_the_way_back(md: Md, run: str) -> None:
    assert md("restore", run, "--yes").code == 0
    back = name_of(md)
    assert f"{back}  " in md("history").out and "restore: the whole database" in md("history").out
    done = md("undo", back, "--yes")
    assert (done.code, done.out) == (1, "")
    assert done.said(
        f"Run {back} went back to a backup", f"`matrix-drift restore {back}` goes forward"
    )
