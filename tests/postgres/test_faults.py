"""What a server and the way to it do to a run: a unit is written whole or not at all, and it is known which."""

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.bench import A1, A2, UB, states
from tests.killed import Order, killing
from tests.postgres.server_bench import ServerBench, as_worker
from tests.postgres.tcp_proxy import TcpProxy
from toolkit.database.postgres import transaction
from toolkit.database.postgres.store import PostgresStore
from toolkit.database.waiting import waiting_until
from toolkit.errors import OutcomeUnknown, StoreError
from toolkit.testing.postgres import Postgres
from toolkit.writing.undo import history, undo

_TERMINATE = """SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()"""


async def _outcomes(bench: ServerBench) -> list[set[str]]:
    """What the history says of each run's units, as a later look works it out."""
    async with bench.store(read_only=True) as store:
        return [{entry.outcome for entry in run.entries} for run in await history(store)]


@pytest.fixture
def role_bench(server_bench: ServerBench) -> ServerBench:
    """The same bot, whose role may read and write its table and make none."""
    server_bench.dsn = as_worker(server_bench.dsn)
    return server_bench


async def test_a_commit_whose_answer_is_lost_is_settled(server_bench: ServerBench) -> None:
    async with TcpProxy(server_bench.dsn) as proxy, server_bench.store() as direct:
        async with PostgresStore(proxy.dsn, beside=server_bench.path) as store:
            proxy.lose = True
            result = await server_bench.run(store)
            assert proxy.lost == 1
            assert set(states(result).values()) == {"applied"} and not result.warning
            assert not (await server_bench.run(store)).outcomes  # it goes on over a new connection
        [run] = await history(direct)
    assert run.finished and server_bench.row(A1) is not None


async def test_a_commit_that_never_arrived_is_settled_too(server_bench: ServerBench) -> None:
    before = server_bench.bytes()
    async with (
        TcpProxy(server_bench.dsn) as proxy,
        PostgresStore(proxy.dsn, beside=server_bench.path) as store,
    ):
        proxy.swallow = True
        with pytest.raises(OutcomeUnknown, match="answer to COMMIT was lost"):
            await server_bench.run(store)
        assert proxy.lost == 1
    assert server_bench.bytes() == before
    assert await _outcomes(server_bench) == [] and server_bench.backups() == []


async def test_a_role_without_a_table_for_the_journal_is_told_as_well(
    role_bench: ServerBench,
) -> None:
    async with (
        TcpProxy(role_bench.dsn) as proxy,
        PostgresStore(proxy.dsn, beside=role_bench.path) as store,
    ):
        proxy.lose = True
        result = await role_bench.run(store)
    assert proxy.lost == 1 and set(states(result).values()) == {"applied"}
    assert await _outcomes(role_bench) == [{"applied"}]
    assert role_bench.journal.exists()  # in a file, since there is no table


