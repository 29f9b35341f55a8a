"""An open connection to a PostgreSQL server, over psycopg; errors come out as a `StoreError` in words.

Every statement has to be answered in time: a server that hangs must not make its callers hang as well.
"""

import asyncio
import contextlib
import re
import socket
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import Any, LiteralString, TypeVar

import psycopg
from psycopg import errors
from psycopg.pq import TransactionStatus

from toolkit.aside import aside
from toolkit.database.postgres.copying import Copying
from toolkit.database.postgres.dsn import Address
from toolkit.errors import StoreError

Row = tuple[Any, ...]
T = TypeVar("T")
PATIENCE = 60.0
"""Seconds in which a statement must be answered, or the next rows of an answer."""
CONNECT = 10.0
"""Seconds to get in, unless the DSN says otherwise (`connect_timeout`)."""
LOCK_PATIENCE = 5.0
"""Seconds in which a lock must be had, unless a store has another `busy_timeout`."""

_numbers = count()


class Connection:
    """An open connection; one task uses it at a time. Outside `begin` … `commit`, each statement stands alone."""

    def __init__(
        self, name: str, connection: psycopg.AsyncConnection[Row], patience: float = PATIENCE
    ) -> None:
        self.name = name
        self.number = next(_numbers)
        self.writes = 0  # how often rows were written, committed or not
        self._connection, self._patience = connection, patience

    @property
    def in_transaction(self) -> bool:
        """Whether one is open, also one that an error has ended but for its `roll_back`."""
        return self._connection.info.transaction_status in _IN_TRANSACTION

    @property
    def lost(self) -> bool:
        """Whether nothing can be asked any more."""
        return self._connection.closed

    async def fetch(
        self, sql: str, parameters: Sequence[object] = (), doing: str = "read"
    ) -> list[Row]:
        """All rows of one query, and so of one moment."""

        async def ask() -> list[Row]:
            cursor = await self._connection.execute(as_query(sql), tuple(parameters))
            return await cursor.fetchall()

        return await self._ask(doing, ask())

    async def run(
        self, sql: str, parameters: Sequence[object] = (), doing: str = "write"
    ) -> tuple[int, str]:
        """Run what answers without rows; how many it changed, and what it says that it did."""

        async def ask() -> tuple[int, str]:
            cursor = await self._connection.execute(as_query(sql), tuple(parameters))
            return cursor.rowcount, cursor.statusmessage or ""

        return await self._ask(doing, ask())

    async def run_many(self, sql: str, parameters: Sequence[Sequence[object]]) -> int:
        """Run it once for each of the parameters, all sent at once; how many rows changed in all."""

        async def ask() -> int:
            cursor = self._connection.cursor()
            await cursor.executemany(as_query(sql), parameters)
            return cursor.rowcount

        return await self._ask("write", ask())

    async def copy(self, work: Callable[[Copying], None]) -> None:
        """Do work in a thread, which reads what COPY tells of one moment; what else it raises goes on.

        A server that says nothing more for too long is cut off, and after any error nothing can be asked any more.
        """
        await self.run(_SNAPSHOT, doing="back up")
        copying = Copying(self._connection.pgconn)
        task = asyncio.ensure_future(aside(work, copying))
        late, seen = False, -1
        try:
            while not (await asyncio.wait({task}, timeout=self._patience))[0]:
                if copying.asks and copying.rows == seen:
                    late = True
                    self._cut()
                seen = copying.rows
            await task
        except BaseException as error:
            self._cut()
            await asyncio.gather(task, return_exceptions=True)
            await self.close()
            if isinstance(error, psycopg.Error):
                waited = self._patience if late else None
                raise explain(self.name, "back up", error, waited) from error
            raise
        await self.run("ROLLBACK", doing="back up")  # nothing was written

    async def close(self) -> None:
        """Never waits for the server."""
        with contextlib.suppress(psycopg.Error, OSError):
            await self._connection.close()

    async def _ask(self, doing: str, asking: Coroutine[Any, Any, T]) -> T:
        """An answer in time, or a `StoreError`: what was being done, what happened, what to try.

        Who is late, or cancelled, is cut off: psycopg would ask the server to stop, and wait for that as well.
        """
        late = False

        def end() -> None:
            nonlocal late
            late = True
            self._cut()

        timer = asyncio.get_running_loop().call_later(self._patience, end)
        task = asyncio.ensure_future(asking)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            self._cut()
            await asyncio.wait({task})
            task.exception()  # which nobody asks for
            raise
        except psycopg.Error as error:
            raise explain(self.name, doing, error, self._patience if late else None) from error
        except UnicodeEncodeError:
            raise StoreError(
                f"Can't {doing} the database {self.name}: the name of a table or column isn't UTF-8."
            ) from None
        finally:
            timer.cancel()

    def _cut(self) -> None:
        with contextlib.suppress(psycopg.Error):
            cut(self._connection.fileno())


