"""What every store with transactions keeps of what was written: backups, the journal, and the way back."""

import asyncio
import itertools
import os
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.bench import A1, NOW, UA, UB, Bench, small_rows, states, text
from tests.database.test_contract import ROOM, opened
from tests.stores import PLACES, Place
from toolkit.database.contract import TransactionalStore
from toolkit.errors import StoreError
from toolkit.model import RowWrite, UnitKind
from toolkit.records import NULL, Raw
from toolkit.writing.journal import Entry, Run, RunJournal, outcome_line
from toolkit.writing.undo import history, undo

NAME = "2026112{}T220345Z-3f2a"
RAWS: list[Raw] = [
    *('{"a": "é\u2028"}', "caf\udce9", b"\xff\x00", b"", "", 7, 1.5, "NULL", NULL, None),
]


@pytest.fixture(params=list(PLACES))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: Place = PLACES[request.param](tmp_path)
    return made


@pytest.fixture
async def store(place: Place) -> AsyncIterator[TransactionalStore]:
    async with opened(place.store()) as store:
        yield store


def a_run(name: str = "r1", **more: object) -> Run:
    writes = [RowWrite(f"k{n}", *both) for n, both in enumerate(itertools.product(RAWS, RAWS))]
    entry = Entry("!a", UnitKind.ROOM, tuple(writes), "eva", ("room_row", "$1"), "applied", "why")
    return Run(name, NOW.isoformat(), "test", (entry,), backup="b", finished=True)


class TestBackups:
    async def test_it_is_named_and_can_be_discarded(
        self, store: TransactionalStore, place: Place
    ) -> None:
        place.put({ROOM: "{}"})
        first = await store.backup(name=NAME.format(1))
        second = await store.backup(name=NAME.format(2), by_bot=True)
        assert place.backups() == {os.fspath(first), os.fspath(second)}
        await store.discard_backup(first)
        await store.discard_backup(first)
        assert place.backups() == {os.fspath(second)}

    async def test_only_the_latest_of_its_kind_stay(
        self, store: TransactionalStore, place: Place
    ) -> None:
        bots = await store.backup(name=NAME.format(0), by_bot=True)
        made = [await store.backup(name=NAME.format(n)) for n in range(1, 8)]
        assert len(place.backups()) == 8
        await store.remove_older(made[-1])
        assert place.backups() == {os.fspath(backup) for backup in (bots, *made[-5:])}
        await store.remove_older(bots)
        assert len(place.backups()) == 6

    async def test_another_form_of_name_and_a_transaction_are_refused(
        self, store: TransactionalStore, place: Place
    ) -> None:
        with pytest.raises(ValueError, match="named after a run"):
            await store.backup(name="mine")
        async with store.transaction():
            with pytest.raises(StoreError, match="inside a transaction"):
                await store.backup(name=NAME.format(1))
        assert place.backups() == set()


class TestJournal:
    async def test_lines_are_kept_in_their_order_whether_or_not_the_store_is_open(
        self, place: Place
    ) -> None:
        store = place.store()
        assert await store.journal.lines() == []
        await store.journal.append('{"a": 1}')
        async with opened(store):
            await store.journal.append("b" * 100_000)
            assert await store.journal.lines() == ['{"a": 1}', "b" * 100_000]
        await place.store().journal.append("{")
        assert (await store.journal.lines())[2:] == ["{"]
        assert await place.elsewhere().store().journal.lines() == []

    async def test_another_loop_may_ask(self, store: TransactionalStore) -> None:
        await store.journal.append("{}")

        def elsewhere() -> list[str]:
            return asyncio.run(store.journal.lines())

        assert await asyncio.to_thread(elsewhere) == ["{}"]

    async def test_a_run_is_read_back_as_it_was_told(self, store: TransactionalStore) -> None:
        journal = RunJournal(store.journal)
        await journal.begin(a_run())
        await journal.begin(a_run("r2"))
        await journal.finish(a_run())
        first, second = await journal.runs()
        assert first == a_run() and second.id == "r2" and not second.finished

    async def test_a_line_stays_when_a_transaction_is_taken_back(
        self, store: TransactionalStore
    ) -> None:
        with suppress(ZeroDivisionError):
            async with store.transaction():
                await store.journal.append("{}")
                raise ZeroDivisionError
        assert await store.journal.lines() == ["{}"]

    @pytest.mark.parametrize("whole", [True, False])
    async def test_a_note_is_as_whole_as_its_transaction(
        self, store: TransactionalStore, whole: bool
    ) -> None:
        noted: list[str] = []

        def outcome() -> str:
            noted.append(outcome_line(a_run()))
            return noted[0]

        with suppress(ZeroDivisionError):
            async with store.transaction() as transaction:
                await store.set(ROOM, {"n": 1})
                await transaction.note("r1", outcome)
                assert 1 / whole
        assert await store.journal.lines() == (noted if whole else [])


class TestARun:
    async def test_what_was_written_is_told_and_taken_back_to_the_letter(
        self, store: TransactionalStore, place: Place
    ) -> None:
        bench = Bench(Path("unused"))
        rows = {
            **small_rows(),
            A1: None,
            UA: '{"space_id": "!alice", "next_chat_index": 3.0 }',
            UB: "{",
        }
        place.put({key: raw for key, row in rows.items() if isinstance(raw := text(row), str)})
        before = place.texts()
        result = await bench.run(store)
        assert states(result)["!a1"] == "applied" and result.run and not result.warning
        after = place.texts()
        assert A1 in after and after != before
        assert place.backups() == {str(result.backup)}
        [run] = await history(store)
        assert run == result.record
        assert (run.database is None) == (await store.birthmark() is None)
        plan, undone = await undo(store, run.id, by="eva")
        assert set(states(undone).values()) == {"applied"} == {e.outcome for e in run.entries}
        assert place.texts() == before and len(plan.units) == len(run.applied)
        assert [run.undoes for run in await history(store)] == [None, run.id]

    async def test_a_run_that_wrote_nothing_leaves_nothing(
        self, store: TransactionalStore, place: Place
    ) -> None:
        bench = Bench(Path("unused"))
        rows = {key: str(text(row)) for key, row in small_rows().items()}
        place.put({**rows, A1: None})
        result = await bench.run(store, meanwhile=lambda: place.put({A1: '{"mine": 1}'}))
        assert states(result) == {"!a1": "stale"} and result.run is None
        assert place.backups() == set() and await history(store) == []
