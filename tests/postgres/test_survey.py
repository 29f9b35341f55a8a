"""A look into a database on a server that no mapping describes: bounded, of one moment, in nobody's way."""

import asyncio

import psycopg
import pytest

from tests.postgres.server_bench import new_role
from toolkit.database.postgres import survey
from toolkit.database.postgres.survey import ServerSite
from toolkit.database.sample import LONGEST, SAMPLED, Column, Sample, Survey
from toolkit.errors import StoreError

DOMAINS = """
    CREATE TYPE mood AS ENUM ('calm', 'cross');
    CREATE TYPE pair AS (a int, b int);
    CREATE DOMAIN needed AS text NOT NULL;
    CREATE DOMAIN below AS needed;
    CREATE DOMAIN given AS text NOT NULL DEFAULT 'x';
    CREATE DOMAIN number AS bigint;
"""


def run(dsn: str, sql: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.encode())


async def look(dsn: str) -> Survey:
    return await ServerSite(dsn).survey()


async def only(dsn: str) -> Sample:
    [sample] = (await look(dsn)).samples
    return sample


async def test_tables_of_the_search_path_come_with_what_keeps_their_rows_apart(dsn: str) -> None:
    run(
        dsn,
        """CREATE TABLE "A b" (id int PRIMARY KEY, room text UNIQUE, x int, y int, UNIQUE (x, y));
        CREATE UNIQUE INDEX ON "A b" (x) WHERE y > 0; CREATE UNIQUE INDEX ON "A b" (lower(room));
        CREATE TABLE "my.pair" (a int, b text, PRIMARY KEY (b, a) INCLUDE (c), c int UNIQUE INITIALLY DEFERRED);
        CREATE VIEW seen AS SELECT 1 AS n; CREATE MATERIALIZED VIEW kept AS SELECT 1 AS n;
        CREATE TEMPORARY TABLE passing (n int); CREATE TABLE matrix_drift_journal (n int);
        INSERT INTO "my.pair" VALUES (2, 'x'), (1, 'y');""",
    )
    first, second = (await look(dsn)).samples
    assert (first.name, first.names) == ("A b", ("id", "room", "x", "y"))
    assert list(map(sorted, first.unique)) == [["id"], ["room"], ["x", "y"]]
    assert (second.name, [*map(sorted, second.unique)]) == ('"my.pair"', [["a", "b"]])
    assert second.rows == ((2, "x", None), (1, "y", None)) and second.whole


async def test_cells_are_as_a_mapped_row_shows_them_and_it_is_known_what_a_new_row_needs(
    dsn: str,
) -> None:
    cells = {
        "n integer PRIMARY KEY": ("1", 1, Column("n", integer=True, needed=True)),
        "small smallint": ("2", 2, Column("small", integer=True)),
        "on_ boolean NOT NULL": ("true", True, Column("on_", boolean=True, needed=True)),
        "id uuid NOT NULL DEFAULT gen_random_uuid()": (
            "'00000000-0000-0000-0000-00000000000A'",
            "00000000-0000-0000-0000-00000000000a",
            Column("id"),
        ),
        "name varchar(9) NOT NULL": ("'x'", "x", Column("name", needed=True)),
        "at timestamptz": ("'2026-01-01 02:00+02'", "2026-01-01 00:00:00+00", Column("at")),
        "seen timestamp": ("'2026-01-01'", "2026-01-01 00:00:00", Column("seen")),
        "more jsonb": ('\'{"b":1,"a":[]}\'', '{"a": [], "b": 1}', Column("more")),
        "raw json": ("'{\"b\":1}'", '{"b":1}', Column("raw")),
        "tags text[]": ("'{a,b}'", "{a,b}", Column("tags")),
        "price numeric(9, 2)": ("1.5", "1.50", Column("price")),
        "weight real": ("0.1", 0.1, Column("weight")),
        "length float": ("2", 2.0, Column("length")),
        "icon bytea": ("'abc'", None, Column("icon")),
        "mood mood NOT NULL": ("'calm'", "calm", Column("mood", needed=True)),
        "two pair": ("'(1,2)'", "(1,2)", Column("two")),
        "a needed": ("'x'", "x", Column("a", needed=True)),
        "b below": ("'x'", "x", Column("b", needed=True)),
        "c given": ("'y'", "y", Column("c")),
        "d number": ("7", "7", Column("d")),
    }
    made = "e int NOT NULL GENERATED ALWAYS AS (1) STORED, f int GENERATED ALWAYS AS IDENTITY"
    run(
        dsn,
        f"""{DOMAINS} CREATE TABLE t ({", ".join(cells)}, {made});
        INSERT INTO t VALUES ({", ".join(cell for cell, *_ in cells.values())})""",
    )
    sample = await only(dsn)
    assert sample.columns == (
        *(column for *_, column in cells.values()),
        Column("e", integer=True),
        Column("f", integer=True),
    )
    assert sample.rows == ((*(shown for _, shown, _ in cells.values()), 1, 1),)


@pytest.mark.parametrize("key", ["n int, v int PRIMARY KEY", "n int, v int, PRIMARY KEY (n, v)"])
async def test_of_many_rows_the_first_and_the_last_by_the_key_are_read(dsn: str, key: str) -> None:
    rows = SAMPLED * 2
    run(
        dsn,
        f"CREATE TABLE t ({key}); INSERT INTO t SELECT 1, n FROM generate_series({rows}, 1, -1) AS n",
    )
    sample = await only(dsn)
    half = SAMPLED // 2
    assert not sample.whole and len(sample.rows) == SAMPLED
    assert sample.cells("v")[:half] == list(range(1, half + 1))
    assert sample.cells("v")[half] == rows - half and sample.cells("v")[-1] == rows - 1


