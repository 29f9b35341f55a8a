"""Rows as COPY tells them: what psycopg's own loop gives, the errors on the way, and what is cut off."""

import asyncio
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import psycopg
import pytest

from tests.postgres.server_bench import ServerBench, as_worker
from toolkit.database.postgres.connection import connect, cut
from toolkit.database.postgres.copying import Copying, copy_out
from toolkit.database.postgres.dsn import Address
from toolkit.database.postgres.store import PostgresStore
from toolkit.errors import StoreError

FOREVER = "COPY (SELECT pg_sleep(60)) TO STDOUT"
MANY = "SELECT n, repeat('%x\t', 200) FROM generate_series(1, 20000) AS n"


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(dsn, autocommit=True)
    yield connection
    connection.close()


def test_it_tells_what_psycopg_tells(connection: psycopg.Connection) -> None:
    ours = [bytes(row) for row in copy_out(connection.pgconn, f"COPY ({MANY}) TO STDOUT")]
    with connection.cursor().copy(f"COPY ({MANY}) TO STDOUT") as copy:
        assert ours == [bytes(row) for row in copy]
    assert len(ours) == 20_000
    assert [*copy_out(connection.pgconn, "COPY (SELECT 1 WHERE false) TO STDOUT")] == []


@pytest.mark.parametrize(
    ("query", "told", "kind"),
    [
        ("COPY none TO STDOUT", 0, psycopg.errors.UndefinedTable),
        (
            "COPY (SELECT 1 / (5000 - n) FROM generate_series(1, 9000) AS n) TO STDOUT",
            4_999,
            psycopg.errors.DivisionByZero,
        ),
    ],
)
def test_an_error_is_that_of_the_server(
    connection: psycopg.Connection, query: str, told: int, kind: type[psycopg.Error]
) -> None:
    rows: list[bytes] = []
    with pytest.raises(kind):
        rows.extend(bytes(row) for row in copy_out(connection.pgconn, query))
    assert len(rows) == told


def test_a_cut_connection_ends_it(connection: psycopg.Connection) -> None:
    rows = copy_out(connection.pgconn, f"COPY ({MANY}) TO STDOUT")
    next(rows)
    cut(connection.fileno())
    with pytest.raises(psycopg.OperationalError):
        list(rows)


async def test_a_server_that_says_nothing_is_cut_off_and_slow_work_is_not(dsn: str) -> None:
    server = await connect(Address(dsn), patience=0.3)

    def slow(copying: Copying) -> None:
        time.sleep(0.7)
        sql = "COPY (SELECT generate_series(1, 20)) TO STDOUT"
        copying.copy(sql, lambda row: time.sleep(0.03))

    await server.copy(slow)
    assert not server.in_transaction
    with pytest.raises(StoreError, match=r"no answer came within 0.3 s"):
        await server.copy(lambda copying: copying.copy(FOREVER, len))
    assert server.lost


async def test_who_is_cancelled_does_not_wait_for_the_server(dsn: str) -> None:
    server = await connect(Address(dsn))
    task = asyncio.create_task(server.copy(lambda copying: copying.copy(FOREVER, len)))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.lost and time.monotonic() - begun < 5


async def test_a_backup_needs_no_further_connection(server_bench: ServerBench) -> None:
    worker = as_worker(server_bench.dsn)
    server_bench.sql(f"ALTER ROLE {urlsplit(worker).username} CONNECTION LIMIT 1")
    async with PostgresStore(worker, beside=server_bench.path) as store:
        assert (await store.backup(name="20261122T220345Z-3f2a")).stat().st_size
        assert await store.load_rows()
