"""`check --watch`: what it shows first and then, whom it tells, and how it ends."""

from __future__ import annotations

import asyncio
import http.server
import json
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import ALICE, Bench, small_rows
from tests.cli.command import TOKEN, Md
from tests.cli.test_cli_process import start
from tests.scenario import right_rows
from toolkit.cli import hooks
from toolkit.cli.hooks import Hooks
from toolkit.errors import ToolkitError
from toolkit.records import user_key
from toolkit.testing import FakeHomeserver, Fault, Status

HOSTILE = "$(touch owned)`touch owned`;touch owned\x1b[2J"


class Post:
    """Who takes what is posted, on loopback."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.news = threading.Condition()
        self.status = 200
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with outer.news:
                    outer.taken.append(self.rfile.read(int(self.headers["Content-Length"])))
                    outer.news.notify_all()
                self.send_response(outer.status)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Nobody wants to know."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/secret"

    def wait_for(self, count: int) -> None:
        with self.news:
            assert self.news.wait_for(lambda: len(self.taken) == count, 30)


@pytest.fixture
def post() -> Iterator[Post]:
    found = Post()
    thread = threading.Thread(target=found.server.serve_forever, args=(0.05,))
    thread.start()
    yield found
    found.server.shutdown()
    thread.join()
    found.server.server_close()


@contextmanager
def watching(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Whatever a test finds, it is over at the end."""
    with start("check", *options, cwd=folder) as process:
        try:
            yield process
        finally:
            process.kill()


def line_of(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    return json.loads(process.stdout.readline())


# -- as a process ---------------------------------------------------------------------------------


@pytest.fixture
def sliding(environment: None, server: FakeHomeserver) -> FakeHomeserver:
    server.sliding_sync = True
    return server


@pytest.mark.usefixtures("sliding")
def test_lines_of_json_for_a_command_and_an_address_until_it_is_ended(
    bench: Bench, post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2")
    script = tmp_path / "keep it.py"
    script.write_text(
        "import os, sys\n"
        "print('said', {'MATRIX_ACCESS_TOKEN', 'PGPASSWORD'} & {*os.environ}, sys.argv[1])\n"
        "open('kept', 'a').write(sys.stdin.read())\n"
    )
    command = f"'{sys.executable}' '{script}' '$(touch owned)'"
    options = ("--watch", "--json", "--command", command, "--post", post.url)
    with watching(tmp_path, *options) as process:
        first = line_of(process)
        assert first["causes"] == ["start"] and first["exit_code"] == 2
        assert {unit["unit"] for unit in first["check"]["units"]} <= {*first["appeared"]}
        bench.world.name("!a2", HOSTILE)
        second = line_of(process)
        assert (second["causes"], second["changed"]) == (["rooms"], ["!a2"])
        post.wait_for(2)
        process.send_signal(signal.SIGTERM)
        rest, err = process.communicate(timeout=30)
    assert (process.returncode, rest) == (2, "")
    assert err.splitlines() == ["said set() $(touch owned)"] * 2
    assert [json.loads(body) for body in post.taken] == [first, second]
    kept = (tmp_path / "kept").read_text()
    assert [json.loads(line) for line in kept.splitlines()] == [first, second]
    assert TOKEN not in kept and not (tmp_path / "owned").exists()


@pytest.mark.usefixtures("sliding")
def test_in_words_the_whole_and_then_what_is_new_until_all_is_well(
    bench: Bench, tmp_path: Path
) -> None:
    with watching(tmp_path, "--watch") as process:
        assert process.stdout and process.stderr
        assert "Watching both sides" in process.stderr.readline()
        bench.world.chat("!a3", "!alice", "Чат 3", owner=ALICE)
        told = list(iter(process.stdout.readline, "In drift now: 5 units.\n"))
        news = next(number for number, line in enumerate(told) if ", rooms: 1 new" in line)
        assert any("@bot:hs is in" in line for line in told[:news])
        shown = "".join(told[news:])
        assert "+ missing  !a3  C3 of @alice:hs" in shown and "!a2" not in shown
        rows = {**small_rows(), **right_rows(ALICE, "!alice", {"C3": "!a3"})}
        bench.world.name("!a2", "Чат 2")
        bench.put({key: row for key, row in rows.items() if key != user_key(ALICE)})
        bench.put({user_key(ALICE): {"space_id": "!alice", "next_chat_index": 4}})
        told = [process.stdout.readline()]
        while not told[-1].startswith("In sync"):
            told.append(process.stdout.readline())
        assert told[0] == "\n" and "settled" in told[1] and "  !a3\n" in told
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def test_a_dead_token_ends_it_with_an_error_and_an_ill_server_does_not(
    bench: Bench, sliding: FakeHomeserver, tmp_path: Path
) -> None:
    with watching(tmp_path, "--watch", "--json") as process:
        line_of(process)
        sliding.fault(Fault("/joined_rooms$", Status(502), times=4))
        bench.world.name("!a2", "Чат 20")
        assert process.stderr
        assert "502" in process.stderr.readline()
        assert "That is over" in process.stderr.readline()
        assert line_of(process)["changed"] == ["!a2"]
        sliding.fault(Fault("/whoami$", Status(401, {"errcode": "M_UNKNOWN_TOKEN"})))
        bench.world.name("!a2", "Чат 2")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (1, "")
    assert "doesn't accept the access token" in err and TOKEN not in err


@pytest.mark.usefixtures("sliding")
def test_once_its_reader_has_left_it_ends_or_tells_the_others_alone(
    bench: Bench, post: Post, tmp_path: Path
) -> None:
    with (
        watching(tmp_path, "--watch", "--json") as alone,
        watching(tmp_path, "--watch", "--json", "--post", post.url) as posting,
    ):
        for process in (alone, posting):
            assert line_of(process)["exit_code"] == 2 and process.stdout
            process.stdout.close()
        bench.put(small_rows())
        post.wait_for(2)
        assert alone.wait(30) == 2 and posting.poll() is None
        bench.put({user_key(ALICE): None})
        post.wait_for(3)


# -- whom it tells --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("database", "told"), [("postgresql://bot:hunter2@db/rows", "None"), ("bot.db", "bot.db")]
)
async def test_a_servers_address_and_with_it_a_password_is_not_handed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, database: str, told: str
) -> None:
    monkeypatch.setenv("BOT_DATABASE", database)
    code = (
        f"import os; open(r'{tmp_path / 'told'}', 'w').write(str(os.environ.get('BOT_DATABASE')))"
    )
    await Hooks((sys.executable, "-c", code)).tell("{}")
    assert (tmp_path / "told").read_text() == told


