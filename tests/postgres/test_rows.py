"""Rows as a server keeps them: hostile texts, what jsonb makes of them, and collations."""

from contextlib import suppress
from typing import Any

import psycopg
import pytest

from tests.bench import A1, A2, ALICE, BOB, C1, C2, CB, UA, UB, states
from tests.postgres.server_bench import ServerBench
from toolkit.database.look import load_look
from toolkit.database.postgres.store import PostgresStore
from toolkit.database.sql import RowChange
from toolkit.errors import StoreError
from toolkit.records import NULL, Names, load_records
from toolkit.testing.postgres import Postgres
from toolkit.writing.undo import undo


async def test_rows_come_as_they_are_stored_and_other_keys_do_not(
    server_bench: ServerBench,
) -> None:
    odd = {UA: "no JSON", A2: '{"chat_id": "C2", "chat_id": 1E2}', C2: '{"surface_ref":"\\ud83d"}'}
    server_bench.put({**odd, "config": {"x": 1}, "chat": {}})
    server_bench.sql(f"INSERT INTO kv VALUES ('{UB}', NULL)")
    async with server_bench.store() as store:
        rows = dict(await store.load_rows())
    assert rows[UB] is NULL and {key: rows[key] for key in odd} == odd
    assert "config" not in rows and "chat" not in rows
    local = load_records(rows)
    assert {UA, UB} <= set(local.unreadable)


async def test_some_rows_are_found_by_what_they_concern(any_bench: ServerBench) -> None:
    any_bench.put({C1: {"surface_ref": "!a1", "name": "ü"}, A1: {"matrix_user_id": ALICE}})
    async with any_bench.store() as store:
        of_bob = dict(await store.load_rows(Names(users=frozenset({BOB}))))
        of_room = dict(await store.load_rows(Names(rooms=frozenset({"!a1"}))))
    assert CB in of_bob and UA not in of_bob and C1 not in of_bob
    assert {A1, C1} <= set(of_room) and CB not in of_room


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": "\0"}', "NUL"),
        ('{"a": "\udce9"}', "isn't UTF-8"),
        (b"{}", "only text"),
        (1, "only text"),
    ],
)
async def test_what_sqlite_held_and_a_server_can_not_is_one_rows_own_affair(
    server_bench: ServerBench, text: Any, why: str
) -> None:
    async with server_bench.store() as store:
        async with store.transaction() as transaction:
            with pytest.raises(StoreError, match=why) as refused:
                async with transaction.savepoint():
                    await transaction.write([RowChange("chat:@x:hs:C1", None, text)])
            assert not refused.value.concerns_all
            assert await transaction.write([RowChange("chat:@x:hs:C2", None, "{}")])
        assert await store.keys("chat:@x:hs") == ["chat:@x:hs:C2"]


@pytest.mark.parametrize("text", ['{"a": "\\u0000"}', '{"a": "\\ud83d"}', '{"a": 1e200000}', "{"])
async def test_what_jsonb_refuses_is_one_rows_own_affair(
    dsn: str, tmp_path: Any, text: str
) -> None:
    bench = ServerBench(tmp_path / "bot", dsn=dsn, kind="jsonb")
    bench.fill({})
    async with bench.store() as store, store.transaction() as transaction:
        with pytest.raises(StoreError) as refused:
            async with transaction.savepoint():
                await transaction.write([RowChange("chat:@x:hs:C1", None, text)])
        assert not refused.value.concerns_all
        assert await transaction.write([RowChange("chat:@x:hs:C2", None, "{}")])


async def test_what_jsonb_makes_of_a_row_is_what_the_history_says_and_undo_compares(
    dsn: str, tmp_path: Any
) -> None:
    bench = ServerBench(tmp_path / "bot", dsn=dsn, kind="jsonb")
    bench.fill(
        {UA: '{"next_chat_index": 1, "space_id": "!old", "n": 1E2, "n": 1.10, "b": 1, "aa": 2}'}
    )
    before = bench.bytes()
    async with bench.store() as store:
        result = await bench.run(store)
        assert result.record
        written = {w.key: w.after for entry in result.record.applied for w in entry.writes}
        assert written == {key: text.decode() for key, (_, text) in bench.bytes().items()}
        assert '"n": 1.10' in str(written[UA])
        await undo(store, result.record.id)
    assert bench.bytes() == before


async def test_a_number_that_jsonb_holds_as_another_text_is_another_row(
    dsn: str, tmp_path: Any
) -> None:
    bench = ServerBench(tmp_path / "bot", dsn=dsn, kind="jsonb")
    bench.fill({UA: '{"n": 1.0}'})
    async with bench.store() as store, store.transaction() as transaction:
        assert not await transaction.write([RowChange(UA, '{"n": 1.00}', "{}")])
        assert await transaction.write([RowChange(UA, '{"n": 1.0}', '{"n":2}')])
        assert await transaction.rows_of([UA]) == {UA: '{"n": 2}'}


@pytest.mark.parametrize("kind", ["text", "varchar(4000)", "json", "jsonb"])
async def test_writes_compare_and_swap(dsn: str, tmp_path: Any, kind: str) -> None:
    bench = ServerBench(tmp_path / "bot", dsn=dsn, kind=kind)
    bench.fill({})
    async with bench.store() as store:
        async with store.transaction() as t:
            assert await t.write([RowChange(UA, None, '{"n": 1}'), RowChange(UB, None, NULL)])
            assert not await t.write([RowChange(UA, None, "{}")])
            assert not await t.write([RowChange(UA, '{"n": 2}', "{}")])
            assert not await t.write([RowChange(UA, NULL, "{}"), RowChange(UB, '{"n": 1}', None)])
            assert await t.write([RowChange(UA, '{"n": 1}', '{"n": 2}'), RowChange(UB, NULL, "[]")])
            with pytest.raises(ValueError, match="twice"):
                await t.write([RowChange(UA, "{}", "{}"), RowChange(UA, "{}", "{}")])
            with pytest.raises(ValueError, match="no row to no row"):
                await t.write([RowChange(UA, None, None)])
        assert dict(await store.load_rows()) == {UA: '{"n": 2}', UB: "[]"}
        async with store.transaction() as t:
            assert await t.write([RowChange(UA, '{"n": 2}', None), RowChange(UB, "[]", NULL)])
            assert await t.rows_of([UA, UB]) == {UB: NULL}


