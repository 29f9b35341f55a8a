"""The writer: what it writes, what it leaves, and what others do meanwhile (rules 4, 5)."""

import asyncio
import json
import time
from typing import Any

import pytest

from tests.bench import (
    A1,
    A2,
    ALICE,
    B1,
    BOB,
    C1,
    CB,
    NOW,
    Bench,
    SyncManager,
    small_rows,
    states,
    text,
)
from tests.writing.apply.runs import outcomes, without
from toolkit import ChatManager, SQLiteStore, StoreError
from toolkit.database.chat_manager import ChatContext
from toolkit.database.journal import Journal, Run, RunJournal
from toolkit.database.look import load_look
from toolkit.database.transaction import Transaction
from toolkit.model import Choices
from toolkit.records import NULL, chat_key, room_key, user_key
from toolkit.writing.apply import apply_changes
from toolkit.writing.job import new_job


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
            (RunJournal, "begin"),
            (Transaction, "write"),
            (Transaction, "commit"),
            (RunJournal, "finish"),
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
        async def fail(self: RunJournal, run: Run) -> None:
            raise StoreError("Can't write the journal: the disk is full.")

        monkeypatch.setattr(RunJournal, "finish", fail)
        result = await bench.run(store)
        assert states(result) == {"!a1": "applied", "!b1": "applied"}
        assert "disk is full" in result.warning
        [run] = Journal(bench.path).runs((await load_look(store)).rows)
        assert [entry.outcome for entry in run.entries] == ["applied", "applied"]


class TestMeanwhile:
    """The live bot writes between the plan and its application."""

    async def test_nothing_is_read_again_if_nobody_wrote(
        self, bench: Bench, store: SQLiteStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        look = await load_look(store)
        plan = bench.plan(look)
        read: list[Any] = []
        for owner in (SQLiteStore, Transaction):
            monkeypatch.setattr(owner, "load_rows", read.append)
        result = await apply_changes(new_job(plan, plan.units, look, "test", NOW), store, None)
        assert read == []
        assert states(result) == {"!a1": "applied", "!b1": "applied"}

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
        begin = RunJournal.begin

        async def meanwhile(self: RunJournal, run: Run) -> None:
            bench.put({CB: {"surface_ref": "!elsewhere"}})
            await begin(self, run)

        monkeypatch.setattr(RunJournal, "begin", meanwhile)
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
