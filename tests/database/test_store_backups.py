"""Backups: beside the database or in a folder, of one moment, and whole or not there."""

import asyncio
import itertools
import os
import resource
import shutil
import sqlite3
import stat
import threading
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.database.other_program import RUN, put, raw, stored
from toolkit.database import connection as database_module
from toolkit.database.backup import remove_older
from toolkit.database.store import SQLiteStore
from toolkit.errors import StoreError


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
        newest = await store.backup(name=f"20261122T22{minute:02}00Z-3f2a")
        remove_older(path, newest, keep=2)
    kept = sorted(path.parent.glob("bot.db.20261122T22????Z-3f2a.backup"))
    left = [f"bot.db.20261122T22{minute}00Z-3f2a.backup" for minute in ("02", "03")]
    assert [file.name for file in kept if file.name not in strangers] == left
    assert all(path.with_name(stranger).exists() for stranger in strangers)


async def test_the_new_backup_stays_even_if_the_clock_went_back(store: SQLiteStore) -> None:
    newer = await store.backup(name="20261122T220000Z-aa")
    older = await store.backup(name="20251122T220000Z-aa")
    remove_older(store.path, older, keep=1)
    assert older.exists()
    assert not newer.exists()


@pytest.mark.parametrize("name", ["", "x", f"../{RUN}", f"{RUN}\n", "20261122T220345Z-"])
async def test_a_backup_is_named_after_a_run(store: SQLiteStore, name: str) -> None:
    with pytest.raises(ValueError, match="named after a run"):
        await store.backup(name=name)


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
