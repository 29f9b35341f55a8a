"""`apply --shadow`: units of what a bot's own function would write, named or agreed to one by one."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from unittest.mock import AsyncMock, Mock

import pytest

import toolkit.cli
from tests.bench import ALICE, BOT, Bench, small_rows
from tests.cli.command import Done
from tests.clients import TOKEN
from toolkit.cli import shadow as shadowed
from toolkit.database.journal import RunJournal
from toolkit.database.lock import hold_lock
from toolkit.errors import StoreError
from toolkit.records import room_key, user_key
from toolkit.shadow import ShadowRun
from toolkit.testing import FakeHomeserver

A1, USER = room_key("!a1"), user_key(ALICE)
NAMED = "applied_bot:repair"
BOT_MODULE = """
print("hello from the bot")

async def repair(client, store, chat_mgr):
    await store.set("matrix_user:@alice:hs", {"space_id": "!alice", "next_chat_index": 3})
    room = {"chat_id": "C1", "matrix_user_id": "@alice:hs", "space_id": "!alice"}
    await store.set("matrix_room:!a1", room)
    await store.set("config:bot", {"colour": "blue"})
    await client.room_create(name="Чат 1")

async def mend(client, store, chat_mgr):
    room = {"chat_id": "C1", "matrix_user_id": "@alice:hs", "space_id": "!alice"}
    await store.set("matrix_room:!a1", room)

async def bare(client, store, chat_mgr):
    room = {"chat_id": "C9", "matrix_user_id": "@bob:hs", "space_id": "!bob"}
    await store.set("matrix_room:!b9", room)

async def stumble(client, store, chat_mgr):
    await mend(client, store, chat_mgr)
    await store.set("matrix_user:@alice:hs", {"space_id": "!alice", "next_chat_index": 3})
    raise ValueError("no\\nluck")

async def nothing(client, store, chat_mgr):
    return 1

async def fail(client, store, chat_mgr):
    raise ValueError("no luck")
"""


Md = Callable[..., Awaitable[Done]]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path / "bot.db")
    found.fill({key: row for key, row in small_rows().items() if key not in (A1, USER)})
    return found


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, user_id=BOT, access_token=TOKEN) as found:
        yield found
        assert {each.method for each in found.requests} <= {"GET"}


@pytest.fixture
def md(folder: Path, capsys: pytest.CaptureFixture[str]) -> Md:
    (folder / "applied_bot.py").write_text(BOT_MODULE)

    async def run(*arguments: str) -> Done:
        sys.modules.pop("applied_bot", None)
        code = await asyncio.to_thread(toolkit.cli.run, arguments)
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Somebody who says yes to the questions with these numbers, and remembers them."""
    told: dict[str, Any] = {"yes": (), "asked": []}

    def answer(question: str) -> bool:
        told["asked"].append(question)
        return len(told["asked"]) in told["yes"]

    monkeypatch.setattr(shadowed, "someone_there", lambda: True)
    monkeypatch.setattr(shadowed, "agree", answer)
    return told


async def test_plan_says_how_to_write_a_unit(md: Md) -> None:
    done = await md("plan", "--shadow", NAMED)
    assert done.out.endswith(
        f"To write one unit of it: matrix-drift apply --shadow {NAMED} 'UNIT'\n"
    )
    assert "apply --shadow" not in (await md("plan", "--shadow", "applied_bot:nothing")).out


async def test_named_units_are_written_and_no_others(md: Md, bench: Bench) -> None:
    before = bench.bytes()
    done = await md("apply", "--shadow", NAMED, "!a1")
    assert bench.row(A1)["chat_id"] == "C1"
    assert {key: row for key, row in bench.bytes().items() if key != A1} == before
    for words in (
        "Written: 1 room row restored.",
        "Backup: ",
        "To take it back: matrix-drift undo",
    ):
        assert words in done.out
    assert "Refused: 1 call" in done.out and "Nothing was written" not in done.out
    [run] = json.loads((await md("history", "--json")).out)
    assert (run["action"], [unit["unit"] for unit in run["units"]]) == ("shadow", ["!a1"])
    assert (await md("undo", run["run"], "--yes")).code == 0
    assert bench.bytes() == before


async def test_a_function_that_raised_is_told_and_leaves_something(md: Md) -> None:
    done = await md("apply", "--shadow", "applied_bot:bare", "!b9")
    assert (done.code, "raised" in done.err) == (0, False)
    for arguments in ([ALICE], ["!a1", "--json"]):
        done = await md("apply", "--shadow", "applied_bot:stumble", *arguments)
        assert done.code == 2
        [line] = [line for line in done.err.splitlines() if "raised" in line]
        assert line.endswith(
            "stumble raised, and may have had more to write: ValueError: no\\u{a}luck"
        )


async def test_the_deadline_bounds_the_writing(
    md: Md, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shadowed, "time", Mock(monotonic=lambda: time.monotonic() - 60))
    done = await md("apply", "--shadow", "applied_bot:mend", "!a1", "--deadline", "30")
    assert (done.code, "the deadline passed before it was written" in done.out) == (2, True)
    assert bench.row(A1) is None
    assert (await md("apply", "--shadow", "applied_bot:mend", "!a1")).code == 0


