"""Going back to a backup as a whole: all of it or nothing, and under nobody who has the database open."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, Bench, small_rows
from toolkit import SQLiteStore, StoreError, ToolkitError
from toolkit.cli import output, run, write
from toolkit.convention import Convention
from toolkit.database import restore as restoring
from toolkit.database.journal import Journal
from toolkit.database.lock import hold_lock
from toolkit.repairs import plan_going_back
from toolkit.sources.sides import Sides

OPEN = """import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("SELECT * FROM kv").fetchall()
for statement in sys.argv[2:]:
    connection.execute(statement)
print("open", flush=True)
time.sleep(60)"""
MODES = pytest.mark.parametrize("mode", ["DELETE", "WAL"])
Rows = dict[str, tuple[str, bytes]]


@contextmanager
def opened(path: Path, *statements: str) -> Iterator[int]:
    """A bot in another process; in the end it is killed."""
    command = [sys.executable, "-c", OPEN, str(path), *statements]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as bot:
        try:
            assert bot.stdout and bot.stdout.readline() == b"open\n"
            yield bot.pid
        finally:
            bot.send_signal(signal.SIGKILL)


async def repaired(path: Path, mode: str = "DELETE") -> tuple[Bench, str, Rows]:
    """A database after a run, the run's name, and the rows before it."""
    bench = Bench(path)
    bench.fill({key: row for key, row in small_rows().items() if key != A1}, mode)
    before = bench.bytes()
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store)
    assert result.run and bench.bytes() != before
    return bench, result.run, before


class Said:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    async def __call__(self, bench: Bench, name: str, *more: str) -> tuple[int, str, str]:
        self.capsys.readouterr()
        words = ["restore", name, "--database", str(bench.path), *more]
        code = await asyncio.to_thread(run, words)
        said = self.capsys.readouterr()
        return code, said.out.replace("\n", ""), said.err

    async def refuses(
        self, bench: Bench, name: str, *words: str, more: tuple[str, ...] = ()
    ) -> None:
        """In one sentence, with nothing written."""
        logs = ("-wal", "-shm")
        files = {path for path in bench.path.parent.iterdir() if not path.name.endswith(logs)}
        inode = bench.path.exists() and bench.path.stat().st_ino
        code, _, err = await self(bench, name, "--yes", *more)
        assert code == 1 and err.startswith("Error: ") and err.count("\n") == 1, err
        assert all(word in err for word in words), err
        left = {path for path in bench.path.parent.iterdir() if not path.name.endswith(logs)}
        assert left == files
        assert inode == (bench.path.exists() and bench.path.stat().st_ino)


