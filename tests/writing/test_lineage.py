"""Which runs are of the database that has the name now, and which of one that it replaced."""

import json
import shutil
from pathlib import Path

import pytest

from tests.bench import A1, ALICE, UA, Bench, small_rows, states
from toolkit import SQLiteStore, StoreError
from toolkit.database.identity import Identity
from toolkit.database.journal import Entry, Journal, Run
from toolkit.database.look import load_look
from toolkit.errors import ToolkitError
from toolkit.model import RowWrite, UnitKind
from toolkit.records import Raw
from toolkit.session.state import SessionState
from toolkit.writing.lineage import Past, load_past, tell_apart
from toolkit.writing.restore import plan_restore, restore
from toolkit.writing.undo import plan_undo, undo

BROKEN = {key: row for key, row in small_rows().items() if key not in (A1, UA)}


async def repaired(bench: Bench) -> str:
    """Repair all that is missing; the run's name."""
    async with SQLiteStore(bench.path) as store:
        result = await bench.run(store)
    assert set(states(result).values()) == {"applied"} and result.run
    return result.run


async def past_of(bench: Bench) -> Past:
    async with SQLiteStore(bench.path, read_only=True) as store:
        return await load_past(store, (await load_look(store)).rows)


def names(runs: list[Run]) -> list[str]:
    return [run.id for run in runs]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    found = Bench(tmp_path / "bot.db")
    found.fill(BROKEN)
    return found


class TestMadeAnew:
    async def test_runs_of_the_older_one_are_told_apart(self, bench: Bench) -> None:
        first = await repaired(bench)
        bench.path.unlink()
        bench.fill(BROKEN)
        assert names((await past_of(bench)).older) == [first]
        second = await repaired(bench)
        past = await past_of(bench)
        assert (names(past.runs), names(past.older)) == ([second], [first])

    async def test_also_where_all_that_it_wrote_is_there_again(self, bench: Bench) -> None:
        bench.put({"other": {"n": 1}})
        first = await repaired(bench)
        bench.path.unlink()
        bench.fill(small_rows())
        assert names((await past_of(bench)).older) == [first]

    async def test_nothing_of_an_older_one_is_taken_back(self, bench: Bench) -> None:
        first = await repaired(bench)
        bench.path.unlink()
        bench.fill(BROKEN)
        before = bench.bytes()
        async with SQLiteStore(bench.path) as store:
            for refused in (plan_undo, undo):
                with pytest.raises(StoreError, match="wrote to an older database of this name"):
                    await refused(store, first)
            rows = (await load_look(store)).rows
        with pytest.raises(StoreError, match="move this one away before"):
            plan_restore(bench.path, first, None, rows)
        with pytest.raises(ToolkitError, match="wrote to an older database of this name"):
            SessionState(past=await past_of(bench)).find_run(first)
        assert bench.bytes() == before

    async def test_without_a_database_any_backup_can_be_restored(self, bench: Bench) -> None:
        first = await repaired(bench)
        bench.path.unlink()
        restore(plan_restore(bench.path, first))
        last = Journal(bench.path).runs()[-1].id
        assert names((await past_of(bench)).runs) == [first, last]
        second = await repaired(bench)
        assert names((await past_of(bench)).runs) == [first, last, second]


