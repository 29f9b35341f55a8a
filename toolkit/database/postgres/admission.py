"""What a server, and a table on it, must be before anything is read from them, looked at once when opened.

A table that isn't ours, or on which our promises wouldn't hold, is refused in one sentence: what was found,
and what to do.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, NoReturn

from toolkit.database.postgres.connection import Connection, split_name
from toolkit.errors import NoDatabase, StoreError

OLDEST = 130000  # has pg_current_snapshot and pg_xact_status over xid8


class Column(NamedTuple):
    """A column, as the catalog tells it; `type` as SQL writes it, `base` its bare name."""

    name: str
    type: str
    base: str
    required: bool
    default: str | None
    generated: bool
    identity: bool


class Found(NamedTuple):
    """A plain table of the catalog; `why_no_write` is empty if its rows can be written."""

    oid: int
    schema: str
    name: str
    columns: dict[str, Column]
    unique: tuple[frozenset[str], ...]
    partial: tuple[frozenset[str], ...]
    why_no_write: str


async def admit_server(connection: Connection, *, read_only: bool) -> None:
    """Refuse a server that can't keep what is promised here."""
    [(version, encoding, standby)] = await connection.fetch(_SERVER, doing="open")
    if int(version) < OLDEST:
        _refuse(connection, "the server is older than PostgreSQL 13")
    if encoding != "UTF8":
        _refuse(connection, f"its text isn't UTF-8, it is {encoding}")
    if standby and not read_only:
        _refuse(connection, "the server is a standby, which can only be read")


async def find_table(
    connection: Connection, name: str, *, advice: str, read_only: bool, of_others: str = ""
) -> Found:
    """The table of this name (`schema.table` for one that isn't in the search path), if it can be used.

    `of_others` is what to do where only other tables are there, beside `advice`.
    """
    seen = await connection.fetch(_TABLE, (split_name(name),), doing="open")
    if not seen:
        others = [str(row[0]) for row in await connection.fetch(_TABLES, doing="open")]
        there = f"only {listed(others)}" if others else "and none at all that this role sees"
        raise (StoreError if others else NoDatabase)(
            f"The database {connection.name} has no table {name!r}, {there}: {advice}{of_others if others else ''}."
        )
    [(oid, kind, schema, bare, hides, rules, inherited, rights, deferred)] = seen
    table = f"the table {name!r} of {connection.name}"
    if kind != "r":
        _refuse_table(table, f"it is {_KINDS.get(kind, 'no plain table')}", advice)
    if inherited:
        _refuse_table(table, "other tables inherit from it, so that no key is unique", advice)
    if hides:
        _refuse_table(table, "row security hides rows of it from this role", "grant it BYPASSRLS")
    if not rights[0]:
        _refuse_table(table, "the role may not read it (42501)", "grant it SELECT")
    why_no_write = _RULES if rules else f"{deferred!r} {_DEFERRED}" if deferred else ""
    if not read_only:
        if why_no_write:
            _refuse_table(table, why_no_write, LOOK_ONLY)
        if lacking := [right for right, has in zip(_RIGHTS, rights, strict=True) if not has]:
            _refuse_table(
                table,
                f"the role may not {listed_bare(lacking)} there (42501)",
                "grant it SELECT, INSERT and UPDATE on the table, or open it with read_only=True",
            )
    columns = await columns_of(connection, oid)
    unique = await unique_sets(connection, oid, partial=False)
    partial = await unique_sets(connection, oid, partial=True)
    return Found(oid, schema, bare, columns, unique, partial, why_no_write)


async def columns_of(connection: Connection, oid: int) -> dict[str, Column]:
    """The columns of a table, in their order."""
    columns = [Column(*row) for row in await connection.fetch(_COLUMNS, (oid,), doing="open")]
    return {column.name: column for column in columns}


async def unique_sets(
    connection: Connection, oid: int, *, partial: bool = False
) -> tuple[frozenset[str], ...]:
    """The sets of columns that are never the same in two rows; or in two of some rows."""
    found = await connection.fetch(_INDEXES, (oid, partial), doing="open")
    return tuple(frozenset(names) for (names,) in found)


