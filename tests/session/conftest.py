"""A session of the test's own, which finds no settings."""

from pathlib import Path

import pytest

from tests.bench import Bench
from tests.boards import look
from toolkit import Session
from toolkit.testing import FakeHomeserver


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(tmp_path)
    for name in ("MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN", "BOT_DATABASE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
async def session(bench: Bench, server: FakeHomeserver) -> Session:
    return await look(bench, server)
