"""Whatever disk and database do: rows are as they were or as they should be, and the person is told.

What needs another user than root runs in a fork that gives root up.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import shutil
import sqlite3
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import ALICE, BOB, BOT, Bench, small_rows, states
from tests.clients import TOKEN, is_one_sentence, nio_client
from tests.scenario import right_rows
from toolkit import (
    ChatManager,
    RemoteIncomplete,
    Session,
    SQLiteStore,
    StoreError,
    reconcile_matrix_state,
)
from toolkit.cli.options import Where
from toolkit.database.backup import remove_older
from toolkit.records import chat_key, room_key, user_key
from toolkit.testing import FakeHomeserver
from toolkit.writing.undo import history, undo

A1, C1, CB = room_key("!a1"), chat_key(ALICE, "C1"), chat_key(BOB, "C1")
NOBODY = 65534
MODES = pytest.mark.parametrize("mode", ["DELETE", "WAL"])
FULL = bool(os.environ.get("MATRIX_DRIFT_SOAK"))
"""Whether long tests take all the time and space that they are meant for."""


def drifted() -> dict[str, Any]:
    rows = {k: v for k, v in small_rows().items() if k not in (A1, user_key(ALICE))}
    return rows | {CB: {**rows[CB], "surface_ref": "!gone", "mine": 1}}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted())
    return bench


def names(bench: Bench) -> list[str]:
    return sorted(path.name for path in bench.path.parent.iterdir())


# -- replaced or deleted under an open store or session -------------------------------------------


@MODES
@pytest.mark.parametrize("how", ["replaced", "deleted", "moved"])
async def test_what_was_replaced_under_an_open_store_is_not_written(
    tmp_path: Path, mode: str, how: str
) -> None:
    """SQLite itself goes on with the file that has no name any more, in WAL mode without a word."""
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted(), mode)
    async with SQLiteStore(bench.path) as store:
        fresh = tmp_path / "fresh"
        shutil.copy(bench.path, fresh)
        if how == "deleted":
            bench.path.unlink()
        else:
            bench.path.rename(tmp_path / "old.db")
        if how == "replaced":
            fresh.rename(bench.path)
        for work in (bench.run(store), store.set("x", {}), store.get("x"), store.load_rows()):
            with pytest.raises(StoreError, match="was moved, replaced or deleted") as caught:
                await work
            assert is_one_sentence(str(caught.value))
    if how == "replaced":
        assert A1 not in bench.bytes()
        async with SQLiteStore(bench.path) as store:
            assert set(states(await bench.run(store)).values()) == {"applied"}
    else:
        assert not bench.path.exists()


async def test_what_is_replaced_in_the_middle_of_a_run_is_not_reported_as_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted(), "WAL")

    def replace() -> None:
        shutil.copy(bench.path, tmp_path / "fresh")
        os.replace(tmp_path / "fresh", bench.path)

    from toolkit.database.transaction import Transaction

    write = Transaction.write

    async def write_and_replace(self: Transaction, rows: Any) -> bool:
        done = await write(self, rows)
        replace()
        return done

    monkeypatch.setattr(Transaction, "write", write_and_replace)
    async with SQLiteStore(bench.path) as store:
        with pytest.raises(StoreError, match="replaced"):
            await bench.run(store)


@pytest.fixture
async def server(bench: Bench) -> Any:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as found:
        yield found


@pytest.mark.parametrize("how", ["deleted", "replaced by another bot's", "older"])
async def test_a_session_writes_to_no_other_database_than_it_showed(
    bench: Bench, server: FakeHomeserver, tmp_path: Path, how: str
) -> None:
    session = await Session.open(
        homeserver=server.url, access_token=TOKEN, database=bench.path, deadline=5
    )
    session.approve("!a1")
    session.approve("!b1")
    os.replace(bench.path, tmp_path / "shown.db")
    if how == "deleted":
        with pytest.raises(StoreError, match="there is no such file"):
            await session.apply()
        assert not bench.path.exists()
        return
    other = Bench(bench.path, bench.world)
    if how == "older":  # its row is another one than was shown, so that one change is stale
        other.fill(drifted() | {CB: {**small_rows()[CB], "surface_ref": "!gone"}})
        done = await session.apply()
        assert "!b1" in done.stale and other.row(A1) == small_rows()[A1]
        assert other.row(CB)["surface_ref"] == "!gone"
        return
    strangers = right_rows("@eve:hs", "!eve", {f"C{n}": f"!e{n}" for n in range(1, 9)})
    other.fill(strangers)
    before = other.bytes()
    with pytest.raises(RemoteIncomplete, match="another account's database"):
        await session.apply()
    assert other.bytes() == before and names(other) == [
        "bot.db",
        "bot.db.decisions.json",
        "shown.db",
    ]


async def test_the_command_line_writes_to_no_database_that_is_gone(tmp_path: Path) -> None:
    sides = Where(database=str(tmp_path / "gone.db")).sides()
    with pytest.raises(StoreError, match="there is no such file"):
        async with sides.open_store(read_only=False):
            pass
    assert list(tmp_path.iterdir()) == []


# -- no room --------------------------------------------------------------------------------------


@contextmanager
def no_file_longer_than(size: int) -> Iterator[None]:
    """As a full disk: the system refuses to make a file longer, in the middle of a write."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def wide_bench(path: Path, mode: str) -> Bench:
    """Forty chats to restore, so that the writing takes many pages."""
    bench = Bench(path)
    for number in range(3, 43):
        bench.world.chat(f"!a{number}", "!alice", f"Чат {number}", owner=ALICE)
    chats = {f"C{n}": f"!a{n}" for n in range(1, 43)}
    rows = right_rows(ALICE, "!alice", chats)
    bench.fill({k: v for k, v in rows.items() if not k.startswith("matrix_room:")}, mode)
    return bench


