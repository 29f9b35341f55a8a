"""A watch of rows on a server: what a worker writes is seen, and a connection that is gone is made anew."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.bench import A1, BOT, TOKEN, small_rows
from tests.postgres.server_bench import ServerBench
from toolkit import Session
from toolkit.testing import FakeHomeserver

BACKENDS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""


@pytest.fixture
async def session(
    server_bench: ServerBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Session]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    async with (
        FakeHomeserver(server_bench.world.rooms, BOT, TOKEN, sliding_sync=True) as server,
        await Session.open(
            homeserver=server.url, access_token=TOKEN, database=server_bench.dsn
        ) as session,
    ):
        yield session


async def until(fits: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not fits():  # noqa: ASYNC110 - the session tells nobody but views
            await asyncio.sleep(0.02)


async def test_what_a_worker_writes_is_seen_also_after_the_connection_was_cut(
    server_bench: ServerBench, session: Session
) -> None:
    watching = session.watch()
    server_bench.put({A1: small_rows()[A1]})
    await until(lambda: A1 in session.rows.index)
    server_bench.sql(BACKENDS)
    server_bench.put({A1: None})
    await until(lambda: A1 not in session.rows.index)
    assert watching.running and "throw-away" not in repr(watching)
