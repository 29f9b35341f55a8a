"""The writer: what it writes, what it leaves, and what others do meanwhile (rules 4, 5)."""

import asyncio
import json
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.bench import (
    A1,
    A2,
    ALICE,
    B1,
    BOB,
    C1,
    C2,
    CB,
    NOW,
    UA,
    Bench,
    Mine,
    SyncManager,
    small_rows,
    states,
    text,
)
from toolkit import ChatManager, InMemoryStore, SQLiteStore, StoreError
from toolkit.database.chat_manager import ChatContext
from toolkit.database.look import load_look
from toolkit.database.transaction import Transaction
from toolkit.model import Choices
from toolkit.records import NULL, chat_key, room_key, user_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import Job, new_job
from toolkit.writing.journal import Journal, Run
from toolkit.writing.turns import one_at_a_time
from toolkit.writing.undo import undo


@pytest.fixture(params=["DELETE", "WAL"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "bot.db")


@pytest.fixture
async def store(bench: Bench) -> AsyncIterator[SQLiteStore]:
    """The bot's database, where Alice's first room row and Bob's only chat row are gone."""
    bench.fill(without(small_rows(), A1, CB))
    async with SQLiteStore(bench.path) as found:
        yield found


def without(rows: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: row for key, row in rows.items() if key not in keys}


def outcomes(bench: Bench) -> dict[str, str]:
    """What the journal says about the units of the last run."""
    run = Journal(bench.path).runs()[-1]
    return {entry.unit: entry.outcome for entry in run.entries}


class TestWriting:
    async def test_what_is_lost_comes_back_and_right_rows_stay_to_the_byte(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        before = bench.bytes()
        result = await bench.run(store, ChatManager(store))
        after = bench.bytes()
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert {key: after[key] for key in before} == before
        assert after.keys() - before.keys() == {A1, CB}
        assert bench.row(A1) == small_rows()[A1]
        assert bench.row(CB) == small_rows()[CB]

    async def test_a_second_run_finds_nothing_to_write(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        await bench.run(store)
        before, journal = bench.bytes(), bench.journal.read_bytes()
        result = await bench.run(store)
        assert result.outcomes == {}
        assert (bench.bytes(), bench.journal.read_bytes()) == (before, journal)
        assert len(bench.backups()) == 1

    async def test_a_repair_keeps_unknown_fields_and_their_form(self, bench: Bench) -> None:
        stored = '{"vip": 1e400,"surface_ref":"!gone", "x":{"é":[null, 1.0]},"user_id":"@bob:hs"}'
        bench.fill({**small_rows(), CB: stored})
        async with SQLiteStore(bench.path) as store:
            await bench.run(store)
        kind, value = bench.bytes()[CB]
        assert kind == "text"
        for kept in ('"vip": 1e400', '{"é":[null, 1.0]}', '"surface_ref":"!b1"'):
            assert kept in value.decode()

    async def test_a_blob_is_repaired_as_a_blob(self, bench: Bench) -> None:
        row = {**small_rows()[CB], "surface_ref": "!gone"}
        bench.fill({**small_rows(), CB: json.dumps(row).encode()})
        async with SQLiteStore(bench.path) as store:
            await bench.run(store)
        kind, value = bench.bytes()[CB]
        assert (kind, json.loads(value)["surface_ref"]) == ("blob", "!b1")

    @pytest.mark.parametrize("poison", ["{not json", "caf\udce9", b"\xff\xfe", '["a list"]'])
    async def test_an_unreadable_row_is_overwritten_only_if_a_human_says_so(
        self, bench: Bench, poison: Any
    ) -> None:
        bench.fill({**small_rows(), B1: poison})
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            assert (await bench.run(store)).outcomes == {}
            assert bench.bytes() == before
            result = await bench.run(store, choices={"!b1": Choices(overwrite=True)})
        assert states(result) == {"!b1": "applied"}
        assert bench.row(B1) == small_rows()[B1]
        [entry] = Journal(bench.path).runs()[-1].entries
        assert [write.before for write in entry.writes] == [poison]

    @pytest.mark.parametrize("key", [B1, CB])
    async def test_a_stored_null_is_a_row_that_cannot_be_read(self, bench: Bench, key: str) -> None:
        bench.fill(small_rows())
        bench.sql(f"UPDATE kv SET value = NULL WHERE key = '{key}'")
        before = bench.bytes()
        manager = SyncManager(bench.path)
        async with SQLiteStore(bench.path) as store:
            assert (await bench.run(store, manager)).outcomes == {}
            assert bench.bytes() == before
            result = await bench.run(store, manager, choices={"!b1": Choices(overwrite=True)})
        assert states(result) == {"!b1": "applied"} and manager.called == []
        assert bench.row(key) | {"name": "Чат 1"} == small_rows()[key] | {"name": "Чат 1"}
        [entry] = Journal(bench.path).runs()[-1].entries
        assert [write.before for write in entry.writes] == [NULL]

    async def test_an_unreadable_blob_is_overwritten_by_a_blob(self, bench: Bench) -> None:
        """Whoever stores BLOBs may read nothing else."""
        bench.fill({**small_rows(), B1: b"\xff"})
        async with SQLiteStore(bench.path) as store:
            await bench.run(store, choices={"!b1": Choices(overwrite=True)})
        assert bench.bytes()[B1][0] == "blob" and bench.row(B1) == small_rows()[B1]

    async def test_units_are_written_user_rows_first(self, bench: Bench) -> None:
        bench.fill({})
        seen: list[tuple[int, int]] = []
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(
                store, progress=lambda done, total, word: seen.append((done, total))
            )
        assert list(result.outcomes) == [ALICE, BOB, "!a1", "!a2", "!b1"]
        assert seen == [(5, 5)]
        assert bench.row(user_key(ALICE)) == {"space_id": "!alice", "next_chat_index": 3}

    async def test_nothing_to_write_makes_no_file(self, bench: Bench) -> None:
        bench.fill(small_rows())
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store)
        assert (result.run, result.backup) == (None, None)
        assert list(bench.path.parent.iterdir()) == [bench.path]

    async def test_a_deadline_that_has_passed_writes_nothing(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        before = bench.bytes()
        result = await bench.run(store, until=time.monotonic() - 1)
        assert states(result) == {"!a1": "stale", "!b1": "stale"}
        assert bench.bytes() == before
        assert bench.backups() == []

    @pytest.mark.parametrize("foreign", [False, True])
    async def test_past_the_deadline_no_further_unit_is_begun(
        self, bench: Bench, store: SQLiteStore, foreign: bool
    ) -> None:
        bench.put({C1: None})

        class Slow(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                try:
                    return await super().get_or_create(*args, **named)
                finally:
                    await asyncio.sleep(60)

        async with SQLiteStore(bench.path) as other:
            manager = Slow(other if foreign else store)
            result = await bench.run(store, manager, until=time.monotonic() + 0.6)
        assert states(result)["!a1"] == "failed"
        assert "TimeoutError" in result.outcomes["!a1"].detail
        assert states(result)["!b1"] == "stale"
        assert bench.row(A1) is None


class TestOrder:
    async def test_the_backup_holds_the_rows_from_before_the_first_write(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        before = bench.bytes()
        result = await bench.run(store)
        assert result.backup
        assert bench.backups() == [result.backup]
        assert Bench(result.backup).bytes() == before

    async def test_backup_then_intent_then_rows_then_outcome(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        steps: list[str] = []

        def note(owner: Any, name: str) -> None:
            original = getattr(owner, name)

            def noted(*args: Any, **named: Any) -> Any:
                steps.append(name)
                return original(*args, **named)

            monkeypatch.setattr(owner, name, noted)

        for owner, name in (
            (SQLiteStore, "backup"),
            (Journal, "begin"),
            (Transaction, "write"),
            (Transaction, "commit"),
            (Journal, "finish"),
        ):
            note(owner, name)
        await bench.run(store)
        assert steps == ["backup", "begin", "write", "commit", "finish"]

    async def test_the_journal_has_intent_and_outcome(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        result = await bench.run(store, by={"!a1": "eva"})
        lines = [json.loads(line) for line in bench.journal.read_text().splitlines()]
        assert [list(line) for line in lines] == [["intent"], ["outcome"]]
        [run] = Journal(bench.path).runs()
        assert (run.id, run.action, run.backup) == (result.run, "test", str(result.backup))
        assert run.finished
        [first, second] = run.entries
        assert (first.unit, first.by, first.outcome, second.by) == ("!a1", "eva", "applied", "")
        assert first.evidence[0] == "chat_row"
        assert [(w.key, w.before) for w in first.writes] == [(A1, None)]
        assert text(json.loads(str(first.writes[0].after))) == text(small_rows()[A1])

    async def test_a_backup_that_fails_stops_the_run(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        before = bench.bytes()
        with pytest.raises(StoreError, match="no folder"):
            await bench.run(store, backup_dir=bench.path.parent / "absent")
        assert bench.bytes() == before
        assert not bench.journal.exists()

    async def test_without_a_journal_nothing_is_written(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        bench.journal.mkdir()
        before = bench.bytes()
        with pytest.raises(StoreError, match="journal"):
            await bench.run(store)
        assert bench.bytes() == before

    async def test_rows_that_are_written_are_reported_even_if_the_journal_fails_then(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(self: Journal, run: Run) -> None:
            raise StoreError("Can't write the journal: the disk is full.")

        monkeypatch.setattr(Journal, "finish", fail)
        result = await bench.run(store)
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert "disk is full" in result.warning
        [run] = Journal(bench.path).runs((await load_look(store)).rows)
        assert [entry.outcome for entry in run.entries] == ["applied", "applied"]


class TestMeanwhile:
    """The live bot writes between the plan and its application."""

    @pytest.mark.parametrize(
        ("wrote", "stale"),
        [
            pytest.param({CB: {"surface_ref": "!b1"}}, {"!b1"}, id="the row itself"),
            pytest.param({C1: None}, {"!a1"}, id="a row that the room relies on"),
            pytest.param({B1: None}, {"!b1"}, id="the room's other row"),
            pytest.param(
                {A2: {**small_rows()[A2], "display_name": "x"}}, set(), id="same owner's sibling"
            ),
            pytest.param(
                {A2: {**small_rows()[A2], "matrix_user_id": BOB}}, {"!a1"}, id="sibling, new owner"
            ),
            pytest.param({A2: None}, {"!a1"}, id="sibling gone"),
            pytest.param(
                {chat_key(ALICE, "C7"): {"surface_ref": "!a1"}}, {"!a1"}, id="new row, same room"
            ),
            pytest.param(
                {chat_key(ALICE, "C7"): {"surface_ref": "!new"}}, set(), id="new chat of the user"
            ),
            pytest.param(
                {room_key("!new"): {**small_rows()[A1]}}, {"!a1"}, id="new room takes the chat id"
            ),
            pytest.param(
                {chat_key("@eve:hs", "C1"): {"surface_ref": "!a2"}}, {"!a1"}, id="stranger claims"
            ),
            pytest.param(
                {chat_key(ALICE, "unregistered:!a1"): {"surface_ref": "!a1"}},
                set(),
                id="placeholder",
            ),
            pytest.param({"bot:settings": {"x": 1}}, set(), id="another family"),
        ],
    )
    async def test_only_units_that_rest_on_a_changed_row_are_stale(
        self, bench: Bench, store: SQLiteStore, wrote: dict[str, Any], stale: set[str]
    ) -> None:
        result = await bench.run(store, meanwhile=lambda: bench.put(wrote))
        assert {unit for unit, state in states(result).items() if state == "stale"} == stale
        for key, row in wrote.items():
            assert bench.row(key) == row
        assert (bench.row(A1) is None) == ("!a1" in stale)

    @pytest.mark.parametrize(
        "wrote",
        [
            {chat_key(ALICE, "C7"): {"surface_ref": "!new"}},
            {room_key("!new"): {**small_rows()[A1], "chat_id": "C9"}},
            {C1: None},
            {user_key("@eve:hs"): {"space_id": "!alice", "next_chat_index": 1}},
        ],
    )
    async def test_any_row_of_a_user_makes_the_user_row_stale(
        self, bench: Bench, wrote: dict[str, Any]
    ) -> None:
        bench.fill(without(small_rows(), user_key(ALICE), user_key(BOB)))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, meanwhile=lambda: bench.put(wrote))
        assert states(result) == {ALICE: "stale", BOB: "applied"}
        assert "written meanwhile; look again" in result.outcomes[ALICE].detail

    async def test_all_units_stale_leaves_neither_backup_nor_journal(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        result = await bench.run(store, meanwhile=lambda: bench.put({A1: {}, CB: {}}))
        assert states(result) == {"!a1": "stale", "!b1": "stale"}
        assert list(bench.path.parent.iterdir()) == [bench.path]

    async def test_a_row_written_during_the_backup_counts(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin = Journal.begin

        def meanwhile(self: Journal, run: Run) -> None:
            bench.put({CB: {"surface_ref": "!elsewhere"}})
            begin(self, run)

        monkeypatch.setattr(Journal, "begin", meanwhile)
        assert states(await bench.run(store)) == {"!a1": "applied", "!b1": "stale"}
        assert bench.row(CB) == {"surface_ref": "!elsewhere"}
        assert outcomes(bench) == {"!a1": "applied", "!b1": "stale"}

    async def test_a_row_that_is_not_as_planned_is_never_overwritten(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        """The last line: even if nothing had told that the row moved, the write itself compares."""
        look = await load_look(store)
        plan = bench.plan(look)
        bench.put({CB: {"surface_ref": "!elsewhere"}})
        blind = type(look)(look.rows, await store.version())
        job = new_job(plan, plan.units, blind, "test", NOW)
        result = await apply_changes(job, store, None)
        assert states(result) == {"!a1": "applied", "!b1": "stale"}
        assert bench.row(CB) == {"surface_ref": "!elsewhere"}

    async def test_a_row_that_somebody_wrote_just_as_planned_is_theirs(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        """To call it ours would let undo take it back."""
        look = await load_look(store)
        plan = bench.plan(look)
        [after] = [write.after for unit in plan.units for write in unit.change.writes][:1]  # type: ignore[union-attr]
        bench.put({A1: after})
        blind = type(look)(look.rows, await store.version())
        result = await apply_changes(new_job(plan, plan.units, blind, "test", NOW), store, None)
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == f"row {A1} was written meanwhile; look again"


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
            assert bench.bytes() == {}
            [run] = Journal(bench.path).runs((await load_look(store)).rows)
        assert {entry.outcome for entry in run.entries} == {"not applied"}

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

    async def test_a_locked_database_ends_the_run(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1))
        async with SQLiteStore(bench.path, busy_timeout=0.05) as store:
            look = await load_look(store)
            plan = bench.plan(look)
            with closing(sqlite3.connect(bench.path)) as other:
                other.execute("BEGIN IMMEDIATE")
                with pytest.raises(StoreError, match="lock"):
                    await apply_changes(new_job(plan, plan.units, look, "t", NOW), store, None)
            [run] = Journal(bench.path).runs((await load_look(store)).rows)
        assert [entry.outcome for entry in run.entries] == ["not applied"]


class AsyncManager(SyncManager):
    async def get_or_create(self, *args: Any, **named: Any) -> None:  # type: ignore[override]
        await asyncio.to_thread(super().get_or_create, *args, **named)


class Raising(SyncManager):
    def get_or_create(self, *args: Any, **named: Any) -> None:
        raise RuntimeError("a secret")


class Idle(SyncManager):
    def get_or_create(self, *args: Any, **named: Any) -> None:
        pass


class TestForeignManager:
    """A manager with its own connection to the same file."""

    @pytest.mark.parametrize("kind", [SyncManager, AsyncManager])
    async def test_it_finishes_without_locking_and_its_text_stays(
        self, bench: Bench, mode: str, kind: type[SyncManager]
    ) -> None:
        bench.fill(without(small_rows(), A1, C1, CB), mode)
        manager = kind(bench.path)
        started = time.monotonic()
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager)
        assert time.monotonic() - started < 1
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert manager.called == ["!a1", "!b1"]
        assert bench.row(C1) == {"mine": 1.0} | small_rows()[C1]
        assert bench.row(A1) == small_rows()[A1]

    async def test_the_journal_holds_the_text_that_it_wrote(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), CB))
        async with SQLiteStore(bench.path) as store:
            await bench.run(store, SyncManager(bench.path))
        [entry] = Journal(bench.path).runs()[-1].entries
        assert [str(write.after).encode() for write in entry.writes] == [bench.bytes()[CB][1]]
        assert entry.made == CB

    async def test_a_wrong_row_stops_its_unit_and_stays(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, B1))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, SyncManager(bench.path, surface_ref="!elsewhere"))
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert "chat manager" in result.outcomes["!a1"].detail
        assert bench.row(C1)["surface_ref"] == "!elsewhere"
        assert bench.row(A1) is None

    async def test_no_row_at_all_stops_its_unit(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, B1))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Idle(bench.path))
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert bench.row(A1) is None

    async def test_what_it_raises_is_named_but_not_quoted(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, B1))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Raising(bench.path))
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == "the bot's chat manager raised RuntimeError"

    async def test_it_is_not_called_for_a_stale_unit(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))
        manager = SyncManager(bench.path)
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager, meanwhile=lambda: bench.put({A1: {}}))
        assert states(result) == {"!a1": "stale", "!b1": "applied"}
        assert manager.called == ["!b1"]

    async def test_the_same_manager_class_on_another_store_is_foreign(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), C1))
        async with SQLiteStore(bench.path) as store, SQLiteStore(bench.path) as other:
            result = await bench.run(store, ChatManager(other))
        assert states(result) == {"!a1": "applied"}
        assert bench.row(C1) == small_rows()[C1]

    async def test_a_deadline_is_looked_at_before_each_call(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        bench.fill(without(small_rows(), C1, CB))
        manager = SyncManager(bench.path)
        monkeypatch.setattr(Job, "late", property(lambda job: bool(manager.called)))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, manager)
        assert manager.called == ["!a1"]
        assert states(result) == {"!a1": "stale", "!b1": "stale"}


