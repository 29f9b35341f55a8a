"""`plan --shadow`: what a bot's function would do, told by the command line."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

import toolkit.cli
from tests.bench import ALICE, BOT, Bench
from tests.cli.command import Done
from tests.clients import TOKEN

pytestmark = pytest.mark.usefixtures("nothing_but_reads_reached_the_homeserver")


BOT_MODULE = """
print("hello from the bot")

async def repair(client, store, chat_mgr):
    print("repairing", client.user_id)
    await store.set("matrix_user:@alice:hs", {"space_id": "!alice", "next_chat_index": 3})
    await store.set("config:bot", {"colour": "blue"})
    await client.room_create(name="Чат 1")

async def look(client, store, chat_mgr):
    return await store.keys("")

async def fail(client, store, chat_mgr):
    raise ValueError("no luck")

class Parts:
    repair = staticmethod(look)

nothing = 1
"""


Md = Callable[..., Awaitable[Done]]


@pytest.fixture
def md(bench: Bench, folder: Path, capsys: pytest.CaptureFixture[str]) -> Md:
    """`plan --shadow` in a folder with a bot's module; it writes nothing, whatever it is given."""
    (folder / "shadowed_bot.py").write_text(BOT_MODULE)
    (folder / "broken_bot.py").write_text("import nowhere_at_all")
    (folder / "ending_bot.py").write_text("raise SystemExit('no\\nconfiguration')")

    async def plan(named: str, *more: str) -> Done:
        sys.modules.pop("shadowed_bot", None)
        before = bench.path.read_bytes()
        code = await asyncio.to_thread(toolkit.cli.run, ["plan", "--shadow", named, *more])
        captured = capsys.readouterr()
        assert bench.path.read_bytes() == before
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    return plan


async def test_the_command_line_shows_what_a_function_would_do_and_ends_with_2(md: Md) -> None:
    done = await md("shadowed_bot:repair")
    assert done.code == 2
    assert done.out.startswith("Nothing was written; repair would have written 2 rows in 2 units.")
    for words in ("insert user row", "Shown only: config:bot", "room_create(name='Чат 1')"):
        assert words in done.out
    assert done.err == f"hello from the bot\nrepairing {BOT}\n"


async def test_a_function_that_does_nothing_ends_with_0_and_one_that_fails_with_1(md: Md) -> None:
    done = await md("shadowed_bot:Parts.repair")
    assert (done.code, "would have written nothing" in done.out) == (0, True)
    done = await md("shadowed_bot:fail")
    assert (done.code, "It raised ValueError: no luck" in done.out) == (1, True)


async def test_the_command_line_gives_it_as_json(md: Md) -> None:
    done = await md("shadowed_bot:repair", "--json")
    told = json.loads(done.out)
    assert [unit["unit"] for unit in told["units"]] == [ALICE, "config:bot"]
    assert told["refused"] == ["room_create(name='Чат 1')"]


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("shadowed_bot", "names no function"),
        (":repair", "names no function"),
        ("shadowed_bot:absent", "has no function 'absent'"),
        ("shadowed_bot:nothing", "has no function 'nothing'"),
        ("nowhere_at_all:repair", "Can't import nowhere_at_all: ModuleNotFoundError"),
        ("broken_bot:repair", "No module named 'nowhere_at_all'"),
        ("ending_bot:repair", "Can't import ending_bot: SystemExit: no configuration."),
    ],
)
async def test_a_function_that_isnt_there_is_one_sentence(md: Md, named: str, words: str) -> None:
    done = await md(named)
    assert (done.code, done.out) == (1, "")
    [sentence] = [line for line in done.err.splitlines() if line != "hello from the bot"]
    assert words in sentence


async def test_a_shadow_run_is_of_the_two_sides(md: Md) -> None:
    for more in (("--out", "d.json"), ("--snapshot", "s.json")):
        done = await md("shadowed_bot:repair", *more)
        assert (done.code, "leave out" in done.err) == (1, True)


def test_the_command_line_shows_it_without_pandas() -> None:
    code = "import toolkit.cli.shadow, toolkit.shadow, sys; print(*{'pandas'} & sys.modules.keys())"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.split() == []
