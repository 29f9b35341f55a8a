"""Hundreds of rooms in drift: what is shown can be narrowed and summed up, and what is true stays."""

from __future__ import annotations

import json

import click
import pytest

from tests.bench import ALICE, BOB, Bench
from tests.cli.command import Md
from toolkit.cli.commands import matrix_drift
from toolkit.model import Status
from toolkit.records import chat_key, room_key

MANY = 40


@pytest.fixture
def many(bench: Bench) -> Bench:
    """Forty chats of a user whose rows are gone, beside the bench's own drift."""
    for number in range(2, MANY + 2):
        bench.world.chat(f"!m{number}", "!bob", f"Чат {number}", owner=BOB)
    bench.world.room("!lobby", name="Lobby", creator=BOB)
    bench.put({chat_key("@zoe:hs", "C1"): "{", room_key("!gone"): "{"})
    return bench


def units_shown(out: str) -> list[str]:
    words = (
        "+ missing ",
        "~ missing ",
        "~ mismatched ",
        "? mismatched ",
        "+ mismatched ",
        "? conflict ",
    )
    return [line.split()[2] for line in out.splitlines() if line.startswith(words)]


def test_conflicts_come_first_then_owners_and_chats_in_their_order(md: Md, many: Bench) -> None:
    shown = units_shown(md("check").out)
    assert shown[:5] == ["!b1", ALICE, "!a1", "!a2", BOB]
    chats = [unit for unit in shown if unit.startswith("!m")]
    assert chats == [f"!m{number}" for number in range(2, MANY + 2)]
    plan = md("plan").out
    assert plan.index("For a person to decide") < plan.index("Ready to be written")
    assert plan.index("!m9  C9") < plan.index("!m10  C10")


@pytest.mark.parametrize("command", ["check", "plan"])
def test_what_is_shown_is_narrowed_and_nothing_else(md: Md, many: Bench, command: str) -> None:
    whole = md(command)
    part = md(command, "--room", "!m7", "--room", "!m8", "--status", "missing")
    total = len(json.loads(md(command, "--json").out)["units"])
    assert part.code == whole.code == 2
    assert f"Shown:      2 of {total} units" in part.out
    assert "!m7" in part.out and "!m8" in part.out and "!m9" not in part.out
    assert "orphaned and" not in part.out and "Notes:" not in part.out
    counts = [line for line in whole.out.splitlines() if line.startswith(("Chats:", "User rows:"))]
    assert all(line in part.out for line in counts)
    assert whole.out.splitlines()[-3:] == part.out.splitlines()[-3:]
    none = md(command, "--user", "@nobody:hs")
    assert none.code == 2 and f"Shown:      0 of {total} units" in none.out
    assert f"{total} units" not in whole.out


def test_json_is_narrowed_alike_and_tells_how_many_there_are(md: Md, many: Bench) -> None:
    whole, part = md("check", "--json").json, md("check", "--json", "--user", ALICE).json
    assert [unit["unit"] for unit in part["units"]] == [ALICE, "!a1", "!a2"]
    assert part["units_in_all"] == whole["units_in_all"] == len(whole["units"])
    assert part["conflicts_of_no_unit"] == [] and whole["conflicts_of_no_unit"]
    for name in whole.keys() - {"units", "conflicts_of_no_unit"}:
        assert part[name] == whole[name]


def test_a_row_of_no_unit_is_shown_where_it_is_asked_for(md: Md, many: Bench) -> None:
    key = chat_key("@zoe:hs", "C1")
    assert f"Conflict: {key}" in md("check", "--user", "@zoe:hs").out
    assert f"Conflict: {key}" not in md("check", "--user", BOB).out


@pytest.mark.parametrize("command", ["check", "plan"])
def test_a_summary_has_a_line_per_cause_with_three_examples(
    md: Md, many: Bench, command: str
) -> None:
    done = md(command, "--summary")
    assert done.code == 2
    lines = done.out.splitlines()
    [rows] = [line for line in lines if "missing_row: chat row is missing" in line]
    assert rows.split()[:3] == [str(MANY), "+", "missing"] and rows.endswith("!m2, !m3, !m4, …")
    [loose] = [line for line in lines if chat_key("@zoe:hs", "C1") in line]
    assert "unreadable_row: a row can't be read" in loose and "Conflict:" not in done.out
    assert "!m5" not in done.out and len(lines) < 40
    assert "`--no-summary` shows each unit" in done.out
    narrow = md(command, "--summary", "--user", ALICE).out
    assert "!m2" not in narrow and "missing_row: user row is missing" in narrow
    assert "SUCH AS" not in md(command, "--summary", "--user", "@nobody:hs").out


def test_a_terminal_gets_causes_where_units_would_run_off_the_screen(
    md: Md, many: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.cli.look.shown_units", lambda: MANY)
    assert "SUCH AS" in md("check").out and "SUCH AS" in md("plan").out
    assert "SUCH AS" not in md("check", "--no-summary").out
    assert "SUCH AS" not in md("check", "--user", ALICE).out


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("check --code owner_change", "There is no code owner_change; near it are owner_changed"),
        ("check --code qqq", "There is no code qqq; `matrix-drift explain` lists them."),
        ("check --status lost", "'lost' is not one of 'missing', 'mismatched', 'conflict'"),
        ("check --json --summary", "leave out --summary"),
        ("plan --out d.json --room !a1", "--out writes all that can be agreed to"),
        ("plan --shadow a:b --status missing", "leave out what narrows it"),
    ],
)
def test_what_would_mislead_is_an_error(md: Md, words: str, why: str) -> None:
    done = md(*words.split())
    assert (done.code, done.out) == (1, "") and done.said(why)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--user alice", "There is no unit 'alice'. Did you mean '@alice:hs'?"),
        ("--room !m7:hs", "There is no unit '!m7:hs'. Did you mean '!m7'"),
        ("--room !lobby", "'!lobby': it is skipped (not_created_by_bot)"),
    ],
)
@pytest.mark.parametrize("command", ["check", "plan"])
def test_of_whom_nothing_is_shown_it_is_said_why(
    md: Md, many: Bench, command: str, words: str, why: str
) -> None:
    out = md(command, *words.split()).out
    assert out[out.index("Shown:      0 of") :].splitlines()[1].startswith(why)
    known = md(command, "--user", ALICE, "--room", "!b1")
    assert "Shown:      0 of" in known.out and "There is no unit" not in known.out


def test_a_code_may_be_given_as_a_listing_says_it(md: Md) -> None:
    part = md("check", "--code", "unreadable row")
    assert units_shown(part.out) == units_shown(md("check", "--code", "unreadable_row").out) != []


def test_there_is_one_empty_line_at_a_time(md: Md, many: Bench) -> None:
    for words in ([], ["--user", ALICE], ["--user", "@nobody:hs"], ["--summary"]):
        assert "\n\n\n" not in md("check", *words).out


def test_a_summary_goes_with_a_file_of_decisions(md: Md) -> None:
    assert md("plan", "--summary", "--out", "d.json").said("3 decisions stand in d.json")


def test_each_status_of_a_unit_can_be_asked_for() -> None:
    for name in ("check", "plan"):
        [option] = [p for p in matrix_drift.commands[name].params if p.name == "statuses"]
        assert isinstance(option.type, click.Choice)
        assert set(option.type.choices) == {*Status} - {
            Status.IN_SYNC,
            Status.ORPHANED,
            Status.SKIPPED,
        }
