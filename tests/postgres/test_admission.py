"""What is refused as a whole, each in one sentence that says what to do; and what is not."""

from pathlib import Path

import psycopg
import pytest

from tests.postgres.server_bench import as_worker
from toolkit.database.postgres import admission
from toolkit.database.postgres.store import PostgresStore
from toolkit.errors import NoDatabase, StoreError
from toolkit.testing.postgres import Postgres

KV = "CREATE TABLE kv (key text PRIMARY KEY, value text)"
_TABLES = {
    "another table": ("CREATE TABLE state (key text)", "only 'state': check the DSN"),
    "no column": ("CREATE TABLE kv (k text PRIMARY KEY, value text)", "has no column 'key', it has"),
    "a view": (f"{KV.replace('kv', 'real')}; CREATE VIEW kv AS SELECT * FROM real", "it is a view"),
    "a materialized view": (
        "CREATE MATERIALIZED VIEW kv AS SELECT 'a' AS key, '{}' AS value", "a materialized view"),
    "a partitioned table": (
        f"{KV} PARTITION BY HASH (key); CREATE TABLE one PARTITION OF kv "
        "FOR VALUES WITH (MODULUS 1, REMAINDER 0)", "it is a partitioned table"),
    "inherited from": (f"{KV}; CREATE TABLE heir () INHERITS (kv)", "other tables inherit from it"),
    "another unique column": (
        "CREATE TABLE kv (key text, value text UNIQUE)", "neither the PRIMARY KEY, nor UNIQUE"),
    "no unique key": ("CREATE TABLE kv (key text, value text)", "neither the PRIMARY KEY, nor UNIQUE"),
    "unique with another": (
        "CREATE TABLE kv (bot text, key text, value text, PRIMARY KEY (bot, key))",
        "unique only together with 'bot'"),
    "a partial index": (
        "CREATE TABLE kv (key text, value text); CREATE UNIQUE INDEX ON kv (key) WHERE key > 'b'",
        "unique only among some rows"),
    "a deferred key": (
        "CREATE TABLE kv (key text PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, value text)",
        "looked at when a transaction ends"),
    "a deferrable key": (
        "CREATE TABLE kv (key text UNIQUE DEFERRABLE, value text)", "nor UNIQUE at once"),
    "an expression": (
        "CREATE TABLE kv (key text, value text); CREATE UNIQUE INDEX ON kv (lower(key))",
        "neither the PRIMARY KEY"),
    "keys of another type": (
        "CREATE TABLE kv (key uuid PRIMARY KEY, value text)", "of type uuid, and no text"),
    "values of another type": (
        "CREATE TABLE kv (key text PRIMARY KEY, value bytea)", "of type bytea, and neither"),
    "a generated value": (
        "CREATE TABLE kv (key text PRIMARY KEY, value text GENERATED ALWAYS AS (key) STORED)",
        "generated from others"),
    "a rule": (f"{KV}; CREATE RULE r AS ON UPDATE TO kv DO INSTEAD NOTHING", "it has rules"),
    "no objects": (
        f"{KV}; INSERT INTO kv SELECT 'chat:' || n, '[]' FROM generate_series(1, 4) AS n",
        "none of its 4 rows under 'chat:' is a JSON object (the first looks like a JSON array)"),
}  # fmt: skip


@pytest.mark.parametrize("what", _TABLES)
async def test_a_table_on_which_the_promises_would_not_hold_is_refused(dsn: str, what: str) -> None:
    sql, why = _TABLES[what]
    run(dsn, sql)
    with pytest.raises(StoreError) as refused:
        await PostgresStore(dsn).open()
    assert why in str(refused.value) and str(refused.value).count(". ") == 0
    assert "throw-away" not in str(refused.value)


