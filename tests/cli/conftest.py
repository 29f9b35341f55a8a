"""A command line between a fake homeserver and a bot's database."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import toolkit.cli
import toolkit.cli.commands
import toolkit.homeserver.server
from tests.bench import ALICE, BOT, Bench, small_rows
from tests.cli.command import TOKEN, Done, Md
from toolkit.records import room_key, user_key
from toolkit.testing import FakeHomeserver


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's user row and one room row are gone, Bob's room row is poisoned; a renamed room."""
    found = Bench(tmp_path / "bot.db")
    rows = small_rows()
    del rows[user_key(ALICE)], rows[room_key("!a1")]
    rows[room_key("!b1")] = "{"
    found.world.name("!a2", "Отпуск")
    found.fill(rows)
    return found


@pytest.fixture
def server(bench: Bench) -> Iterator[FakeHomeserver]:
    """The fake homeserver on a loop of its own: commands run their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    fake = FakeHomeserver(bench.world.rooms, user_id=BOT, access_token=TOKEN)

    def wait_for(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    wait_for(fake.__aenter__())
    yield fake
    wait_for(fake.__aexit__(None, None, None))
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def environment(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    monkeypatch.delenv("MATRIX_ACCESS_TOKEN_FILE", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.setattr(sys, "stdin", None)


@pytest.fixture
def md(environment: None, capsys: pytest.CaptureFixture[str]) -> Md:
    """Run a command; whatever it says, it never says the token."""

    def run(*arguments: str) -> Done:
        capsys.readouterr()
        code = toolkit.cli.run(arguments)
        captured = capsys.readouterr()
        assert TOKEN not in captured.out + captured.err
        return Done(code, captured.out, captured.err)

    return run
