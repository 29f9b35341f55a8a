"""Bots that share a database are written to one after the other, by themselves, and hold nobody else up."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import pytest

from tests.bench import A1, text
from tests.fleet.sharing import ON_SERVER, SHARED, in_file, on_server, share_file, share_server
from tests.fleet.test_cluster import cluster, environment  # noqa: F401 - a fixture
from tests.fleet.test_here import Heard
from tests.fleet.yard import Yard, adrift_rows
from toolkit import fleet
from toolkit.database.journal import Journal
from toolkit.fleet.outcome import Outcome, State
from toolkit.fleet.run import Where, run_fleet, tasks_of
from toolkit.fleet.settings import Fleet
from toolkit.fleet.task import Action, Task
from toolkit.fleet.turns import in_turn
from toolkit.testing import FakeHomeserver, Fault
from toolkit.testing.faults import Delay


class Together(Heard):
    """Also who ran beside whom."""

    def __init__(self) -> None:
        super().__init__()
        self.pairs: set[frozenset[str]] = set()

    def begun(self, bot: str) -> None:
        self.pairs |= {frozenset((bot, other)) for other in self.running}
        super().begun(bot)


def repaired(rows: dict[str, str]) -> bool:
    """Whether the row that was gone is there, and all others are as they were."""
    others = {key: raw for key, raw in rows.items() if key != A1}
    before = {key: text(row) for key, row in adrift_rows().items()}
    return json.loads(rows[A1])["chat_id"] == "C1" and others == before


async def test_bots_in_one_file_wait_for_each_other_and_keep_no_place_meanwhile(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    homeserver.fault(Fault("/", Delay(0.02)))
    share_file(yard, homeserver.url)
    benches = [yard.add(name, homeserver.url, adrift_rows()) for name in ("own", "other")]
    heard = Together()
    results = await fleet.apply(yard.file, certain=True, at_once=2, watcher=heard)
    assert [line.reason for line in results.lines] == [None] * 6
    assert results.bots["rows_written"].tolist() == [1] * 6
    assert all(repaired(in_file(yard, name)) for name in SHARED)
    assert all(bench.row(A1) for bench in benches)
    assert len(Journal(yard.folder / "shared.db").runs()) == len(SHARED)
    assert not any(pair < {*SHARED} for pair in heard.pairs)
    assert heard.most == 2
    assert heard.ends.index("own") < heard.ends.index("four")


async def test_reading_needs_no_order(yard: Yard, homeserver: FakeHomeserver) -> None:
    homeserver.fault(Fault("/", Delay(0.02)))
    share_file(yard, homeserver.url)
    heard = Together()
    results = await fleet.check(yard.file, watcher=heard)
    assert {line.state for line in results.lines} == {State.DRIFT}
    assert heard.most == len(SHARED)


async def test_bots_in_tables_of_one_server_are_written_to_at_once(
    yard: Yard, homeserver: FakeHomeserver, dsn: str
) -> None:
    homeserver.fault(Fault("/", Delay(0.02)))
    share_server(yard, homeserver.url, dsn)
    heard = Together()
    results = await fleet.apply(yard.file, certain=True, watcher=heard)
    assert [line.reason for line in results.lines] == [None] * 3
    assert all(repaired(on_server(dsn, name)) for name in ON_SERVER)
    assert heard.most == 3


@pytest.mark.slow
async def test_on_a_cluster_nothing_is_lost_either(
    yard: Yard, homeserver: FakeHomeserver, dsn: str
) -> None:
    homeserver.fault(Fault("/", Delay(0.02)))
    share_file(yard, homeserver.url)
    share_server(yard, homeserver.url, dsn)
    async with cluster() as found:
        address = found.scheduler_address
        where = Where(Fleet.read(yard.file), yard.results, scheduler=address, insecure=True)
        outcomes = await run_fleet(where, tasks_of(where.fleet, Action.APPLY, certain=True))
    assert [outcome.line.reason for outcome in outcomes] == [None] * 7
    assert [outcome.written and outcome.written.rows for outcome in outcomes] == [1] * 7
    assert all(repaired(in_file(yard, name)) for name in SHARED)
    assert all(repaired(on_server(dsn, name)) for name in ON_SERVER)
    assert len(Journal(yard.folder / "shared.db").runs()) == len(SHARED)


def queues(yard: Yard, *, machines: bool, action: Action = Action.APPLY) -> list[list[str]]:
    tasks = [Task(bot, action) for bot in Fleet.read(yard.file).bots]
    return [[task.bot.name for task in queue] for queue in in_turn(tasks, machines=machines)]


def test_on_several_machines_a_path_is_a_file_of_the_bots_worker(yard: Yard) -> None:
    share_file(yard, "http://127.0.0.1:1")
    yard.tables["three"]["worker"] = yard.tables["four"]["worker"] = "machine-2"
    yard.write()
    assert queues(yard, machines=False) == [[*SHARED]]
    assert queues(yard, machines=True) == [["one", "two"], ["three", "four"]]
    assert queues(yard, machines=True, action=Action.CHECK) == [[name] for name in SHARED]


def test_a_table_on_a_server_is_the_same_from_everywhere(
    yard: Yard, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, host in (("one", "localhost"), ("two", "127.0.0.1"), ("three", "elsewhere")):
        yard.tables[name] = {
            "homeserver": "http://127.0.0.1:1",
            "database": f"postgresql://bot@{host}/state",
            "access_token_file": "token",
        }
    yard.tables["two"]["worker"] = "machine-2"
    yard.write()
    assert queues(yard, machines=True) == [["one", "two"], ["three"]]
    for name in [name for name in sys.modules if name.startswith("toolkit.database.postgres")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "psycopg", None)
    yard.tables["two"]["database"] = yard.tables["one"]["database"]
    yard.write()
    assert queues(yard, machines=True) == [["one", "two"], ["three"]]  # by what the file says


async def test_a_path_that_is_none_is_that_bots_failure_alone(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    yard.add("good", homeserver.url)
    yard.add("bad", homeserver.url, database="a\0b.db")
    results = await fleet.apply(yard.file, certain=True)
    assert {line.bot: line.state for line in results.lines} == {
        "good": State.IN_SYNC,
        "bad": State.FAILED,
    }


class Ending:
    """Ends the scheduler as soon as the first bot is done."""

    def __init__(self, close: Callable[[], Awaitable[object]]) -> None:
        self.close = close

    def begun(self, bot: str) -> None:
        """Nobody needs to know."""

    def told(self, bot: str, done: int, total: int, word: str) -> None:
        """Nor that."""

    async def ended(self, outcome: Outcome) -> None:
        if not outcome.failed:
            await self.close()


@pytest.mark.slow
async def test_who_still_waits_when_the_scheduler_is_lost_is_a_line_too(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    share_file(yard, homeserver.url)
    async with cluster() as found:
        address = found.scheduler_address
        where = Where(Fleet.read(yard.file), yard.results, scheduler=address, insecure=True)
        tasks = tasks_of(where.fleet, Action.APPLY, certain=True)
        outcomes = await asyncio.wait_for(run_fleet(where, tasks, Ending(found.close)), 60)
    failed = [outcome.line.reason for outcome in outcomes if outcome.failed]
    assert failed == ["The scheduler was lost before it was done."] * 3
