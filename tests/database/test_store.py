"""Stores: one contract for both, and all that a shared SQLite file adds to it."""

import asyncio
import gc
import itertools
import os
import resource
import shutil
import sqlite3
import stat
import sys
import threading
import time
from asyncio.subprocess import PIPE
from collections import namedtuple
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit import ChatManager
from toolkit.database import connection as database_module
from toolkit.database import store as store_module
from toolkit.database.sql import RowChange, Table, key_range
from toolkit.database.store import (
    InMemoryStore,
    SQLiteStore,
    Store,
    TransactionalStore,
)
from toolkit.database.transaction import Transaction
from toolkit.errors import StoreError
from toolkit.records import NULL, Raw

RUN = "20261122T220345Z-3f2a"
NOT_UTF8 = b'{"name": "\xff"}'
ESCAPED = NOT_UTF8.decode("utf-8", "surrogateescape")
BAD_KEY = b"matrix_room:\xff".decode("utf-8", "surrogateescape")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A bot's database with one row of each family."""
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
        rows = [("chat:a", '{"n":1}'), ("matrix_room:a", '{"n":2}'), ("matrix_user:a", '{"n":3}')]
        connection.executemany("INSERT INTO kv VALUES (?, ?)", rows)
    return path


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore(path, busy_timeout=0.05) as store:
        yield store


@pytest.fixture(params=["SQLiteStore", "InMemoryStore"])
async def any_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "InMemoryStore":
        yield InMemoryStore()
        return
    async with SQLiteStore(tmp_path / "any.db") as store:
        yield store


@contextmanager
def raw(path: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, which commits each statement."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=5)) as connection:
        yield connection


class Stop(Exception):
    """Leaves a transaction or savepoint, as an error in it would."""


def stopped() -> pytest.RaisesExc[Stop]:
    return pytest.raises(Stop)


def put(path: Path, key: Raw, value: Raw, sql: str = "INSERT INTO kv VALUES (?, ?)") -> None:
    with raw(path) as connection:
        connection.execute(sql, (key, None if value is NULL else value))


def put_text(path: Path, key: bytes, value: bytes) -> None:
    put(path, key, value, "INSERT INTO kv VALUES (CAST(? AS TEXT), CAST(? AS TEXT))")


def stored(path: Path) -> list[tuple[Any, Any]]:
    with raw(path) as connection:
        connection.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        rows = connection.execute("SELECT key, value FROM kv ORDER BY key").fetchall()
    return [(key, NULL if value is None else value) for key, value in rows]


# One contract for both stores.


async def test_both_are_stores_and_only_the_database_has_transactions(path: Path) -> None:
    assert isinstance(InMemoryStore(), Store)
    assert not isinstance(InMemoryStore(), TransactionalStore)
    assert isinstance(SQLiteStore(path), TransactionalStore)


async def test_a_row_comes_back_as_it_was_set(any_store: Store) -> None:
    assert await any_store.get("chat:x") is None
    await any_store.set("chat:x", {"name": "Чат 😀", "deep": [{"n": None}]})
    await any_store.set("chat:y", {})
    await any_store.set("chat:y", {"again": True})
    assert await any_store.get("chat:x") == {"name": "Чат 😀", "deep": [{"n": None}]}
    assert await any_store.get("chat:y") == {"again": True}


async def test_nothing_is_shared_with_the_caller(any_store: Store) -> None:
    value: dict[str, Any] = {"list": [1]}
    await any_store.set("k", value)
    value["list"].append(2)
    first = await any_store.get("k")
    assert first == {"list": [1]}
    first["list"].append(3)
    assert await any_store.get("k") == {"list": [1]}


async def test_what_json_cannot_hold_is_refused_and_the_row_named(any_store: Store) -> None:
    with pytest.raises(StoreError, match=r"Can't write the row 'chat:x'"):
        await any_store.set("chat:x", {"value": object()})
    assert await any_store.keys("") == []


async def test_what_python_reads_is_given_to_the_bot_and_can_be_written_back(
    any_store: Store,
) -> None:
    odd = {"score": float("nan"), "mood": "\ud83d", "none": None}
    await any_store.set("chat:x", odd)
    assert repr(await any_store.get("chat:x")) == repr(odd)


async def test_keys_are_found_by_their_exact_prefix(any_store: Store) -> None:
    keys = ["MATRIX_ROOM:x", "matrix_room:", "matrix_room:x", "matrixXroom:x", "matrix_room;", "%"]
    for key in keys:
        await any_store.set(key, {})
    assert await any_store.keys("matrix_room:") == ["matrix_room:", "matrix_room:x"]
    assert await any_store.keys("%") == ["%"]
    assert await any_store.keys("") == sorted(keys)
    assert await any_store.keys("nothing") == []


LAST = "\U0010ffff"


async def test_a_prefix_may_end_in_the_last_code_point(any_store: Store) -> None:
    keys = [
        "a",
        f"a{LAST}",
        f"a{LAST}{LAST}",
        f"a{LAST}b",
        "b",
        LAST,
        f"{LAST}x",
        "\ud7ff",
        "\ue000",
    ]
    for key in keys:
        await any_store.set(key, {})
    assert await any_store.keys(f"a{LAST}") == [f"a{LAST}", f"a{LAST}b", f"a{LAST}{LAST}"]
    assert await any_store.keys(LAST) == [LAST, f"{LAST}x"]
    assert await any_store.keys("\ud7ff") == ["\ud7ff"]


words = st.text(st.sampled_from(["a", "B", "b", "_", "%", "é", "\x00", "\ud7ff", LAST]), max_size=3)


@given(keys=st.sets(words, max_size=8), prefix=words)
def test_a_range_holds_just_the_keys_with_the_prefix(keys: set[str], prefix: str) -> None:
    sql = Table("kv", "key", "value").keys
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE kv (key TEXT COLLATE NOCASE, value TEXT)")
        connection.executemany("INSERT INTO kv VALUES (?, '')", [(key,) for key in keys])
        found = {key for (key,) in connection.execute(sql, key_range(prefix))}
    assert found == {key for key in keys if key.startswith(prefix)}


async def test_a_memory_store_starts_with_rows() -> None:
    store = InMemoryStore({"a": {"n": 1}})
    assert await store.get("a") == {"n": 1}


# Opening.


async def open_error(path: Path, **options: Any) -> str:
    with pytest.raises(StoreError) as caught:
        async with SQLiteStore(path, busy_timeout=0.05, **options):
            pass
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


async def test_a_new_database_gets_the_table_when_opened_for_writing(tmp_path: Path) -> None:
    for name in ("absent.db", "empty.db", "a b?c#d%20é.db"):
        path = tmp_path / name
        if name == "empty.db":
            path.touch()
        async with SQLiteStore(path) as store:
            await store.set("a", {})
        assert stored(path) == [("a", "{}")]
    assert len(list(tmp_path.iterdir())) == 3


async def test_names_of_table_and_columns_may_be_anything(tmp_path: Path) -> None:
    names: dict[str, Any] = {
        "table": 'my "t" {0}',
        "key_column": "k;--{}",
        "value_column": "select",
    }
    async with SQLiteStore(tmp_path / "odd.db", **names) as store:
        await store.set("chat:a", {"n": 1})
        assert await store.get("chat:a") == {"n": 1}
        assert await store.keys("chat:") == ["chat:a"]
        async with store.transaction() as transaction:
            changes = [RowChange("chat:a", '{"n":1}', "{}"), RowChange("chat:b", None, "{}")]
            assert await transaction.write(changes)
        assert await store.load_rows() == [("chat:a", "{}"), ("chat:b", "{}")]


async def test_open_and_close_may_be_repeated(path: Path) -> None:
    store = SQLiteStore(path)
    await store.close()
    await store.open()
    await store.open()
    assert await store.get("chat:a") == {"n": 1}
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="isn't open"):
        await store.get("chat:a")
    await store.open()
    await store.close()


