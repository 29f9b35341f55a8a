"""What a shell completes, and that nothing else is ever said behind a half-typed word."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench import A1, ALICE, BOB, Bench, small_rows
from tests.cli.command import ROOT, Md
from toolkit.database.names import local_names
from toolkit.database.sql import Table
from toolkit.records import chat_key, room_key
from toolkit.testing import FakeHomeserver

BASH = shutil.which("bash")
KV = Table("kv", "key", "value")


class Shell:
    """Asks as a shell's script does."""

    def __init__(self, md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
        self.md, self.monkeypatch = md, monkeypatch

    def __call__(self, line: str) -> list[str]:
        with self.monkeypatch.context() as patch:
            patch.setenv("_MATRIX_DRIFT_COMPLETE", "bash_complete")
            patch.setenv("COMP_WORDS", line)
            done = self.md()
        assert (done.code, done.err) == (0, "")
        return [answer.partition(",")[2] for answer in done.out.splitlines() if answer]


@pytest.fixture
def shell(md: Md, monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(md, monkeypatch)


def test_commands_and_options_complete(shell: Shell) -> None:
    assert shell("matrix-drift app") == ["apply"]
    assert {"check", "ignore", "completion"} <= set(shell("matrix-drift "))
    assert shell("matrix-drift check --data") == ["--database"]
    assert shell("matrix-drift completion ") == ["bash", "zsh", "fish"]


@pytest.mark.parametrize("command", ["apply", "ignore", "reject", "defer", "withdraw"])
def test_units_complete_from_rows_without_a_request(
    shell: Shell, bench: Bench, server: FakeHomeserver, command: str
) -> None:
    bench.put({room_key("!other"): small_rows()[room_key("!b1")]})
    assert shell(f"matrix-drift {command} @b") == [BOB]
    assert shell(f"matrix-drift {command} !") == ["!a1", "!a2", "!b1", "!other"]
    assert shell(f"matrix-drift {command} '!oth") == ["!other"]
    assert shell(f"matrix-drift {command} {BOB} ") == ["!a1", "!a2", "!b1", "!other", ALICE]
    assert not server.requests


def test_units_complete_that_were_decided_about_or_written(
    shell: Shell, md: Md, bench: Bench
) -> None:
    md("reject", ALICE), md("apply", "!a1")
    bench.put(dict.fromkeys(small_rows()))
    assert shell("matrix-drift withdraw ") == ["!a1", ALICE]
    bench.journal.write_bytes(b"x" * 9_000_000)
    assert shell("matrix-drift withdraw ") == [ALICE]


def test_runs_complete_the_latest_first(shell: Shell, md: Md) -> None:
    md("apply", "!a1"), md("apply", ALICE)
    names = [run["run"] for run in md("history", "--json").json]
    for command in ("undo", "restore", "history"):
        assert shell(f"matrix-drift {command} 2") == names[::-1]
    assert shell("matrix-drift undo x") == []


def test_the_database_is_the_one_that_a_command_would_take(
    shell: Shell, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Bench(tmp_path / "other.db")
    other.sql('CREATE TABLE "my rows" (k TEXT PRIMARY KEY, value TEXT)')
    other.sql("""INSERT INTO "my rows" VALUES ('matrix_user:@zoe:hs', '{}')""")
    named = "--database other.db --table 'my rows' --key-column k"
    assert shell(f"matrix-drift apply {named} @") == ["@zoe:hs"]
    monkeypatch.delenv("BOT_DATABASE")
    assert shell("matrix-drift apply @") == []
    settings = 'database = "other.db"\ntable = "my rows"\nkey_column = "k"\n'
    (tmp_path / "matrix-drift.toml").write_text(settings)
    assert shell("matrix-drift apply @") == ["@zoe:hs"]
    (tmp_path / "matrix-drift.toml").write_text("nonsense")
    assert shell("matrix-drift apply @") == []


@pytest.mark.parametrize(
    "name", ["!$(x):hs", "!`x`:hs", "!a b", "!a;b", "!a\nplain,x", "!é", "!a'b"]
)
def test_what_a_shell_would_act_on_is_not_put_into_its_line(
    shell: Shell, bench: Bench, name: str
) -> None:
    bench.put({room_key(name): small_rows()[room_key("!b1")], room_key("!-_Z9:h-s.org"): "{}"})
    assert shell("matrix-drift apply !") == ["!-_Z9:h-s.org", "!a1", "!a2", "!b1"]


def test_a_snapshot_has_its_own(shell: Shell, md: Md) -> None:
    md("snapshot", "shot"), md("reject", ALICE, "--snapshot", "shot")
    assert shell("matrix-drift withdraw --snapshot shot ") == [ALICE]


@pytest.mark.parametrize("content", [b"", b"nonsense" * 500, None])
def test_what_cannot_be_read_is_no_answer_and_no_word(
    shell: Shell, bench: Bench, content: bytes | None
) -> None:
    bench.path.unlink()
    if content is not None:
        bench.path.write_bytes(content)
    bench.path.with_name("bot.db.decisions.json").write_text("{")
    assert shell("matrix-drift apply ") == []
    assert bench.path.exists() == (content is not None)


def test_an_odd_question_has_no_answer(md: Md, monkeypatch: pytest.MonkeyPatch) -> None:
    for asked in ("bash_complete", "tcsh_complete", "bash_nonsense"):
        monkeypatch.setenv("_MATRIX_DRIFT_COMPLETE", asked)
        monkeypatch.delenv("COMP_WORDS", raising=False)
        done = md("check")
        assert (done.code, done.out, done.err) == (0, "", "")


def test_names_come_of_keys_and_of_where_chat_rows_point(bench: Bench) -> None:
    bench.put({chat_key("@zoe:hs", "C1"): "{", chat_key("@yan:hs", "C1"): "[]", "other": "{}"})
    assert bench.row(A1) is None and local_names(bench.path, KV, "!a") == ["!a1", "!a2"]
    assert local_names(bench.path, KV, "@") == [ALICE, BOB, "@yan:hs", "@zoe:hs"]


def test_each_shell_has_its_script(md: Md) -> None:
    for shell in ("bash", "zsh", "fish"):
        out = md("completion", shell).out
        assert "_MATRIX_DRIFT_COMPLETE" in out and "matrix-drift" in out
    done = md("completion", "tcsh")
    assert done.code == 1 and done.said("'tcsh' is not one of 'bash', 'zsh', 'fish'")


@pytest.mark.skipif(not BASH, reason="there is no bash")
class TestBash:
    """The script in a real bash, which breaks words at `@` and `:`, and takes `!` for its history."""

    def typed(self, bench: Bench, tmp_path: Path, line: str) -> str:
        command = tmp_path / "matrix-drift"
        start = "from toolkit.cli import main; main()"
        command.write_text(f"#!/bin/sh\nexec {sys.executable} -c '{start}' \"$@\"\n")
        command.chmod(0o755)
        path = f"{tmp_path}:{os.environ['PATH']}"
        named = {"PATH": path, "PYTHONPATH": str(ROOT), "BOT_DATABASE": str(bench.path)}
        mine, theirs = pty.openpty()
        shell = subprocess.Popen(
            [BASH or "", "--norc", "--noprofile", "-i"],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            env=os.environ | named | {"TERM": "dumb", "PS1": "> "},
            start_new_session=True,
        )
        os.close(theirs)
        try:
            os.write(mine, b'eval "$(matrix-drift completion bash)"; echo rea""dy\n')
            self.read(mine, "ready\r\n> ")
            os.write(mine, f"{line}\t_\n".encode())
            return self.read(mine, "\n")
        finally:
            shell.kill()
            shell.wait()
            os.close(mine)

    def read(self, handle: int, until: str) -> str:
        heard, end = "", time.monotonic() + 30
        while until not in heard and time.monotonic() < end:
            if select.select([handle], [], [], 0.1)[0]:
                heard += os.read(handle, 4096).decode(errors="replace")
        return heard

    @pytest.mark.parametrize(
        ("typed", "shown"),
        [
            ("apply @al", "alice:hs "),
            ("apply @alice:h", "@alice:hs "),
            ("apply !oth", r"\!other:example.org "),
            ("apply '!other:ex", "'!other:example.org' "),
            ("undo ", "undo "),
        ],
    )
    def test_a_line_is_completed(
        self, bench: Bench, tmp_path: Path, typed: str, shown: str
    ) -> None:
        row = small_rows()[room_key("!b1")]
        bench.put({room_key("!other:example.org"): row, f"matrix_user:{ALICE}": {}})
        assert shown in self.typed(bench, tmp_path, f"matrix-drift {typed}")
