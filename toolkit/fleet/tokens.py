"""Where a bot's access token comes from, as a value that may travel: the token itself never does.

It is looked up where the bot is looked at, on a worker of a cluster as in this process. What goes wrong is
said without whatever was found: neither a file's text nor a command's words or output.
"""

import os
import re
import shlex
import subprocess
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import assert_never

from toolkit.aside import aside
from toolkit.errors import ToolkitError

COMMAND_SECONDS = 30
"""A password manager that asks somebody has no one to ask here."""

_TOKEN = re.compile(r"(?<![A-Za-z0-9_])(syt_|mat_|mct_|MDA[A-Za-z0-9])[A-Za-z0-9_-]{8,}")
"""How Synapse's tokens begin, those of its authentication service, and the macaroons before them."""

_VARIABLE = re.compile(r"[A-Z][A-Z0-9_]*")


class Way(StrEnum):
    """The key of `fleet.toml` that says where a token comes from."""

    FILE = "access_token_file"
    ENV = "access_token_env"
    COMMAND = "access_token_command"


@dataclass(frozen=True)
class TokenSource:
    """A file, a variable of the environment, or a command; the folder is where a command runs."""

    way: Way
    value: str
    folder: Path

    def mistake(self) -> str:
        """What can't be meant, without what was written; nothing if it may be right."""
        if holds_token(self.value):
            return f"{self.way} must not hold the token itself, but say where it comes from"
        if self.way is Way.ENV and not _VARIABLE.fullmatch(self.value):
            return f"{self.way} must be the name of a variable, in capital letters"
        if self.way is Way.COMMAND and not _words(self.value):
            return f"{self.way} is no command: a quote is open, or there is no word"
        return "" if self.value.strip() else f"{self.way} is empty"

    async def read(self) -> str:
        """The token. Raises `ToolkitError`."""
        token = await aside(self._find)
        if not token:
            raise ToolkitError(f"The access token is empty ({self._named()}).")
        return token

    def _find(self) -> str:
        match self.way:
            case Way.FILE:
                return self._read_file()
            case Way.ENV:
                return self._read_variable()
            case Way.COMMAND:
                return self._run_command()
        assert_never(self.way)

    def _named(self) -> str:
        return self.way if self.way is Way.COMMAND else f"{self.way} = {self.value}"

    def _read_file(self) -> str:
        why = ""
        try:
            return Path(self.value).read_text(encoding="utf-8").strip()
        except OSError as error:
            why = error.strerror or type(error).__name__
        except UnicodeError:
            why = "it is not UTF-8"
        # Out here, without the error itself: it may hold the file.
        raise ToolkitError(f"Can't read the access token from {self.value}: {why}.")

    def _read_variable(self) -> str:
        token = os.environ.get(self.value)
        if token is None:
            raise ToolkitError(f"There is no access token: the variable {self.value} isn't set.")
        return token.strip()

    def _run_command(self) -> str:
        """Its first line. It gets no terminal, and what it says beside that is nobody's."""
        why, done = "", None
        folder = self.folder if self.folder.is_dir() else None  # a worker may be another machine
        try:
            done = subprocess.run(  # noqa: S603 - the command is the person's own
                _words(self.value),
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=COMMAND_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            why = f"it took longer than {COMMAND_SECONDS} s"
        except OSError as error:
            why = f"its program can't be started ({error.strerror or type(error).__name__})"
        if done is not None and done.returncode:
            why = f"it ended with {done.returncode}"
        if why or done is None:  # out here, without the error: it holds what the command said
            raise ToolkitError(f"{self.way} gives no access token: {why}.")
        return done.stdout.decode(errors="replace").strip().partition("\n")[0].strip()


def holds_token(text: str) -> bool:
    """Whether what is an access token by its beginning stands there.

    >>> holds_token("https://hs.example/?access_token=syt_Ym90_secret"), holds_token("syt_file")
    (True, False)
    """
    return _TOKEN.search(text) is not None


def _words(command: str) -> list[str]:
    """As a shell splits them; there is no shell."""
    try:
        return shlex.split(command)
    except ValueError:
        return []