async def test_reading_a_path_that_does_not_exist_is_an_error_and_creates_nothing(
    tmp_path: Path,
) -> None:
    assert "no such file" in await open_error(tmp_path / "x.db", read_only=True)
    assert "no folder" in await open_error(tmp_path / "missing" / "x.db")
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_is_an_error(tmp_path: Path) -> None:
    assert "it is a folder" in await open_error(tmp_path)


async def test_a_database_in_memory_is_refused() -> None:
    assert "InMemoryStore" in await open_error(Path(":memory:"))


async def test_a_file_that_is_no_database_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("no database at all\n" * 100)
    for read_only in (True, False):
        assert "not a database" in await open_error(path, read_only=read_only)


async def test_a_missing_table_is_an_error_that_names_those_there_are(path: Path) -> None:
    for read_only in (True, False):
        message = await open_error(path, table="state", read_only=read_only)
        assert "no table 'state', only 'kv'" in message


async def test_an_empty_database_opened_for_reading_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "empty.db"
    path.touch()
    assert "it is empty" in await open_error(path, read_only=True)
    assert path.stat().st_size == 0


async def test_missing_columns_are_an_error_that_names_those_there_are(path: Path) -> None:
    message = await open_error(path, value_column="json", read_only=True)
    assert "has no column 'json', it has 'key', 'value'" in message


async def test_text_that_is_not_utf8_throughout_is_an_error(tmp_path: Path) -> None:
    with raw(tmp_path / "bot.db") as connection:
        connection.execute("PRAGMA encoding = 'UTF-16'")
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
    assert "isn't UTF-8" in await open_error(tmp_path / "bot.db")


async def test_a_lock_of_another_process_is_an_error_after_the_timeout(path: Path) -> None:
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        "c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, str(path)]
    other = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    assert other.stdout
    assert await other.stdout.readline() == b"locked\n"
    assert "another program holds its lock" in await open_error(path)
    await other.communicate(b"")
    async with SQLiteStore(path) as store:
        assert await store.get("chat:a")


async def test_the_lock_of_another_connection_stops_writing_and_not_the_store(
    store: SQLiteStore, path: Path
) -> None:
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        assert await store.get("chat:a") == {"n": 1}
        with pytest.raises(StoreError, match="another program holds its lock"):
            await store.set("chat:a", {})
        with pytest.raises(StoreError, match="another program holds its lock"):
            async with store.transaction():
                pytest.fail("nobody may come here")
    await store.set("chat:a", {"n": 9})
    assert await store.get("chat:a") == {"n": 9}


async def test_a_damaged_database_is_an_error(path: Path) -> None:
    with raw(path) as connection:
        rows = [(f"chat:{n:04}", "{}" * 50) for n in range(2000)]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO kv VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    data = bytearray(path.read_bytes())
    data[8192:] = b"\xa5" * (len(data) - 8192)
    path.write_bytes(data)
    with pytest.raises(StoreError, match=r"Can't open the database .* damaged"):
        async with SQLiteStore(path, read_only=True):
            pass


async def test_a_database_that_is_damaged_further_on_is_an_error(path: Path) -> None:
    with raw(path) as connection:
        rows = [(f"chat:{n:04}", "{}") for n in range(9000)]
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO kv VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    data = bytearray(path.read_bytes())
    middle = len(data) // 8192 * 4096
    data[middle : middle + 8192] = b"\xa5" * 8192
    path.write_bytes(data)
    async with SQLiteStore(path, read_only=True) as store:
        with pytest.raises(StoreError, match=r"Can't read the database .* damaged"):
            await store.load_rows()


async def test_a_file_that_cannot_be_written_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SQLiteStore, "_mode", lambda self: "ro")
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError, match="the file or its folder isn't writable"):
            await store.set("chat:a", {})


