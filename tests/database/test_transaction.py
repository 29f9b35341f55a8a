"""Writes that go together: compare and swap, transactions, savepoints."""

import asyncio
import copy
import os
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

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
from toolkit.database import connection as database_module
from toolkit.database.connection import explained
from toolkit.database.sql import RowChange
from toolkit.database.store import SQLiteStore
from toolkit.database.transaction import Transaction
from toolkit.errors import OutcomeUnknown, StoreError
from toolkit.records import NULL, Raw

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
            assert store._connection
            await store._connection.run("ROLLBACK")
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


@pytest.mark.parametrize(
    ("code", "all_of_them"),
    [
        (sqlite3.SQLITE_FULL, True),
        (sqlite3.SQLITE_READONLY_DBMOVED, True),
        (sqlite3.SQLITE_IOERR_WRITE, True),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, False),
        (sqlite3.SQLITE_ERROR, False),
        (sqlite3.SQLITE_MISMATCH, False),
        (sqlite3.SQLITE_TOOBIG, False),
    ],
)
def test_only_an_error_of_the_whole_database_concerns_all_units(
    code: int, all_of_them: bool
) -> None:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    with pytest.raises(StoreError) as told, explained(Path("bot.db"), "write"):
        raise error
    assert told.value.concerns_all is all_of_them
    assert copy.copy(told.value).concerns_all is all_of_them
    assert OutcomeUnknown("lost").concerns_all and not StoreError("one row").concerns_all