async def test_a_journal_that_cant_be_told_is_said(
    md: Md, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RunJournal, "finish", AsyncMock(side_effect=StoreError("No space left.")))
    done = await md("apply", "--shadow", "applied_bot:mend", "!a1")
    assert "No space left" in done.err and "Written: 1 room row restored." in done.out
    assert bench.row(A1)


async def test_each_unit_is_asked_about_where_it_is_shown(
    md: Md, bench: Bench, answers: dict[str, Any]
) -> None:
    answers["yes"] = (2,)
    done = await md("apply", "--shadow", NAMED)
    assert done.code == 2  # something remains to be decided
    assert len(answers["asked"]) == 2  # not about what is only shown
    assert "Shown only: config:bot" in done.out
    assert bench.row(A1) and bench.row(USER) is None and bench.row("config:bot") is None


async def test_who_agrees_to_nothing_writes_nothing(
    md: Md, bench: Bench, answers: dict[str, Any]
) -> None:
    before = bench.bytes()
    done = await md("apply", "--shadow", NAMED)
    assert (done.code, "Cancelled; nothing was written." in done.err) == (1, True)
    assert bench.bytes() == before and not bench.backups()


async def test_json_goes_to_stdout_alone(md: Md, bench: Bench, answers: dict[str, Any]) -> None:
    told = json.loads((await md("apply", "--shadow", NAMED, ALICE, "--json")).out)
    assert (told["units"], told["not_written"], told["function"]) == ([ALICE], {}, "repair")
    assert told["report"]["restored_user_meta"] == [ALICE]
    assert Path(told["backup"]).exists() and told["run"] and told["refused"]
    answers["yes"] = (1,)
    done = await md("apply", "--shadow", NAMED, "--json")
    assert json.loads(done.out)["units"] == ["!a1"]
    assert "insert room row matrix_room:!a1" in done.err
    shown_only = json.loads((await md("plan", "--shadow", NAMED, "--json")).out)["shown_only"]
    assert list(shown_only) == ["config:bot"]


async def test_what_moves_before_it_is_written_is_left_alone(
    md: Md, bench: Bench, answers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def agree(question: str) -> bool:
        bench.put({A1: {"chat_id": "C8"}})
        return True

    monkeypatch.setattr(shadowed, "agree", agree)
    done = await md("apply", "--shadow", NAMED)
    assert (done.code, bench.row(A1)) == (2, {"chat_id": "C8"})
    assert "Not written: !a1: row matrix_room:!a1 was written meanwhile" in done.out
    assert bench.row(USER)


async def test_nothing_to_write_is_said(md: Md, bench: Bench, answers: dict[str, Any]) -> None:
    done = await md("apply", "--shadow", "applied_bot:nothing")
    assert (done.code, "There is nothing to write." in done.err) == (0, True)
    assert answers["asked"] == []
    done = await md("apply", "--shadow", "applied_bot:fail")
    assert (done.code, "no luck" in done.out) == (1, True)
    assert not bench.backups()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("!a1", "--max-changes", "0"), "would write 1 rows"),
        (("!nowhere",), "nothing for '!nowhere', but for @alice:hs, !a1, config:bot; nothing was"),
        (("!a1", "config:bot"), "none of the rows"),
        ((), "Nobody is there to be asked about each unit"),
        (("--yes",), "with --yes, name UNITs"),
        (("--approve-certain",), "leave out --approve-certain"),
        (("--decisions", "d.json"), "leave out --decisions"),
        (("!a1", "--owner", "@x:hs"), "leave out --owner"),
        (("!a1", "--space", "!s"), "leave out --space."),
        (("!a1", "--chat-id", "C4"), "leave out --chat-id"),
        (("!a1", "--overwrite"), "leave out --overwrite"),
        (("!a1", "--lower-counters"), "leave out --lower-counters"),
        (("!a1", "--shadow", "applied_bot"), "names no function"),
    ],
)
async def test_what_makes_no_sense_is_one_sentence_and_writes_nothing(
    md: Md, bench: Bench, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    before = bench.bytes()
    done = await md("apply", "--shadow", NAMED, *arguments)
    assert (done.code, done.out) == (1, "")
    [sentence] = [line for line in done.err.splitlines() if line != "hello from the bot"]
    assert words in sentence
    assert bench.bytes() == before and not bench.backups()


async def test_two_commands_dont_write_at_once(md: Md, bench: Bench) -> None:
    with hold_lock(bench.path):
        done = await md("apply", "--shadow", NAMED, "!a1")
    assert (done.code, "Another notebook or command" in done.err) == (1, True)
    assert bench.row(A1) is None


async def test_ctrl_c_while_writing_says_what_holds(
    md: Md, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(ShadowRun, "write", interrupt)
    done = await md("apply", "--shadow", NAMED, "!a1")
    assert (done.code, "matrix-drift history" in done.err) == (1, True)
