"""Tokens are looked up where a bot is looked at, and what goes wrong says nothing of what was found."""

import shlex
import sys
from pathlib import Path

import pytest

from tests.fleet.yard import TOKEN
from toolkit import ToolkitError
from toolkit.fleet import tokens
from toolkit.fleet.tokens import TokenSource, Way


def source(way: Way, value: str, folder: Path) -> TokenSource:
    return TokenSource(way, value, folder)


def command(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


async def test_a_file_a_variable_and_a_command_give_the_same_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    monkeypatch.setenv("DESK_TOKEN", f" {TOKEN}\n")
    printing = command("print(open('token').read().strip()); print('and more')")
    for way, value in (
        (Way.FILE, str(tmp_path / "token")),
        (Way.ENV, "DESK_TOKEN"),
        (Way.COMMAND, printing),
    ):
        assert await source(way, value, tmp_path).read() == TOKEN


async def test_a_command_runs_where_its_folder_is_not_there_as_well(tmp_path: Path) -> None:
    found = source(Way.COMMAND, command(f"print('{TOKEN}')"), tmp_path / "elsewhere")
    assert await found.read() == TOKEN


@pytest.mark.parametrize(
    ("way", "value", "words"),
    [
        (Way.FILE, "nothing", "nothing: No such file"),
        (Way.FILE, "binary", "it is not UTF-8"),
        (Way.FILE, "empty", "The access token is empty (access_token_file = "),
        (Way.ENV, "NOT_SET_HERE", "the variable NOT_SET_HERE isn't set"),
        (Way.ENV, "SET_EMPTY", "The access token is empty (access_token_env = SET_EMPTY)"),
        (
            Way.COMMAND,
            "no-such-program --password hunter2",
            "its program can't be started (No such file",
        ),
        (Way.COMMAND, command(f"print('{TOKEN}'); exit(3)"), "it ended with 3"),
        (Way.COMMAND, command("pass"), "The access token is empty (access_token_command)"),
        (Way.COMMAND, command(f"print('{TOKEN}', flush=1); import time; time.sleep(9)"), "than 1"),
    ],
)
async def test_what_goes_wrong_is_a_sentence_without_what_was_found(
    way: Way, value: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "COMMAND_SECONDS", 1)
    monkeypatch.setenv("SET_EMPTY", " ")
    (tmp_path / "binary").write_bytes(b"\xff" + TOKEN.encode())
    (tmp_path / "empty").write_text("\n")
    given = str(tmp_path / value) if way is Way.FILE else value
    with pytest.raises(ToolkitError) as raised:
        await source(way, given, tmp_path).read()
    assert words in str(raised.value)
    assert TOKEN not in str(raised.value) and "hunter2" not in str(raised.value)
    assert raised.value.__cause__ is None and raised.value.__context__ is None
