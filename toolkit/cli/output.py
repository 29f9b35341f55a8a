"""What reaches the person: words, questions and progress on stderr, results on stdout.

No token is ever said. rich is loaded only where a table or a moving bar is shown.
"""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

import click

from toolkit.text.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

Progress = Callable[[int, int, str], None]

_secrets: set[str] = set()
_left: list[TextIO] = []


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
    with unread(sys.stderr):
        click.echo(_plain(words), err=True)


def say_lines(words: str) -> None:
    """Several lines, such as a traceback; whatever else would move the cursor is made visible."""
    with unread(sys.stderr):
        for line in words.rstrip("\n").split("\n"):
            click.echo(_plain(line, spaces=False), err=True)


def show_lines(lines: Iterable[str]) -> None:
    """A result of lines that are safe to be shown as they are."""
    with unread(sys.stdout):
        for line in lines:
            click.echo(hide_token(line))


@contextlib.contextmanager
def unread(stream: TextIO) -> Iterator[None]:
    """Whoever read this stream may have left, as `head` does: the command goes on, and its rest is nobody's."""
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        _left.append(stream)


def is_read(stream: TextIO) -> bool:
    """Whether nobody has left who read it, as far as was found by writing."""
    return stream not in _left


def agree(question: str) -> bool:
    """Ask on the terminal. Whoever sits there may also press Ctrl+C."""
    return click.confirm(_plain(question), default=False, err=True)


def press(prompt: str) -> str:
    """One key, without Enter; whoever closes the terminal has had enough."""
    click.echo(prompt, nl=False, err=True)
    while True:
        try:
            typed = click.getchar()
        except EOFError:
            typed = ""
        if not typed:
            raise click.Abort
        if key := typed.rstrip("\r\n"):  # whoever presses Enter as well means the key
            say(key)
            return key


def open_in_browser(link: str) -> None:
    """Only where a browser has a window: one in this terminal would take it away."""
    if sys.platform != "linux" or {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        click.launch(link)


def ask(question: str) -> str:
    """A line of text, which may be empty."""
    answer: str = click.prompt(
        _plain(question), default="", show_default=False, prompt_suffix=" ", err=True
    )
    return answer


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


PIPED_WIDTH = 160
"""Wide enough for whole ids and most causes, narrow enough for a log."""

SCREENFUL = 30
"""Units that a terminal shows one by one; a pipe gets all."""


def show(parts: "Iterable[RenderableType]", file: TextIO | None = None) -> None:
    """Print without trailing blanks; without colours, links and cuts where nobody looks on."""
    stream = file or sys.stdout
    with unread(stream):
        for text in _texts(parts, stream):
            stream.write(text)
        stream.flush()


def show_long(parts: "Iterable[RenderableType]") -> None:
    """Print a listing: on a terminal that it is too long for by the pager, where there is one."""
    if not (sys.stdout.isatty() and someone_there()):
        show(parts)
        return
    text = "".join(_texts(parts, sys.stdout))
    if text.count("\n") < shutil.get_terminal_size().lines or not _page(text):
        with unread(sys.stdout):
            click.echo(text, nl=False)


def _page(text: str) -> bool:
    """Let PAGER show it, `less` unless told otherwise, as git does; False if there is none."""
    command = shlex.split(os.environ.get("PAGER", "less"))
    if not command or shutil.which(command[0]) is None:
        return False
    environment = {"LESS": "FRX", **os.environ}  # colours; nothing is cleared at the end
    keep = signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the pager's own
    try:
        subprocess.run(  # noqa: S603 - PAGER is the person's own
            command, input=text, errors="backslashreplace", env=environment, check=False
        )
    finally:
        signal.signal(signal.SIGINT, keep)
    return True


def _texts(parts: "Iterable[RenderableType]", stream: TextIO) -> Iterator[str]:
    from rich.console import Console  # takes its time to load

    terminal = stream.isatty()
    console = Console(
        file=stream,
        force_terminal=terminal,
        width=None if terminal else _piped_width(),
        color_system="auto" if terminal else None,
        markup=False,
        emoji=False,
        highlight=False,
    )
    for part in parts:
        with console.capture() as capture:
            console.print(part)
        yield "".join(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def show_json(value: Any) -> None:
    """ASCII only: what is invisible or no UTF-8 stays escaped, and can't act on a terminal."""
    with unread(sys.stdout):
        click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def shown_units() -> int | None:
    """How many units to show, None for all."""
    return SCREENFUL if sys.stdout.isatty() else None


def _piped_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    return (
        int(columns) if columns.isascii() and columns.isdigit() and columns != "0" else PIPED_WIDTH
    )