async def connect(
    address: Address,
    *,
    read_only: bool = False,
    patience: float = PATIENCE,
    lock_patience: float = LOCK_PATIENCE,
) -> Connection:
    """Come in; `read_only` has the server itself refuse every write. Looks at nothing yet.

    Whoever waits for a lock longer than `lock_patience` is told of that, also where it only reads.
    """
    try:
        found = await psycopg.AsyncConnection.connect(
            **said_to(address),
            autocommit=True,  # psycopg begins no transactions of its own
            row_factory=psycopg.rows.tuple_row,
        )
    except psycopg.Error as error:
        failed = explain(address.name, "open", error)
    else:
        connection = Connection(address.name, found, patience)
        try:
            rights = _READ_ONLY if read_only else _READ_WRITE
            usual = f"{rights}; {_TEXTS}; {lock_timeout(lock_patience)}"
            await connection.run(usual, doing="open")
        except BaseException:
            await connection.close()
            raise
        return connection
    raise failed  # out here, without the error, which knows how we came in


def lock_timeout(seconds: float) -> str:
    """SQL after which no statement waits longer for a lock: 0 would be without end."""
    return f"SET lock_timeout = {max(1, round(1000 * seconds))}"


def said_to(address: Address) -> dict[str, Any]:
    """What is told to libpq: what the DSN says, and what it leaves open."""
    return {
        "connect_timeout": int(CONNECT),
        "application_name": "matrix-drift",
        **address.parameters,
        "client_encoding": "UTF8",
    }


def cut(number: int) -> None:
    """End a connection under psycopg's feet, by the number of its file: it then finds it closed."""
    with contextlib.suppress(OSError):
        way = socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM)
        way.shutdown(socket.SHUT_RDWR)
        way.close()


def as_query(sql: str) -> LiteralString:
    """SQL of ours, in which nothing but quoted names comes from elsewhere."""
    return sql


def as_sql(text: str) -> str:
    """SQL as the catalog tells it, for a statement of ours: psycopg reads a single % as the start of a parameter."""
    return text.replace("%", "%%")


def quote(name: str) -> str:
    """A name, whatever is in it, as SQL."""
    return as_sql('"' + name.replace('"', '""') + '"')


def split_name(name: str) -> str:
    """A table's name as `to_regclass` reads it; a dot parts it from its schema, unless it stands in quotes.

    >>> print(split_name("bot.kv"), split_name('"Weird.Table"'), split_name('bot."my.kv"'))
    "bot"."kv" "Weird.Table" "bot"."my.kv"
    """
    found = _QUOTED.fullmatch(name)
    parts = filter(None, found.groups()) if found else name.split(".", 1)
    return ".".join(p if found and p[0] == '"' else '"' + p.replace('"', '""') + '"' for p in parts)


def quote_table(name: str) -> str:
    """The same as SQL."""
    return as_sql(split_name(name))