@MODES
async def test_wherever_the_disk_ends_rows_are_whole(tmp_path: Path, mode: str) -> None:
    coarse = {size: await end_at(tmp_path, mode, size) for size in range(2048, 80_000, 6144)}
    last = max(size for size, (end, _) in coarse.items() if end == "refused")
    fine = {size: await end_at(tmp_path, mode, size) for size in range(last, last + 6144, 512)}
    ends = [end for _, (end, _) in sorted({**coarse, **fine}.items())]
    assert {"refused", "applied"} <= set(ends)
    assert ends == sorted(ends, key=["refused", "warned", "applied"].index), ends
    # The disk also ended after backup and journal, while rows were written.
    assert any(middle for end, middle in fine.values() if end == "refused")


async def end_at(folder: Path, mode: str, size: int) -> tuple[str, bool]:
    """How a run ends if no file may be longer than that, and whether it had come to the rows."""
    folder = folder / f"{size}"
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    bench = wide_bench(folder / "bot.db", mode)
    before = bench.bytes()
    refusal, end = "", "applied"
    try:
        async with SQLiteStore(bench.path) as store:
            with no_file_longer_than(size):
                result = await bench.run(store)
        end = "warned" if result.warning else "applied"
    except StoreError as error:
        refusal, end = str(error), "refused"
    assert is_one_sentence(refusal or ".")
    assert bench.sql("PRAGMA integrity_check") == [("ok",)]
    rooms = {room_key(f"!a{n}") for n in range(1, 43)}
    assert bench.bytes() == before if end == "refused" else rooms <= bench.bytes().keys()
    # With space again, the journal can be read and the next run finishes.
    async with SQLiteStore(bench.path) as store:
        begun = bool(await history(store))
        await bench.run(store)
        assert (await bench.run(store)).outcomes == {}
    return end, begun


