"""One apply or undo at a time on a database, whatever kernel or command began it; the bot is not refused."""

import asyncio
import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nio import AsyncClient

from tests.bench import A1, BOB, BOT, TOKEN, Bench
from tests.boards import look
from toolkit import ChatManager, SQLiteStore, ToolkitError, reconcile_matrix_state
from toolkit.board import find_model
from toolkit.cli.options import Where
from toolkit.database.contract import BUSY
from toolkit.database.lock import SUFFIX, hold_lock
from toolkit.decisions.ledger import Vote
from toolkit.model import Plan
from toolkit.repairs import Repairs, take_back
from toolkit.testing import FakeHomeserver, Fault, Hook

ROOT = Path(__file__).parent.parent.parent
HOLD = """import sys, time
from pathlib import Path
from toolkit.database.lock import hold_lock
with hold_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)"""
COUNT = """import sys
from pathlib import Path
from toolkit.errors import ToolkitError
from toolkit.database.lock import hold_lock
database, left = Path(sys.argv[1]), 100
while left:
    try:
        with hold_lock(database):
            count = int(database.read_text())
            database.write_text("")
            database.write_text(str(count + 1))
            left -= 1
    except ToolkitError:
        pass"""


@pytest.fixture
def lock(bench: Bench) -> Path:
    return bench.path.with_name(bench.path.name + SUFFIX)


