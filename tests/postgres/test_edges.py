"""What comes in between: a cancellation, a disk, a journal that isn't ours, a transaction that still ends."""

import asyncio
import errno
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.bench import A1, states
from tests.postgres.server_bench import ServerBench, as_worker
from tests.postgres.tcp_proxy import TcpProxy
from toolkit.database.postgres import backup, connection, journal, transaction
from toolkit.database.postgres.store import PostgresStore
from toolkit.errors import OutcomeUnknown, StoreError, ToolkitError
from toolkit.writing import apply
from toolkit.writing.undo import history, undo


async def test_a_cancelled_run_keeps_the_units_that_are_finished(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apply, "TOGETHER", 1)
    original, done = transaction.Transaction.write, list[object]()

    async def cancelled(self: transaction.Transaction, rows: Any) -> bool:
        done.extend(rows)
        if len(done) == 2:
            task.cancel()
        return await original(self, rows)

    monkeypatch.setattr(transaction.Transaction, "write", cancelled)
    async with server_bench.store() as store:
        task = asyncio.create_task(server_bench.run(store))
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()
        [run] = await history(store)
        outcomes = [entry.outcome for entry in run.entries]
        assert run.finished and 0 < outcomes.count("applied") < len(outcomes)
        assert "applied" in states(await server_bench.run(store)).values()