async def test_a_full_disk_is_an_error_and_nothing_is_written(
    store: SQLiteStore, path: Path
) -> None:
    before = stored(path)
    assert store._database
    await store._database.run("PRAGMA max_page_count = 3")

    async def write() -> None:
        async with store.transaction() as transaction:
            assert await transaction.write([RowChange("chat:small", None, "{}")])
            await transaction.write([RowChange("chat:big", None, "x" * 100_000)])

    with pytest.raises(StoreError, match="the disk is full"):
        await write()
    assert stored(path) == before


async def test_a_constraint_of_the_bots_table_is_told_in_sqlites_words(tmp_path: Path) -> None:
    with raw(tmp_path / "bot.db") as connection:
        connection.execute("CREATE TABLE kv (key PRIMARY KEY, value, changed INTEGER NOT NULL)")
    async with SQLiteStore(tmp_path / "bot.db") as store:
        with pytest.raises(StoreError, match=r"NOT NULL constraint failed: kv\.changed"):
            await store.set("chat:a", {})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("SQLITE_CANTOPEN", "check the permissions"),
        ("SQLITE_READONLY_DIRECTORY", "its folder isn't writable"),
        ("SQLITE_READONLY_ROLLBACK", "start the bot once"),
        ("SQLITE_BUSY_SNAPSHOT", "another program"),
        ("SQLITE_CORRUPT_INDEX", "damaged"),
        ("SQLITE_IOERR_WRITE", "the disk failed"),
        ("", "SQLite says 'odd'"),
    ],
)
def test_every_kind_of_sqlite_error_has_its_sentence(name: str, words: str) -> None:
    error = sqlite3.OperationalError("odd")
    if name:
        error.sqlite_errorname = name
    assert words in database_module._reason(error)


async def test_a_crash_in_the_middle_of_a_write_is_told_to_a_reader(
    path: Path, tmp_path: Path
) -> None:
    crashed = tmp_path / "crashed.db"
    with raw(path) as bot:
        bot.execute("PRAGMA cache_size = 1")
        bot.execute("PRAGMA cache_spill = 1")
        bot.execute("BEGIN IMMEDIATE")
        rows = [(f"chat:{n:05}", "x" * 500) for n in range(2000)]
        bot.executemany("INSERT INTO kv VALUES (?, ?)", rows)
        shutil.copy(path, crashed)
        shutil.copy(f"{path}-journal", f"{crashed}-journal")
        bot.execute("ROLLBACK")
    assert "start the bot once" in await open_error(crashed, read_only=True)
    async with SQLiteStore(crashed) as store:
        assert len(await store.load_rows()) == 3


