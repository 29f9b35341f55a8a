"""What a command with a token pays for: no nio, nor what nio brings along."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest

from tests.bench import Bench
from tests.cli.command import TOKEN
from toolkit.testing import FakeHomeserver

ROOT = Path(__file__).parent.parent.parent

# nio imports jsonschema, and that a checker of formats, where JupyterLab has installed one.
HEAVY = ("nio", "jsonschema", "rfc3987_syntax", "tenacity", "pandas", "ipywidgets", "matplotlib")

RUN = f"""
import sys
from toolkit.cli import run
code = run(sys.argv[1:])
print('', code, *set({HEAVY!r}) & sys.modules.keys(), file=sys.stderr)
"""


async def last_line(code: str, server: FakeHomeserver, bench: Bench, *arguments: str) -> str:
    """What the code says at the end, in a Python of its own that has an address and a token."""
    named = {"MATRIX_HOMESERVER": server.url, "MATRIX_ACCESS_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, *arguments),
        cwd=bench.path.parent,
        env=os.environ | named | {"BOT_DATABASE": str(bench.path), "PYTHONPATH": str(ROOT)},
        stdout=PIPE,
        stderr=PIPE,
    )
    _, said = await process.communicate()
    return said.decode().splitlines()[-1]


@pytest.mark.parametrize(
    "command",
    [
        ["check"],
        ["plan", "--json"],
        ["snapshot", "out.snapshot"],
        ["fit", "bot.db"],
        ["apply", "--approve-certain", "--yes"],
    ],
    ids=lambda command: command[0],
)
async def test_a_command_with_a_token_does_not_load_nio(
    server: FakeHomeserver, bench: Bench, command: list[str]
) -> None:
    loaded = await last_line(RUN, server, bench, *command)
    assert loaded.split() in (["0"], ["2"])
    assert any(request.path.endswith("/state") for request in server.requests)


async def test_a_session_with_a_token_does_not_load_nio(
    server: FakeHomeserver, bench: Bench
) -> None:
    code = """
import asyncio, sys
from toolkit.session.session import Session
async def main():
    async with await Session.open() as session:
        session.approve('!a1')
        await session.apply()
asyncio.run(main())
print("read", *{"nio", "jsonschema"} & sys.modules.keys(), file=sys.stderr)
"""
    loaded = await last_line(code, server, bench)
    assert loaded.split() == ["read"]
    assert any(request.path.endswith("/state") for request in server.requests)
