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
from tests.stores import PLACES, Place, make_place
from toolkit.database.contract import TransactionalStore
from toolkit.database.journal import Entry, Run, outcome_line
from toolkit.errors import StoreError
from toolkit.model import RowWrite, UnitKind
from toolkit.records import NULL, Raw
from toolkit.writing.undo import history, undo

NAME = "2026112{}T220345Z-3f2a"
RAWS: list[Raw] = [
    *('{"a": "é\u2028"}', "caf\udce9", b"\xff\x00", b"", "", 7, 1.5, "NULL", NULL, None),
]


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, tmp_path)


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


async def ids_in(store: TransactionalStore) -> list[str]:
    """Which runs its journal tells of."""
    return [run.id for run in await store.journal.runs()]


class TestJournal:
    async def test_runs_are_kept_in_their_order_whether_or_not_the_store_is_open(
        self, place: Place
    ) -> None:
        store = place.store()
        assert await store.journal.runs() == []
        await store.journal.begin(a_run("r1"))
        async with opened(store):
            await store.journal.begin(a_run("r2" * 50_000))
            assert await ids_in(store) == ["r1", "r2" * 50_000]
        await place.store().journal.begin(a_run("r3"))
        assert (await ids_in(store))[2:] == ["r3"]
        assert await place.elsewhere().store().journal.runs() == []

    async def test_another_loop_may_ask(self, store: TransactionalStore) -> None:
        await store.journal.begin(a_run())

        def elsewhere() -> list[str]:
            return asyncio.run(ids_in(store))

        assert await asyncio.to_thread(elsewhere) == ["r1"]

    async def test_a_run_is_read_back_as_it_was_told(self, store: TransactionalStore) -> None:
        journal = store.journal
        await journal.begin(a_run())
        await journal.begin(a_run("r2"))
        await journal.finish(a_run())
        first, second = await journal.runs()
        assert first == a_run() and second.id == "r2" and not second.finished

    async def test_an_intent_stays_when_a_transaction_is_taken_back(
        self, store: TransactionalStore
    ) -> None:
        with suppress(ZeroDivisionError):
            async with store.transaction():
                await store.journal.begin(a_run())
                raise ZeroDivisionError
        assert await ids_in(store) == ["r1"]

    @pytest.mark.parametrize("whole", [True, False])
    async def test_a_note_is_as_whole_as_its_transaction(
        self, store: TransactionalStore, whole: bool
    ) -> None:
        noted, told = list[str](), False

        def outcome() -> str:
            noted.append("r1")
            return outcome_line(a_run())

        with suppress(ZeroDivisionError):
            async with store.transaction() as transaction:
                await store.set(ROOM, {"n": 1})
                told = await transaction.note("r1", outcome)
                assert 1 / whole
        assert await ids_in(store) == (noted if whole else [])
        assert told == bool(noted)


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
