"""What all tests share: one Synapse, one demo world, and how hypothesis runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Generator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import settings

from toolkit.testing import Synapse
from toolkit.testing.demo import DemoWorld, seed_demo

# A busy machine is no failure. CI runs the same examples each time: it fails only for a change.
settings.register_profile("toolkit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("toolkit")

_REQUIRE_ALL = "MATRIX_DRIFT_REQUIRE_ALL"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses the shared Synapse, so that `-m 'not synapse'` needs nobody's care."""
    for item in items:
        if "synapse" in getattr(item, "fixturenames", ()):
            item.add_marker("synapse")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turn a skipped Synapse test into a failed one where all of them are required."""
    report = yield
    required = os.environ.get(_REQUIRE_ALL) and item.get_closest_marker("synapse")
    if required and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, although {_REQUIRE_ALL} is set: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def synapse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    """A running Synapse for the whole session: make users and rooms of your own on it."""
    if not Synapse.available():
        pytest.skip("matrix-synapse is not installed: pip install -e '.[dev]'")
    with Synapse.start(tmp_path_factory.mktemp("synapse")) as hs:
        yield hs


@pytest.fixture(scope="session")
def demo_template(synapse: Synapse, tmp_path_factory: pytest.TempPathFactory) -> DemoWorld:
    """The demo's world, seeded once. Its rooms are everybody's: read them only."""
    return seed_demo(synapse, tmp_path_factory.mktemp("demo"))


@pytest.fixture
def demo(demo_template: DemoWorld, tmp_path: Path) -> DemoWorld:
    """The demo's world with a database of the test's own."""
    database = tmp_path / "bot.db"
    shutil.copy(demo_template.database, database)
    return replace(demo_template, database=database)