class TestJoinedManager:
    """A manager on the very store that is written."""

    async def test_an_own_subclass_is_called_and_joins_the_transaction(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Mine(store))
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert bench.row(C1) == small_rows()[C1]
        assert bench.row("audit:C1") == {"room": "!b1"}
        entries = Journal(bench.path).runs()[-1].entries
        after = {w.key: str(w.after).encode() for e in entries for w in e.writes}
        assert after == {key: bench.bytes()[key][1] for key in (A1, C1, CB)}
        assert {entry.made for entry in entries} == {""}

    async def test_what_it_writes_is_undone_with_its_unit(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), A1, C1, CB))

        class Half(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                context = await super().get_or_create(*args, **named)
                if context.surface_ref == "!a1":
                    raise RuntimeError("half way")
                return context

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Half(store))
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert (bench.row(A1), bench.row(C1)) == (None, None)

    @pytest.mark.parametrize("writes", [True, False])
    async def test_a_row_that_points_elsewhere_is_rolled_back(
        self, bench: Bench, writes: bool
    ) -> None:
        bench.fill(without(small_rows(), A1, C1))

        class Wrong:
            def __init__(self, store: SQLiteStore) -> None:
                self.database = store  # under a name of its own

            async def get_or_create(
                self, user_id: str, chat_id: str, *rest: str, name: str
            ) -> None:
                if writes:
                    await self.database.set(chat_key(user_id, chat_id), {"surface_ref": "!x"})

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Wrong(store))
        assert states(result) == {"!a1": "stale"}
        assert (bench.row(A1), bench.row(C1)) == (None, None)

    async def test_one_that_locks_itself_out_stops_only_its_units(self, bench: Bench) -> None:
        """It holds our store, but writes on a connection of its own: we can't know that before."""
        bench.fill(without(small_rows(), A1, C1, B1))

        class Both(SyncManager):
            store: SQLiteStore

            def get_or_create(self, *args: Any, **named: Any) -> None:
                with closing(sqlite3.connect(self.path, timeout=0)) as database:
                    database.execute("BEGIN IMMEDIATE")

        async with SQLiteStore(bench.path) as store:
            manager = Both(bench.path)
            manager.store = store
            result = await bench.run(store, manager)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert "OperationalError" in result.outcomes["!a1"].detail

    async def test_a_store_error_of_the_manager_is_told(self, bench: Bench) -> None:
        bench.fill(without(small_rows(), C1))

        class Refusing(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                raise StoreError("The quota is full.")

        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, Refusing(store))
        assert result.outcomes["!a1"].detail == "The quota is full."