@pytest.mark.parametrize("gone", ["lose", "swallow"])
async def test_a_server_that_can_not_be_asked_leaves_it_to_the_history(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    monkeypatch.setattr(transaction, "ASKED_AGAIN", 0.3)
    async with (
        TcpProxy(server_bench.dsn) as proxy,
        PostgresStore(proxy.dsn, beside=server_bench.path) as store,
    ):
        proxy.refuse = True
        setattr(proxy, gone, True)
        with pytest.raises(StoreError, match="`matrix-drift history` tells"):
            await server_bench.run(store)
    told = await _outcomes(server_bench)
    assert told == [{"applied"}] if gone == "lose" else told in ([], [{"not applied"}])


async def test_a_server_that_hangs_does_not_make_us_hang(server_bench: ServerBench) -> None:
    async with TcpProxy(server_bench.dsn) as proxy:
        store = PostgresStore(proxy.dsn, beside=server_bench.path, answer_timeout=0.3)
        async with store:
            proxy.passes.clear()
            begun = time.monotonic()
            with pytest.raises(StoreError, match=r"no answer came within 0.3 s") as refused:
                await store.load_rows()
            assert time.monotonic() - begun < 3 and refused.value.concerns_all
            proxy.passes.set()
            assert await store.load_rows()


async def test_a_connection_that_is_cut_is_made_anew_for_the_next_call(
    server_bench: ServerBench,
) -> None:
    async with (
        TcpProxy(server_bench.dsn) as proxy,
        PostgresStore(proxy.dsn, beside=server_bench.path) as store,
    ):
        proxy.cut()
        with pytest.raises(StoreError):
            await store.load_rows()
        assert await store.load_rows()


@pytest.mark.parametrize("step", ["write", "note"])
async def test_a_backend_that_is_terminated_leaves_nothing_behind(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    before = server_bench.bytes()
    original = getattr(transaction.Transaction, step)

    async def terminated(self: Any, *args: Any) -> Any:
        await original(self, *args)
        server_bench.sql(_TERMINATE)
        return await original(self, *args)

    async with server_bench.store() as store:
        monkeypatch.setattr(transaction.Transaction, step, terminated)
        with pytest.raises(StoreError):
            await server_bench.run(store)
        monkeypatch.undo()
        assert server_bench.bytes() == before
        assert set(states(await server_bench.run(store)).values()) == {"applied"}


async def test_a_server_that_stops_is_said_so_and_found_again(
    postgres: Postgres, server_bench: ServerBench
) -> None:
    async with server_bench.store() as store:
        postgres.halt()
        with pytest.raises(StoreError) as refused:
            await server_bench.run(store)
        assert "Can't" in str(refused.value) and "throw-away" not in str(refused.value)
        with pytest.raises(StoreError, match="check that the server runs"):
            await store.load_rows()
        postgres.restart()
        assert await store.load_rows()


async def test_a_worker_that_holds_the_table_stops_us_and_not_the_others(
    server_bench: ServerBench,
) -> None:
    before = server_bench.bytes()
    async with server_bench.store(busy_timeout=1.5) as store:
        with psycopg.connect(server_bench.dsn) as holding:
            holding.execute("UPDATE kv SET value = value WHERE key = %s", (A2,))
            task = asyncio.create_task(server_bench.run(store))
            longest = 0.0
            while not task.done():
                begun = time.monotonic()
                await asyncio.to_thread(server_bench.put, {"other": {"n": 1}})
                longest = max(longest, time.monotonic() - begun)
            with pytest.raises(StoreError, match="another program holds its lock"):
                await task
        assert longest < 1.2  # a try waits 50 ms; behind one that waited they would wait 1500
        async with waiting_until(time.monotonic() + 5):
            assert "applied" in states(await server_bench.run(store)).values()
    assert server_bench.bytes() != before


@pytest.fixture(scope="module")
def killed() -> Iterator[Order]:
    with killing("tests.postgres.killed") as order:
        yield order


@pytest.mark.parametrize(
    ("step", "calls", "wrote"),
    [
        ("after backup", 1, False),
        ("after append", 1, False),
        ("after write", 1, False),
        ("after note", 1, False),
        ("before commit", 1, False),
        ("after commit", 1, True),
    ],
)
async def test_a_tool_that_is_killed_wrote_all_or_nothing_and_the_history_knows(
    server_bench: ServerBench, killed: Order, step: str, calls: int, wrote: bool
) -> None:
    before = server_bench.bytes()
    where = server_bench.dsn, str(server_bench.path)
    assert await asyncio.to_thread(killed, step, calls, *where) == -9
    told = await _outcomes(server_bench)
    if wrote:
        assert server_bench.row(UB) is not None and told == [{"applied"}]
        async with server_bench.store() as store:
            [run] = await history(store)
            await undo(store, run.id)
        assert server_bench.bytes() == before
    else:
        assert server_bench.bytes() == before and told in ([], [{"not applied"}])
        async with server_bench.store() as store:  # its lock went with it
            assert set(states(await server_bench.run(store)).values()) == {"applied"}


async def test_a_table_that_is_locked_is_said_in_time(server_bench: ServerBench) -> None:
    """As while a migration is open, or VACUUM FULL runs: that locks readers out as well."""
    with psycopg.connect(server_bench.dsn) as migration:
        async with server_bench.store(busy_timeout=0.2) as store:
            migration.execute("LOCK TABLE kv IN ACCESS EXCLUSIVE MODE")
            for doing in (store.load_rows(), store.get("matrix_user:@a:hs"), _backed_up(store)):
                with pytest.raises(StoreError, match="another program holds its lock"):
                    await doing
            migration.rollback()
            assert await store.load_rows()
        migration.execute("LOCK TABLE kv IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        with pytest.raises(StoreError, match="another program holds its lock") as refused:
            await server_bench.store(busy_timeout=0.2).open()
        assert time.monotonic() - began < 5 and refused.value.concerns_all
    with psycopg.connect(server_bench.dsn) as another:
        async with server_bench.store(busy_timeout=0.2) as store:
            await server_bench.run(store)
            another.execute("LOCK TABLE matrix_drift_journal IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(StoreError, match="another program holds its lock"):
                await history(store)


async def _backed_up(store: PostgresStore) -> object:
    return await store.backup(name="20261122T220345Z-3f2a")