async def test_an_empty_database_gets_the_table_only_at_a_first_start(dsn: str) -> None:
    for read_only in (True, False):
        with pytest.raises(
            NoDatabase, match="has no table 'kv', and none at all that this role sees"
        ):
            await PostgresStore(dsn, read_only=read_only).open(make=read_only)
    async with PostgresStore(dsn) as store:
        assert store.made and await store.load_rows() == []
    async with PostgresStore(dsn) as store:
        assert not store.made


@pytest.mark.parametrize(
    "sql",
    [
        KV,
        "CREATE TABLE kv (value jsonb, key varchar(300) UNIQUE, at timestamptz DEFAULT now())",
        "CREATE UNLOGGED TABLE kv (key text, value json); CREATE UNIQUE INDEX ON kv (key)",
        "CREATE SCHEMA bot; CREATE TABLE bot.kv (key text PRIMARY KEY, value text); SET search_path = bot",
    ],
)
async def test_a_table_of_the_bots_own_is_taken(dsn: str, sql: str) -> None:
    run(dsn, sql)
    table = "bot.kv" if "SCHEMA" in sql else "kv"
    async with PostgresStore(dsn, table=table) as store:
        await store.set("chat:@a:hs:C1", {"n": 1})
        await store.set("chat:@a:hs:C1", {"n": 2})
        assert await store.get("chat:@a:hs:C1") == {"n": 2}
        assert await store.keys("chat:") == ["chat:@a:hs:C1"]
        assert await store.get("chat:@a:hs:C2") is None


async def test_odd_names_are_names_and_no_sql(dsn: str) -> None:
    run(dsn, 'CREATE TABLE "k v"";%s" ("a%b" text PRIMARY KEY, "c\'d" text)')
    odd = PostgresStore(dsn, table='k v";%s', key_column="a%b", value_column="c'd")
    async with odd as store:
        await store.set("chat:@a:hs:C1", {"n": 1})
        assert await store.get("chat:@a:hs:C1") == {"n": 1}


@pytest.mark.parametrize("name", ["\udcff", "k\0v", "", ".", '"', "kv; DROP TABLE kv"])
async def test_what_can_be_no_name_is_refused_in_words(dsn: str, name: str) -> None:
    run(dsn, KV)
    with pytest.raises(StoreError, match=r"isn't UTF-8|NUL|has no table"):
        await PostgresStore(dsn, table=name).open()


async def test_a_name_with_a_dot_in_it_stands_in_quotes(dsn: str) -> None:
    run(
        dsn,
        'CREATE SCHEMA "my.bot"; CREATE TABLE "my.bot"."Weird.Table" (key text PRIMARY KEY, value text)',
    )
    async with PostgresStore(dsn, table='"my.bot"."Weird.Table"') as store:
        await store.set("chat:@a:hs:C1", {"n": 1})
        assert await store.keys("chat:") == ["chat:@a:hs:C1"]
    with pytest.raises(StoreError, match=r"has no table 'my\.bot\.Weird\.Table'"):
        await PostgresStore(dsn, table="my.bot.Weird.Table", read_only=True).open()


@pytest.mark.parametrize(
    ("granted", "why"),
    [
        ("INSERT, UPDATE", "may not read it"),
        ("SELECT, UPDATE", "may not INSERT there"),
        ("SELECT, INSERT", "may not UPDATE there"),
    ],
)
async def test_rights_that_are_lacking_are_named(dsn: str, granted: str, why: str) -> None:
    worker = make_role(dsn, granted)
    with pytest.raises(StoreError, match=f"{why}.*42501.*grant it"):
        await PostgresStore(worker).open()


async def test_who_only_looks_needs_only_to_read(dsn: str) -> None:
    worker = make_role(dsn, "SELECT")
    async with PostgresStore(worker, read_only=True) as store:
        assert await store.load_rows() == []
        with pytest.raises(StoreError, match="may only be read there"):
            await store.set("chat:@a:hs:C1", {})