async def test_without_room_for_the_backup_nothing_is_written(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> Any:
        return type("usage", (), {"free": 100})

    before = bench.bytes()
    monkeypatch.setattr(shutil, "disk_usage", full)
    async with SQLiteStore(bench.path) as store:
        with pytest.raises(StoreError, match="free some space"):
            await bench.run(store)
    assert bench.bytes() == before and names(bench) == ["bot.db"]


# -- backups --------------------------------------------------------------------------------------


async def test_two_bots_may_put_their_backups_into_one_folder(tmp_path: Path) -> None:
    """Both databases are called bot.db; neither takes the other's backups away."""
    (tmp_path / "backups").mkdir()
    kept: list[Path] = []
    for name in ("production", "staging"):
        (tmp_path / name).mkdir()
        bench = Bench(tmp_path / name / "bot.db")
        bench.fill(drifted())
        async with SQLiteStore(bench.path, backup_dir=tmp_path / "backups") as store:
            made = [await store.backup(name=f"2026112{n}T000000Z-aa") for n in range(7)]
        remove_older(bench.path, made[-1])
        kept += made[-5:]
    assert sorted((tmp_path / "backups").iterdir()) == sorted(kept)


async def test_a_run_keeps_the_last_five_backups(bench: Bench) -> None:
    async with SQLiteStore(bench.path) as store:
        for _ in range(7):
            bench.put(drifted() | {A1: None})
            result = await bench.run(store)
            assert result.backup and result.backup.exists()
        newest = result.backup
    assert len(bench.backups()) == 5 and newest in bench.backups()


@MODES
async def test_a_backup_is_the_database_of_before(tmp_path: Path, mode: str) -> None:
    """Also what still stands in the write-ahead log is in it."""
    bench = Bench(tmp_path / "bot.db")
    bench.fill({}, mode)
    bench_open = sqlite3.connect(bench.path)
    bench_open.execute("SELECT * FROM kv").fetchall()
    bench.put(drifted())
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store)
    bench_open.close()
    assert result.backup and Bench(result.backup).bytes() == before


# -- damage, locks, odd tables --------------------------------------------------------------------