# Looking only.


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_a_read_only_store_changes_and_leaves_nothing(path: Path, mode: str) -> None:
    with raw(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    before, stamp = path.read_bytes(), path.stat().st_mtime_ns
    async with SQLiteStore(path, read_only=True) as store:
        assert len(await store.load_rows()) == 3
        with pytest.raises(StoreError, match="opened with read_only=True"):
            await store.set("chat:a", {})
        async with store.transaction() as transaction:
            assert len(await transaction.load_rows()) == 3
    assert list(path.parent.iterdir()) == [path]
    assert (path.read_bytes(), path.stat().st_mtime_ns) == (before, stamp)


async def test_a_read_only_store_leaves_the_files_of_a_running_bot_alone(path: Path) -> None:
    with raw(path) as bot:
        bot.execute("PRAGMA journal_mode = WAL")
        bot.execute("INSERT INTO kv VALUES ('chat:b', '{}')")
        files = sorted(path.parent.iterdir())
        async with SQLiteStore(path, read_only=True) as store:
            assert len(await store.load_rows()) == 4
        assert sorted(path.parent.iterdir()) == files
        bot.execute("INSERT INTO kv VALUES ('chat:c', '{}')")
    assert len(stored(path)) == 5


async def test_a_bot_that_starts_while_we_look_loses_nothing(path: Path) -> None:
    with raw(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
    async with SQLiteStore(path, read_only=True) as store:
        await store.load_rows()
        with raw(path) as bot:
            bot.execute("INSERT INTO kv VALUES ('chat:b', '{}')")
            await store.close()
            bot.execute("INSERT INTO kv VALUES ('chat:c', '{}')")
    assert len(stored(path)) == 5


@pytest.mark.parametrize("mode", ["delete", "wal"])
async def test_the_journal_mode_of_the_bot_stays(path: Path, mode: str) -> None:
    with raw(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
    async with SQLiteStore(path) as store:
        await store.set("chat:b", {})
    with raw(path) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == (mode,)


# Setting rows: one that is there is updated, a new one is like its neighbours.

REQUIRED = "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT, at NOT NULL, CHECK (at > 0))"


async def test_a_row_that_is_there_is_set_also_where_other_columns_are_required(
    tmp_path: Path,
) -> None:
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute(REQUIRED)
        connection.execute("INSERT INTO kv VALUES ('chat:a', '{\"n\":1}', 7), ('chat:b', NULL, 8)")
    async with SQLiteStore(path) as store:
        for key in ("chat:a", "chat:b"):
            await store.set(key, {"n": 2})
            assert await store.get(key) == {"n": 2}
        with pytest.raises(StoreError, match=r"NOT NULL constraint failed: kv\.at"):
            await store.set("chat:c", {"n": 3})
        assert await store.keys("") == ["chat:a", "chat:b"]
    with raw(path) as connection:
        assert connection.execute("SELECT at FROM kv ORDER BY key").fetchall() == [(7,), (8,)]


async def test_a_row_that_another_program_inserts_between_is_set_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We found no row, then it came, and an insert of ours would need the other column."""
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute(REQUIRED)
    run_many = database_module.Database.run_many

    async def meanwhile(database: Any, sql: str, parameters: Any) -> int:
        if sql.startswith("INSERT"):
            put(path, "chat:a", "{}", "INSERT INTO kv VALUES (?, ?, 7)")
        return await run_many(database, sql, parameters)

    async with SQLiteStore(path) as store:
        monkeypatch.setattr(database_module.Database, "run_many", meanwhile)
        await store.set("chat:a", {"n": 2})
        assert await store.get("chat:a") == {"n": 2}


async def test_many_that_set_the_same_new_row_at_once_all_succeed(path: Path) -> None:
    async with AsyncExitStack() as stack:
        stores = [await stack.enter_async_context(SQLiteStore(path)) for _ in range(4)]
        for turn in range(5):
            key = f"chat:new{turn}"
            work = [store.set(key, {"n": n}) for n, store in enumerate(stores * 3)]
            await asyncio.gather(*work)
            assert await stores[0].get(key) in [{"n": n} for n in range(12)]
    assert len(stored(path)) == 8


KINDS: list[tuple[dict[str, Raw], str, str]] = [
    ({"chat:a": b"{}", "chat:b": b"{}"}, "chat:new", "blob"),
    ({"chat:a": "{}", "chat:b": "{}"}, "chat:new", "text"),
    ({"chat:a": b"{}", "chat:b": "{}", "chat:c": b"{}"}, "chat:new", "text"),
    ({"chat:a": b"{}", "chat:b": NULL}, "chat:new", "blob"),
    ({"chat:a": NULL}, "chat:new", "text"),
    ({"chat:a": b"{}", "matrix_room:a": "{}"}, "matrix_room:new", "text"),
    ({"chat:a": "{}", "matrix_room:a": b"{}"}, "matrix_room:new", "blob"),
    ({"matrix_room:a": b"{}", "matrix_user:a": b"{}"}, "chat:new", "blob"),
    ({"matrix_room:a": b"{}", "matrix_user:a": "{}"}, "chat:new", "text"),
    ({"chat:a": b"{}", "audit:a": b"{}"}, "audit:new", "blob"),
    ({"chat:a": b"{}", "audit:a": "{}"}, "audit:new", "text"),
    ({}, "chat:new", "text"),
    # Rows that are there.
    ({"chat:a": b"{}", "chat:b": "{}"}, "chat:a", "blob"),
    ({"chat:a": b"{}", "chat:b": "{}"}, "chat:b", "text"),
    ({"chat:a": "{}", "chat:b": b"{}"}, "chat:a", "text"),
    ({"chat:a": NULL, "chat:b": b"{}"}, "chat:a", "blob"),
    ({"chat:a": 7, "chat:b": "{}"}, "chat:a", "text"),
]


@pytest.mark.parametrize("affinity", ["TEXT", "BLOB", "", "JSON"])
@pytest.mark.parametrize(("rows", "key", "kind"), KINDS)
async def test_a_row_is_stored_as_it_was_and_a_new_one_as_others_of_its_family(
    tmp_path: Path, rows: dict[str, Raw], key: str, kind: str, affinity: str
) -> None:
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute(f"CREATE TABLE kv (key TEXT PRIMARY KEY, value {affinity})")
    for each, value in rows.items():
        put(path, each, value)
    async with SQLiteStore(path) as store:
        await store.set(key, {"n": "ё"})
        assert await store.get(key) == {"n": "ё"}
    with raw(path) as connection:
        sql = "SELECT typeof(value), CAST(value AS BLOB) FROM kv WHERE key = ?"
        assert connection.execute(sql, (key,)).fetchall() == [(kind, '{"n":"ё"}'.encode())]


async def test_a_chat_that_is_started_is_stored_as_the_others_are(tmp_path: Path) -> None:
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)")
    put(path, "chat:@a:hs:C1", b'{"surface_ref":"!1"}')
    async with SQLiteStore(path) as store:
        await ChatManager(store).get_or_create("@a:hs", "C2", "matrix", "!2")
    assert [type(value) for _, value in stored(path)] == [bytes, bytes]


@pytest.mark.parametrize("when", ["INSERT", "UPDATE"])
async def test_to_set_a_row_that_a_trigger_ignores_is_an_error(path: Path, when: str) -> None:
    with raw(path) as connection:
        connection.execute(f"CREATE TRIGGER no BEFORE {when} ON kv BEGIN SELECT RAISE(IGNORE); END")
    before = stored(path)
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError, match="a trigger or constraint of the table ignored it"):
            await store.set("chat:new" if when == "INSERT" else "chat:a", {"secret": 2})
    assert stored(path) == before


async def test_another_row_is_never_deleted_to_make_room(tmp_path: Path) -> None:
    """The table's own way with a second row of the same name is to replace the first."""
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute(
            "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT,"
            " slug TEXT DEFAULT '' UNIQUE ON CONFLICT REPLACE)"
        )
    put(path, "chat:a", "{}", "INSERT INTO kv (key, value) VALUES (?, ?)")
    async with SQLiteStore(path) as store:
        with pytest.raises(StoreError, match=r"UNIQUE constraint failed: kv\.slug"):
            await store.set("chat:b", {})
        with pytest.raises(StoreError, match=r"UNIQUE constraint failed: kv\.slug"):
            async with store.transaction() as transaction:
                await transaction.write([RowChange("chat:b", None, "{}")])
        assert await store.load_rows() == [("chat:a", "{}")]


# Poisoned rows.

POISON: list[tuple[str, Raw, str]] = [
    ("chat:array", "[1, 2]", "it is JSON, but not an object"),
    ("chat:blob", b"\x00\xfe", "it is not UTF-8"),
    ("chat:json", "{secret", "it is not JSON"),
    ("chat:null", NULL, "it is NULL"),
    ("chat:number", "7", "it is JSON, but not an object"),
]


@pytest.fixture
def poisoned(path: Path) -> Path:
    for key, value, _ in POISON:
        put(path, key, value)
    put_text(path, b"chat:utf8", NOT_UTF8)
    put_text(path, BAD_KEY.encode("utf-8", "surrogateescape"), b"{}")
    return path


def test_to_open_may_be_cancelled(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing comes from a thread whose loop has ended; the test would fail for that."""
    connect: Any = sqlite3.connect

    def connect_slowly(*args: Any, **named: Any) -> Any:
        time.sleep(0.1)
        return connect(*args, **named)

    async def begin() -> None:
        opening = asyncio.ensure_future(SQLiteStore(path).open())
        await asyncio.sleep(0.02)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError):
            await opening

    monkeypatch.setattr(sqlite3, "connect", connect_slowly)
    asyncio.run(begin())
    time.sleep(0.2)


@pytest.mark.parametrize("closed", [False, True])
async def test_to_look_at_what_is_not_utf8_keeps_no_lock(poisoned: Path, closed: bool) -> None:
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(SQLiteStore(poisoned, read_only=True))
        gc.disable()  # it would find the forgotten cursor sooner or later
        stack.callback(gc.enable)
        assert await store.load_rows()
        if closed:
            await store.close()
        with closing(sqlite3.connect(poisoned, timeout=0)) as bot, bot:
            bot.execute("UPDATE kv SET value = value")


@pytest.mark.parametrize(("key", "why"), [(key, why) for key, _, why in POISON])
async def test_an_unreadable_row_is_an_error_that_names_the_key_and_not_the_value(
    poisoned: Path, key: str, why: str
) -> None:
    async with SQLiteStore(poisoned) as store:
        with pytest.raises(StoreError) as caught:
            await store.get(key)
    assert repr(key) in str(caught.value)
    assert why in str(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_row_that_is_not_utf8_is_an_error_and_its_neighbours_are_read(
    poisoned: Path,
) -> None:
    async with SQLiteStore(poisoned) as store:
        with pytest.raises(StoreError, match=r"'chat:utf8' .* it is not UTF-8"):
            await store.get("chat:utf8")
        assert await store.get("chat:a") == {"n": 1}


async def test_all_rows_are_loaded_as_stored_however_poisoned(poisoned: Path) -> None:
    async with SQLiteStore(poisoned) as store:
        rows = await store.load_rows()
        assert await store.get("chat:a") == {"n": 1}
        assert store._database
        assert store._database._connection.text_factory is str
    families = {"matrix_room:a": '{"n":2}', "matrix_user:a": '{"n":3}', "chat:a": '{"n":1}'}
    expected = {key: value for key, value, _ in POISON} | families
    assert dict(rows) == expected | {"chat:utf8": ESCAPED, BAD_KEY: "{}"}
    assert rows == stored(poisoned)


async def test_numbers_are_loaded_as_numbers(tmp_path: Path) -> None:
    with raw(tmp_path / "bot.db") as connection:
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value JSON)")
        connection.execute("INSERT INTO kv VALUES ('chat:a', 7), ('chat:b', 1.5), ('chat:c', '{}')")
    async with SQLiteStore(tmp_path / "bot.db") as store:
        rows = await store.load_rows()
        assert rows == [("chat:a", 7), ("chat:b", 1.5), ("chat:c", "{}")]
        async with store.transaction() as transaction:
            assert await transaction.write([RowChange(key, raw, "{}") for key, raw in rows])


async def test_keys_that_are_not_utf8_work_like_others(poisoned: Path) -> None:
    async with SQLiteStore(poisoned) as store:
        assert await store.keys("matrix_room:") == ["matrix_room:a", BAD_KEY]
        assert await store.keys(BAD_KEY) == [BAD_KEY]
        assert await store.get(BAD_KEY) == {}
        await store.set(BAD_KEY, {"n": 1})
        assert await store.get(BAD_KEY) == {"n": 1}


async def test_a_key_that_no_row_can_have_is_an_error(store: SQLiteStore) -> None:
    with pytest.raises(StoreError, match="lone surrogate"):
        await store.get("\ud800")


async def test_only_the_three_families_are_loaded(store: SQLiteStore, path: Path) -> None:
    for key in ("MATRIX_ROOM:x", "matrixXroom:x", "matrix_room;", "chat", "chat;", "settings"):
        put(path, key, "{}")
    put(path, b"settings", "{}")
    assert [key for key, _ in await store.load_rows()] == [
        "chat:a",
        "matrix_room:a",
        "matrix_user:a",
    ]


# Version tokens.


async def test_the_version_stays_while_nobody_writes(store: SQLiteStore) -> None:
    token = await store.version()
    await store.load_rows()
    await store.get("chat:a")
    assert await store.version() == token
    async with store.transaction() as transaction:
        assert await transaction.version() == token
    assert await store.version() == token


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_the_version_changes_with_a_write_of_another_connection(
    store: SQLiteStore, path: Path, mode: str
) -> None:
    with raw(path) as other:
        other.execute(f"PRAGMA journal_mode = {mode}")
        for n in range(3):
            token = await store.version()
            other.execute("UPDATE kv SET value = ?", (str(n),))
            assert await store.version() != token


async def test_the_version_changes_with_a_write_of_our_own(store: SQLiteStore) -> None:
    token = await store.version()
    await store.set("chat:a", {"n": 2})
    assert await store.version() != token


async def test_the_version_changes_with_a_rollback(store: SQLiteStore) -> None:
    async with store.transaction() as transaction:
        with stopped():
            async with transaction.savepoint():
                await transaction.write([RowChange("chat:a", '{"n":1}', None)])
                token, rows = await transaction.version(), await transaction.load_rows()
                raise Stop
        assert await transaction.load_rows() != rows
        assert await transaction.version() != token


# Compare and swap.

BEFORE: list[Raw] = ['{"n":1}', ESCAPED, b"\x00\xfe", NOT_UTF8, 7, "7", "", b"", "NULL", NULL]


@pytest.mark.parametrize("key", ["chat:x", BAD_KEY])
@pytest.mark.parametrize("before", [None, *BEFORE])
@pytest.mark.parametrize("after", [None, '{"n":2}', ESCAPED, b"{}", 7.5, NULL])
async def test_a_row_is_changed_if_it_is_as_expected(
    tmp_path: Path, key: str, before: Raw, after: Raw
) -> None:
    path = tmp_path / "bot.db"
    with raw(path) as connection:
        connection.execute("CREATE TABLE kv (key PRIMARY KEY, value)")
    async with SQLiteStore(path) as store, store.transaction() as transaction:
        if before is None and after is None:
            with pytest.raises(ValueError, match="no row to no row"):
                await transaction.write([RowChange(key, before, after)])
            return
        if before is not None:
            assert await transaction.write([RowChange(key, None, before)])
        for other in [None, *BEFORE]:
            if (type(other), other) != (type(before), before) and (other, after) != (None, None):
                assert not await transaction.write([RowChange(key, other, after)])
        assert await transaction.write([RowChange(key, before, after)])
        found = [] if after is None else [(key, after)]
        assert await store.load_rows() == (found if key.startswith(("chat:", "matrix_")) else [])
    assert stored(path) == found


async def test_an_insert_replaces_no_row_and_no_stored_null(store: SQLiteStore, path: Path) -> None:
    put(path, "chat:null", NULL)
    before = stored(path)
    async with store.transaction() as transaction:
        assert not await transaction.write([RowChange("chat:null", None, "{}")])
        assert not await transaction.write([RowChange("chat:a", None, "{}")])
    assert stored(path) == before


async def test_many_changes_of_all_kinds_go_together(store: SQLiteStore, path: Path) -> None:
    put_text(path, b"chat:utf8", NOT_UTF8)
    changes = [
        RowChange("chat:a", '{"n":1}', '{"n":9}'),
        RowChange("chat:utf8", ESCAPED, "{}"),
        RowChange("matrix_room:a", '{"n":2}', None),
        RowChange(BAD_KEY, None, ESCAPED),
        RowChange("chat:new", None, b"{}"),
    ]
    async with store.transaction() as transaction:
        assert await transaction.write(changes)
        assert await transaction.write([])
    expected = {"chat:a": '{"n":9}', "chat:utf8": "{}", "chat:new": b"{}", BAD_KEY: ESCAPED}
    assert dict(stored(path)) == expected | {"matrix_user:a": '{"n":3}'}


async def test_one_row_that_moved_is_enough_for_false(store: SQLiteStore, path: Path) -> None:
    async with store.transaction() as transaction:
        changes = [RowChange("chat:a", '{"n":1}', "{}"), RowChange("matrix_room:a", "else", "{}")]
        with stopped():
            async with transaction.savepoint():
                assert not await transaction.write(changes)
                raise Stop
    assert len(stored(path)) == 3
    assert await store.get("chat:a") == {"n": 1}


async def test_a_key_may_occur_once_in_a_write(store: SQLiteStore) -> None:
    async with store.transaction() as transaction:
        with pytest.raises(ValueError, match="twice"):
            await transaction.write([RowChange("k", None, "{}"), RowChange("k", "{}", None)])


async def test_many_rows_take_few_calls(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    run_many = database_module.Database.run_many

    async def counted(database: Any, sql: str, parameters: Any) -> int:
        calls.append(sql)
        return await run_many(database, sql, parameters)

    monkeypatch.setattr(database_module.Database, "run_many", counted)
    async with store.transaction() as transaction:
        assert await transaction.write([RowChange(f"chat:{n}", None, "{}") for n in range(1000)])
    assert len(calls) == 1


# Transactions.


async def test_a_transaction_is_committed_at_its_end_and_seen_by_nobody_before(
    store: SQLiteStore, path: Path
) -> None:
    async with store.transaction() as transaction:
        await store.set("chat:b", {})
        assert len(await transaction.load_rows()) == 4
        assert len(stored(path)) == 3
    assert len(stored(path)) == 4


async def test_a_transaction_is_rolled_back_on_an_exception(store: SQLiteStore, path: Path) -> None:
    with stopped():
        async with store.transaction():
            await store.set("chat:b", {})
            raise Stop
    assert len(stored(path)) == 3
    await store.set("chat:b", {})
    assert len(stored(path)) == 4


async def test_savepoints_nest_and_only_what_failed_is_undone(
    store: SQLiteStore, path: Path
) -> None:
    async with store.transaction() as transaction:
        async with transaction.savepoint():
            await store.set("chat:outer", {})
            with stopped():
                async with transaction.savepoint():
                    await store.set("chat:inner", {})
                    raise Stop
        with stopped():
            async with transaction.savepoint():
                async with transaction.savepoint():
                    await store.set("chat:released", {})
                raise Stop
    assert [key for key, _ in stored(path)][:2] == ["chat:a", "chat:outer"]
    assert len(stored(path)) == 4


async def test_no_row_goes_through_a_temporary_file(store: SQLiteStore) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("only Linux tells which files are open")
    rows = [RowChange(f"chat:{number}", None, "x" * 1_000) for number in range(500)]
    async with store.transaction() as transaction:
        assert await transaction.write(rows)
        async with transaction.savepoint():
            again = [RowChange(row.key, row.after, "y" * 1_000) for row in rows]
            assert await transaction.write(again)
            names = [os.readlink(link) for link in open_files.iterdir() if link.is_symlink()]
    assert not [name for name in names if "etilqs" in name]


async def test_loaded_rows_belong_to_the_caller_alone(store: SQLiteStore) -> None:
    rows = await store.load_rows()
    row = rows.pop()
    held = sys.getrefcount(row)
    rows.append(row)
    del rows
    # SQLite's thread kept the list until the next call, and with it every row of the database.
    assert sys.getrefcount(row) == held


async def test_a_transaction_inside_another_is_a_savepoint(store: SQLiteStore, path: Path) -> None:
    async with store.transaction() as outer:
        with stopped():
            async with store.transaction() as inner:
                assert inner is outer
                await store.set("chat:b", {})
                raise Stop
        await store.set("chat:c", {})
    assert [key for key, _ in stored(path)][:2] == ["chat:a", "chat:c"]


async def test_another_task_waits_and_its_write_is_not_in_our_transaction(
    store: SQLiteStore, path: Path
) -> None:
    ready, go = asyncio.Event(), asyncio.Event()

    async def bot() -> None:
        await ready.wait()
        go.set()
        await store.set("chat:bot", {})

    task = asyncio.create_task(bot())
    with stopped():
        async with store.transaction():
            await store.set("chat:ours", {})
            ready.set()
            await go.wait()
            await asyncio.sleep(0.02)
            assert not task.done()
            raise Stop
    await task
    assert [key for key, _ in stored(path)][:2] == ["chat:a", "chat:bot"]


async def test_a_task_started_in_a_transaction_joins_it_until_it_ends(
    store: SQLiteStore, path: Path
) -> None:
    ended = asyncio.Event()

    async def later() -> None:
        await ended.wait()
        await store.set("chat:later", {})

    with stopped():
        async with store.transaction():
            await asyncio.gather(store.set("chat:1", {}), store.set("chat:2", {}))
            task = asyncio.create_task(later())
            assert len(await store.keys("chat:")) == 3
            raise Stop
    ended.set()
    await task
    assert [key for key, _ in stored(path)][:2] == ["chat:a", "chat:later"]


async def test_transactions_of_two_stores_do_not_mix(
    store: SQLiteStore, path: Path, tmp_path: Path
) -> None:
    async with SQLiteStore(tmp_path / "other.db") as other:
        async with store.transaction():
            with stopped():
                async with other.transaction():
                    await store.set("chat:b", {})
                    await other.set("chat:other", {})
                    raise Stop
        assert await other.keys("") == []
    assert len(stored(path)) == 4


async def test_a_cancelled_transaction_is_rolled_back(store: SQLiteStore, path: Path) -> None:
    written = asyncio.Event()

    async def write() -> None:
        async with store.transaction():
            await store.set("chat:b", {})
            written.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(write())
    await written.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await store.set("chat:c", {})
    assert [key for key, _ in stored(path)][:2] == ["chat:a", "chat:c"]


@pytest.mark.parametrize("rounds", [n * n for n in range(24)])
async def test_wherever_it_is_cancelled_a_transaction_is_whole_or_not_at_all(
    store: SQLiteStore, path: Path, rounds: int
) -> None:
    async def write() -> None:
        async with store.transaction() as transaction:
            await store.set("chat:b", {})
            async with transaction.savepoint():
                await store.set("chat:c", {})

    task = asyncio.create_task(write())
    for _ in range(rounds):
        await asyncio.sleep(0)
    task.cancel()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(stored(path)) in (3, 5)
    with raw(path) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
    await store.set("chat:d", {})
    assert (await store.get("chat:d")) == {}


async def test_a_transaction_that_sqlite_gave_up_writes_nothing_more(
    store: SQLiteStore, path: Path
) -> None:
    async def write_unit(transaction: Transaction) -> None:
        async with transaction.savepoint():
            await store.set("chat:c", {})

    async def write() -> None:
        async with store.transaction() as transaction:
            await store.set("chat:b", {})
            assert store._database
            await store._database.run("ROLLBACK")
            with pytest.raises(StoreError, match="gave up this transaction"):
                await write_unit(transaction)

    with pytest.raises(StoreError, match="gave up this transaction"):
        await write()
    assert len(stored(path)) == 3


async def test_a_transaction_cannot_be_used_after_its_end(store: SQLiteStore) -> None:
    async with store.transaction() as transaction:
        assert isinstance(transaction, Transaction)
        with pytest.raises(StoreError, match="inside a transaction"):
            await store.close()
    with pytest.raises(StoreError, match="has ended"):
        await transaction.write([RowChange("chat:b", None, "{}")])


async def test_a_script_that_forgets_to_close_still_ends(path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom toolkit.database.store import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1])\nasyncio.run(store.open())\n"
    )
    root = Path(store_module.__file__).parents[2]
    command = [sys.executable, "-c", code, str(path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=root)
    assert await asyncio.wait_for(process.wait(), 10) == 0


# Backups.


async def test_a_backup_stands_beside_the_database_and_holds_its_rows(
    store: SQLiteStore, path: Path
) -> None:
    target = await store.backup(name=RUN)
    assert target == path.with_name(f"bot.db.{RUN}.backup")
    assert stored(target) == stored(path)
    assert sorted(path.parent.iterdir()) == [path, target]


async def test_a_backup_may_go_to_a_folder(store: SQLiteStore, path: Path, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    with pytest.raises(StoreError, match="there is no folder"):
        await store.backup(folder, name=RUN)
    folder.mkdir()
    assert (await store.backup(folder, name=RUN)).parent == folder
    with pytest.raises(StoreError, match="is there already"):
        await store.backup(folder, name=RUN)


async def test_a_backup_is_open_to_nobody_who_cannot_read_the_database(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    copy_into = database_module.Database.copy_into

    async def watched(database: Any, copy: sqlite3.Connection) -> None:
        [partial] = path.parent.glob("*.partial")
        seen.append(stat.S_IMODE(partial.stat().st_mode))
        await copy_into(database, copy)

    monkeypatch.setattr(database_module.Database, "copy_into", watched)
    umask = os.umask(0)
    try:
        for number, mode in enumerate((0o644, 0o666, 0o600)):
            path.chmod(mode)
            target = await store.backup(name=f"{RUN}{number}")
            assert stat.S_IMODE(target.stat().st_mode) & ~mode == 0
            assert seen[-1] & ~mode == 0
    finally:
        os.umask(umask)
    assert len(seen) == 3


async def test_the_last_few_backups_of_this_database_are_kept(
    store: SQLiteStore, path: Path
) -> None:
    strangers = [
        "bot.db.mine.backup",
        "bot2.db.20200101T000000Z-aa.backup",
        f"bot.db.{RUN}.backup~",
    ]
    strangers += ["botxdb.20200101T000000Z-aa.backup", "bot.db.20200101T000000Z-AA.backup"]
    for stranger in strangers:
        path.with_name(stranger).touch()
    path.with_name("bot.db.20200101T000000Z-aa.backup").mkdir()
    for minute in range(4):
        await store.backup(name=f"20261122T22{minute:02}00Z-3f2a", keep=2)
    kept = sorted(path.parent.glob("bot.db.20261122T22????Z-3f2a.backup"))
    left = [f"bot.db.20261122T22{minute}00Z-3f2a.backup" for minute in ("02", "03")]
    assert [file.name for file in kept if file.name not in strangers] == left
    assert all(path.with_name(stranger).exists() for stranger in strangers)


async def test_the_new_backup_stays_even_if_the_clock_went_back(store: SQLiteStore) -> None:
    newer = await store.backup(name="20261122T220000Z-aa", keep=1)
    older = await store.backup(name="20251122T220000Z-aa", keep=1)
    assert older.exists()
    assert not newer.exists()


@pytest.mark.parametrize("name", ["", "x", f"../{RUN}", f"{RUN}\n", "20261122T220345Z-"])
async def test_a_backup_is_named_after_a_run(store: SQLiteStore, name: str) -> None:
    with pytest.raises(ValueError, match="named after a run"):
        await store.backup(name=name)
    with pytest.raises(ValueError, match="keep"):
        await store.backup(name=RUN, keep=0)


async def test_a_backup_is_not_begun_without_space(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10_000, 9_999, 1))
    with pytest.raises(StoreError, match=r"needs 12,288 bytes and .* has 1 free"):
        await store.backup(name=RUN)
    assert list(path.parent.iterdir()) == [path]


async def test_a_backup_that_fails_half_way_leaves_nothing(store: SQLiteStore, path: Path) -> None:
    put(path, "chat:big", "x" * 3_000_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"Can't back up .* (disk|SQLite)"):
            await store.backup(name=RUN)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(path.parent.iterdir()) == [path]
    assert (await store.backup(name=RUN)).exists()


async def test_a_backup_of_a_locked_database_is_an_error_and_leaves_nothing(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def size(database: Any) -> int:
        return 1

    monkeypatch.setattr(database_module.Database, "size", size)
    with raw(path) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreError, match="another program holds its lock"):
            await asyncio.wait_for(store.backup(name=RUN), 5)
    assert [file for file in path.parent.iterdir() if "backup" in file.name] == []


async def test_a_backup_that_cannot_be_created_is_an_error(
    store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(StoreError, match="Permission denied"):
        await store.backup(name=RUN)


async def test_a_backup_inside_a_transaction_is_refused(store: SQLiteStore) -> None:
    async with store.transaction():
        with pytest.raises(StoreError, match="inside a transaction"):
            await store.backup(name=RUN)


async def test_a_cancelled_backup_leaves_nothing(
    store: SQLiteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(path, "chat:big", "x" * 10_000_000)
    copying, copied = asyncio.Event(), asyncio.Event()
    copy_into = database_module.Database.copy_into

    async def watched(database: Any, copy: sqlite3.Connection) -> None:
        copying.set()
        await copy_into(database, copy)
        copied.set()  # before that, SQLite's thread may still write into what is taken away

    monkeypatch.setattr(database_module.Database, "copy_into", watched)
    task = asyncio.create_task(store.backup(name=RUN))
    await copying.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert copied.is_set()
    assert [file for file in path.parent.iterdir() if "backup" in file.name] == []
    assert await store.get("chat:a") == {"n": 1}


@contextmanager
def hammering(path: Path, keys: list[str]) -> Iterator[None]:
    """A bot that hardly pauses; distant rows share one counter in each of its transactions."""
    started, stop = threading.Event(), threading.Event()

    def write() -> None:
        with raw(path) as bot:
            for count in itertools.takewhile(lambda _: not stop.is_set(), itertools.count(1)):
                bot.execute("BEGIN IMMEDIATE")
                value = f'{{"n":{count}}}'
                bot.executemany("UPDATE kv SET value = ? WHERE key = ?", [(value, k) for k in keys])
                bot.execute("COMMIT")
                started.set()
                time.sleep(0.001)

    thread = threading.Thread(target=write)
    thread.start()
    started.wait()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_a_backup_of_a_busy_database_is_of_one_moment(path: Path, mode: str) -> None:
    with raw(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("BEGIN")
        rows = [(f"chat:{n:05}", '{"n":0,"pad":"%s"}' % ("x" * 200)) for n in range(10_000)]
        connection.executemany("INSERT INTO kv VALUES (?, ?)", rows)
        connection.execute("COMMIT")
    keys = [f"chat:{n:05}" for n in range(0, 10_000, 2_200)]
    async with SQLiteStore(path, busy_timeout=10) as store:
        with hammering(path, keys):
            backups = [await store.backup(name=f"{RUN}{n}") for n in range(3)]
    for backup in backups:
        found = dict(stored(backup))
        assert len({found[key] for key in keys}) == 1
        assert len(found) == 10_003