@pytest.mark.parametrize("key", ["", "PRIMARY KEY"])
@pytest.mark.parametrize("more", [0, 1])
async def test_it_is_known_whether_all_rows_were_read(dsn: str, key: str, more: int) -> None:
    rows = SAMPLED + more
    run(
        dsn,
        f"CREATE TABLE t (n int {key}); INSERT INTO t SELECT generate_series(1, {rows})",
    )
    sample = await only(dsn)
    assert (sample.whole, len(sample.rows)) == (not more, SAMPLED)


async def test_a_partitioned_table_is_looked_at_once_and_as_a_whole(dsn: str) -> None:
    run(
        dsn,
        """CREATE TABLE t (n int PRIMARY KEY) PARTITION BY HASH (n);
        CREATE TABLE t0 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 0);
        CREATE TABLE t1 PARTITION OF t FOR VALUES WITH (MODULUS 2, REMAINDER 1);
        INSERT INTO t SELECT generate_series(1, 100)""",
    )
    sample = await only(dsn)
    assert sample.name == "t" and sample.cells("n") == list(range(1, 101))


async def test_long_cells_are_cut_and_large_documents_are_not_written_out(dsn: str) -> None:
    run(
        dsn,
        """CREATE TABLE t (a text, b jsonb);
        INSERT INTO t VALUES (repeat('é', 9000), to_jsonb(repeat('x', 9000)));
        INSERT INTO t SELECT 'x', jsonb_agg(md5(n::text)) FROM generate_series(1, 9000) AS n""",
    )
    [(text, document), (_, large)] = (await only(dsn)).rows
    assert text == "é" * LONGEST and len(document) == LONGEST and large is None


async def test_a_table_that_is_locked_is_told_and_the_others_are_in_nobodys_way(dsn: str) -> None:
    run(dsn, "CREATE TABLE a (n int); CREATE TABLE b (n int); CREATE TABLE c (n int)")
    with psycopg.connect(dsn) as worker:
        worker.execute("LOCK TABLE b IN ACCESS EXCLUSIVE MODE")
        looking = asyncio.create_task(look(dsn))
        await asyncio.sleep(0.5)
        assert not looking.done()
        run(dsn, "SET lock_timeout = '100ms'; ALTER TABLE a ADD COLUMN m int")
        found = await looking
    assert [sample.name for sample in found.samples] == ["a", "c"]
    assert found.untold == (
        "what stands in b, which another program has locked: try again in a moment",
    )


@pytest.mark.parametrize(
    ("policy", "why"),
    [
        ("pg_sleep(5) IS NULL", "couldn't be read within 10 s"),
        ("1 / (n - n) = 1", "couldn't be read (22012)"),
    ],
)
async def test_a_table_whose_rows_do_not_come_is_told_and_the_others_are_looked_at(
    dsn: str, policy: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(survey, "_BEGIN", survey._BEGIN.replace("10s", "300ms"))
    run(
        dsn,
        f"""CREATE TABLE a (n int); CREATE TABLE b (n int); INSERT INTO a VALUES (1);
        ALTER TABLE a ENABLE ROW LEVEL SECURITY; CREATE POLICY part ON a USING ({policy})""",
    )
    reader = new_role(dsn, "GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}")
    found = await look(reader)
    assert [sample.name for sample in found.samples] == ["b"]
    assert found.untold == (f"what stands in a, which {why}",)


async def test_of_many_tables_that_are_not_looked_at_only_some_are_named(dsn: str) -> None:
    run(dsn, "CREATE SCHEMA other; CREATE SCHEMA hidden; CREATE TABLE hidden.t1 (n int)")
    run(dsn, "".join(f"CREATE TABLE other.t{number} (n int);" for number in range(7)))
    run(dsn, "CREATE TABLE t1 (n int)")
    found = await look(new_role(dsn))
    assert found.samples == () and len(found.untold) == 2
    elsewhere, closed = sorted(found.untold, key=len, reverse=True)
    assert elsewhere.startswith(
        "what stands in other.t0, hidden.t1, other.t1, other.t2, other.t3 and 3 more, "
        "which the role's search_path doesn't show"
    )
    assert closed == "what stands in t1, which the role may not read: grant it SELECT"


async def test_a_server_that_is_lost_meanwhile_is_said(dsn: str) -> None:
    run(
        dsn,
        """CREATE TABLE a (n int); INSERT INTO a VALUES (1); ALTER TABLE a ENABLE ROW LEVEL SECURITY;
        CREATE FUNCTION gone() RETURNS boolean LANGUAGE sql SECURITY DEFINER
            AS 'SELECT pg_terminate_backend(pg_backend_pid())';
        CREATE POLICY part ON a USING (gone())""",
    )
    with pytest.raises(StoreError, match="has ended this connection"):
        await look(new_role(dsn, "GRANT SELECT ON a TO {role}"))


async def test_nothing_stays_open(dsn: str) -> None:
    await look(dsn)
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'matrix-drift'"
    with psycopg.connect(dsn, autocommit=True) as connection:
        for _ in range(100):
            [(count,)] = connection.execute(ours).fetchall()
            if not count:
                break
            await asyncio.sleep(0.02)
    assert not count