@MODES
def test_a_damaged_page_is_told_and_never_written_over(tmp_path: Path, mode: str) -> None:
    """Each page in turn, wherever it is met: while reading, while copying or while writing."""
    bench = Bench(tmp_path / "bot.db")
    filler = {f"other:{number:04}": {"x": "y" * 300} for number in range(120)}
    bench.fill(drifted() | filler, mode)
    bench.sql("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = bench.path.read_bytes()
    met = 0
    for page in range(1, len(whole) // 4096):
        for place, junk in ((0, b"\xff" * 64), (4000, b"\xff" * 96)):
            start = page * 4096 + place
            bench.path.write_bytes(whole[:start] + junk + whole[start + len(junk) :])
            damaged = bench.path.read_bytes()
            if said := asyncio.run(repair(bench)):
                met += 1
                assert is_one_sentence(said), said
                assert mode == "WAL" or bench.path.read_bytes() == damaged
            for path in tmp_path.iterdir():
                path.unlink()
    assert met > 3


async def repair(bench: Bench) -> str:
    """What the store says against it."""
    try:
        async with SQLiteStore(bench.path) as store:
            await bench.run(store)
    except StoreError as error:
        return str(error)
    return ""


@MODES
async def test_a_lock_that_is_never_given_back_ends_at_the_deadline(
    tmp_path: Path, mode: str
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted(), mode)
    before = bench.bytes()
    async with (
        FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server,
        nio_client(server.url, BOT) as client,
        SQLiteStore(bench.path) as store,
    ):
        with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            started = time.monotonic()
            with pytest.raises(StoreError, match="lock"):
                await reconcile_matrix_state(client, store, ChatManager(store), deadline=0.5)
            assert time.monotonic() - started < 1.5
        assert bench.bytes() == before
        # The usual patience is back.
        assert (await reconcile_matrix_state(client, store, ChatManager(store)))["conflicts"] == []


TABLES = {
    "extra columns": "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT, at INT DEFAULT 7, note)",
    "a BLOB column": "CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB)",
    "no type": "CREATE TABLE kv (key PRIMARY KEY, value)",
    "a unique key": "CREATE TABLE kv (id INTEGER PRIMARY KEY, key TEXT UNIQUE, value TEXT)",
    "without rowid": "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID",
    "strict": "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT) STRICT",
    "a column that must be given": "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT, at NOT NULL)",
    "a check": "CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT CHECK (value NOT LIKE '%Чат 1%'))",
}


@MODES
@pytest.mark.parametrize("table", TABLES)
async def test_a_table_of_any_making_is_repaired_or_left(
    tmp_path: Path, table: str, mode: str
) -> None:
    """And taken back to the byte, with what other columns hold."""
    bench = Bench(tmp_path / "bot.db")
    bench.sql(f"PRAGMA journal_mode={mode}")
    bench.sql(TABLES[table])
    extra = ", at" if "must be given" in table else ""
    given = ", 1" if extra else ""
    with closing(sqlite3.connect(bench.path)) as database, database:
        rows = drifted() if "check" not in table else {}
        for key, row in rows.items():
            values = (key, json.dumps(row, ensure_ascii=False))
            database.execute(f"INSERT INTO kv (key, value{extra}) VALUES (?, ?{given})", values)
    if table == "extra columns":
        bench.sql("UPDATE kv SET note = 'mine', at = 3")
    before = bench.sql("SELECT * FROM kv ORDER BY key")
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store)
        left = {unit for unit, state in states(result).items() if state != "applied"}
        wrong = {"a column that must be given": {ALICE, "!a1"}, "a check": {"!a1", "!b1"}}
        assert left == wrong.get(table, set())
        for unit in left:
            assert "constraint" in result.outcomes[unit].detail
        for unit, key in (("!a1", A1), ("!b1", CB)):
            assert (
                bench.row(key) == (small_rows() | {CB: {**small_rows()[CB], "mine": 1}})[key]
            ) is (unit not in left)
        if table == "extra columns":
            assert bench.sql(f"SELECT note, at FROM kv WHERE key = '{CB}'") == [("mine", 3)]
        assert result.run
        await undo(store, result.run)
    if table != "a unique key":
        assert bench.sql("SELECT * FROM kv ORDER BY key") == before


TRIGGERS = {
    "counts": "AFTER UPDATE ON kv BEGIN INSERT INTO log VALUES (new.key); END",
    "edits what was written": """AFTER INSERT ON kv WHEN new.value NOT LIKE '%"seen"%' BEGIN UPDATE kv
        SET value = json_set(value, '$.seen', 1) WHERE key = new.key; END""",
    "takes it away again": "AFTER INSERT ON kv BEGIN DELETE FROM kv WHERE key = new.key; END",
    "refuses": "BEFORE INSERT ON kv BEGIN SELECT RAISE(ABORT, 'no'); END",
    "refuses and rolls back": "BEFORE INSERT ON kv BEGIN SELECT RAISE(ROLLBACK, 'no'); END",
}


@pytest.mark.parametrize("trigger", TRIGGERS)
async def test_triggers_of_the_bots_own_spoil_nothing(bench: Bench, trigger: str) -> None:
    bench.sql("CREATE TABLE log (key)")
    bench.sql(f"CREATE TRIGGER mine {TRIGGERS[trigger]}")
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store)
        told = states(result)
        assert told["!b1"] == "applied"
        left = trigger in ("takes it away again", "refuses", "refuses and rolls back")
        assert told["!a1"] == ("failed" if left else "applied")
        assert (bench.row(A1) is None) is left
        assert bench.row(CB)["surface_ref"] == "!b1"
        # Whatever the trigger made of it, the journal says so, and undo takes it back.
        assert result.run
        await undo(store, result.run)
        assert bench.bytes() == before


# -- rights ---------------------------------------------------------------------------------------


