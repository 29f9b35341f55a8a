"""Opening a database: what is refused in one sentence, and a look that changes and leaves nothing."""

import asyncio
import shutil
import sqlite3
import sys
from asyncio.subprocess import PIPE
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.database.other_program import raw, stored
from toolkit.database import connection as database_module
from toolkit.database import store as store_module
from toolkit.database.sql import RowChange
from toolkit.database.store import SQLiteStore
from toolkit.errors import NoDatabase, StoreError


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


async def test_a_store_says_whether_it_made_the_table_by_this_opening(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    for name in ("absent.db", "empty.db"):
        store = SQLiteStore(tmp_path / name)
        assert not store.made
        for made in (True, False):
            async with store:
                assert store.made is made
        async with SQLiteStore(tmp_path / name, read_only=True) as looking:
            assert not looking.made


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
async def test_a_database_without_a_table_is_none_yet_and_looking_leaves_it_so(
    tmp_path: Path, mode: str
) -> None:
    path = tmp_path / "bot.db"
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA journal_mode={mode}")
        database.execute("PRAGMA user_version=1")
    before = path.read_bytes()
    with pytest.raises(NoDatabase, match="it is empty"):
        await SQLiteStore(path, read_only=True).open()
    assert [*tmp_path.iterdir()] == [path] and path.read_bytes() == before
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE other (a)")
    with pytest.raises(StoreError, match="only 'other'") as refused:
        await SQLiteStore(path, read_only=True).open()
    assert not isinstance(refused.value, NoDatabase)


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
    assert store._connection
    await store._connection.run("PRAGMA max_page_count = 3")

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


async def test_a_script_that_forgets_to_close_still_ends(path: Path) -> None:
    code = (
        "import asyncio, sys\nfrom toolkit.database.store import SQLiteStore\n"
        "store = SQLiteStore(sys.argv[1])\nasyncio.run(store.open())\n"
    )
    root = Path(store_module.__file__).parents[2]
    command = [sys.executable, "-c", code, str(path)]
    process = await asyncio.create_subprocess_exec(*command, cwd=root)
    assert await asyncio.wait_for(process.wait(), 10) == 0
