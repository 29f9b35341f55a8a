"""What stands in a database on a server that no mapping describes yet: its tables, and some rows of each. Only reads.

The tables are those that the role's search path shows. Views and foreign tables are left out: no bot writes there, and
a few rows of one may take as long as all. A partitioned table is looked at, so that a refusal can say what it is; its
partitions are not.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from toolkit.aside import finish
from toolkit.database.postgres.admission import Column, admit_server, columns_of, unique_sets
from toolkit.database.postgres.connection import Connection, connect, quote, told_name
from toolkit.database.postgres.dsn import Address
from toolkit.database.postgres.mapped_sql import INTEGERS
from toolkit.database.postgres.store import PostgresStore
from toolkit.database.sample import LONGEST, SAMPLED, Sample, Survey, untold
from toolkit.database.sample import Column as Sampled
from toolkit.errors import StoreError
from toolkit.secrecy import StaysHere


class ServerSite(StaysHere):
    """A database on a server that is looked into, by a role that may need no more than SELECT."""

    def __init__(self, dsn: str) -> None:
        self._address = Address(dsn)
        self._setting = self._address.without_secrets if self._address.secrets else dsn

    @property
    def name(self) -> str:
        return self._address.name

    @property
    def setting(self) -> str:
        return self._setting

    @property
    def remark(self) -> str:
        return _NO_SECRETS if self._address.secrets else ""

    async def survey(self) -> Survey:
        connection = await connect(self._address, read_only=True)
        try:
            await admit_server(connection, read_only=True)
            return await _survey(connection)
        finally:
            await finish(connection.close())

    def store(self, **settings: Any) -> PostgresStore:
        nowhere = Path()  # nothing is kept beside a look, and no folder is made for that
        return PostgresStore(self._address.uri, read_only=True, beside=nowhere, **settings)


class _Listed(NamedTuple):
    """A table of the catalogue; `key` are the columns of its primary key, in the index's order."""

    oid: int
    schema: str
    name: str
    readable: bool
    visible: bool
    key: list[str] | None


async def _survey(connection: Connection) -> Survey:
    """All of one moment; a table's lock is given up at once, lest somebody who changes it has to wait."""
    await connection.run(_BEGIN)
    listed = [_Listed(*row) for row in await connection.fetch(_LISTED, doing="open")]
    samples, unread = list[Sample](), dict[str, list[str]]()
    for table in listed:
        if not table.visible:
            unread.setdefault(_ELSEWHERE, []).append(f"{table.schema}.{table.name}")
        elif not table.readable:
            unread.setdefault(_WHY["42501"], []).append(table.name)
        else:
            found = await _sample(connection, table)
            if isinstance(found, Sample):
                samples.append(found)
            else:
                unread.setdefault(found, []).append(table.name)
    return Survey(tuple(samples), tuple(untold(names, why) for why, names in unread.items()))


async def _sample(connection: Connection, table: _Listed) -> Sample | str:
    """Or why it couldn't be read."""
    await connection.run("SAVEPOINT looked")
    try:
        columns = await columns_of(connection, table.oid)
        unique = await unique_sets(connection, table.oid)
        rows = await _rows(connection, table, list(columns.values()))
    except StoreError as error:
        if connection.lost:
            raise
        state = getattr(error.__cause__, "sqlstate", "")
        found: Sample | str = _WHY.get(state, f"couldn't be read ({state})")
    else:
        found = Sample(
            name=told_name(table.name),
            columns=tuple(map(_as_mapped, columns.values())),
            unique=unique,
            rows=tuple(rows[:SAMPLED]),
            whole=len(rows) <= SAMPLED,
        )
    await connection.run("ROLLBACK TO looked; RELEASE looked")
    return found


async def _rows(
    connection: Connection, table: _Listed, columns: Sequence[Column]
) -> list[tuple[Any, ...]]:
    """The first and the last rows by the primary key, or the first that come; one more than `SAMPLED` if there are."""
    cells = ", ".join(["(tableoid, ctid)::text", *map(_cell, columns)])
    select = f"SELECT {cells} FROM {quote(table.schema)}.{quote(table.name)}"
    if table.key is None:
        return [row[1:] for row in await connection.fetch(f"{select} LIMIT {SAMPLED + 1}")]
    key, half = [quote(name) for name in table.key], SAMPLED // 2
    first = await connection.fetch(f"{select} ORDER BY {', '.join(key)} LIMIT {half}")
    down = ", ".join(f"{name} DESC" for name in key)
    last = await connection.fetch(f"{select} ORDER BY {down} LIMIT {half + 1}")
    return list({row[0]: row[1:] for row in (*first, *reversed(last))}.values())


def _as_mapped(column: Column) -> Sampled:
    given = column.default is not None or column.generated or column.identity
    return Sampled(
        column.name,
        integer=column.type in INTEGERS,
        boolean=column.type == "boolean",
        needed=column.required and not given,
    )


def _cell(column: Column) -> str:
    """As a mapped row shows it; bytes are no id, no more than a file's are."""
    name = quote(column.name)
    if column.type in INTEGERS or column.base == "bool":
        return name
    if column.base == "bytea":
        return "NULL"
    if column.base in ("float4", "float8"):
        return f"{name}::text::float8"  # of either, what it is written as
    cut = f"substr({name}::text, 1, {LONGEST})"
    if column.base in ("text", "varchar"):
        return cut
    return f"CASE WHEN pg_column_size({name}) <= {_LARGE} THEN {cut} END"


_LARGE = 100_000
"""Bytes of a document that is written out for a look at its beginning."""
_LOCK, _READ = 1, 10
"""Seconds to wait for another program's lock on a table, and for the rows of one."""
_BEGIN = (
    "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; "
    f"SET LOCAL lock_timeout = '{_LOCK}s'; SET LOCAL statement_timeout = '{_READ}s'"
)
_NO_SECRETS = "without its password: set PGPASSWORD, or use a passfile"
_ELSEWHERE = (
    "the role's search_path doesn't show: set that (?options=-csearch_path%3DSCHEMA in the address), or write the "
    'mapping by hand, with table = "SCHEMA.TABLE"'
)
_WHY = {
    "42501": "the role may not read: grant it SELECT",  # insufficient_privilege
    "55P03": "another program has locked: try again in a moment",  # lock_not_available
    "57014": f"couldn't be read within {_READ} s",  # query_canceled
}
_LISTED = """SELECT c.oid, n.nspname::text, c.relname::text, has_table_privilege(c.oid, 'SELECT'),
    pg_table_is_visible(c.oid),
    (SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM pg_index AS i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place)
        JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
        WHERE i.indrelid = c.oid AND i.indisprimary AND k.place <= i.indnkeyatts)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND n.nspname !~ '^pg_'
    AND n.nspname <> 'information_schema' AND c.relname <> 'matrix_drift_journal'
    ORDER BY c.relname, n.nspname"""