def as_nobody(work: Callable[[], Coroutine[Any, Any, str]], groups: tuple[int, ...] = ()) -> str:
    """What `work` returns in a fork without root's rights; one that fails says its error's name."""
    if os.getuid():
        pytest.skip("only root can become nobody")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups(list(groups))
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = asyncio.run(work())
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read) as pipe:
        return pipe.read()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that nobody can reach; pytest's own are root's alone."""
    with tempfile.TemporaryDirectory() as found:
        Path(found).chmod(0o777)
        yield Path(found)


@MODES
@pytest.mark.parametrize("what", ["file", "folder"])
def test_without_the_right_to_write_nothing_is_written_and_looking_still_works(
    open_folder: Path, what: str, mode: str
) -> None:
    bench = Bench(open_folder / "bot.db")
    bench.fill(drifted(), mode)
    bench.path.chmod(0o444 if what == "file" else 0o666)
    open_folder.chmod(0o777 if what == "file" else 0o555)
    before = bench.path.read_bytes()

    async def work() -> str:
        if mode == "DELETE":
            async with SQLiteStore(bench.path, read_only=True) as store:
                assert len(await store.load_rows()) == len(drifted())
        async with SQLiteStore(bench.path) as store:
            await bench.run(store)
        return "written"

    said = as_nobody(work)
    assert said.startswith("StoreError: "), said
    assert "writable" in said or "permissions" in said or "Permission denied" in said, said
    assert bench.path.read_bytes() == before
    assert not [name for name in names(bench) if name.endswith(".partial")]


def test_what_root_makes_belongs_to_the_bot(tmp_path: Path) -> None:
    """Else a bot could never again write to the journal that `sudo matrix-drift apply` began."""
    if os.getuid():
        pytest.skip("only root can give a file away")
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted())
    os.chown(bench.path, 1234, 4321)
    bench.path.chmod(0o640)
    asyncio.run(run_all(bench))
    made = {path.name: path.stat() for path in tmp_path.iterdir() if path != bench.path}
    assert len(made) == 3
    for name, found in made.items():
        assert (found.st_uid, found.st_gid) == (1234, 4321), name
        assert stat.S_IMODE(found.st_mode) & ~0o640 == 0, name
    assert stat.S_IMODE(bench.journal.stat().st_mode) == 0o640


@pytest.mark.parametrize("member", [True, False])
def test_a_group_that_cannot_read_the_database_can_read_nothing_new(
    open_folder: Path, member: bool
) -> None:
    bench = Bench(open_folder / "bot.db")
    bench.fill(drifted())
    os.chown(bench.path, NOBODY, 4321)
    bench.path.chmod(0o660)

    async def work() -> str:
        await run_all(bench)
        return "written"

    assert as_nobody(work, (4321,) if member else ()) == "written"
    for path in open_folder.iterdir():
        found = path.stat()
        assert found.st_gid == 4321 or not stat.S_IMODE(found.st_mode) & 0o070, path
    assert (bench.journal.stat().st_gid == 4321) is member


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o660, 0o666])
@pytest.mark.parametrize("journal_mode", ["DELETE", "WAL"])
def test_no_new_file_is_wider_open_than_the_database(
    tmp_path: Path, mode: int, journal_mode: str
) -> None:
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted(), journal_mode)
    bench.path.chmod(mode)
    umask = os.umask(0)
    try:
        with closing(sqlite3.connect(bench.path)) as other:  # keeps -wal and -shm in place
            other.execute("SELECT * FROM kv").fetchall()
            asyncio.run(run_all(bench))
            made = [path for path in tmp_path.iterdir() if path != bench.path]
            assert len(made) >= 3 + 2 * (journal_mode == "WAL")
            for path in made:
                assert stat.S_IMODE(path.stat().st_mode) & ~mode == 0, path.name
    finally:
        os.umask(umask)


async def run_all(bench: Bench) -> None:
    """Decide, apply, take back: everything that makes a file beside the database."""
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        session = await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
        session.approve("!a1")
        await session.apply()
        session.reject("!b1")


# -- a large database -----------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_large_database_is_backed_up_without_stopping_anybody_or_filling_the_memory(
    tmp_path: Path,
) -> None:
    """2 GB with MATRIX_DRIFT_SOAK=1, else 128 MB. The event loop goes on meanwhile."""
    size = (2048 if FULL else 128) * 1024 * 1024
    if shutil.disk_usage(tmp_path).free < 3 * size:
        pytest.skip("there is no space for it")
    bench = Bench(tmp_path / "bot.db")
    bench.fill(drifted())
    with closing(sqlite3.connect(bench.path)) as database, database:
        blob = 16 * 1024 * 1024
        for number in range(size // blob):
            values = (f"file:{number}", blob)
            database.execute("INSERT INTO kv VALUES (?, zeroblob(?))", values)
    stalls = [0.0]

    async def tick() -> None:
        while True:
            started = time.monotonic()
            await asyncio.sleep(0.01)
            stalls.append(time.monotonic() - started - 0.01)

    ticking = asyncio.create_task(tick())
    high = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
    finally:
        ticking.cancel()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - high) / 1024
    assert set(states(result).values()) == {"applied"}
    assert result.backup and result.backup.stat().st_size >= size
    assert max(stalls) < 1.0
    assert grown < 64
    sys.stderr.write(f"longest stall of the loop {max(stalls):.3f} s, memory +{grown:.0f} MB\n")
    bench.path.unlink()
    result.backup.unlink()
