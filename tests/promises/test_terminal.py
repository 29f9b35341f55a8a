"""What strangers write reaches a person's terminal as text: nothing of it is carried out there."""

from __future__ import annotations

import asyncio
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from tests.bench import ALICE, BOT, Bench, small_rows
from tests.clients import TOKEN
from tests.promises.test_hostile import TEXTS, is_plain
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver
from toolkit.text.visible import visible

MARKUP = "[bold]x[/bold] [link=https://evil.example]y[/link] [/] [not closed :skull: \\[red]z"
HOSTILE = [
    *(text for kind, text in TEXTS.items() if kind != "half a character"),
    MARKUP,
    "\x1b[38;5;201mpink\x1b]8;;https://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x1b[5mblinks\x1b[1A\x1b[2K\r\x9b5m",
]
STYLE = re.compile(r"\x1b\[([0-9;]*)m")
BAR = re.compile(r"\x1b\[(\?25[lh]|2K|1A)|\r")
"""What rich's progress bar does with its own line: hide and show the cursor, clear, go up."""
LINK = re.compile(r"\x1b\]8;(?:id=\d+;https://matrix\.to/#/[\w.!%$?=&-]+|;)\x1b\\")
"""What opens a room of a conflict."""

SAY = """
import json, sys
from toolkit.cli import _explain
from toolkit.cli.output import agree, progress, say
from toolkit.errors import ToolkitError
texts = json.loads(sys.argv[1])
for number, text in enumerate(texts):
    say(f"say {number} {text}")
    _explain(ToolkitError(f"{number} {text}"), False)
    _explain(ToolkitError(f"{number} {text}"), True)
    agree(f"agree {number} {text}")
with progress("working") as tell:
    for number, text in enumerate(texts):
        tell(number, len(texts), f"wait {number} {text}")
"""
RUN = "import sys, toolkit.cli; sys.exit(toolkit.cli.run(sys.argv[1:]))"


def on_a_terminal(code: str, arguments: Sequence[str]) -> str:
    """Everything that a program writes to a terminal, whose person answers no to every question."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "300", "PAGER": "cat"}
    command = [sys.executable, "-X", "utf8", "-c", code, *arguments]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    written, asked, until = b"", 0, time.monotonic() + 60
    with process, closing(os.fdopen(ours, "r+b", buffering=0)) as terminal:
        while time.monotonic() < until and select.select([ours], [], [], 60)[0]:
            try:
                written += os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            while asked < written.count(b"[y/N]: "):
                terminal.write(b"n\n")
                asked += 1
    assert process.returncode in (0, 1, 2)
    return written.decode().replace("\r\n", "\n")


def without_our_own(text: str) -> str:
    return LINK.sub("", BAR.sub("", STYLE.sub("", text)))


def styles(text: str) -> set[str]:
    """Single settings, such as 1 for bold; those of 256 or all colours as they stand."""
    codes = [
        code if code.startswith(("38", "48")) else code.split(";") for code in STYLE.findall(text)
    ]
    return {part for code in codes for part in ([code] if isinstance(code, str) else code)}


@pytest.fixture(scope="module")
def said() -> str:
    return on_a_terminal(SAY, [json.dumps(HOSTILE)])


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_hostile_words_are_said_to_the_letter_and_none_is_carried_out(
    said: str, number: int
) -> None:
    text = HOSTILE[number]
    lines = without_our_own(said).split("\n")
    assert visible(f"say {number} {text}", 2_000) in lines
    assert lines.count(visible(f"Error: {number} {text}", 2_000)) == 2
    assert any(line.startswith(visible(f"agree {number} {text}", 2_000)) for line in lines)
    # A terminal of 300 columns wraps what rich prints above its bar.
    told = "".join(lines).replace(" ", "")
    assert visible(f"wait {number} {text}", 2_000).replace(" ", "") in told


def test_the_words_hold_no_sequence_but_those_of_the_bar(said: str) -> None:
    assert is_plain(without_our_own(said))
    assert "38;5;201" not in styles(said) and "5" not in styles(said)
    assert "38" in {code[:2] for code in styles(said)}  # the bar's own colours: it was a terminal


COMMANDS = (
    ["check"],
    ["plan"],
    ["plan", "--out", "decisions"],
    ["apply"],
    ["apply", "--approve-certain"],
    ["history"],
    ["check", "--debug", "--database", f"none{HOSTILE[-2]}"],
    ["apply", "--debug", HOSTILE[-1]],
    ["apply", "--chat-id", MARKUP, "!a1"],
    [HOSTILE[-2]],
)


@pytest.mark.slow
@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words)[:20].encode().hex())
async def test_no_command_lets_a_stranger_write_to_the_terminal(
    tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "bot.db")
    rows = {k: v for k, v in small_rows().items() if k not in (room_key("!a1"), user_key(ALICE))}
    bench.fill(rows)
    for number, text in enumerate(HOSTILE):
        bench.world.chat(f"!{number}{text[:60]}", "!alice", text, owner=ALICE)
        row = json.dumps({"surface_ref": text, "name": text})
        bench.put({chat_key(f"@{number}{text[:60]}:hs", "C1"): row, room_key(f"!gone{text}"): row})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
        shown = await asyncio.to_thread(on_a_terminal, RUN, words)
    assert len(shown) > 50
    assert is_plain(without_our_own(shown)), ascii(shown)
    assert "38;5;201" not in styles(shown) and "5" not in styles(shown)
    if words in (["check"], ["plan"]):
        assert "[link=https://evil.example]y[/link]" in shown and ":skull:" in shown
        assert LINK.search(shown)
