"""Settling conflicts one after the other: keys, what is said, and that nothing is written before the end."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import toolkit.cli
from tests.bench import A1, ALICE, B1, BOB, C2, Bench, small_rows, text
from tests.cli.command import TOKEN, Done, Md
from toolkit.cli.settle import _COMMON
from toolkit.records import chat_key, room_key, user_key

TWIN = "!a3"
Settle = Callable[..., Done]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice has twins, a row of hers can't be read, and a room of Bob's lacks its row."""
    found = Bench(tmp_path / "bot.db")
    found.world.chat(TWIN, "!alice", "Чат 2", owner=ALICE)
    rows = small_rows()
    del rows[room_key("!a2")], rows[C2], rows[B1]
    rows[A1] = "{"
    found.fill(rows)
    return found


@pytest.fixture
def settle(environment: None, monkeypatch: pytest.MonkeyPatch) -> Settle:
    """Press these keys, and type these lines; stops if there are none left."""
    monkeypatch.setattr("toolkit.cli.settle.someone_there", lambda: True)

    def press(keys: str) -> Done:
        with CliRunner().isolation(input=keys) as (out, err, _):
            code = toolkit.cli.run(["settle"])
        said = out.getvalue().decode(), err.getvalue().decode()
        assert TOKEN not in "".join(said)
        return Done(code, *said)

    return press


ALL = "1" + "1" + "1"
"""Overwrite the row, C2 for the first of the twins, the next free id for the other."""


def chat_ids(bench: Bench) -> dict[str, str]:
    there = [
        room
        for room in ("!a1", "!a2", TWIN)
        if bench.bytes().get(room_key(room), ("", b"{"))[1] != b"{"
    ]
    return {room: bench.row(room_key(room))["chat_id"] for room in there}


def decided(bench: Bench) -> set[str]:
    file = bench.path.with_name("bot.db.decisions.json")
    return {*json.loads(file.read_text())["decisions"]} if file.exists() else set()


def test_each_conflict_is_asked_about_and_written_once_that_is_agreed_to(
    settle: Settle, md: Md, bench: Bench
) -> None:
    done = settle(ALL + "y")
    assert "3 units left to decide" in done.out and "1 unit left to decide" in done.out
    assert "1  overwrite the unreadable row" in done.out
    assert "@alice:hs is joined to this room and !a3" in done.out  # the facts of the case
    assert "chat ids offered" not in done.out  # they are the choices
    assert "2  chat id C3: the next free number" in done.out
    assert f"Write 4 units to {bench.path}? y: yes" in done.err
    assert chat_ids(bench) == {"!a1": "C1", "!a2": "C2", TWIN: "C3"}
    assert "To take it back: matrix-drift undo" in done.out
    assert "1 unit can be repaired" in done.out and done.code == 2  # Bob's, which needs nobody
    assert not decided(bench)
    assert md("apply", "--yes").code == md("check").code == 0


def test_the_end_of_the_last_conflict_is_a_green_check(
    settle: Settle, md: Md, bench: Bench
) -> None:
    bench.put({B1: text(small_rows()[B1])})
    done = settle(ALL + "y")
    assert done.out.splitlines()[-1] == "In sync: every chat has its rows, and they are right."
    assert done.code == 0
    again = settle("")
    assert again.said("There is nothing to settle.", "Nothing was written.")


@pytest.mark.parametrize("end", ["n", "xn", ""])
def test_nothing_is_written_without_a_yes_and_the_decisions_are_kept(
    settle: Settle, bench: Bench, end: str
) -> None:
    before = bench.bytes()
    done = settle(ALL + end)
    assert done.code == 1 and done.said(
        "Cancelled; nothing was written. What you decided stands in",
        "`matrix-drift settle` goes on",
    )
    assert bench.bytes() == before and not bench.journal.exists()
    assert {"!a1", "!a2", TWIN} <= decided(bench)
    again = settle("y")
    assert again.said("Nothing is left to decide; 4 units approved before:", "Write 4 units to")
    assert chat_ids(bench) == {"!a1": "C1", "!a2": "C2", TWIN: "C3"}


def test_whoever_stops_asking_may_write_what_is_decided_by_then(
    settle: Settle, bench: Bench
) -> None:
    done = settle("1q" + "y")
    assert done.said("Write 1 unit to")
    assert chat_ids(bench) == {"!a1": "C1"}
    assert "2 units need a decision" in done.out


def test_a_step_is_taken_back_and_asked_about_again(settle: Settle, bench: Bench) -> None:
    done = settle("u" + "1u" + "su" + "ssuq")
    assert done.said("There is nothing to take back.", "Taken back: !a1.", "Taken back: !a2.")
    assert done.out.count("!a1  C1 of @alice:hs") == 3
    assert done.said("Nothing was written.") and not decided(bench)