class TestTheSame:
    async def test_a_copy_keeps_its_history(self, bench: Bench, tmp_path: Path) -> None:
        first = await repaired(bench)
        (tmp_path / "new").mkdir()
        for file in tmp_path.glob("bot.db*"):
            shutil.copy(file, tmp_path / "new")
        copy = Bench(tmp_path / "new" / "bot.db")
        copy.put({UA: None})
        second = await repaired(copy)
        assert names((await past_of(copy)).runs) == [first, second]
        async with SQLiteStore(copy.path) as store:
            await undo(store, second, by="eva")
        assert len((await past_of(copy)).runs) == 3

    async def test_a_database_that_was_restored_keeps_its_history(self, bench: Bench) -> None:
        first = await repaired(bench)
        bench.put({A1: None})
        second = await repaired(bench)
        restore(plan_restore(bench.path, first, None, {UA: json.dumps(small_rows()[UA])}))
        past = await past_of(bench)
        assert names(past.runs)[:2] == [first, second] and not past.older
        assert past.runs[2].action == "restore" and len(past.runs[2].goes_on) == 2

    async def test_a_backup_that_is_copied_over_the_file_keeps_it_too(self, bench: Bench) -> None:
        first = await repaired(bench)
        bench.put({A1: None})
        second = await repaired(bench)
        [*_, backup] = sorted(bench.path.parent.glob("bot.db.*.backup"), key=lambda p: p.name)
        assert second in backup.name
        shutil.copyfile(backup, bench.path)
        assert names((await past_of(bench)).runs) == [first, second]
        bench.path.unlink()  # SQLite counts the changes of a backup anew
        shutil.copyfile(backup, bench.path)
        assert names((await past_of(bench)).older) == [first, second]

    async def test_a_database_that_cannot_be_read_has_all_runs(self, bench: Bench) -> None:
        first = await repaired(bench)
        bench.path.write_bytes(b"nonsense" * 100)
        assert names((await load_past(SQLiteStore(bench.path), None)).runs) == [first]
        assert plan_restore(bench.path, first).run == first


NOW = Identity(2, 20, 9)


def a_run(name: str, file: Identity | None, after: Raw = "1", **more: object) -> Run:
    entry = Entry(ALICE, UnitKind.USER, (RowWrite("k", "0", after),), "eva", outcome="applied")
    told = None if file is None else str(file)
    return Run(name, "2026", "test", (entry,), finished=True, database=told, **more)  # type: ignore[arg-type]


class TestSigns:
    def test_a_row_and_as_many_changes_are_needed_both(self) -> None:
        other = Identity(1, 10, 9)
        assert tell_apart([a_run("r", other)], NOW, {"k": "1"}).runs
        assert tell_apart([a_run("r", other)], NOW, {"k": "2"}).older
        assert tell_apart([a_run("r", other._replace(changes=10))], NOW, {"k": "1"}).older

    def test_a_row_that_was_deleted_is_no_sign(self) -> None:
        assert tell_apart([a_run("r", Identity(1, 10, 1), None)], NOW, {}).older

    def test_runs_that_name_no_file_are_listed_unless_a_later_one_is_of_another(self) -> None:
        before, other, mine = a_run("a", None), a_run("b", Identity(1, 10, 1)), a_run("c", NOW)
        assert tell_apart([before, mine], NOW, {}) == Past([before, mine], [])
        assert tell_apart([before, other, mine], NOW, {}) == Past([mine], [before, other])
        assert tell_apart([other, before, mine], NOW, {}) == Past([before, mine], [other])

    def test_what_a_file_goes_on_from_is_its_own(self) -> None:
        first, second = Identity(1, 10, 5), Identity(3, 15, 7)
        back = a_run("back", NOW, goes_on=(str(second), str(first), "nonsense"))
        runs = [a_run("a", first, "x"), a_run("b", second, "y"), back]
        assert tell_apart(runs, NOW, {}).older == []

    def test_without_a_file_nothing_is_of_another(self) -> None:
        runs = [a_run("a", Identity(1, 10, 5))]
        assert tell_apart(runs, None, {}) == tell_apart(runs, None, None) == Past(runs, [])

    def test_an_interrupted_run_is_worked_out_by_what_is_there(self) -> None:
        cut = a_run("a", Identity(1, 10, 5))
        cut = Run(cut.id, cut.time, cut.action, cut.entries, database=cut.database)
        assert tell_apart([cut], NOW, {"k": "1"}).runs[0].applied
        assert tell_apart([cut], NOW, {"k": "0"}).older
