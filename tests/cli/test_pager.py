"""A listing that is too long for a terminal is shown by the pager."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.text import Text

from toolkit.cli.output import show_long

LONG = 40
Printed = Callable[[int], int]


class Terminal(io.StringIO):
    """A screen of ten lines."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Printed:
    """Show so many lines and tell how many reach the terminal itself; PAGER keeps in a file what it is given."""
    monkeypatch.setattr("toolkit.cli.output.someone_there", lambda: True)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((80, 10)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PAGER", "tee paged")

    def show(count: int) -> int:
        terminal = Terminal()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            show_long(Text(f"line {number} \u2192") for number in range(count))
        return terminal.getvalue().count("\n")

    return show


def paged() -> list[str]:
    file = Path("paged")
    return file.read_text("utf-8").splitlines() if file.exists() else []


def test_what_is_longer_than_the_screen_goes_to_the_pager(printed: Printed) -> None:
    assert printed(LONG) == 0
    assert paged() == [f"line {number} \u2192" for number in range(LONG)]


def test_what_fits_is_printed(printed: Printed) -> None:
    assert printed(9) == 9
    assert not paged()


@pytest.mark.parametrize("pager", ["", "no-such-pager -x"])
def test_without_a_pager_it_is_printed(
    printed: Printed, monkeypatch: pytest.MonkeyPatch, pager: str
) -> None:
    monkeypatch.setenv("PAGER", pager)
    assert printed(LONG) == LONG


def test_a_pager_that_is_left_early_is_no_error(
    printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAGER", "head -1")
    assert printed(20_000) == 0


def test_where_nobody_can_press_a_key_it_is_printed(
    printed: Printed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.cli.output.someone_there", lambda: False)
    assert printed(LONG) == LONG
    assert not paged()
