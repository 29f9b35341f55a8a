"""A fleet on a real Dask cluster of two worker processes: nothing is lost, and no token is anywhere."""

from __future__ import annotations

import importlib.util
import os
import pickle
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from tests.bench import A1, BOT, small_world
from tests.fleet.yard import TOKEN, Yard, adrift_rows
from toolkit import ToolkitError, fleet
from toolkit.database.journal import Journal
from toolkit.fleet.outcome import Outcome, State
from toolkit.fleet.run import Where, run_fleet, tasks_of
from toolkit.fleet.settings import Fleet
from toolkit.fleet.task import Action
from toolkit.testing import FakeHomeserver, Fault, Status
from toolkit.testing.faults import Delay

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("distributed") is None,
        reason="Dask is not installed: pip install 'matrix-drift[fleet]'",
    ),
]
ROOT = Path(__file__).parent.parent.parent
BOTS = 50


@asynccontextmanager
async def cluster(processes: bool = True, **options: Any) -> AsyncIterator[Any]:
    """Two workers of four threads, in processes of their own, unless told otherwise."""
    from distributed import LocalCluster

    # None would be Dask's own port, which another cluster of this machine may have.
    free = "127.0.0.1:0"
    settings = {"n_workers": 2, "threads_per_worker": 4, "dashboard_address": free, **options}
    settings.setdefault("protocol", "tcp://")
    async with LocalCluster(processes=processes, asynchronous=True, **settings) as found:
        yield found


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What worker processes inherit."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("FLEET_TEST_TOKEN", TOKEN)


class Killing:
    """Calls `kill` as soon as so many bots are done, and knows how many ran then."""

    def __init__(self, after: int, kill: Any) -> None:
        self.after, self.kill = after, kill
        self.begun_bots: set[str] = set()
        self.ended_bots: list[str] = []
        self.running = 0

    def begun(self, bot: str) -> None:
        self.begun_bots.add(bot)

    def told(self, bot: str, done: int, total: int, word: str) -> None:
        """Words of workers."""

    async def ended(self, outcome: Outcome) -> None:
        self.ended_bots.append(outcome.line.bot)
        if len(self.ended_bots) == self.after:
            self.running = len(self.begun_bots - set(self.ended_bots))
            self.kill()


def ways() -> Iterator[dict[str, str]]:
    found = {"file": "token", "env": "FLEET_TEST_TOKEN", "command": "cat token"}
    return cycle({f"access_token_{way}": value} for way, value in found.items())


async def test_fifty_bots_outlive_a_killed_worker_and_no_token_is_left_anywhere(
    yard: Yard, homeserver: FakeHomeserver, capfd: pytest.CaptureFixture[str]
) -> None:
    homeserver.fault(Fault("/", Delay(0.05)))
    async with FakeHomeserver(small_world().rooms, BOT, TOKEN) as quoting:
        quoting.fault(Fault("/", Status(500, {"errcode": "M_X", "error": f"no {TOKEN}"})))
        source = ways()
        for number in range(BOTS):
            url = quoting.url if number == 7 else homeserver.url
            yard.add(f"bot-{number}", url, adrift_rows(), **next(source))
        async with cluster() as found:
            workers, known = [*found.workers.values()], list[str]()

            def kill() -> None:
                known.append(_known_to(found.scheduler))
                os.kill(workers[0].pid, signal.SIGKILL)

            killing = Killing(16, kill)
            where = Where(Fleet.read(yard.file), yard.results, scheduler=found.scheduler_address)
            tasks = tasks_of(where.fleet, Action.CHECK)
            outcomes = await run_fleet(where, tasks, killing)
            logs = repr(await found.scheduler.broadcast(msg={"op": "get_logs"}))
            known.append(_known_to(found.scheduler))
    said = "".join(capfd.readouterr())
    assert killing.running > 0  # bots were in the middle of it
    assert [outcome.line.bot for outcome in outcomes] == [f"bot-{n}" for n in range(BOTS)]
    assert sorted(killing.ended_bots) == sorted({f"bot-{number}" for number in range(BOTS)})
    states = [outcome.line.state for outcome in outcomes]
    assert states[7] is State.FAILED and {*states[:7], *states[8:]} == {State.DRIFT}
    assert len(outcomes[7].line.reason or "") > 20
    results = fleet.load(yard.results)
    assert len(results) == BOTS and len(results.drift) == 2 * (BOTS - 1)
    files = sorted(yard.results.iterdir())
    assert [path.suffix for path in files] == [".parquet"] * BOTS
    packed = pickle.dumps((tasks, outcomes)).decode("latin-1")
    assert "FLEET_TEST_TOKEN" in known[0]  # that is what it knows instead
    for held in (said, logs, *known, packed, *map(_text, files)):
        assert TOKEN not in held


