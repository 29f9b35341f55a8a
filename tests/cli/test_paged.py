"""What is longer than a terminal's screen is paged, and nothing else ever is."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bench import Bench
from tests.cli.command import TOKEN, Md
from toolkit.testing import FakeHomeserver

pty = pytest.importorskip("pty")
COMMAND = Path(sys.executable).parent / "matrix-drift"


def read_all(handle: int) -> Iterator[bytes]:
    """Until nobody writes there any more, which Linux tells as an error."""
    with suppress(OSError):
        while part := os.read(handle, 65_536):
            yield part


def on_a_terminal(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, arguments: Sequence[str], rows: int
) -> tuple[str, str]:
    """What a person sees on a screen of so many lines, and what the pager was given."""
    given = tmp_path / "given"
    pager = tmp_path / "pager"
    pager.write_text(f'#!/bin/sh\necho "LESS=$LESS" > {given}\ncat >> {given}\n')
    pager.chmod(0o700)
    environment = {
        **os.environ,
        "MATRIX_HOMESERVER": server.url,
        "MATRIX_ACCESS_TOKEN": TOKEN,
        "BOT_DATABASE": str(bench.path),
        "PAGER": str(pager),
        "TERM": "xterm",
        "COLUMNS": "100",
        "LINES": str(rows),
    }
    environment.pop("LESS", None)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [COMMAND, *arguments], env=environment, stdin=theirs, stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        seen = b"".join(read_all(ours))
    os.close(ours)
    assert running.returncode == 2
    return seen.decode(), given.read_text() if given.exists() else ""


@pytest.fixture(autouse=True)
def _environment(environment: None) -> None:
    """A folder of its own, and nobody's settings."""


@pytest.mark.parametrize("command", [["check"], ["plan"]])
def test_what_is_longer_than_the_screen_goes_through_the_pager(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, command: list[str]
) -> None:
    seen, given = on_a_terminal(bench, server, tmp_path, command, 10)
    assert given.startswith("LESS=FRX\n")
    assert "!b1" in given and "\x1b[" in given  # with its colours
    assert "!b1" not in seen


@pytest.mark.parametrize(
    ("command", "rows"),
    [(["check"], 500), (["check", "--no-pager"], 10), (["check", "--json"], 10)],
)
def test_all_else_is_printed(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, command: list[str], rows: int
) -> None:
    seen, given = on_a_terminal(bench, server, tmp_path, command, rows)
    assert given == "" and "!b1" in seen


def test_a_pipe_is_never_paged(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PAGER", "false")
    monkeypatch.setenv("LINES", "5")
    assert "? conflict" in md("check").out
