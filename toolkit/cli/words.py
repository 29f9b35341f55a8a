"""Words to the person on stderr: questions, progress, and what must never be said.

rich is loaded only for a terminal, which alone can show a moving bar.
"""

import contextlib
import sys
from collections.abc import Callable, Iterator

import click

from toolkit.visible import visible

Progress = Callable[[int, int, str], None]

_secrets: set[str] = set()


class Cancelled(Exception):
    """Stopped by the person; the message says what was written by then."""


def keep_secret(token: str) -> str:
    """Remember a token, so that no message repeats it."""
    _secrets.add(token)
    return token


def hide_token(text: str) -> str:
    """The text without any token that this process was given."""
    for token in _secrets:
        text = text.replace(token, "***")
    return text


def say(words: str) -> None:
    """One line to the person; results go elsewhere."""
    click.echo(_plain(words), err=True)


def say_lines(words: str) -> None:
    """Several lines, such as a traceback; whatever else would move the cursor is made visible."""
    for line in words.rstrip("\n").split("\n"):
        click.echo(_plain(line, spaces=False), err=True)


def agree(question: str) -> bool:
    """Ask on the terminal. Whoever sits there may also press Ctrl+C."""
    return click.confirm(_plain(question), default=False, err=True)


def _plain(words: str, *, spaces: bool = True) -> str:
    """Words quote what strangers wrote: keys, names, a homeserver's answers."""
    return visible(hide_token(words), 2_000, spaces=spaces)


def someone_there() -> bool:
    """Whether questions can be answered."""
    return sys.stdin is not None and sys.stdin.isatty()


@contextlib.contextmanager
def progress(doing: str) -> Iterator[Progress]:
    """A bar on a terminal. Elsewhere only waits are told, each of them once."""
    if not sys.stderr.isatty():
        yield lambda done, total, word: say(word) if word else None
        return
    with _bar(doing) as tell:
        yield tell


@contextlib.contextmanager
def _bar(doing: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
    from rich.text import Text

    console = Console(stderr=True, markup=False, emoji=False, highlight=False)
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(doing, total=None)

        def tell(done: int, total: int, word: str) -> None:
            bar.update(task, completed=done, total=total or None)
            if word:
                console.print(Text(_plain(word)))

        yield tell
