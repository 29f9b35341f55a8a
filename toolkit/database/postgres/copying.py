"""What COPY tells of a table, row by row, with half of the processor's time that psycopg's own loop takes.

That one waits in general ways before each row; here the connection is waited for only where nothing has come.
It blocks, so it belongs in a thread, which has the connection to itself; whoever cuts that ends it.
"""

from collections.abc import Callable, Iterator
from selectors import EVENT_READ, DefaultSelector

from psycopg import errors
from psycopg.abc import Buffer
from psycopg.pq import ExecStatus
from psycopg.pq.abc import PGconn


class Copying:
    """COPY after COPY over one connection: how many rows have come, and whether more are asked for."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self.rows = 0
        self.asks = False

    def copy(self, query: str, write: Callable[[Buffer], object]) -> None:
        """Hand each row on as it comes."""
        self.asks = True
        for row in copy_out(self._pgconn, query):
            write(row)
            self.rows += 1
        self.asks = False


def copy_out(pgconn: PGconn, query: str) -> Iterator[Buffer]:
    """The rows as the server tells them, each valid until the next. Raises `psycopg.Error`."""
    with DefaultSelector() as selector:
        selector.register(pgconn.socket, EVENT_READ)

        def wait() -> None:
            selector.select()
            pgconn.consume_input()

        pgconn.send_query(query.encode())
        _expect(ExecStatus.COPY_OUT, pgconn, wait)
        while (told := pgconn.get_copy_data(1))[0] >= 0:
            if told[0]:
                yield told[1]
            else:
                wait()
        _expect(ExecStatus.COMMAND_OK, pgconn, wait)
        assert pgconn.get_result() is None


def _expect(status: int, pgconn: PGconn, wait: Callable[[], None]) -> None:
    while pgconn.is_busy():
        wait()
    result = pgconn.get_result()
    assert result  # each of them has been asked for
    if result.status != status:
        raise errors.error_from_result(result)
