"""What the tests of the review in a browser share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.board.opened import Open, Table

if TYPE_CHECKING:
    from tests.browser import NotebookPage


@pytest.fixture
def table(page: NotebookPage, tmp_path: Path) -> Open:
    """Opens a world's table."""
    return lambda world="small", *more: Table(page, world, tmp_path / "bot.db", *more)