def _known_to(scheduler: Any) -> str:
    """What a scheduler holds: its tasks with what they run, what happened, and what it logged."""
    tasks = [(task.key, pickle.dumps(task.run_spec)) for task in scheduler.tasks.values()]
    events = dict(scheduler._broker.get_events())
    assert events
    return repr((tasks, events, scheduler.get_logs(), [*scheduler.transition_log]))


def _text(path: Path) -> str:
    return path.read_bytes().decode("latin-1")


async def test_what_is_written_over_tls_is_written_once_with_journal_and_backup(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    from distributed.security import Security

    benches = [yard.add(f"bot-{n}", homeserver.url, adrift_rows()) for n in range(3)]
    yard.tables["bot-2"]["worker"] = "nowhere"
    yard.write()
    security = Security.temporary()
    ca = _file(yard.folder / "ca.pem", security.tls_ca_file)
    cert = _file(yard.folder / "cert.pem", security.tls_client_cert)
    key = _file(yard.folder / "key.pem", security.tls_client_key)
    async with cluster(processes=False, security=security, protocol="tls://") as found:
        address = found.scheduler_address
        assert address.startswith("tls://")
        where = Where(Fleet.read(yard.file), yard.results, scheduler=address, tls=(ca, cert, key))
        tasks = tasks_of(where.fleet, Action.APPLY, certain=True)
        first = await run_fleet(where, tasks)
        again = await run_fleet(where, tasks)
        stranger = Where(where.fleet, yard.results, scheduler=address)
        with pytest.raises(ToolkitError, match="can't be reached"):
            await run_fleet(stranger, tasks)
    written = [outcome.written and outcome.written.rows for outcome in first]
    assert written == [1, 1, None]
    assert [outcome.written and outcome.written.rows for outcome in again] == [0, 0, None]
    assert first[2].line.reason == "There is no worker 'nowhere' in the cluster."
    for bench in benches[:2]:
        assert bench.row(A1)
        assert len(Journal(bench.path).runs()) == 1
        assert len([*yard.folder.glob(f"{bench.path.name}.*.backup")]) == 1


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_nothing_is_written_over_a_scheduler_without_tls_unless_told_so(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    bench = yard.add("desk", homeserver.url, adrift_rows())
    one = Fleet.read(yard.file)
    tasks = tasks_of(one, Action.APPLY, certain=True)
    with pytest.raises(ToolkitError, match="Over a scheduler without TLS nothing is written"):
        await run_fleet(Where(one, yard.results, scheduler="tcp://127.0.0.1:1"), tasks)
    for strange in ("http://127.0.0.1:1", "tls://", "127.0.0.1:8786"):
        with pytest.raises(ToolkitError, match="must be named as tcp://HOST:PORT or tls://"):
            await run_fleet(Where(one, yard.results, scheduler=strange), tasks)
    async with cluster(processes=False, n_workers=1) as found:
        where = Where(one, yard.results, scheduler=found.scheduler_address, insecure=True)
        [outcome] = await run_fleet(where, tasks)
    assert outcome.written and outcome.written.rows == 1
    assert bench.row(A1)


async def test_a_cluster_that_is_not_there_or_has_no_worker_is_said_in_a_sentence(
    yard: Yard, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toolkit.fleet import cluster as on_dask

    monkeypatch.setattr(on_dask, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(on_dask, "WORKER_SECONDS", 0.5)
    yard.add("desk", homeserver.url)
    with pytest.raises(ToolkitError, match=r"tcp://127\.0\.0\.1:1 can't be reached"):
        await fleet.check(yard.file, scheduler="tcp://127.0.0.1:1")
    missing = Where(
        Fleet.read(yard.file),
        yard.results,
        scheduler="tls://127.0.0.1:1",
        tls=(yard.folder / "no.pem", None, None),
    )
    with pytest.raises(ToolkitError, match=r"There is no file .*no\.pem"):
        await run_fleet(missing, tasks_of(missing.fleet, Action.CHECK))
    async with cluster(processes=False, n_workers=0) as found:
        with pytest.raises(ToolkitError, match="has no worker"):
            await fleet.check(yard.file, scheduler=found.scheduler_address)


async def test_a_bot_whose_worker_keeps_dying_is_a_line_with_its_reason(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    """What Dask raises for a task becomes that bot's failure, and the others' results stay."""
    from distributed import CancelledError, KilledWorker

    from toolkit.fleet.cluster import _outcome
    from toolkit.fleet.task import Task

    yard.add("desk", homeserver.url)
    [bot] = Fleet.read(yard.file).bots

    async def reason(error: Exception) -> str:
        class Raising:
            async def result(self) -> Outcome:
                raise error

        found = await _outcome(Raising, Task(bot))
        assert found.failed
        return found.line.reason or ""

    assert "Its worker died" in await reason(KilledWorker("key", "worker", 3))
    absent = ModuleNotFoundError("no toolkit", name="toolkit")
    assert "lacks the package toolkit" in await reason(absent)
    assert "The scheduler was lost" in await reason(CancelledError("key"))
    assert await reason(RuntimeError(TOKEN)) == "The cluster gave no result: RuntimeError."