@pytest.fixture
def restore(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Said:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setenv("COLUMNS", "500")
    return Said(capsys)


@MODES
async def test_it_goes_back_and_forward_again(tmp_path: Path, restore: Said, mode: str) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db", mode)
    bench.path.chmod(0o640)
    bench.put({"other": {"since": 1}})
    after = bench.bytes()
    code, out, err = await restore(bench, name, "--yes")
    assert (code, err) == (0, "") and bench.bytes() == before
    assert stat.S_IMODE(bench.path.stat().st_mode) == 0o640
    assert f"Restored: {bench.path} is as before run {name}" in out and "start the bot" in out
    [kept] = bench.path.parent.glob("*.before-restore.backup")
    assert str(kept) in out and Bench(kept).bytes() == after
    [_, told] = Journal(bench.path).runs()
    assert (told.action, told.backup, told.finished) == ("restore", str(kept), True)
    assert f"matrix-drift restore {told.id}" in out
    code, out, _ = await restore(bench, told.id, "--yes", "--json")
    assert code == 0 and bench.bytes() == after and f'"restored": "{told.id}"' in out
    assert not list(tmp_path.glob("*.partial")) and not list(tmp_path.glob("bot.db-*"))


async def test_a_log_that_a_killed_bot_left_is_kept_and_not_played_into_the_older_file(
    tmp_path: Path, restore: Said
) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db", "WAL")
    with opened(bench.path, "INSERT INTO kv VALUES ('late', '{}')"):
        assert Path(f"{bench.path}-wal").stat().st_size
    assert Path(f"{bench.path}-wal").stat().st_size
    assert (await restore(bench, name, "--yes"))[0] == 0
    assert not list(tmp_path.glob("bot.db-*")) and bench.bytes() == before
    [kept] = tmp_path.glob("*.before-restore.backup")
    assert "late" in Bench(kept).bytes()


async def test_a_log_that_cannot_be_played_is_kept_where_sqlite_finds_it(
    tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db", "WAL")
    with opened(bench.path, "INSERT INTO kv VALUES ('late', '{}')"):
        pass
    monkeypatch.setattr(restoring, "_play_log", lambda _: None)  # as where the disk fails
    assert (await restore(bench, name, "--yes"))[0] == 0
    assert not list(tmp_path.glob("bot.db-*")) and bench.bytes() == before
    [kept] = tmp_path.glob("*.before-restore.backup")
    assert Path(f"{kept}-wal").stat().st_size and "late" in Bench(kept).bytes()


async def test_a_damaged_database_is_replaced_and_kept(tmp_path: Path, restore: Said) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db")
    bench.path.write_bytes(b"damaged" * 1000)
    assert (await restore(bench, name, "--yes"))[0] == 0
    assert bench.bytes() == before
    [kept] = tmp_path.glob("*.before-restore.backup")
    assert kept.read_bytes() == b"damaged" * 1000


async def test_a_deleted_database_comes_back(tmp_path: Path, restore: Said) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db")
    bench.path.unlink()
    code, out, _ = await restore(bench, name, "--yes")
    assert code == 0 and bench.bytes() == before and "is kept" not in out
    assert not list(tmp_path.glob("*.before-restore.backup"))


class TestWhileSomebodyHasItOpen:
    @MODES
    async def test_an_idle_bot_is_named_by_its_process(
        self, tmp_path: Path, restore: Said, mode: str
    ) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db", mode)
        with opened(bench.path) as pid:
            await restore.refuses(bench, name, f"process {pid} has it open", "stop the bot")
        assert (await restore(bench, name, "--yes"))[0] == 0

    @pytest.mark.parametrize(
        ("mode", "statement"),
        [("WAL", "SELECT 1"), ("WAL", "BEGIN IMMEDIATE"), ("DELETE", "BEGIN IMMEDIATE")],
    )
    async def test_one_whose_process_cannot_be_seen_is_told_by_its_lock(
        self,
        tmp_path: Path,
        restore: Said,
        monkeypatch: pytest.MonkeyPatch,
        mode: str,
        statement: str,
    ) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db", mode)
        monkeypatch.setattr(restoring, "_find_holders", lambda _: [])
        with opened(bench.path, statement):
            await restore.refuses(bench, name, "another program", "stop the bot")

    async def test_so_is_one_that_keeps_everybody_out(
        self, tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db")
        monkeypatch.setattr(restoring, "_find_holders", lambda _: [])
        with opened(bench.path, "BEGIN EXCLUSIVE"):
            await restore.refuses(bench, name, "another program holds its lock")

    async def test_nobody_can_read_or_write_until_the_new_file_is_in_place(
        self, tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench, name, before = await repaired(tmp_path / "bot.db")
        copy, tried = restoring._copy, list[int]()

        def meanwhile(*args: Any) -> None:
            code = f"import sqlite3; sqlite3.connect({str(bench.path)!r}, timeout=0).execute("
            code += "'SELECT * FROM kv').fetchall()"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True)
            assert b"locked" in done.stderr
            tried.append(done.returncode)
            copy(*args)

        monkeypatch.setattr(restoring, "_copy", meanwhile)
        assert (await restore(bench, name, "--yes"))[0] == 0
        assert tried == [1] and bench.bytes() == before

    async def test_another_notebook_that_writes(self, tmp_path: Path, restore: Said) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db")
        with hold_lock(bench.path):
            await restore.refuses(bench, name, "Another notebook or command")


class TestRefused:
    async def test_an_unknown_run(self, tmp_path: Path, restore: Said) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db")
        await restore.refuses(bench, "nonsense", "There is no run nonsense", name)

    async def test_a_backup_that_is_gone_or_was_moved(self, tmp_path: Path, restore: Said) -> None:
        bench, name, before = await repaired(tmp_path / "bot.db")
        [backup] = bench.backups()
        (tmp_path / "safe").mkdir()
        shutil.move(backup, tmp_path / "safe")
        await restore.refuses(bench, name, f"there is no {backup}", "--backup-dir", "undo")
        assert (await restore(bench, name, "--yes", "--backup-dir", "safe"))[0] == 0
        assert bench.bytes() == before

    async def test_a_restore_that_had_nothing_to_keep(self, tmp_path: Path, restore: Said) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db")
        bench.path.unlink()
        await restore(bench, name, "--yes")
        await restore.refuses(bench, Journal(bench.path).runs()[-1].id, "There is no backup of run")

    async def test_a_snapshot(self, tmp_path: Path) -> None:
        with pytest.raises(ToolkitError, match="looks at a snapshot"):
            await plan_going_back(Sides(Convention(), snapshot=tmp_path / "shot.json"), "run")

    async def test_nobody_is_there_to_be_asked(self, tmp_path: Path, restore: Said) -> None:
        bench, name, _ = await repaired(tmp_path / "bot.db")
        code, _, err = await restore(bench, name)
        assert code == 1 and "give --yes; nothing was written" in err


@pytest.mark.parametrize("answer", [True, False])
async def test_on_a_terminal_it_asks(
    tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch, answer: bool
) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db")
    asked: list[str] = []

    def agree(question: str) -> bool:
        asked.append(question)
        return answer

    monkeypatch.setattr(write, "someone_there", lambda: True)
    monkeypatch.setattr(write, "agree", agree)
    code, out, err = await restore(bench, name)
    assert code == (0 if answer else 1) and (bench.bytes() == before) is answer
    assert str(bench.path) in asked[0] and "will not be in the database" in out
    assert answer or err == f"{output.Cancelled.__name__}; nothing was written.\n"


async def test_a_full_disk_leaves_everything_as_it_was(
    tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, name, _ = await repaired(tmp_path / "bot.db")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    after = bench.bytes()
    await restore.refuses(bench, name, "No space left on device", str(bench.path))
    assert bench.bytes() == after


async def test_where_files_have_one_name_only_the_database_is_copied(
    tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db")
    after = bench.bytes()

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert (await restore(bench, name, "--yes"))[0] == 0 and bench.bytes() == before
    [kept] = tmp_path.glob("*.before-restore.backup")
    assert Bench(kept).bytes() == after


async def test_a_journal_that_cannot_be_told_is_a_warning(
    tmp_path: Path, restore: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db")

    def full(*_: object) -> None:
        raise StoreError("The disk is full.")

    monkeypatch.setattr(Journal, "finish", full)
    code, _, err = await restore(bench, name, "--yes")
    assert code == 0 and bench.bytes() == before
    assert err == "The database is replaced, but: The disk is full.\n"


async def test_through_a_link_the_database_itself_is_replaced(
    tmp_path: Path, restore: Said
) -> None:
    bench, name, before = await repaired(tmp_path / "bot.db")
    link = Bench(tmp_path / "link.db")
    link.path.symlink_to(bench.path)
    assert (await restore(link, name, "--yes"))[0] == 0
    assert link.path.is_symlink() and bench.bytes() == before
    with closing(sqlite3.connect(bench.path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