class TestCancellation:
    async def test_finished_units_are_committed_and_journaled(self, bench: Bench) -> None:
        bench.fill({})
        calls = 0

        class Cancelling(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> ChatContext:
                nonlocal calls
                calls += 1
                if calls == 2:
                    task.cancel()
                return await super().get_or_create(*args, **named)

        async with SQLiteStore(bench.path) as store:
            task = asyncio.create_task(bench.run(store, Cancelling(store)))
            with pytest.raises(asyncio.CancelledError):
                await task
            applied = {unit for unit, state in outcomes(bench).items() if state == "applied"}
            assert applied == {ALICE, BOB, "!a1"}
            assert outcomes(bench)["!b1"] == "not reached"
            assert bench.bytes().keys() == {user_key(ALICE), user_key(BOB), A1, C1}
            await bench.run(store)
        assert bench.row(CB) == small_rows()[CB]

    @pytest.mark.parametrize("steps", range(1, 40, 2))
    async def test_whenever_it_comes_the_journal_says_what_was_written(
        self, bench: Bench, steps: int
    ) -> None:
        bench.fill({})
        async with SQLiteStore(bench.path) as store:
            task = asyncio.create_task(bench.run(store, Mine(store)))
            for _ in range(steps * 4):
                await asyncio.sleep(0)
                if task.done():
                    break
            else:
                await asyncio.sleep(steps / 2000)
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            rows = (await load_look(store)).rows
            for run in Journal(bench.path).runs(rows):
                for entry in run.entries:
                    written = [rows.get(write.key) == write.after for write in entry.writes]
                    assert set(written) == {entry.outcome == "applied"}, (entry, run.finished)
            await bench.run(store, Mine(store))
        assert {k: bench.row(k) for k in small_rows()} == small_rows()

    async def test_a_unit_whose_last_step_was_cancelled_is_known_as_finished(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The savepoint was released, and we were cancelled before we heard of it."""
        savepoint = Transaction.savepoint

        def cancelled_after(self: Transaction) -> Any:
            inner = savepoint(self)

            class Around:
                async def __aenter__(self) -> None:
                    await inner.__aenter__()

                async def __aexit__(self, *error: Any) -> None:
                    await inner.__aexit__(*error)
                    raise asyncio.CancelledError

            return Around()

        monkeypatch.setattr(Transaction, "savepoint", cancelled_after)
        with pytest.raises(asyncio.CancelledError):
            await bench.run(store)
        assert bench.row(A1) is not None
        assert outcomes(bench) == {"!a1": "applied", "!b1": "applied"}

    async def test_cancelled_while_committing_it_is_journaled_all_the_same(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        commit = Transaction.commit

        async def cancelled(self: Transaction) -> None:
            task = asyncio.current_task()
            assert task
            task.cancel()
            await commit(self)

        monkeypatch.setattr(Transaction, "commit", cancelled)
        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(bench.run(store))
        assert bench.row(A1) is not None
        assert outcomes(bench) == {"!a1": "applied", "!b1": "applied"}
        assert Journal(bench.path).runs()[-1].finished

    async def test_cancelled_while_waiting_for_the_lock_nothing_is_written(
        self, bench: Bench, store: SQLiteStore
    ) -> None:
        before = bench.bytes()
        with closing(sqlite3.connect(bench.path)) as other:
            other.execute("BEGIN IMMEDIATE")
            task = asyncio.create_task(bench.run(store))
            await asyncio.sleep(0.1)
            task.cancel()
            other.rollback()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert bench.bytes() == before

    async def test_many_units_are_written_in_few_savepoints_and_late_ones_not_at_all(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(3, 700):
            bench.world.chat(f"!a{number}", "!alice", f"Чат {number}", owner=ALICE)
        bench.fill({})
        seen = [0]
        monkeypatch.setattr(Job, "late", property(lambda job: seen[-1] > 256))
        async with SQLiteStore(bench.path) as store:
            result = await bench.run(store, progress=lambda done, total, word: seen.append(done))
        late = [unit for unit, state in states(result).items() if state == "stale"]
        assert seen[:3] == [0, 256, 512]
        assert len(late) == 702 - 512
        assert all(bench.row(room_key(unit)) is None for unit in late)


class TestSeveralWriters:
    async def test_two_runs_in_one_process_go_one_after_the_other(self, bench: Bench) -> None:
        bench.fill({})
        inside, most = 0, 0

        async def one() -> None:
            nonlocal inside, most
            async with SQLiteStore(bench.path) as store, one_at_a_time(store):
                inside += 1
                most = max(most, inside)
                await bench.run(store)
                inside -= 1

        await asyncio.gather(one(), one(), one())
        assert most == 1
        assert len(Journal(bench.path).runs()) == 1
        assert {key: bench.row(key) for key in small_rows()} == small_rows()

    async def test_two_stores_at_once_both_finish_and_nothing_is_lost(
        self, bench: Bench, mode: str
    ) -> None:
        bench.fill({}, mode)
        async with SQLiteStore(bench.path) as one, SQLiteStore(bench.path) as other:
            results = await asyncio.gather(bench.run(one), bench.run(other))
        found = [states(result) for result in results]
        for unit in (ALICE, BOB, "!a1", "!a2", "!b1"):
            assert sorted(state[unit] for state in found) == ["applied", "stale"]
        assert {key: bench.row(key) for key in small_rows()} == small_rows()

    async def test_another_database_does_not_wait(self, tmp_path: Path) -> None:
        one, other = InMemoryStore(), InMemoryStore()
        async with asyncio.timeout(1), one_at_a_time(one), one_at_a_time(other):
            pass


class Stopping(InMemoryStore):
    """A plain store whose process dies at the given write."""

    def __init__(self, rows: Mapping[str, Mapping[str, Any]], at: int) -> None:
        super().__init__(rows)
        self.left = at
        self.order: list[str] = []

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        self.left -= 1
        if self.left < 0:
            raise asyncio.CancelledError
        self.order.append(key)
        await super().set(key, value)


async def rows_of(store: InMemoryStore) -> dict[str, Any]:
    return {key: await store.get(key) for key in await store.keys("")}


class TestPlainStore:
    """A store with nothing but get, set and keys."""

    @pytest.mark.parametrize("managed", [True, False])
    async def test_the_room_row_is_written_last(self, bench: Bench, managed: bool) -> None:
        store = Stopping({}, 99)
        result = await bench.run(store, ChatManager(store) if managed else None)
        assert set(states(result).values()) == {"applied"}
        assert (result.run, result.backup) == (None, None)
        assert store.order == [user_key(ALICE), user_key(BOB), C1, A1, C2, A2, CB, B1]
        assert await rows_of(store) == small_rows()
        assert (await bench.run(store)).outcomes == {}

    @pytest.mark.parametrize("at", range(8))
    async def test_the_next_run_finishes_what_was_interrupted(self, bench: Bench, at: int) -> None:
        store = Stopping({}, at)
        with pytest.raises(asyncio.CancelledError):
            await bench.run(store, ChatManager(store))
        assert len(await rows_of(store)) == at
        store.left = 99
        await bench.run(store, ChatManager(store))
        assert await rows_of(store) == small_rows()

    async def test_a_row_that_moved_since_the_look_is_left(self, bench: Bench) -> None:
        store = InMemoryStore(without(small_rows(), A1, CB))
        look = await load_look(store)
        plan = bench.plan(look)
        await store.set(CB, {"surface_ref": "!x"})
        result = await apply_changes(new_job(plan, plan.units, look, "t", NOW), store, None)
        assert states(result) == {"!a1": "applied", "!b1": "stale"}
        assert await store.get(CB) == {"surface_ref": "!x"}

    async def test_a_row_that_moved_during_the_run_is_left(self, bench: Bench) -> None:
        class Busy(InMemoryStore):
            async def set(self, key: str, value: Mapping[str, Any]) -> None:
                await super().set(key, value)
                await super().set(CB, {"surface_ref": "!x"})

        store = Busy(without(small_rows(), A1, CB))
        assert states(await bench.run(store)) == {"!a1": "applied", "!b1": "stale"}
        assert await store.get(CB) == {"surface_ref": "!x"}

    async def test_a_failing_write_is_recorded_and_the_next_unit_goes_on(
        self, bench: Bench
    ) -> None:
        class Failing(InMemoryStore):
            async def set(self, key: str, value: Mapping[str, Any]) -> None:
                if key == A1:
                    raise OSError("a secret")
                await super().set(key, value)

        store = Failing(without(small_rows(), A1, CB))
        result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == "the bot's store raised OSError"

    @pytest.mark.parametrize("before", [None, {**small_rows()[A1], "display_name": "old"}])
    async def test_a_row_that_the_store_does_not_take_fails_its_unit(
        self, bench: Bench, before: Any
    ) -> None:
        class Ignoring(InMemoryStore):
            async def set(self, key: str, value: Mapping[str, Any]) -> None:
                if key != A1:
                    await super().set(key, value)

        store = Ignoring(without(small_rows(), A1, CB) | ({A1: before} if before else {}))
        result = await bench.run(store)
        assert states(result) == {"!a1": "failed", "!b1": "applied"}
        assert result.outcomes["!a1"].detail == f"the bot's store did not take the row {A1}"

    async def test_a_manager_is_called_and_its_row_read_back(self, bench: Bench) -> None:
        rows = without(small_rows(), A1, C1, B1)

        class Manager:
            def __init__(self, does: Callable[[], None]) -> None:
                self.does = does

            def get_or_create(self, *args: str, name: str) -> None:
                self.does()

        def raise_it() -> None:
            raise RuntimeError

        nothing = await bench.run(InMemoryStore(rows), Manager(lambda: None))
        assert states(nothing) == {"!a1": "stale", "!b1": "applied"}
        raised = await bench.run(InMemoryStore(rows), Manager(raise_it))
        assert states(raised) == {"!a1": "failed", "!b1": "applied"}

    async def test_past_the_deadline_no_further_unit_is_begun(self, bench: Bench) -> None:
        store = InMemoryStore(without(small_rows(), A1, CB))
        result = await bench.run(store, until=time.monotonic() - 1)
        assert states(result) == {"!a1": "stale", "!b1": "stale"}

    async def test_rows_that_it_cannot_read_show_as_unreadable(self, bench: Bench) -> None:
        class Poisoned(InMemoryStore):
            async def get(self, key: str) -> dict[str, Any] | None:
                if key == A1:
                    raise json.JSONDecodeError("no", "{", 0)
                if key == B1:
                    raise StoreError("Can't read it.")
                return await super().get(key)

        store = Poisoned(small_rows())
        look = await load_look(store)
        assert bench.plan(look).unit("!a1") is not None
        assert {key for key, raw in look.rows.items() if str(raw).startswith("unreadable")} == {
            A1,
            B1,
        }

    async def test_a_store_that_cannot_be_asked_is_a_store_error(self) -> None:
        class Gone(InMemoryStore):
            async def keys(self, prefix: str) -> list[str]:
                raise ConnectionError("a secret")

        with pytest.raises(StoreError, match="ConnectionError"):
            await load_look(Gone())