@pytest.mark.parametrize(
    ("name", "told", "why"),
    [
        ("OLDEST", 10**6, "is older than PostgreSQL 13"),
        ("_SERVER", "SELECT 150000, 'UTF8', true", "is a standby, which can only be read"),
    ],
)
async def test_a_server_that_can_not_keep_the_promises_is_refused(
    dsn: str, monkeypatch: pytest.MonkeyPatch, name: str, told: object, why: str
) -> None:
    run(dsn, KV)
    monkeypatch.setattr(admission, name, told)
    with pytest.raises(StoreError, match=why):
        await PostgresStore(dsn).open()
    if name == "_SERVER":
        async with PostgresStore(dsn, read_only=True) as store:
            assert await store.load_rows() == []


async def test_a_table_that_was_taken_for_the_bots_is_looked_at_with_every_read(dsn: str) -> None:
    run(dsn, KV)
    async with PostgresStore(dsn) as store:
        run(dsn, "INSERT INTO kv SELECT 'chat:' || n, '[]' FROM generate_series(1, 4) AS n")
        with pytest.raises(StoreError, match="none of its 4 rows"):
            await store.load_rows()
        run(dsn, "DROP TABLE kv")
        with pytest.raises(StoreError, match="the table is gone since it was opened"):
            await store.load_rows()
        with pytest.raises(StoreError, match="the table is gone since it was opened"):
            async with store.transaction():
                pytest.fail("there is nothing to lock")
        assert await store.journal.lines() == []


async def test_enough_odd_rows_before_the_first_object_do_no_harm(dsn: str) -> None:
    run(dsn, KV)
    run(dsn, "INSERT INTO kv SELECT 'chat:' || n, '[]' FROM generate_series(1, 120) AS n")
    run(dsn, "INSERT INTO kv VALUES ('chat:x', '{}')")
    async with PostgresStore(dsn) as store:
        assert len(await store.load_rows()) == 121


async def test_rows_that_the_server_hides_are_not_taken_for_all(dsn: str) -> None:
    worker = make_role(dsn, "SELECT, INSERT, UPDATE")
    run(dsn, "ALTER TABLE kv ENABLE ROW LEVEL SECURITY")
    with pytest.raises(StoreError, match="row security hides rows"):
        await PostgresStore(worker).open()


async def test_a_database_of_another_encoding_is_refused(postgres: Postgres) -> None:
    dsn = postgres.new_database("ENCODING 'LATIN1' LOCALE 'C'")
    run(dsn, KV)
    with pytest.raises(StoreError, match="its text isn't UTF-8, it is LATIN1"):
        await PostgresStore(dsn).open()


@pytest.mark.parametrize(
    ("found", "wrong", "why"),
    [
        ("/bot", "/nobot", "does not exist"),
        ("admin:", "nobody:", "password authentication failed"),
        ("throw-away-admin", "wrong-secret", "password authentication failed"),
        ("127.0.0.1:", "127.0.0.1:1?ignored=", "can't be read"),
        ("127.0.0.1:", "no-such-host.invalid:", "check that the server runs"),
    ],
)
async def test_who_does_not_get_in_is_told_why(dsn: str, found: str, wrong: str, why: str) -> None:
    with pytest.raises(StoreError) as refused:
        await PostgresStore(dsn.replace(found, wrong)).open()
    assert why in str(refused.value)
    assert "throw-away" not in str(refused.value) and "wrong-secret" not in str(refused.value)
    assert refused.value.__cause__ is None and refused.value.__context__ is None


async def test_a_store_that_was_not_opened_says_so(dsn: str, tmp_path: Path) -> None:
    store = PostgresStore(dsn, beside=tmp_path / "bot")
    with pytest.raises(StoreError, match="isn't open"):
        await store.load_rows()


def make_role(dsn: str, granted: str) -> str:
    """The table, and the DSN of a role with these rights on it."""
    run(dsn, KV)
    return as_worker(dsn, granted)


def run(dsn: str, sql: str) -> None:
    """As the bot's own migration does."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql)
