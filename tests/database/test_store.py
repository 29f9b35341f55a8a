"""Stores: one contract for both, and what the rows of a shared SQLite file add to it."""

import asyncio
import gc
import sqlite3
import time
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.database.other_program import (
    BAD_KEY,
    ESCAPED,
    NOT_UTF8,
    Stop,
    put,
    put_text,
    raw,
    stopped,
    stored,
)
from toolkit import ChatManager
from toolkit.database import connection as database_module
from toolkit.database.contract import Store, TransactionalStore
from toolkit.database.sql import RowChange, Table, key_range
from toolkit.database.store import InMemoryStore, SQLiteStore
from toolkit.errors import StoreError
from toolkit.records import NULL, Raw

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
        assert store._connection
        assert store._connection._connection.text_factory is str
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
