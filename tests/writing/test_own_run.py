"""Who applies is told of the run that was theirs, whoever else writes; the journal isn't read for that."""

import asyncio
import errno
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import nio
import pytest

import toolkit.cli
from tests.bench import A1, BOB, BOT, TOKEN, UB, Bench, small_rows
from tests.boards import look
from tests.clients import nio_client
from toolkit import ChatManager, SQLiteStore, StoreError, reconcile_matrix_state
from toolkit.database.journal import Journal, Run, RunJournal
from toolkit.testing import FakeHomeserver, Fault, Hook

ROOT = Path(__file__).parent.parent.parent
START_UP = """
import asyncio, sys
from nio import AsyncClient
from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state

async def start(url, user, token, database):
    client = AsyncClient(url, user)
    client.restore_login(user, "D", token)
    async with SQLiteStore(database) as store:
        await reconcile_matrix_state(client, store, ChatManager(store))
    await client.close()

asyncio.run(start(*sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def elsewhere(bench: Bench, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test."""
    monkeypatch.chdir(bench.path.parent)
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    async with nio_client(server.url, BOT, TOKEN) as found:
        yield found


def runs(bench: Bench) -> list[Run]:
    return Journal(bench.path).runs()


async def start_up(client: nio.AsyncClient, path: Path) -> None:
    """What the bot does before its first message."""
    async with SQLiteStore(path) as store:
        await reconcile_matrix_state(client, store, ChatManager(store))


@pytest.fixture
def start(bench: Bench, server: FakeHomeserver) -> Callable[[], Any]:
    """The bot's start-up in a process of its own, from its beginning to its end."""
    command = [sys.executable, "-c", START_UP, server.url, BOT, TOKEN, str(bench.path)]
    return lambda: asyncio.to_thread(subprocess.run, command, cwd=ROOT, check=True)


@pytest.fixture
def unreadable(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the end of the first run on there is no descriptor left to read the journal with."""
    read, finish = Path.read_text, RunJournal.finish

    def refuse(path: Path, *args: Any, **named: Any) -> str:
        if path.suffix == ".jsonl":
            raise OSError(errno.EMFILE, "Too many open files")
        return read(path, *args, **named)

    async def finish_and_refuse(journal: RunJournal, run: Run) -> None:
        await finish(journal, run)
        monkeypatch.setattr(Path, "read_text", refuse)

    monkeypatch.setattr(RunJournal, "finish", finish_and_refuse)


@pytest.fixture
def untold(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for the outcome in the journal."""

    async def fail(journal: RunJournal, run: Run) -> None:
        raise StoreError("No space left.")

    monkeypatch.setattr(RunJournal, "finish", fail)


class TestASession:
    async def test_doesnt_take_the_run_of_a_bot_that_starts_in_its_process_for_its_own(
        self, bench: Bench, server: FakeHomeserver, client: nio.AsyncClient
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        begun = asyncio.Event()
        server.fault(Fault("/joined_rooms$", Hook(begun.set), times=1))
        bot = asyncio.create_task(start_up(client, bench.path))
        await begun.wait()
        done = await session.apply()
        await bot
        [run] = runs(bench)
        assert run.action == "start-up" and {e.unit for e in run.applied} == {"!a1", "!a2", BOB}
        assert (done.run, done.backup, done.rows, done.stale) == (None, None, 0, {})
        assert "takes this back" not in repr(done)

    async def test_nor_that_of_one_that_starts_elsewhere(
        self, bench: Bench, server: FakeHomeserver, start: Callable[[], Any]
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        server.fault(Fault("/joined_rooms$", Hook(start), times=1))
        done = await session.apply()
        assert [run.action for run in runs(bench)] == ["start-up"]
        assert (done.run, done.backup, done.rows) == (None, None, 0)
        assert "was written meanwhile" in done.stale["!a1"]
        assert len(session.history()) == 1  # where the bot's is to be seen all the same

    async def test_tells_its_own_where_the_bot_wrote_right_after_it(
        self,
        bench: Bench,
        server: FakeHomeserver,
        start: Callable[[], Any],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        rows_left = session._applying._rows_left

        async def late() -> Any:
            await start()
            return await rows_left()

        monkeypatch.setattr(session._applying, "_rows_left", late)
        done = await session.apply()
        own, bots = runs(bench)
        assert (own.action, bots.action) == ("approved", "start-up")
        assert (done.run, done.rows, str(done.backup)) == (own.id, 2, own.backup)

    async def test_cancelled_it_doesnt_take_the_bots_run_for_its_own_either(
        self, bench: Bench, server: FakeHomeserver, start: Callable[[], Any]
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")

        async def start_and_cancel() -> None:
            await start()
            session.cancel()

        server.fault(Fault("/joined_rooms$", Hook(start_and_cancel), times=1))
        done = await session.apply()
        assert (done.cancelled, done.run, done.rows) == (True, None, 0)

    async def test_says_what_it_wrote_also_when_the_journal_cant_be_read_then(
        self, bench: Bench, server: FakeHomeserver, unreadable: None
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        done = await session.apply()
        assert (done["restored_room_meta"], done.rows) == (["!a1"], 2)
        assert done.run and done.backup and done.backup.exists()
        assert "of before: Can't read the journal" in done.warning

    async def test_takes_back_also_when_the_journal_cant_be_read_then(
        self, bench: Bench, server: FakeHomeserver, request: pytest.FixtureRequest
    ) -> None:
        session, before = await look(bench, server), bench.bytes()
        session.approve("!a1")
        run = (await session.apply()).run
        request.getfixturevalue("unreadable")
        done = await session.undo()
        assert (done.rows, bench.bytes()) == (2, before) and done.run not in (None, run)
        assert "of before: Can't read the journal" in done.warning

    async def test_says_that_the_journal_couldnt_be_told(
        self, bench: Bench, server: FakeHomeserver, untold: None
    ) -> None:
        session = await look(bench, server)
        session.approve("!a1")
        done = await session.apply()
        assert done.rows == 2 and done.run and "No space left." in done.warning


class TestTheCommand:
    async def test_doesnt_take_the_run_of_a_bot_that_starts_meanwhile_for_its_own(
        self,
        bench: Bench,
        server: FakeHomeserver,
        start: Callable[[], Any],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        server.fault(Fault("/joined_rooms$", Hook(start), after=1, times=1))
        code = await asyncio.to_thread(toolkit.cli.run, ["apply", "--json", "!a1"])
        told = json.loads(capsys.readouterr().out)
        assert [run.action for run in runs(bench)] == ["start-up"]
        assert (code, told["run"], told["backup"]) == (2, None, None)
        assert "was written meanwhile" in told["not_written"]["!a1"]
        assert told["report"]["restored_room_meta"] == []

    async def test_ends_as_written_also_when_the_journal_cant_be_read_then(
        self, bench: Bench, unreadable: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        code = await asyncio.to_thread(toolkit.cli.run, ["apply", "--approve-certain"])
        told = capsys.readouterr()
        assert (code, bench.row(A1)) == (0, small_rows()[A1]) and bench.row(UB)
        assert "Written: 1 user row restored, 2 room rows restored" in told.out
        assert "Backup:" in told.out and "matrix-drift undo" in told.out
        assert "journal" not in told.err

    async def test_says_once_that_the_journal_couldnt_be_told(
        self, bench: Bench, untold: None, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert await asyncio.to_thread(toolkit.cli.run, ["apply", "!a1"]) == 0
        told = capsys.readouterr()
        assert told.err.count("No space left.") == 1 and "matrix-drift undo" in told.out