def test_the_last_step_is_taken_back_when_all_is_shown(settle: Settle, bench: Bench) -> None:
    done = settle(ALL + "u" + "2" + "y")
    assert done.err.count("Write 4 units to") == 2 and done.said("Taken back: !a3.")
    assert chat_ids(bench) == {"!a1": "C1", "!a2": "C2", TWIN: "C4"}


def test_what_is_ignored_needs_a_reason_and_is_asked_about_no_more(
    settle: Settle, md: Md, bench: Bench
) -> None:
    done = settle("i\n" + "i" + "a test room\n" + "q")
    assert done.said("Why may it stay as it is?")
    assert done.err.count("reason") == 1  # the first had none
    assert "2 units left to decide" in done.out
    assert "!a1 (C1 of @alice:hs): conflict" in md("check").out


def test_another_id_is_typed_and_one_that_will_not_do_is_not_taken(
    settle: Settle, bench: Bench
) -> None:
    done = settle("s" + "tnonsense\n" + "t@bob:hs\n" + "tC9\n" + "tC9\n" + "q" + "y")
    assert done.said("Type a chat id (C4), an owner (@user:server) or a Space (!…).")
    assert "Not settled by that: " in done.err
    assert chat_ids(bench)["!a2"] == "C9"


def test_a_pick_that_is_of_another_kind_of_unit_is_refused(settle: Settle) -> None:
    assert settle("tC9\n" + "q").said("!a1")


def test_rooms_are_opened_in_a_browser_with_a_window_and_named_everywhere(
    settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    monkeypatch.setattr("click.launch", opened.append)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.delenv("DISPLAY", raising=False)
    links = ["https://matrix.to/#/!a2?via=hs", "https://matrix.to/#/!a3?via=hs"]
    done = settle("so" + "q")
    assert done.said("this room: " + links[0], "its twin: " + links[1])
    assert done.out.count("!a2  C2 of @alice:hs") == 1  # the screen stays as it is
    assert opened == []
    monkeypatch.setenv("DISPLAY", ":0")
    settle("so" + "q")
    assert opened == links


def test_a_key_without_a_meaning_is_said_to_be_one(settle: Settle) -> None:
    assert settle("xyq").said("The key 'x' does nothing here.", "The key 'y' does nothing here.")


def test_what_is_proposed_is_agreed_to_by_one_key_and_not_offered_twice(
    settle: Settle, bench: Bench
) -> None:
    bench.world.member("!bob", BOB, "leave")
    bench.world.member("!b1", BOB, "leave")
    bench.put({user_key(BOB): None, chat_key(BOB, "C1"): None})
    done = settle("sss" + "yy" + "q" + "y")
    assert "y  agree: insert the user row" in done.out
    assert "1  owner @bob:hs" not in done.out
    assert bench.row(room_key("!b1"))["matrix_user_id"] == BOB


def test_two_picks_that_settle_a_room_together_are_made_one_by_one(
    settle: Settle, bench: Bench
) -> None:
    eve = "@eve:hs"
    bench.world.space("!s", owner=eve)
    bench.world.member("!s", "@mallory:hs", "join")
    bench.world.chat("!e1", "!s", "Отпуск", owner=eve)
    bench.world.member("!e1", "@mallory:hs", "join")
    done = settle("ssss" + "1u11q" + "y")
    assert done.said("Taken back: !e1.")
    assert "picked so far: owner @eve:hs" in done.out
    assert bench.row(chat_key(eve, "C1"))["surface_ref"] == "!e1"


def test_a_pick_that_the_rows_agree_with_is_said_to_settle_nothing(
    settle: Settle, bench: Bench
) -> None:
    bench.put({B1: text(small_rows()[B1])})
    bench.world.member("!bob", BOB, "ban")
    bench.world.member("!b1", BOB, "ban")
    done = settle("sss" + "t@bob:hs\n" + "q")
    assert "its rows say that already, so there is nothing to write" in done.err


def test_nobody_at_the_terminal_is_an_error_with_what_to_do(md: Md) -> None:
    done = md("settle")
    assert done.code == 1
    assert done.said("Nobody is there to be asked", "matrix-drift apply 'UNIT'")


def test_what_each_key_did_is_said_and_enter_is_no_key(settle: Settle) -> None:
    done = settle("\r1\r" + "s\r\n" + "inobody reads it\r" + "n")
    assert "does nothing here" not in done.err
    assert done.said("!a1: overwrite the unreadable row.", "!a2: left open.", f"{TWIN}: ignored.")
    assert "Why may it stay as it is? " in done.err


def test_the_keys_fit_a_screen() -> None:
    assert max(map(len, _COMMON.split("\n"))) < 80
