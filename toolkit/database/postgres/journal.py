"""The journal of a database on a server: a table beside the bot's, so that all workers see one history.

A run's outcome is committed there with its rows, so that a lost answer to COMMIT can be settled. Where the
role may not make that table, and nobody has made it for it, lines go into a file instead.
"""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import NamedTuple

from toolkit.database.journal import JournalBeside, RunJournal
from toolkit.database.postgres.connection import Connection, quote, split_name
from toolkit.errors import StoreError

TABLE = "matrix_drift_journal"


class Noted(NamedTuple):
    """A line of the journal: its number, and that of the transaction which it is part of."""

    number: int
    transaction: str


Connecting = Callable[[], AbstractAsyncContextManager[Connection]]
"""How to come in for a moment."""


class Ledger:
    """The statements on the journal's table, which several bots may share: the table of each tells their lines
    apart, by whichever of its names it was called."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._named: str | None = None
        self._bot = label
        self._before: dict[str, str] = {}

    async def note(self, connection: Connection, run: str, line: Callable[[], str]) -> Noted | None:
        """Put a line there, if there is such a table that we may add to."""
        table = await self._place(connection)
        if not await self._may(connection, table, "INSERT"):
            return None
        [(number, own, seen)] = await connection.fetch(
            f"INSERT INTO {table} (bot, run, line) VALUES (%s, %s, %s) RETURNING number, "
            "pg_current_xact_id()::text, pg_current_snapshot()::text",
            (self._bot, run, line()),
            doing="write",
        )
        if seen == f"{own}:{own}:":  # nothing else was going on
            self._before[f"{int(own) + 1}:{int(own) + 1}:"] = seen
        return Noted(number, own)

    def without_own(self, snapshot: str) -> str:
        """The snapshot that sees the same rows of the bot's: one which only a line of ours came after."""
        return self._before.get(snapshot, snapshot)

    async def has(self, connection: Connection, number: int) -> bool:
        """Whether a line was committed."""
        table = await self._place(connection)
        sql = f"SELECT 1 FROM {table} WHERE number = %s"
        return bool(await connection.fetch(sql, (number,)))

    async def bot(self, connection: Connection) -> str:
        """The bot's table with its schema."""
        await self._place(connection)
        return self._bot

    async def make(self, connection: Connection) -> None:
        """Make the table, if there is none and the role may do that."""
        table = await self._place(connection)
        try:
            await connection.run(_MAKE.format(table))
        except StoreError as error:
            # Refused, or somebody else makes it at this moment.
            if getattr(error.__cause__, "sqlstate", None) not in _NOT_MADE:
                raise

    async def lines(self, connection: Connection) -> list[str]:
        """All lines of this bot, oldest first."""
        table = await self._place(connection)
        if not await self._may(connection, table, "SELECT"):
            return []
        sql = f"SELECT line FROM {table} WHERE bot = %s ORDER BY number"
        return [line for (line,) in await connection.fetch(sql, (self._bot,))]

    async def _may(self, connection: Connection, table: str, right: str) -> bool:
        """Whether the table is there, is ours or the bot's, and lets us do that.

        Somebody else's may have triggers, which would run with our rights.
        """
        named = (table.replace("%%", "%"), split_name(self._label), right)
        [(may,)] = await connection.fetch(_MAY, named)
        return bool(may)

    async def _place(self, connection: Connection) -> str:
        """The table's name, in the schema of the bot's own."""
        if self._named is None:
            found = await connection.fetch(_BOT, (split_name(self._label),))
            if not found:  # the bot's own table isn't there yet
                return f"{quote('public')}.{quote(TABLE)}"
            [(schema, self._bot)] = found
            self._named = f"{quote(schema)}.{quote(TABLE)}"
        return self._named


class Journal(RunJournal):
    """The lines of one bot, wherever they are kept."""

    def __init__(self, ledger: Ledger, connect: Connecting, file: JournalBeside) -> None:
        self._ledger, self._connect, self._file = ledger, connect, file

    async def append(self, line: str) -> None:
        async with self._connect() as connection:
            if await self._ledger.note(connection, "", lambda: line) is not None:
                return
            await self._ledger.make(connection)
            if await self._ledger.note(connection, "", lambda: line) is not None:
                return
        await self._file.append(line)

    async def lines(self) -> list[str]:
        """All lines; those of a file are of before there was a table."""
        async with self._connect() as connection:
            return [*await self._file.lines(), *await self._ledger.lines(connection)]


_MAKE = """CREATE TABLE IF NOT EXISTS {} (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bot text NOT NULL, run text NOT NULL, line text NOT NULL, at timestamptz NOT NULL DEFAULT now())"""
_NOT_MADE = {"42501", "42P07", "23505", "3F000"}
_BOT = """SELECT n.nspname::text, format('%%I.%%I', n.nspname, c.relname) FROM pg_class AS c JOIN pg_namespace AS n
    ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)"""
_MAY = """SELECT EXISTS (SELECT 1 FROM (SELECT to_regclass(%s), to_regclass(%s)) AS named (ours, bots)
    JOIN pg_class AS j ON j.oid = named.ours JOIN pg_roles AS me ON me.rolname = current_user
    LEFT JOIN pg_class AS b ON b.oid = named.bots
    WHERE j.relkind = 'r' AND j.relowner IN (me.oid, b.relowner)
    AND has_table_privilege(j.oid, 'SELECT') AND has_table_privilege(j.oid, %s))"""
