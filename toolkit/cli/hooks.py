"""Whom a watch tells beside the terminal: a command that gets a line of JSON, or an address that it is posted to.

What it tells quotes strangers, so no shell ever sees it, and neither access token nor password is handed on.
"""

import asyncio
import os
import shlex
import shutil
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any
from urllib.parse import urlsplit

from toolkit.cli.output import say
from toolkit.database.address import is_server
from toolkit.errors import ToolkitError
from toolkit.sources.settings import TOKEN

COMMAND_SECONDS, POST_SECONDS = 30.0, 10.0
_SECRET = {TOKEN, "PGPASSWORD"}
_DATABASE = "BOT_DATABASE"


@dataclass(frozen=True)
class Hooks:
    """A command as its words, and an address; either may be missing."""

    command: tuple[str, ...] = ()
    address: str = ""

    @classmethod
    def read(cls, command: str | None, address: str | None) -> "Hooks":
        """As a person wrote them. Raises `ToolkitError` for what can't be called."""
        try:
            words = shlex.split(command or "")
        except ValueError as error:
            raise ToolkitError(f"--command can't be read: {error}.") from None
        if command is not None and not (words and shutil.which(words[0])):
            raise ToolkitError(f"--command: there is no program {words[0] if words else ''!r}.")
        if address is not None and not _is_address(address):
            raise ToolkitError("--post wants an address that begins with http:// or https://.")
        if address is not None and "@" in urlsplit(address).netloc:
            raise ToolkitError(
                "--post doesn't sign in anywhere: leave user and password out of its address, or post the "
                "line with a program of your own (--command)."
            )
        return cls(tuple(words), address or "")

    def __bool__(self) -> bool:
        return bool(self.command or self.address)

    async def tell(self, line: str) -> None:
        """Hand on one line of JSON, and wait for who takes it; what goes wrong is said, and is over."""
        if self.command and (why := await _call(self.command, line)):
            say(f"--command {why}.")
        if self.address and (why := await asyncio.to_thread(_post, self.address, line)):
            say(f"--post: {urlsplit(self.address).hostname} {why}.")


def _is_address(address: str) -> bool:
    try:
        found = urlsplit(address)
        return found.scheme in ("http", "https") and bool(found.hostname)
    except ValueError:
        return False


async def _call(command: tuple[str, ...], line: str) -> str:
    """What went wrong. What the command says goes to stderr, as stdout may be JSON."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command, stdin=PIPE, stdout=2, env=_handed_on()
        )
    except OSError as error:
        return f"could not be started: {error.strerror}"
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            await process.communicate(f"{line}\n".encode())
    except TimeoutError:
        return f"took longer than {COMMAND_SECONDS:g} s, and was ended"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return f"ended with {process.returncode}" if process.returncode else ""


def _handed_on() -> dict[str, str]:
    """The environment; of a database on a server not its address, in which a password may stand."""
    kept = {name: value for name, value in os.environ.items() if name not in _SECRET}
    if is_server(kept.get(_DATABASE, "")):
        del kept[_DATABASE]
    return kept


def _post(address: str, line: str) -> str:
    """What went wrong, without the address, which may hold a secret."""
    request = urllib.request.Request(  # noqa: S310 - `read` lets http and https through alone
        address, f"{line}\n".encode(), {"Content-Type": "application/json"}, method="POST"
    )
    try:
        with _opener.open(request, timeout=POST_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        with error:
            return f"answered {error.code}"
    except (OSError, ValueError, HTTPException) as error:
        # The words of the system alone: an error's own may quote the address.
        why = error.reason if isinstance(error, urllib.error.URLError) else error
        told = why.strerror if isinstance(why, OSError) else None
        return f"could not be told ({told or type(why).__name__})"


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """An answer that sends one elsewhere is none: what was posted is for the address that was given."""

    def redirect_request(self, *_: Any) -> None:
        return None


# As everywhere here, no proxy of the environment's.
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _NoRedirects)
