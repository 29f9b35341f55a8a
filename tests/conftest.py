"""What all tests share: one Synapse, one demo world, a browser, and how hypothesis runs."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from tests.children import finding_us, start_lean
from toolkit.demo.world import DemoWorld, seed_demo
from toolkit.testing import FakeHomeserver, Synapse
from toolkit.testing.postgres import Postgres

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from playwright.sync_api import Browser

    from tests.bench import Bench
    from tests.browser import NotebookPage, Windows
    from tests.lab import Lab

# A busy machine is no failure. CI runs the same examples each time: it fails only for a change.
settings.register_profile("toolkit", deadline=None, derandomize=bool(os.environ.get("CI")))
settings.load_profile("toolkit")

_REQUIRE_ALL = "MATRIX_DRIFT_REQUIRE_ALL"
_FAILED = pytest.StashKey[bool]()
_MARKER_OF_FIXTURE = {"synapse": "synapse", "chromium": "browser", "postgres": "postgres"}
_LONG = ("browser", "slow", "synapse", "postgres")


def pytest_configure(config: pytest.Config) -> None:
    """Let nbval's kernels be: it would measure them too, and takes a bare `--cov` for a folder."""
    config.option.cov_source = None
    start_lean()
    for name in list(os.environ):  # the tests are about no bot or server of the developer's
        if name.startswith(("MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN", "BOT_DATABASE", "PG")):
            del os.environ[name]
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in the background of a shell's script
        signal.signal(signal.SIGINT, signal.default_int_handler)  # or no child could be interrupted


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what uses Synapse or a browser, so that `-m 'not synapse'` needs nobody's care.

    Files that take long come first: at the end they would keep one process alone.
    """
    ranks: dict[Path, int] = {}
    for item in items:
        for fixture, marker in _MARKER_OF_FIXTURE.items():
            if fixture in getattr(item, "fixturenames", ()):
                item.add_marker(marker)
        found = [rank for rank, marker in enumerate(_LONG) if item.get_closest_marker(marker)]
        ranks[item.path] = min([*found, ranks.get(item.path, len(_LONG))])
    items.sort(key=lambda item: ranks[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Note which tests failed, and turn a skipped one into a failed one where all are required."""
    report = yield
    item.stash[_FAILED] = item.stash.get(_FAILED, False) or report.failed
    required = os.environ.get(_REQUIRE_ALL)
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
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL for the whole session: make databases of your own on it."""
    if Postgres.programs() is None:
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with Postgres.start() as server:
        yield server


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


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's first chat has no rows, her second no room row, Bob's user row is gone."""
    from tests.bench import A1, A2, C1, UB, Bench, small_rows

    bench = Bench(tmp_path / "bot.db")
    bench.fill({k: row for k, row in small_rows().items() if k not in (A1, C1, A2, UB)})
    return bench


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    from tests.bench import BOT, TOKEN

    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as found:
        yield found


@pytest.fixture(scope="session")
def launched() -> Iterator[tuple[Browser, AbstractEventLoop]]:
    """A headless Chromium, and Playwright's event loop, which counts as running only for `chromium`."""
    from tests.browser import find_chromium, launch_chromium

    executable = find_chromium()
    if executable is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    with launch_chromium(executable) as browser:
        loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)
        yield browser, loop
        asyncio._set_running_loop(loop)


@pytest.fixture(scope="module")
def chromium(launched: tuple[Browser, AbstractEventLoop]) -> Iterator[Browser]:
    """The Chromium of all; the tests of a module that uses it are plain functions (tests/browser.py)."""
    browser, loop = launched
    asyncio._set_running_loop(loop)
    yield browser
    asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def lab(
    launched: tuple[Browser, AbstractEventLoop], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lab]:
    """The JupyterLab of all, whose kernels find these tests, for their worlds."""
    from tests.lab import Lab

    with Lab.start(tmp_path_factory.mktemp("lab"), env=finding_us()) as lab:
        yield lab


@pytest.fixture(scope="session")
def windows() -> Windows:
    """What lends `page` and `second_page`."""
    from tests.browser import Windows

    return Windows()


def lend(
    request: pytest.FixtureRequest, chromium: Browser, lab: Lab, windows: Windows
) -> Iterator[NotebookPage]:
    """A browser window, with nothing open and nothing remembered."""
    page = windows.take(chromium, lab)
    yield page
    if page.page.is_closed() or request.node.stash.get(_FAILED, False):
        page.close()
    else:
        windows.give_back(page)


page = pytest.fixture(lend, name="page")
second_page = pytest.fixture(lend, name="second_page")