async def test_cancelled_while_a_savepoint_is_released_its_units_are_kept(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = connection.Connection.run

    async def cancelled(self: connection.Connection, sql: str, *more: Any, **named: Any) -> Any:
        if sql.startswith("RELEASE"):
            task.cancel()
        return await original(self, sql, *more, **named)

    monkeypatch.setattr(connection.Connection, "run", cancelled)
    async with server_bench.store() as store:
        task = asyncio.create_task(server_bench.run(store))
        with pytest.raises(asyncio.CancelledError):
            await task
        monkeypatch.undo()
        [run] = await history(store)
        assert run.finished and len(run.applied) == len(run.entries) > 0
        assert not (await server_bench.run(store)).outcomes


async def test_what_a_role_is_set_to_by_default_changes_nothing(server_bench: ServerBench) -> None:
    defaults = (
        "default_transaction_read_only%3Don",
        "default_transaction_isolation%3Dserializable",
    )
    server_bench.dsn += "?options=" + "%20".join(f"-c%20{each}" for each in defaults)
    async with server_bench.store() as store:
        result = await server_bench.run(store)
        [run] = await history(store)
        assert set(states(result).values()) == {"applied"} and run.finished
        await undo(store, run.id)
        assert await store.get(A1) is None


async def test_a_table_that_was_replaced_since_is_not_written_to(any_bench: ServerBench) -> None:
    async with any_bench.store() as store:
        any_bench.sql("ALTER TABLE kv RENAME TO old")
        any_bench.fill({})
        with pytest.raises(StoreError, match="was replaced since it was opened"):
            await any_bench.run(store)
    assert not any_bench.bytes()


async def test_a_read_that_is_cancelled_lets_nobody_wait(server_bench: ServerBench) -> None:
    async with (
        TcpProxy(server_bench.dsn) as proxy,
        PostgresStore(proxy.dsn, beside=server_bench.path) as store,
    ):
        proxy.passes.clear()
        begun = time.monotonic()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(store.load_rows(), 0.1)
        assert time.monotonic() - begun < 3
        proxy.passes.set()
        assert await store.load_rows()


async def test_a_backup_that_hangs_or_can_not_be_written_stops_the_run(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = server_bench.bytes()
    async with TcpProxy(server_bench.dsn) as proxy:
        store = PostgresStore(proxy.dsn, beside=server_bench.path, answer_timeout=0.5)
        original = backup._copy

        def hanging(*args: Any) -> None:
            proxy.passes.clear()
            original(*args)

        def full(*args: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        async with store:
            monkeypatch.setattr(backup, "_copy", hanging)
            with pytest.raises(StoreError, match="Can't back up the database"):
                await server_bench.run(store)
            proxy.passes.set()
            monkeypatch.setattr(backup, "_copy", full)
            with pytest.raises(StoreError, match="No space left on device"):
                await server_bench.run(store)
    assert server_bench.bytes() == before
    assert list(server_bench.path.parent.iterdir()) == []


async def test_a_journal_that_somebody_else_made_is_not_written_to(
    server_bench: ServerBench,
) -> None:
    admin = ServerBench(server_bench.path, dsn=server_bench.dsn)
    server_bench.dsn = as_worker(admin.dsn)
    stranger = f"stranger_{server_bench.dsn.rpartition('/')[2]}"
    admin.sql(journal._MAKE.format("matrix_drift_journal"))
    admin.sql(f"CREATE ROLE {stranger}")
    admin.sql(f"ALTER TABLE matrix_drift_journal OWNER TO {stranger}")
    admin.sql("GRANT ALL ON matrix_drift_journal TO PUBLIC")
    async with server_bench.store() as store:
        assert set(states(await server_bench.run(store)).values()) == {"applied"}
        assert len(await history(store)) == 1 and server_bench.journal.exists()
    assert admin.sql("SELECT count(*) FROM matrix_drift_journal") == [(0,)]
    admin.sql(f"DROP OWNED BY {stranger}; DROP ROLE {stranger}")


async def test_what_goes_wrong_with_the_journal_is_no_missing_right(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "_MAKE", "CREATE {}")
    async with server_bench.store() as store:
        with pytest.raises(StoreError, match="syntax error"):
            await store.journal.append("{}")


async def test_a_backup_goes_into_the_folder_that_is_named(
    server_bench: ServerBench, tmp_path: Path
) -> None:
    kept, other = tmp_path / "kept", tmp_path / "other"
    kept.mkdir()
    async with server_bench.store(backup_dir=kept) as store:
        backup = await store.backup(name="20261122T220345Z-3f2a")
        assert backup.parent == store.backup_dir == kept and not server_bench.backups()
        with pytest.raises(StoreError, match="there is no folder"):
            await store.backup(other, name="20261122T220345Z-3f2b")
    text = backup.read_text("utf-8")
    server_bench.sql("DELETE FROM kv")
    server_bench.restore(text)
    async with server_bench.store() as store:
        assert await store.backup(name="20261122T220345Z-3f2c")
    again = server_bench.backups()[0].read_text("utf-8")
    assert sorted(again.splitlines()) == sorted(text.splitlines())


async def test_names_with_anything_in_them_are_backed_up_too(server_bench: ServerBench) -> None:
    odd = '"Sch%s"."k""v.%"'
    server_bench.sql("""CREATE SCHEMA "Sch%s"; ALTER TABLE kv RENAME key TO "k%%b";
        ALTER TABLE kv RENAME value TO "v %s"; ALTER TABLE kv RENAME TO "k""v.%";
        ALTER TABLE "k""v.%" SET SCHEMA "Sch%s" """)
    rows = server_bench.sql(f"SELECT * FROM {odd}")
    async with server_bench.store(table=odd, key_column="k%%b", value_column="v %s") as store:
        result = await server_bench.run(store)
        assert set(states(result).values()) == {"applied"}
    server_bench.sql(f"DELETE FROM {odd}")
    server_bench.restore(server_bench.backups()[0].read_text("utf-8"))
    assert sorted(server_bench.sql(f"SELECT * FROM {odd}")) == sorted(rows)


async def test_two_bots_in_one_database_have_a_history_each(server_bench: ServerBench) -> None:
    server_bench.sql("CREATE TABLE other (key text PRIMARY KEY, value text)")
    async with server_bench.store() as store, server_bench.store(table="other") as other:
        await store.journal.append("a")
        await other.journal.append("b")
        assert (await store.journal.lines(), await other.journal.lines()) == (["a"], ["b"])
        async with store.alone(), other.alone():  # nor does one wait for the other
            pass


async def test_one_table_has_one_history_and_one_turn_by_all_its_names(
    server_bench: ServerBench,
) -> None:
    async with server_bench.store() as store, server_bench.store(table="public.kv") as other:
        await store.journal.append("a")
        assert await other.journal.lines() == ["a"]
        async with store.alone():
            with pytest.raises(ToolkitError, match="is writing to this database now"):
                async with other.alone():
                    pass


async def test_what_a_crash_took_before_it_was_committed_was_not(server_bench: ServerBench) -> None:
    async with server_bench.store() as store:
        async with store.transaction() as ended:
            await store.set(A1, {})
        ended._committed, ended._number = None, "99999999"  # which is still to come
        assert await ended.committed() is False


async def test_a_transaction_that_still_ends_is_waited_for_and_one_nobody_remembers_is_unknown(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transaction, "ASKED_AGAIN", 0.6)
    async with server_bench.store() as store:
        async with store.transaction() as ended:
            pass
        with psycopg.connect(server_bench.dsn) as other:
            [(number,)] = other.execute("SELECT pg_current_xact_id()::text").fetchall()
            ended._committed, ended._number = None, number
            asked = asyncio.create_task(ended.committed())
            await asyncio.sleep(0.1)
            assert not asked.done()
            other.commit()
        assert await asked and await ended.committed()
        for answer in ("SELECT CASE WHEN %s IS NULL THEN '' END", "SELECT 1 / 0, %s"):
            monkeypatch.setattr(transaction, "_STATUS", answer)
            ended._committed = None
            with pytest.raises(StoreError, match="can't be asked what became of it"):
                await ended.committed()


async def test_a_server_that_rolls_back_at_the_end_is_not_taken_for_a_commit(
    server_bench: ServerBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = connection.Connection.fetch

    async def failing(self: connection.Connection, sql: str, *args: Any, **named: Any) -> Any:
        found = await original(self, sql, *args, **named)
        if sql == transaction._NUMBER:
            with pytest.raises(StoreError):
                await original(self, "SELECT 1 / 0")
        return found

    monkeypatch.setattr(connection.Connection, "fetch", failing)
    async with server_bench.store() as store:
        with pytest.raises(StoreError, match="rolled everything back") as refused:
            async with store.transaction():
                await store.set(A1, {})
        assert not isinstance(refused.value, OutcomeUnknown)
        assert await store.get(A1) is None


async def test_what_a_commit_itself_refuses_takes_all_of_it_back(server_bench: ServerBench) -> None:
    before = server_bench.bytes()
    async with server_bench.store() as store:
        server_bench.sql("""CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not today'; END $$""")
        server_bench.sql("""CREATE CONSTRAINT TRIGGER t AFTER INSERT OR UPDATE ON kv
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION no()""")
        with pytest.raises(StoreError, match="not today") as refused:
            await server_bench.run(store)
        assert not isinstance(refused.value, OutcomeUnknown)
        assert await history(store) == [] and server_bench.backups() == []
    assert server_bench.bytes() == before


async def test_rights_that_were_taken_away_since_are_said_so(server_bench: ServerBench) -> None:
    worker = as_worker(server_bench.dsn)
    role = worker.partition("://")[2].partition(":")[0]
    async with PostgresStore(worker, beside=server_bench.path) as store:
        server_bench.sql(f"REVOKE INSERT, UPDATE ON kv FROM {role}")
        with pytest.raises(StoreError, match="the role may not do that") as refused:
            await server_bench.run(store)
        assert refused.value.concerns_all
        server_bench.sql("CREATE SCHEMA own; ALTER TABLE kv SET SCHEMA own")
    with pytest.raises(
        StoreError, match=r"\(permission denied for schema own\).*USAGE on its schema"
    ):
        await PostgresStore(worker, table="own.kv", beside=server_bench.path).open()


async def test_a_door_that_closes_behind_us_leaves_nothing_open(
    dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_READ_WRITE", "SET nonsense = 1")
    with pytest.raises(StoreError, match="nonsense"):
        await PostgresStore(dsn, beside=tmp_path / "bot").open()
