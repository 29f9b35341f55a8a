"""A look into a database that no mapping describes: bounded, and nothing of it is changed or left behind."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from toolkit.database.sample import LONGEST, SAMPLED, Column, Survey
from toolkit.database.survey import FileSite
from toolkit.errors import StoreError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "bot.db"


def make(path: Path, script: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(script)


def shape(found: Survey) -> dict[str, tuple[list[str], list[list[str]]]]:
    return {
        sample.name: (list(sample.names), sorted(sorted(names) for names in sample.unique))
        for sample in found.samples
    }


async def test_tables_come_with_what_keeps_their_rows_apart_and_views_not_at_all(
    path: Path,
) -> None:
    make(
        path,
        """CREATE TABLE "A b" (Id INTEGER PRIMARY KEY, room TEXT UNIQUE, x, y, UNIQUE (x, Y));
        CREATE UNIQUE INDEX part ON "A b" (x) WHERE y;
        CREATE UNIQUE INDEX term ON "A b" (lower(x));
        CREATE TABLE pair (a, b, PRIMARY KEY (a, b)) WITHOUT ROWID;
        CREATE VIEW seen AS SELECT a FROM pair;
        INSERT INTO pair VALUES (1, x'00ff'), (2, 'x');""",
    )
    found = await FileSite(path).survey()
    assert shape(found) == {
        "A b": (["Id", "room", "x", "y"], [["Id"], ["room"], ["x", "y"]]),
        "pair": (["a", "b"], [["a", "b"]]),
    }
    assert found.samples[1].rows == ((1, b"\x00\xff"), (2, "x"))


async def test_it_is_known_what_a_column_holds_and_whether_a_new_row_needs_it(path: Path) -> None:
    make(
        path,
        """CREATE TABLE t (
            n INTEGER PRIMARY KEY NOT NULL, id VARCHAR NOT NULL, big BIGINT, on_ BOOLEAN NOT NULL DEFAULT 1,
            made INT NOT NULL GENERATED ALWAYS AS (n) STORED
        );
        CREATE TABLE u (a INTEGER NOT NULL, b INTEGER NOT NULL, PRIMARY KEY (a, b));""",
    )
    [first, second] = (await FileSite(path).survey()).samples
    assert first.columns == (
        Column("n", integer=True),
        Column("id", needed=True),
        Column("big", integer=True),
        Column("on_", boolean=True),
        Column("made", integer=True),
    )
    assert [column.needed for column in second.columns] == [True, True]


@pytest.mark.parametrize("column", ["n", "rowid", "_rowid_"])
async def test_of_many_rows_the_first_and_the_last_are_read(path: Path, column: str) -> None:
    make(path, f"CREATE TABLE t ({column} INTEGER, v)")
    with closing(sqlite3.connect(path)) as database, database:
        rows = [(number % 7, number) for number in range(SAMPLED * 2)]
        database.executemany("INSERT INTO t VALUES (?, ?)", rows)
    [sample] = (await FileSite(path).survey()).samples
    assert not sample.whole and len(sample.rows) == SAMPLED
    values = sample.cells("v")
    assert values[: SAMPLED // 2] == list(range(SAMPLED // 2))
    assert values[-1] >= SAMPLED * 2 - 2


@pytest.mark.parametrize("made", ["", " WITHOUT ROWID"])
@pytest.mark.parametrize("more", [0, 1])
async def test_it_is_known_whether_all_rows_were_read(path: Path, made: str, more: int) -> None:
    make(path, f"CREATE TABLE t (n INTEGER PRIMARY KEY){made}")
    with closing(sqlite3.connect(path)) as database, database:
        numbers = [(number,) for number in range(SAMPLED + more)]
        database.executemany("INSERT INTO t VALUES (?)", numbers)
    [sample] = (await FileSite(path).survey()).samples
    assert (sample.whole, len(sample.rows)) == (not more, SAMPLED)


async def test_long_cells_are_cut_and_odd_texts_are_read(path: Path) -> None:
    make(path, "CREATE TABLE t (a, b)")
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("INSERT INTO t VALUES (?, CAST(x'61ff' AS TEXT))", ("x" * 9_000,))
        database.execute("INSERT INTO t VALUES (?, ?)", (b"x" * LONGEST, b"x" * (LONGEST + 1)))
    [sample] = (await FileSite(path).survey()).samples
    assert sample.rows == (("x" * LONGEST, "a\udcff"), (b"x" * LONGEST, None))


async def test_a_table_that_can_not_be_read_is_named_and_the_others_go_on(path: Path) -> None:
    make(
        path,
        """CREATE TABLE t (a);
        PRAGMA writable_schema = ON;
        INSERT INTO sqlite_master VALUES ('table', 'alien', 'alien', 0,
            'CREATE VIRTUAL TABLE alien USING nomodule(a)');""",
    )
    found = await FileSite(path).survey()
    assert [sample.name for sample in found.samples] == ["t"]
    assert found.untold == ("what stands in alien, which couldn't be read",)


async def test_a_table_whose_name_is_no_utf8_is_named(path: Path) -> None:
    make(path, "CREATE TABLE t (a)")
    raw = path.read_bytes().replace(b"CREATE TABLE t (a)", b"CREATE TABLE \xff (a)")
    raw = raw.replace(b"tablett", b"table\xff\xff")
    path.write_bytes(raw)
    found = await FileSite(path).survey()
    assert found.untold == ('what stands in "\udcff", which couldn\'t be read',)


async def test_a_locked_database_is_said(path: Path) -> None:
    make(path, "CREATE TABLE t (a)")
    with closing(sqlite3.connect(path, isolation_level=None)) as bot:
        bot.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another program holds its lock"):
            await FileSite(path, busy_timeout=0.05).survey()


async def test_a_damaged_database_is_said_and_no_table_of_it_is_passed_over(path: Path) -> None:
    make(path, "CREATE TABLE t (a)")
    with closing(sqlite3.connect(path)) as database, database:
        database.executemany("INSERT INTO t VALUES (?)", [("x" * 3_000,)] * 9)
    raw = path.read_bytes()
    path.write_bytes(raw[:4096] + b"\xff" * (len(raw) - 4096))
    with pytest.raises(StoreError, match="the file is damaged"):
        await FileSite(path).survey()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_a_live_bot_goes_on_and_nothing_is_left_behind(path: Path, mode: str) -> None:
    make(path, f"PRAGMA journal_mode={mode}; CREATE TABLE t (a); INSERT INTO t VALUES (1)")
    before = path.read_bytes()
    assert len((await FileSite(path).survey()).samples) == 1
    assert os.listdir(path.parent) == [path.name] and path.read_bytes() == before
    with closing(sqlite3.connect(path, isolation_level=None, timeout=0)) as bot:
        bot.execute("BEGIN IMMEDIATE")
        bot.execute("INSERT INTO t VALUES (2)")
        assert (await FileSite(path).survey()).samples[0].rows == ((1,),)
        bot.execute("COMMIT")
        assert (await FileSite(path).survey()).samples[0].rows == ((1,), (2,))


async def test_a_file_that_is_not_there_is_not_made(path: Path) -> None:
    with pytest.raises(StoreError, match="there is no such file"):
        await FileSite(path).survey()
    assert not path.exists()
