"""Rows as COPY tells them: what psycopg's own loop gives, and the errors on the way."""

from collections.abc import Iterator

import psycopg
import pytest

from toolkit.database.postgres.connection import cut
from toolkit.database.postgres.copying import copy_out

MANY = "SELECT n, repeat('%x\t', 200) FROM generate_series(1, 20000) AS n"


@pytest.fixture
def connection(dsn: str) -> Iterator[psycopg.Connection]:
    connection = psycopg.connect(dsn, autocommit=True)
    yield connection
    connection.close()


def test_it_tells_what_psycopg_tells(connection: psycopg.Connection) -> None:
    ours = [bytes(row) for row in copy_out(connection, f"COPY ({MANY}) TO STDOUT")]
    with connection.cursor().copy(f"COPY ({MANY}) TO STDOUT") as copy:
        assert ours == [bytes(row) for row in copy]
    assert len(ours) == 20_000
    assert [*copy_out(connection, "COPY (SELECT 1 WHERE false) TO STDOUT")] == []


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
        rows.extend(bytes(row) for row in copy_out(connection, query))
    assert len(rows) == told


def test_a_cut_connection_ends_it(connection: psycopg.Connection) -> None:
    rows = copy_out(connection, f"COPY ({MANY}) TO STDOUT")
    next(rows)
    cut(connection.fileno())
    with pytest.raises(psycopg.OperationalError):
        list(rows)
