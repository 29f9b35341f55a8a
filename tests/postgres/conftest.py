"""A database of its own for each test, with the small bot's rows."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench import A1, A2, C1, UB, small_rows
from tests.postgres.server_bench import ServerBench
from toolkit.testing.postgres import Postgres


@pytest.fixture
def dsn(postgres: Postgres) -> Iterator[str]:
    """An empty database."""
    dsn = postgres.borrow_database()
    yield dsn
    postgres.give_back(dsn)


@pytest.fixture(params=["text", "jsonb"])
def any_bench(request: pytest.FixtureRequest, dsn: str, tmp_path: Path) -> ServerBench:
    """The small bot, its values as text and as jsonb."""
    return filled(ServerBench(tmp_path / "bot", dsn=dsn, kind=request.param))


@pytest.fixture
def server_bench(dsn: str, tmp_path: Path) -> ServerBench:
    """The small bot, its values as text."""
    return filled(ServerBench(tmp_path / "bot", dsn=dsn))


def filled(bench: ServerBench) -> ServerBench:
    """Alice's first chat has no rows, her second no room row, Bob's user row is gone."""
    bench.fill({k: row for k, row in small_rows().items() if k not in (A1, C1, A2, UB)})
    return bench
