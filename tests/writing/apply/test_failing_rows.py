"""Rows that the database doesn't take: one unit stops and is told, or the whole run does."""

import asyncio
import json
import sqlite3
import time
from contextlib import closing, suppress
from typing import Any

import pytest

from tests.bench import A1, A2, ALICE, BOB, C1, CB, NOW, UA, Bench, Mine, small_rows, states
from tests.writing.apply.runs import outcomes, without
from toolkit import SQLiteStore, StoreError
from toolkit.database.journal import Journal
from toolkit.database.look import load_look
from toolkit.database.transaction import Transaction
from toolkit.records import room_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import Job, new_job
from toolkit.writing.undo import undo


class TestFailingRows:
    async def test_a_constraint_stops_one_unit_and_all_of_it(self, bench: Bench) -> None:
        bench.fill({})
        bench.sql(
            f"""CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key = '{C1}'
            BEGIN SELECT RAISE(ABORT, 'no such chat'); END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {
            ALICE: "applied",
            BOB: "applied",
            "!a1": "failed",
            "!a2": "applied",
            "!b1": "applied",
        }
        assert "no such chat" in result.outcomes["!a1"].detail
        assert bench.row(A1) is None
        assert bench.row(A2) is not None
        assert outcomes(bench)["!a1"] == "failed"

    @pytest.mark.parametrize("managed", [True, False])
    async def test_a_unit_for_which_sqlite_rolls_back_everything_fails_alone(
        self, bench: Bench, managed: bool
    ) -> None:
        bench.fill({})
        bench.sql(
            f"""CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key = '{C1}'
            BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Mine(store) if managed else None)
        assert states(result) == {
            ALICE: "applied",
            BOB: "applied",
            "!a1": "failed",
            "!a2": "applied",
            "!b1": "applied",
        }
        assert "all of it" in result.outcomes["!a1"].detail
        written = {key for key in bench.bytes() if not key.startswith("audit:")}
        assert written == set(small_rows()) - {A1, C1}
        assert outcomes(bench) == states(result)
        [run] = Journal(bench.path).runs()
        assert len(bench.backups()) == 1 and run.finished

    async def test_many_units_for_which_sqlite_rolls_back_everything_fail_alone(
        self, bench: Bench
    ) -> None:
        for number in range(3, 40):
            bench.world.chat(f"!a{number}", "!alice", f"Чат {number}", owner=ALICE)
        bench.fill({})
        bench.sql(
            """CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key LIKE 'chat:%3'
            BEGIN SELECT RAISE(ROLLBACK, 'threes'); END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        failed = {unit for unit, state in states(result).items() if state == "failed"}
        assert failed == {"!a3", "!a13", "!a23", "!a33"}
        assert [bench.row(room_key(unit)) for unit in failed] == [None] * 4
        assert bench.row(room_key("!a39"))

    async def test_units_that_sqlite_rolls_back_only_together_end_the_run_unwritten(
        self, bench: Bench
    ) -> None:
        """Each goes by itself, so none can be told; nothing is written half."""
        bench.fill({})
        bench.sql(
            """CREATE TRIGGER no BEFORE INSERT ON kv WHEN (SELECT count(*) FROM kv) >= 4
            BEGIN SELECT RAISE(ROLLBACK, 'a quota'); END"""
        )
        async with SQLiteStore(bench.path) as store:
            with pytest.raises(StoreError, match=r"nothing is written\. .* 'a quota'"):
                await bench.run(store)
        assert bench.bytes() == {} and bench.backups() == []
        assert Journal(bench.path).runs() == []

    @pytest.mark.parametrize("tries", [1, 2])
    async def test_past_the_deadline_no_unit_is_tried_once_more(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, tries: int
    ) -> None:
        bench.fill({})
        bench.sql(
            f"""CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key = '{C1}'
            BEGIN SELECT RAISE(ROLLBACK, 'all of it'); END"""
        )
        rolled: list[int] = []
        roll_back = Transaction.roll_back

        async def counted(self: Transaction) -> None:
            rolled.append(1)
            await roll_back(self)

        monkeypatch.setattr(Transaction, "roll_back", counted)
        monkeypatch.setattr(Job, "late", property(lambda job: len(rolled) >= tries))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert set(states(result).values()) == {"stale"}
        assert bench.bytes() == {} and len(rolled) == tries

    @pytest.mark.parametrize("raised", ["ABORT", "FAIL"])
    async def test_a_trigger_that_refuses_one_row_stops_one_unit(
        self, bench: Bench, raised: str
    ) -> None:
        bench.fill({})
        bench.sql(
            f"""CREATE TRIGGER no AFTER INSERT ON kv WHEN NEW.key = '{C1}'
            BEGIN SELECT RAISE({raised}, 'no such chat'); END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result).pop("!a1") == "failed"
        assert "no such chat" in result.outcomes["!a1"].detail
        assert bench.bytes().keys() == set(small_rows()) - {A1, C1}

    @pytest.mark.parametrize("words", ["no such table", "no such function", "malformed JSON"])
    async def test_what_goes_wrong_within_a_trigger_stops_one_unit(
        self, bench: Bench, words: str
    ) -> None:
        """To SQLite these are errors of a statement, as a locked or full database is one."""
        does = {
            "no such table": "INSERT INTO log VALUES (NEW.key)",
            "no such function": "SELECT audit(NEW.key)",
            "malformed JSON": "SELECT json_extract('{', '$')",
        }
        bench.fill({})
        bench.sql(
            f"""CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key = '{C1}'
            BEGIN {does[words]}; END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        if words == "malformed JSON":
            assert bench.bytes().keys() == set(small_rows()) - {A1, C1}
        left = {unit for unit, state in states(result).items() if state == "failed"}
        assert left == ({"!a1"} if words == "malformed JSON" else set(result.outcomes))
        assert words in result.outcomes["!a1"].detail

    async def test_a_column_that_became_generated_stops_the_units_and_not_the_run(
        self, bench: Bench
    ) -> None:
        bench.fill(without(small_rows(), A1, CB))

        def rebuild() -> None:
            bench.sql("ALTER TABLE kv RENAME TO old")
            bench.sql("CREATE TABLE kv (key TEXT PRIMARY KEY, raw TEXT, value TEXT AS (raw))")
            bench.sql("INSERT INTO kv (key, raw) SELECT key, value FROM old")

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, meanwhile=rebuild)
        assert states(result) == {"!a1": "failed", "!b1": "failed"}
        assert "generated column" in result.outcomes["!a1"].detail

    async def test_a_type_that_a_strict_table_refuses_stops_the_units_and_not_the_run(
        self, bench: Bench
    ) -> None:
        """Python has no name for this error of SQLite."""
        bench.sql("CREATE TABLE kv (key TEXT PRIMARY KEY, value BLOB) STRICT")
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert set(states(result).values()) == {"failed"} and bench.bytes() == {}
        assert "cannot store TEXT value in BLOB column" in result.outcomes["!a1"].detail

    @pytest.mark.parametrize("way", ["", "ON CONFLICT IGNORE", "ON CONFLICT REPLACE"])
    async def test_another_unique_column_stops_one_unit_in_sqlites_words(
        self, bench: Bench, way: str
    ) -> None:
        """And no other row is deleted to make room for it, whatever the table would do."""
        bench.sql(
            f"CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT, slug DEFAULT 'x' UNIQUE {way})"
        )
        with closing(sqlite3.connect(bench.path)) as database, database:
            for key, row in without(small_rows(), A1).items():
                slug = None if key == C1 else key
                database.execute("INSERT INTO kv VALUES (?, ?, ?)", (key, json.dumps(row), slug))
            database.execute("INSERT INTO kv VALUES ('settings', '{}', 'x')")
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {"!a1": "failed"}
        assert "UNIQUE constraint failed: kv.slug" in result.outcomes["!a1"].detail
        assert bench.bytes() == before

    @pytest.mark.parametrize("before", [None, {**small_rows()[A1], "display_name": "old"}])
    async def test_a_write_that_the_table_ignores_is_not_called_stale(
        self, bench: Bench, before: Any
    ) -> None:
        """Nobody wrote meanwhile, and to look again would change nothing."""
        bench.fill(without(small_rows(), A1, CB) | ({A1: before} if before else {}))
        for event in ("INSERT", "UPDATE"):
            bench.sql(
                f"""CREATE TRIGGER no_{event} BEFORE {event} ON kv WHEN NEW.key = '{A1}'
                BEGIN SELECT RAISE(IGNORE); END"""
            )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == (
            f"the database did not take the row {A1}: a trigger, constraint or conflicting column "
            "ignored the write"
        )
        assert (bench.row(A1), outcomes(bench)["!a1"]) == (before, "failed")
        [entry] = [e for e in Journal(bench.path).runs()[-1].entries if e.unit == "!a1"]
        assert entry.detail == result.outcomes["!a1"].detail

    async def test_all_of_a_unit_is_undone_if_one_row_is_ignored(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))
        bench.sql(
            f"""CREATE TRIGGER no BEFORE INSERT ON kv WHEN NEW.key = '{A1}'
            BEGIN SELECT RAISE(IGNORE); END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert (bench.row(A1), bench.row(C1)) == (None, None)

    async def test_a_key_that_the_table_takes_for_another_is_told(self, bench: Bench) -> None:
        bench.sql("CREATE TABLE kv (key TEXT PRIMARY KEY COLLATE NOCASE, value TEXT)")
        odd = C1.replace("alice", "Alice")
        bench.put(without(small_rows(), A1, C1) | {odd: {"surface_ref": "!gone"}})
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {"!a1": "failed"}
        assert f"it has the row {odd}" in result.outcomes["!a1"].detail
        assert bench.bytes() == before

    async def test_a_row_that_a_trigger_takes_away_again_is_not_applied(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, CB))
        bench.sql(
            f"""CREATE TRIGGER no AFTER INSERT ON kv WHEN NEW.key = '{A1}'
            BEGIN DELETE FROM kv WHERE key = NEW.key; END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == (
            f"the database did not take the row {A1}: a trigger changed it, or took it away"
        )
        assert bench.row(A1) is None

    async def test_a_row_in_which_a_trigger_changes_what_was_planned_is_not_applied(
        self, bench: Bench
    ) -> None:
        bench.fill(without(small_rows(), A1, CB))
        bench.sql(
            f"""CREATE TRIGGER no AFTER INSERT ON kv WHEN NEW.key = '{A1}' BEGIN UPDATE kv
            SET value = json_set(value, '$.chat_id', 'C9') WHERE key = NEW.key; END"""
        )
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert bench.row(A1) is None

    @pytest.mark.parametrize("managed", [True, False])
    async def test_a_row_to_which_a_trigger_adds_is_journaled_as_it_stands_and_undone(
        self, bench: Bench, managed: bool
    ) -> None:
        bench.fill(
            without(small_rows(), A1, C1) | {A2: {**small_rows()[A2], "display_name": "old"}}
        )
        for event in ("INSERT", "UPDATE OF value"):
            bench.sql(
                f"""CREATE TRIGGER seen_{event[:6]} AFTER {event} ON kv
                WHEN json_extract(NEW.value, '$.seen') IS NULL
                AND json_extract(NEW.value, '$.display_name') IS NOT 'old'
                BEGIN UPDATE kv SET value = json_set(value, '$.seen', 1) WHERE key = NEW.key; END"""
            )
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Mine(store) if managed else None)
            assert states(result) == {"!a1": "applied", "!a2": "applied"}
            assert bench.row(A1) == {**small_rows()[A1], "seen": 1}
            entries = Journal(bench.path).runs()[-1].entries
            after = {w.key: str(w.after).encode() for e in entries for w in e.writes}
            assert after == {key: bench.bytes()[key][1] for key in (A1, C1, A2)}
            assert (await bench.run(store)).outcomes == {}
            assert result.run
            _, back = await undo(store, result.run)
            assert states(back) == {"!a1": "applied", "!a2": "applied"}
        left = {key: raw for key, raw in bench.bytes().items() if not key.startswith("audit:")}
        assert left == before

    async def test_a_row_that_a_trigger_of_another_row_changed_is_journaled_as_it_stands(
        self, bench: Bench
    ) -> None:
        bench.fill(without(small_rows(), UA, A1))
        bench.sql(
            f"""CREATE TRIGGER count AFTER INSERT ON kv WHEN NEW.key = '{A1}' BEGIN UPDATE kv
            SET value = json_set(value, '$.rooms', 1) WHERE key = '{UA}'; END"""
        )
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
            assert states(result) == {ALICE: "applied", "!a1": "applied"}
            assert bench.row(UA) == {**small_rows()[UA], "rooms": 1}
            assert result.run
            await undo(store, result.run)
        assert bench.bytes() == before

    @pytest.mark.parametrize("steps", range(1, 30, 2))
    async def test_with_triggers_too_the_journal_says_what_was_written_when_cancelled(
        self, bench: Bench, steps: int
    ) -> None:
        bench.fill({A2: {**small_rows()[A2], "display_name": "old"}})
        bench.sql(
            """CREATE TRIGGER seen AFTER INSERT ON kv BEGIN UPDATE kv
            SET value = json_set(value, '$.seen', 1) WHERE key = NEW.key; END"""
        )
        async with SQLiteStore(bench.path) as store:
            task = asyncio.create_task(bench.run(store, Mine(store)))
            await asyncio.sleep(steps / 1000)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            rows = (await load_look(store)).rows
            for run in Journal(bench.path).runs(rows):
                for entry in run.entries:
                    written = [rows.get(write.key) == write.after for write in entry.writes]
                    assert set(written) == {entry.outcome == "applied"}, (entry, run.finished)

    async def test_a_database_that_may_only_be_read_ends_the_run(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, CB))
        before = bench.bytes()
        async with SQLiteStore(bench.path, read_only=True) as store:
            with pytest.raises(StoreError, match="read_only"):
                await bench.run(store)
        assert bench.bytes() == before

    async def test_a_lock_is_waited_for_no_longer_than_the_deadline(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1))
        started = time.monotonic()
        async with SQLiteStore(bench.path, busy_timeout=20) as store:
            with closing(sqlite3.connect(bench.path)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match="lock"):
                    await bench.run(store, until=started + 1)
        assert time.monotonic() - started < 10

    async def test_a_locked_database_ends_the_run(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1))
        async with SQLiteStore(bench.path, busy_timeout=0.05) as store:
            look = await load_look(store)
            plan = bench.plan(look)
            with closing(sqlite3.connect(bench.path)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match="lock"):
                    await apply_changes(new_job(plan, plan.units, look, "t", NOW), store, None)
        assert Journal(bench.path).runs() == [] == bench.backups()
        assert b'"outcome":"not applied"' in bench.journal.read_bytes()