async def has_triggers(connection: Connection, oid: int, name: str) -> bool:
    """Whether a table has triggers of somebody's own, as it is now. `StoreError` if another has its name by now."""
    [(same, found)] = await connection.fetch(_TRIGGERS, (name, oid, oid))
    if not same:
        raise StoreError(
            f"The table {name} of {connection.name} was replaced since it was opened: open the store again. "
            "Nothing was written.",
            concerns_all=True,
        )
    return bool(found)


def check_columns(
    connection: Connection, name: str, found: Found, wanted: Sequence[str], advice: str
) -> None:
    """Refuse a table that lacks one of these columns."""
    if missing := [column for column in wanted if column not in found.columns]:
        raise StoreError(
            f"The table {name!r} of {connection.name} has no column {listed(missing)}, it has "
            f"{listed(found.columns)}: {advice}."
        )


def listed(names: Iterable[str]) -> str:
    """Names as they can stand in a sentence."""
    return ", ".join(map(repr, names))


def listed_bare(names: Iterable[str]) -> str:
    """Words as they can stand in a sentence."""
    return ", ".join(names)


def _refuse(connection: Connection, why: str) -> NoReturn:
    raise StoreError(f"Can't use the database {connection.name}: {why}.")


def _refuse_table(table: str, why: str, advice: str) -> NoReturn:
    raise StoreError(f"Can't use {table}: {why}; {advice}.")


LOOK_ONLY = "open it with read_only=True to look only, or name the table that the bot itself writes"
_RULES = "it has rules, which make something else of a write"
_DEFERRED = (
    "is looked at when a transaction ends, where one wrong row would take all others with it"
)
_RIGHTS = ("SELECT", "INSERT", "UPDATE")
_KINDS = {
    "v": "a view",
    "m": "a materialized view",
    "f": "a foreign table",
    "p": "a partitioned table, of which a lock and a unique key mean less",
}
_SERVER = """SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),
    pg_is_in_recovery()"""
_TABLE = """SELECT c.oid, c.relkind::text, n.nspname::text, c.relname::text, row_security_active(c.oid),
    c.relhasrules, EXISTS (SELECT 1 FROM pg_inherits AS i WHERE i.inhparent = c.oid),
    ARRAY[has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
        has_table_privilege(c.oid, 'UPDATE')],
    (SELECT min(g.tgname::text) FROM pg_trigger AS g
        WHERE g.tgrelid = c.oid AND g.tgdeferrable AND g.tginitdeferred)
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.oid = to_regclass(%s) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')"""
_TABLES = """SELECT c.oid::regclass::text FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
    AND c.relname <> 'matrix_drift_journal'
    AND has_schema_privilege(n.oid, 'USAGE') ORDER BY 1 LIMIT 20"""
# A domain may ask for a value as well, also one that it is made of, and may bring a default.
_COLUMNS = """SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), t.typname::text,
    a.attnotnull OR EXISTS (WITH RECURSIVE made AS (SELECT t.typbasetype AS of, t.typnotnull AS required UNION ALL
        SELECT b.typbasetype, b.typnotnull FROM made JOIN pg_type AS b ON b.oid = made.of)
        SELECT FROM made WHERE required),
    coalesce(pg_get_expr(d.adbin, d.adrelid), t.typdefault), a.attgenerated <> '', a.attidentity <> ''
    FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
    LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE a.attrelid = %s AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum"""
# Of an index over an expression nothing is known; a deferred or half-built one keeps nothing apart.
_INDEXES = """SELECT array_agg(a.attname::text)
    FROM pg_index AS i CROSS JOIN LATERAL unnest(i.indkey) WITH ORDINALITY AS k(number, place)
    JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = k.number
    WHERE i.indrelid = %s AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indexprs IS NULL
    AND k.place <= i.indnkeyatts AND (i.indpred IS NOT NULL) = %s GROUP BY i.indexrelid, i.indisprimary
    ORDER BY i.indisprimary DESC, i.indexrelid"""
_TRIGGERS = """SELECT to_regclass(%s) = %s::oid,
    EXISTS (SELECT 1 FROM pg_trigger WHERE tgrelid = %s AND NOT tgisinternal AND tgenabled <> 'D')"""