def told_name(name: str) -> str:
    """A table of the search path as `split_name` reads it: in quotes where it would see a schema, or quotes, in it.

    >>> print(told_name("kv"), told_name("Weird.Table"), told_name('a "b"'))
    kv "Weird.Table" a "b"
    """
    quoted = '"' + name.replace('"', '""') + '"'
    return name if split_name(name) == quoted else quoted


def explain(name: str, doing: str, error: psycopg.Error, waited: float | None = None) -> StoreError:
    """An error in a sentence; none of them repeats the password."""
    why = _reason(error) if waited is None else _SILENT.format(waited)
    return StoreError(
        f"Can't {doing} the database {name}: {why}.",
        concerns_all=_concerns_all(error),
    )


def _concerns_all(error: psycopg.Error) -> bool:
    """A trigger may give whatever code it likes to what it refuses, and that is of its row."""
    if error.sqlstate is None:  # of psycopg itself, or of the way to the server
        return not isinstance(error, psycopg.DataError)
    return error.sqlstate.startswith(_OF_ALL)


def _reason(error: psycopg.Error) -> str:
    for kinds, reason in _REASONS:
        if isinstance(error, kinds):
            return reason.format(error.diag.message_primary)
    line = error.diag.message_primary or str(error).strip().partition("\n")[0]
    said = " ".join(line.split())  # a server's word at the door begins with two spaces
    if error.sqlstate is None:  # libpq's own words, also for what a server says at the door
        return f"{said or 'the connection was lost'}; {_REACHED}"
    return f"the server says {said!r} ({error.sqlstate})"


_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_QUOTED = re.compile(r'((?:"(?:[^"]|"")+"|[^".]+)(?=\.|$))(?:\.("(?:[^"]|"")+"|[^".]+))?')
_IN_TRANSACTION = {TransactionStatus.INTRANS, TransactionStatus.INERROR, TransactionStatus.ACTIVE}
_REACHED = (
    "check that the server runs and can be reached, and that it has this database and lets this role in "
    "(the password may stand in the DSN, in PGPASSWORD or in a passfile)"
)
_SILENT = "no answer came within {:.3g} s; look whether the server is well, and the way to it"
_READ_ONLY = "SET default_transaction_read_only = on"
_READ_WRITE = (
    "SET default_transaction_read_only = off; SET default_transaction_isolation = 'read committed'"
)
# What a cell is as text must not hang on who asks: the journal's texts are compared by another role as well.
_TEXTS = (
    "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, MDY'; SET IntervalStyle = 'postgres'; "
    "SET extra_float_digits = 1; SET bytea_output = 'hex'"
)
_OF_ALL = (
    *("08", "57", "58", "XX"),  # the connection, the server, its system, its own faults
    *("25", "40"),  # the transaction
    *("42501", "53", "55P"),  # rights, resources, locks
)
"""Beginnings of codes, with which no other row would fare better."""

_REASONS: tuple[tuple[tuple[type[psycopg.Error], ...], str], ...] = (
    (
        (errors.InsufficientPrivilege,),
        "the role may not do that ({}); grant it SELECT, INSERT and UPDATE on the table (and DELETE, which "
        "taking a run back may need), and USAGE on its schema",
    ),
    (
        (errors.ReadOnlySqlTransaction,),
        "it may only be read there (read_only=True, or the server is a standby)",
    ),
    (
        (errors.LockNotAvailable,),
        "another program holds its lock; try again in a moment, or stop that program first",
    ),
    (
        (errors.DiskFull,),
        "the server's disk is full; nothing of this was written; free some space and try again",
    ),
    (
        (errors.AdminShutdown, errors.CrashShutdown, errors.CannotConnectNow),
        "the server is shutting down or starting, or has ended this connection; try again in a moment",
    ),
    (
        (errors.UndefinedTable,),
        "the table is gone since it was opened; open the store again",
    ),
)
