"""A system that the docs have a mapping for: its tables and rooms, made as its own code makes them."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.children import finding_us
from toolkit import Layout
from toolkit.sources.settings import read_settings
from toolkit.testing import ApiUser

ROOT = Path(__file__).parent.parent.parent
MAPPINGS = ROOT / "toolkit" / "docs" / "mappings"


def mapping(name: str) -> Layout:
    """The one that the docs show."""
    found: Layout = read_settings(MAPPINGS / f"{name}.toml")["layout"]
    return found


def need(package: str) -> None:
    """Skip where a system isn't installed; where all is required, that fails."""
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install -e '.[dev]'")


def play(script: str, told: dict[str, Any], *, ends_with: int = 0) -> dict[str, str]:
    """Run a system's own code in a Python of its own, and return the rooms that it says it made."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", f"tests.systems.{script}", json.dumps(told)],
        cwd=ROOT,
        env=os.environ | finding_us(),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == ends_with, done.stderr
    rooms: dict[str, str] = json.loads(done.stdout)
    return rooms


def login(user: ApiUser) -> list[str]:
    """What a script needs to act as a user."""
    return [user.url, user.user_id, user.account.device_id, user.account.access_token]