async def test_a_command_that_fails_or_takes_too_long_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await Hooks.read("false", None).tell("{}")
    monkeypatch.setattr(hooks, "COMMAND_SECONDS", 0.2)
    await Hooks.read("sleep 60", None).tell("{}")
    await Hooks((str(Path(__file__).parent),)).tell("{}")
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "--command ended with 1.",
        "--command took longer than 0.2 s, and was ended.",
        "--command could not be started: Permission denied.",
    ]


async def test_an_address_that_refuses_is_said_without_what_may_be_secret(
    post: Post, capsys: pytest.CaptureFixture[str]
) -> None:
    for post.status in (200, 500, 302, 307):
        await Hooks.read(None, post.url).tell("{}")
    assert post.taken == [b"{}\n"] * 4  # and nothing was sent elsewhere
    await Hooks.read(None, "http://127.0.0.1:1/secret").tell("{}")
    await Hooks.read(None, f"{post.url}/a secret").tell("{}")
    server = await asyncio.start_server(_babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await Hooks.read(None, f"http://127.0.0.1:{port}/secret").tell("{}")
    said = capsys.readouterr().err
    assert said.splitlines() == [
        "--post: 127.0.0.1 answered 500.",
        "--post: 127.0.0.1 answered 302.",
        "--post: 127.0.0.1 answered 307.",
        "--post: 127.0.0.1 could not be told (Connection refused).",
        "--post: 127.0.0.1 could not be told (InvalidURL).",
        "--post: 127.0.0.1 could not be told (BadStatusLine).",
    ]


async def _babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that isn't one."""
    await reader.readuntil(b"{}\n")
    writer.write(b"what?\n\n")
    writer.close()


@pytest.mark.parametrize(
    ("command", "address", "why"),
    [
        ("'open", None, "can't be read"),
        ("", None, "no program"),
        ("no-such-program x", None, "no program"),
        (None, "ftp://example.org/", "http"),
        (None, "https://", "http"),
        (None, "http://[", "http"),
        (None, "https://me:secret@example.org/", "--post doesn't sign in"),
    ],
)
def test_what_can_be_told_nothing_is_said_at_once(
    command: str | None, address: str | None, why: str
) -> None:
    with pytest.raises(ToolkitError, match=why):
        Hooks.read(command, address)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("--every 5", "--every is for --watch"),
        ("--command true", "--command is for --watch"),
        ("--post http://127.0.0.1/", "--post is for --watch"),
        ("--watch --every 0", "0.0 is not in the range"),
        ("--watch --snapshot a.snapshot", "never changes"),
        ("--watch --post x", "--post wants an address"),
    ],
)
def test_what_makes_no_sense_is_refused(md: Md, words: str, why: str) -> None:
    done = md("check", *words.split())
    assert done.code == 1 and done.said(why), done.err