async def test_what_a_savepoint_or_a_transaction_is_left_by_an_error_is_undone(
    server_bench: ServerBench,
) -> None:
    before = server_bench.bytes()
    async with server_bench.store() as store:
        with suppress(RuntimeError):
            async with store.transaction() as t:
                await store.set("chat:@x:hs:C1", {})  # as part of it
                async with store.transaction() as inner:
                    assert inner is t
                with pytest.raises(StoreError, match="inside a transaction"):
                    await store.close()
                with pytest.raises(StoreError, match="inside a transaction"):
                    await store.backup(name="20261122T220345Z-3f2a")
                raise RuntimeError
        assert server_bench.bytes() == before
        with pytest.raises(StoreError, match="has ended"):
            await t.load_rows()


async def test_a_trigger_that_changes_a_row_is_found_out(server_bench: ServerBench) -> None:
    server_bench.sql("""CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.key = 'matrix_room:!a1' THEN NEW.value = '{}'; ELSE
            NEW.value = (NEW.value::jsonb || '{"seen": true}')::text; END IF; RETURN NEW; END $$""")
    server_bench.sql(
        "CREATE TRIGGER t BEFORE INSERT OR UPDATE ON kv FOR EACH ROW EXECUTE FUNCTION spoil()"
    )
    before = server_bench.bytes()
    async with server_bench.store() as store:
        result = await server_bench.run(store)
        assert (
            states(result)["!a1"] == "failed"
            and "a trigger, or the column's own type, changed" in result.left["!a1"]
        )
        assert states(result)["!a2"] == "applied" and server_bench.row(A2)["seen"]
        assert result.run
        server_bench.sql("DROP TRIGGER t ON kv")
        await undo(store, result.run)
    assert server_bench.bytes() == before


@pytest.mark.parametrize(
    "refuses",
    ["RAISE EXCEPTION USING ERRCODE = 'BOT01'", "ASSERT false", "PERFORM repeat('[', 10000)::json"],
)
async def test_whatever_code_a_trigger_refuses_a_row_with_its_unit_alone_fails(
    server_bench: ServerBench, refuses: str
) -> None:
    server_bench.sql(f"""CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.key = 'matrix_room:!a1' THEN {refuses}; END IF; RETURN NEW; END $$""")
    server_bench.sql("CREATE TRIGGER t BEFORE INSERT ON kv FOR EACH ROW EXECUTE FUNCTION refuse()")
    async with server_bench.store() as store:
        found = states(await server_bench.run(store))
    assert found == {"!a1": "failed", "!a2": "applied", "@bob:hs": "applied"}


async def test_a_name_that_no_index_takes_is_its_rooms_own_affair(
    server_bench: ServerBench,
) -> None:
    server_bench.sql("CREATE INDEX ON kv ((value::json ->> 'display_name'))")
    server_bench.world.name("!a1", "".join(map(chr, range(0x4E00, 0x9000))))
    async with server_bench.store() as store:
        found = states(await server_bench.run(store))
    assert found == {"!a1": "failed", "!a2": "applied", "@bob:hs": "applied"}


_CI = "CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false)"


async def test_an_icu_collation_hides_no_row(postgres: Postgres, tmp_path: Any) -> None:
    dsn = postgres.new_database("LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LOCALE 'C.UTF-8'")
    bench = ServerBench(tmp_path / "bot", dsn=dsn)
    bench.fill({C1: {"surface_ref": "!a1"}, CB: {}, "chatty": {}})
    async with bench.store() as store:
        assert set(dict(await store.load_rows())) == {C1, CB}
        assert await store.keys("chat:") == sorted([C1, CB])
        assert C1 in dict(await store.load_rows(Names(rooms=frozenset({"!a1"}))))


async def test_two_keys_that_a_table_takes_for_the_same_are_told_apart(
    dsn: str, tmp_path: Any
) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(_CI)
        connection.execute(
            "CREATE TABLE kv (key text COLLATE ci PRIMARY KEY, value text COLLATE ci)"
        )
        connection.execute("INSERT INTO kv VALUES ('chat:@A:hs:C1', '{\"A\": 1}')")
    async with PostgresStore(dsn, beside=tmp_path / "bot") as store:
        assert await store.get("chat:@a:hs:C1") is None
        assert await store.get("chat:@A:hs:C1") == {"A": 1}
        assert await store.keys("chat:@a") == []
        with pytest.raises(StoreError, match="ignored it"):
            await store.set("chat:@a:hs:C1", {})
        async with store.transaction() as t:
            assert list(await t.rows_of(["chat:@a:hs:C1"])) == ["chat:@A:hs:C1"]
            assert not await t.write([RowChange("chat:@a:hs:C1", None, "{}")])
            assert not await t.write([RowChange("chat:@a:hs:C1", '{"A": 1}', "{}")])
            assert not await t.write([RowChange("chat:@A:hs:C1", '{"a": 1}', "{}")])
        assert (await load_look(store, Names(users=frozenset({"@A:hs"})))).rows
