"""Backups that were killed half-way: what they leave is cleared, and nothing else is."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.bench import Bench, small_rows, states
from toolkit import SQLiteStore
from toolkit.database import backup
from toolkit.records import room_key

OLD, NEW = "20260101T000000Z-00{}", "20260102T000000Z-00{}"
COPY = """
import asyncio, sys
from pathlib import Path
from toolkit import SQLiteStore
from toolkit.database.connection import Database

async def half(self, copy):
    copy.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
    print("half", flush=True)
    await asyncio.sleep(60)

async def run():
    Database.copy_into = half
    async with SQLiteStore(sys.argv[1]) as store:
        await store.backup(Path(sys.argv[2]), name=sys.argv[3])

asyncio.run(run())
"""


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({key: row for key, row in small_rows().items() if key != room_key("!a1")})
    return bench


@contextmanager
def copying(database: Path, folder: Path, name: str) -> Iterator[int]:
    """Another process in the middle of a backup; in the end it is killed."""
    command = [sys.executable, "-c", COPY, str(database), str(folder), name]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout and process.stdout.readline() == b"half\n"
            yield process.pid
        finally:
            process.kill()


def partials(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.partial*"))


async def back_up(bench: Bench, name: str, folder: Path | None = None) -> Path:
    async with SQLiteStore(bench.path) as store:
        return await store.backup(folder, name=name)


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_what_a_killed_backup_left_is_cleared_by_the_next_run(
    bench: Bench, tmp_path: Path, elsewhere: bool
) -> None:
    folder = tmp_path / "backups" if elsewhere else tmp_path
    folder.mkdir(exist_ok=True)
    with copying(bench.path, folder, OLD.format(1)):
        [left] = partials(folder)
    assert partials(folder) == [left]
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store, backup_dir=folder)
    assert states(result) == {"!a1": "applied"}
    assert partials(folder) == [] and result.backup and result.backup.parent == folder


async def test_one_that_a_live_process_is_writing_stays(bench: Bench, tmp_path: Path) -> None:
    with copying(bench.path, tmp_path, OLD.format(1)) as pid:
        before = partials(tmp_path)
        os.kill(pid, signal.SIGSTOP)  # a process that sleeps lives
        await back_up(bench, NEW.format(1))
        assert partials(tmp_path) == before != []
    await back_up(bench, NEW.format(2))
    assert partials(tmp_path) == []


async def test_no_other_database_loses_anything(bench: Bench, tmp_path: Path) -> None:
    other = Bench(tmp_path / "other" / "bot.db")
    other.path.parent.mkdir()
    other.fill({})
    folder = tmp_path / "backups"
    folder.mkdir()
    with copying(other.path, folder, OLD.format(1)):
        [theirs] = partials(folder)
    ours = folder / (await back_up(bench, OLD.format(2), folder)).name
    names = [
        f"bot.db.{OLD.format(3)}.backup.partial",
        f"{ours.name}.partial.txt",
        f"x{ours.name}.partial",
        f"{bench.path.name}-wal.{OLD.format(3)}.backup.partial",
    ]
    for name in names:
        (folder / name).touch()
    await back_up(bench, NEW.format(1), folder)
    assert partials(folder) == sorted([theirs, *names])
    await back_up(other, NEW.format(1), folder)
    assert partials(folder) == sorted(names)


async def test_a_link_is_not_followed_and_what_cannot_be_removed_stops_nothing(
    bench: Bench, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("mine")
    link = tmp_path / f"bot.db.{OLD.format(1)}.backup.partial"
    link.symlink_to(mine)
    (tmp_path / f"bot.db.{OLD.format(2)}.backup.partial").mkdir()
    before = partials(tmp_path)
    assert (await back_up(bench, NEW.format(1))).exists()
    assert partials(tmp_path) == before and mine.read_text() == "mine"


async def test_where_there_are_no_locks_backups_are_made_and_nothing_counts_as_stale(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with copying(bench.path, tmp_path, OLD.format(1)):
        pass
    monkeypatch.setitem(sys.modules, "fcntl", None)
    assert (await back_up(bench, NEW.format(1))).exists()
    assert partials(tmp_path) == [f"bot.db.{OLD.format(1)}.backup.partial"]


async def test_half_a_backup_counts_for_nothing_among_the_kept_ones(
    bench: Bench, tmp_path: Path
) -> None:
    for number in range(5):
        await back_up(bench, OLD.format(number))
    whole = [path.name for path in bench.backups()]
    with copying(bench.path, tmp_path, NEW.format(1)), copying(bench.path, tmp_path, NEW.format(2)):
        assert len(partials(tmp_path)) == 2
        newest = await back_up(bench, NEW.format(0))
        backup.remove_older(bench.path, newest)
        assert [path.name for path in bench.backups()] == [*whole[1:], newest.name]


def test_one_that_was_taken_for_stale_before_it_was_locked_is_begun_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between making the file and locking it another process may find it, unlocked."""
    target = backup.backup_path(bench.path, None, NEW.format(1))
    flock, seen = fcntl.flock, list[int]()

    def late(handle: int, how: int) -> None:
        if not seen:
            seen.append(how)
            backup.remove_stale(bench.path, bench.path.parent)
            assert partials(bench.path.parent) == []
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with backup.new_backup(bench.path, target) as copy:
        copy.execute("CREATE TABLE kv (key, value)")
        backup.remove_stale(bench.path, bench.path.parent)
    assert target.stat().st_size and partials(bench.path.parent) == []


def test_two_that_clear_at_once_do_not_take_what_came_after(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second opened the file before the first removed it, and a new one has its name by now."""
    partial = bench.path.with_name(f"bot.db.{NEW.format(1)}.backup.partial")
    partial.touch()
    flock = fcntl.flock

    def late(handle: int, how: int) -> None:
        partial.unlink()
        partial.write_text("new")
        flock(handle, how)

    monkeypatch.setattr(fcntl, "flock", late)
    backup.remove_stale(bench.path, bench.path.parent)
    assert partial.read_text() == "new"