@pytest.fixture
def other(bench: Bench) -> Iterator["subprocess.Popen[str]"]:
    """Another process that is in the middle of a run."""
    with start(HOLD, bench.path) as process:
        assert process.stdout and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def start(code: str, path: Path) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def plant(lock: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the file to another account; who isn't root only sees it so."""
    if os.geteuid() == 0:
        os.chown(lock, 12345, 12345)
        return
    lstat = Path.lstat

    def foreign(path: Path) -> os.stat_result:
        found = list(lstat(path))
        found[4] = 12345 if path == lock else found[4]
        return os.stat_result(found)

    monkeypatch.setattr(Path, "lstat", foreign)


def die(process: "subprocess.Popen[str]") -> None:
    process.kill()
    assert process.wait() == -signal.SIGKILL


class TestWhileAnotherProcessWrites:
    async def test_apply_is_refused_at_once_and_what_was_approved_stays_so(
        self, bench: Bench, server: FakeHomeserver, other: "subprocess.Popen[str]"
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        before = bench.path.read_bytes()
        async with asyncio.timeout(2):
            with pytest.raises(ToolkitError) as refused:
                await session.apply()
        assert str(refused.value) == BUSY
        assert bench.path.read_bytes() == before and not bench.journal.exists()
        assert session.plan.votes["!a1"] is Vote.APPROVED
        die(other)
        assert (await session.apply()).rows == 2

    async def test_undo_is_refused_too(
        self, bench: Bench, server: FakeHomeserver, lock: Path
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        before = bench.bytes()
        await session.apply()
        with start(HOLD, bench.path) as process:
            assert process.stdout and process.stdout.readline()
            with pytest.raises(ToolkitError, match="Another notebook or command"):
                await session.undo()
            assert bench.row(A1)
            die(process)
        assert lock.exists()  # left by the killed one, held by nobody
        await session.undo()
        assert bench.bytes() == before and not lock.exists()

    async def test_the_board_says_so_and_goes_on_once_it_has_ended(
        self, bench: Bench, server: FakeHomeserver, other: "subprocess.Popen[str]"
    ) -> None:
        model = find_model(await look(bench, server))
        model.decide("!a1", "approve")
        with pytest.raises(ToolkitError):
            await model.start_apply()
        assert model.message == BUSY and model.failed and not model.running
        assert model.counts().approved_units == 1
        die(other)
        await model.start_apply()
        assert model.results["!a1"].state == "applied"

    async def test_the_command_line_is_refused(
        self, bench: Bench, other: "subprocess.Popen[str]"
    ) -> None:
        before = bench.path.read_bytes()
        sides = Where(database=str(bench.path)).sides()
        with pytest.raises(ToolkitError, match="Another notebook or command"):
            await Repairs(sides).write(Plan(account=BOT, joined=()), {}, None, None)
        with pytest.raises(ToolkitError, match="Another notebook or command"):
            await take_back(sides, "run", None)
        assert bench.path.read_bytes() == before

    async def test_the_bot_is_not_refused(
        self, bench: Bench, server: FakeHomeserver, other: "subprocess.Popen[str]"
    ) -> None:
        client = AsyncClient(server.url, BOT)
        client.access_token = TOKEN
        async with SQLiteStore(bench.path) as store:
            report = await reconcile_matrix_state(client, store, ChatManager(store))
        await client.close()
        assert report["restored_user_meta"] == [BOB] and other.poll() is None

    async def test_another_database_is_free(
        self, tmp_path: Path, other: "subprocess.Popen[str]"
    ) -> None:
        (tmp_path / "more").mkdir()
        for path in (tmp_path / "other.db", tmp_path / "more" / "bot.db"):
            with hold_lock(path):
                pass

    async def test_through_a_link_it_is_the_same_database(
        self, bench: Bench, other: "subprocess.Popen[str]"
    ) -> None:
        link = bench.path.with_name("link.db")
        link.symlink_to(bench.path)
        with pytest.raises(ToolkitError), hold_lock(link):
            pass


async def test_what_another_session_has_written_is_not_told_as_ones_own(
    bench: Bench, server: FakeHomeserver
) -> None:
    one, two = await look(bench, server), await look(bench, server)
    one.approve("!a1")
    two.approve("!a1")
    assert (await one.apply()).rows == 2
    with pytest.raises(ToolkitError, match="changed elsewhere"):
        await two.apply()
    late = await two.apply()
    assert (late.rows, late.run) == (0, None) and len(two.history()) == 1


class TestTheFile:
    async def test_none_is_left_behind(
        self, bench: Bench, server: FakeHomeserver, lock: Path
    ) -> None:
        before = bench.path.read_bytes()
        session = await look(bench, server)
        await session.apply()  # nothing is approved
        assert bench.path.read_bytes() == before and not lock.exists()
        session.approve("!a1")
        await session.apply()
        assert not lock.exists()

    async def test_a_cancelled_run_lets_go(
        self, bench: Bench, server: FakeHomeserver, lock: Path
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        begun = asyncio.Event()
        server.fault(Fault("/joined_rooms$", Hook(begun.set), times=1))
        running = asyncio.create_task(session.apply())
        await begun.wait()
        assert lock.exists() and session.cancel()
        assert (await running).cancelled and not lock.exists()
        assert (await session.apply()).rows == 2

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
    def test_it_is_open_to_its_owner_alone(self, bench: Bench, lock: Path, mode: int) -> None:
        bench.path.chmod(mode)
        old = os.umask(0)
        try:
            with hold_lock(bench.path):
                assert stat.S_IMODE(lock.stat().st_mode) == 0o600
            lock.touch(0o666)  # an earlier version's, left by a crash
            with hold_lock(bench.path):
                assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        finally:
            os.umask(old)

    def test_another_accounts_is_named_and_not_waited_for(
        self, bench: Bench, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock.touch()
        plant(lock, monkeypatch)
        with lock.open() as theirs:
            fcntl.flock(theirs, fcntl.LOCK_EX)
            with pytest.raises(ToolkitError) as refused, hold_lock(bench.path):
                pass
        assert f"{lock} belongs to another account (uid 12345)" in str(refused.value)
        assert lock.exists()

    def test_one_that_cannot_be_opened_is_named_too(
        self, bench: Bench, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock.touch()
        plant(lock, monkeypatch)
        opened = os.open

        def refuse(path: Any, flags: int, mode: int = 0o777) -> int:
            if path == lock:
                raise PermissionError
            return opened(path, flags, mode)

        monkeypatch.setattr(os, "open", refuse)
        with pytest.raises(ToolkitError, match="another account"), hold_lock(bench.path):
            pass

    def test_root_takes_turns_with_the_databases_owner(
        self, bench: Bench, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        lock.touch()
        monkeypatch.setattr(os, "geteuid", lambda: 12345)
        again = pytest.raises(ToolkitError, match="Another notebook")
        with hold_lock(bench.path), again, hold_lock(bench.path):
            pass
        assert not lock.exists()

    def test_what_stands_in_its_place_is_left_alone_and_named(
        self, bench: Bench, lock: Path, tmp_path: Path
    ) -> None:
        mine = tmp_path / "mine"
        mine.write_text("mine")
        mine.chmod(0o600)
        bench.path.chmod(0o666)
        lock.symlink_to(mine)
        with pytest.raises(ToolkitError, match="is no lock file"), hold_lock(bench.path):
            pass
        assert lock.is_symlink() and mine.read_text() == "mine"
        assert stat.S_IMODE(mine.stat().st_mode) == 0o600

    def test_where_it_cannot_be_made_the_run_itself_says_why(self, tmp_path: Path) -> None:
        entered = False
        with hold_lock(tmp_path / "no folder" / "bot.db"):
            entered = True
        assert entered

    def test_for_a_database_that_is_gone_it_is_narrow_and_removed(self, tmp_path: Path) -> None:
        old = os.umask(0)
        try:
            with hold_lock(tmp_path / "gone.db"):
                [lock] = tmp_path.iterdir()
                assert stat.S_IMODE(lock.stat().st_mode) == 0o600
        finally:
            os.umask(old)
        assert list(tmp_path.iterdir()) == []

    def test_a_file_system_without_locks_is_as_before(
        self, bench: Bench, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refuse(*_: Any) -> None:
            raise OSError

        monkeypatch.setattr(fcntl, "flock", refuse)
        with hold_lock(bench.path), hold_lock(bench.path):
            pass
        assert not lock.exists()

    def test_a_system_without_them_is_as_before(
        self, bench: Bench, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "fcntl", None)
        with hold_lock(bench.path), hold_lock(bench.path):
            pass
        assert not lock.exists()

    def test_removed_just_before_it_was_locked_it_is_made_anew(
        self, bench: Bench, lock: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        flock, locked = fcntl.flock, list[int]()

        def late(handle: int, operation: int) -> None:
            flock(handle, operation)
            locked.append(handle)
            if len(locked) == 1:
                lock.unlink()

        monkeypatch.setattr(fcntl, "flock", late)
        with hold_lock(bench.path):
            assert lock.exists() and len(locked) == 2
            with pytest.raises(ToolkitError), hold_lock(bench.path):
                pass

    @pytest.mark.slow
    def test_many_processes_take_turns(self, tmp_path: Path) -> None:
        path = tmp_path / "count"
        path.write_text("0")
        processes = [start(COUNT, path) for _ in range(4)]
        for process in processes:
            with process:
                assert process.wait(60) == 0
        assert path.read_text() == "400" and list(tmp_path.iterdir()) == [path]
