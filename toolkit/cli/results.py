"""Results to stdout: rich's tables for a person, JSON for a program."""

import json
import os
import sys
from collections.abc import Iterable
from typing import Any, TextIO

import click
from rich.console import Console, RenderableType

PIPED_WIDTH = 160
"""Wide enough for whole ids and most causes, narrow enough for a log."""

SCREENFUL = 100
"""Units that a terminal shows; a pipe gets all."""


def show(parts: Iterable[RenderableType], file: TextIO | None = None) -> None:
    """Print without trailing blanks; without colours, links and cuts where nobody looks on."""
    stream = file or sys.stdout
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
        stream.write("".join(f"{line.rstrip()}\n" for line in capture.get().splitlines()))


def show_json(value: Any) -> None:
    """ASCII only: what is invisible or no UTF-8 stays escaped, and can't act on a terminal."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=True))


def shown_units() -> int | None:
    """How many units to show, None for all."""
    return SCREENFUL if sys.stdout.isatty() else None


def _piped_width() -> int:
    columns = os.environ.get("COLUMNS", "")
    return (
        int(columns) if columns.isascii() and columns.isdigit() and columns != "0" else PIPED_WIDTH
    )
