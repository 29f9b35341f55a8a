"""The journal: what it keeps to the byte, what it survives, what it works out after a crash."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from toolkit.database.journal import Entry, Journal, JournalBeside, Run, RunJournal, entries_of
from toolkit.errors import StoreError
from toolkit.model import Change, Evidence, RowWrite, Rung, Status, Unit, UnitKind
from toolkit.records import NULL, Raw

TEXTS: list[Raw] = [
    *('{"a": "é\u2028"}', "caf\udce9", b"\xff\x00", b"", "", 7, 1.5, float("inf")),
    *("NULL", NULL, None),
]


@pytest.fixture
def journal(tmp_path: Path) -> RunJournal:
    database = tmp_path / "bot.db"
    database.touch(0o644)
    return on(database)


def on(database: Path) -> RunJournal:
    return JournalBeside(database)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return Journal(tmp_path / "bot.db").path


def entry(*writes: tuple[str, Raw, Raw], **more: Any) -> Entry:
    return Entry("!a", UnitKind.ROOM, tuple(RowWrite(*write) for write in writes), "eva", **more)


def run(*entries: Entry, name: str = "r1", **more: Any) -> Run:
    return Run(name, "2026-11-22T22:03:45+00:00", "start-up", entries, **more)


async def outcome(journal: RunJournal, rows: dict[str, Raw]) -> list[str]:
    return [entry.outcome for run in await journal.runs(rows) for entry in run.entries]


async def test_a_run_is_read_back_as_it_was_told(path: Path, journal: RunJournal) -> None:
    told = run(
        *(entry((f"k{n}", before, after)) for n, before in enumerate(TEXTS) for after in TEXTS),
        entry(("k", None, "x"), evidence=("room_row", "$1"), outcome="failed", detail="why"),
        backup="/b",
        undoes="r0",
        finished=True,
    )
    await journal.finish(told)
    assert await journal.runs() == [told]
    assert all(type(entry.kind) is UnitKind for entry in (await journal.runs())[0].entries)
    assert path.read_bytes().isascii()


async def test_the_outcome_replaces_the_intent_in_its_place(journal: RunJournal) -> None:
    await journal.begin(run(entry(("k", None, "1"))))
    await journal.begin(run(name="r2"))
    await journal.finish(run(entry(("k", None, "1"), outcome="applied")))
    first, second = await journal.runs()
    assert (first.id, first.finished, len(first.applied)) == ("r1", True, 1)
    assert (second.id, second.finished) == ("r2", False)


async def test_lines_are_only_ever_appended(path: Path, journal: RunJournal) -> None:
    await journal.begin(run())
    before = path.read_bytes()
    await journal.finish(run())
    assert path.read_bytes().startswith(before)


async def test_no_journal_is_no_run(journal: RunJournal) -> None:
    assert await journal.runs() == []


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
async def test_it_is_no_wider_open_than_the_database(path: Path, tmp_path: Path, mode: int) -> None:
    database = tmp_path / "bot.db"
    database.touch()
    database.chmod(mode)
    journal = on(database)
    await journal.begin(run())
    assert stat.S_IMODE(path.stat().st_mode) & ~mode == 0


async def test_through_a_link_it_is_the_same_journal(journal: RunJournal, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "bot.db")
    await journal.begin(run())
    assert Journal(link).runs() == await journal.runs() != []


@pytest.mark.parametrize(
    "damage",
    [
        *(
            b'{"outcome":{"id":"r',
            b'{"intent":5}',
            b"[]",
            b"null",
            b'{"a":1,"b":2}',
            b"{}",
            b"\x00\xff",
        ),
        b"[" * 100_000,
        b'{"outcome":{"id":"r","time":"t","action":7,"entries":[]}}',
        b'{"outcome":{"id":"r","time":"t","action":"a","entries":[],"backup":5}}',
    ],
)
async def test_a_damaged_line_costs_no_other(
    path: Path, journal: RunJournal, damage: bytes
) -> None:
    await journal.begin(run())
    with path.open("ab") as file:
        file.write(damage)
    await journal.begin(run(name="r2"))
    assert [each.id for each in await journal.runs()] == ["r1", "r2"]


async def test_fields_of_a_later_version_are_passed_over(path: Path, journal: RunJournal) -> None:
    await journal.begin(run(entry(("k", None, "1"))))
    line = json.loads(path.read_text())
    line["intent"]["new"] = line["intent"]["entries"][0]["new"] = 1
    path.write_text(json.dumps(line) + "\n")
    assert await journal.runs() == [run(entry(("k", None, "1")))]


async def test_one_that_cannot_be_read_is_said(path: Path, journal: RunJournal) -> None:
    path.mkdir()
    with pytest.raises(StoreError, match=r"Can't read the journal .*directory"):
        await journal.runs()


async def test_one_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing more is written without it"):
        await on(tmp_path / "absent.db").begin(run())


async def test_a_disk_that_takes_only_a_part_is_given_the_rest(
    journal: RunJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: write(handle, data[:7]))
    await journal.begin(run())
    assert await journal.runs() == [run()]


async def test_a_folder_that_cannot_be_synced_is_no_failure(
    journal: RunJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def no_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError
        fsync(handle)

    monkeypatch.setattr(os, "fsync", no_folders)
    await journal.begin(run())
    assert await journal.runs() == [run()]


def test_the_intent_names_who_agreed_and_what_proves_it() -> None:
    change = Change((RowWrite("k", None, "1"),))
    unit = Unit(
        id="!a",
        kind=UnitKind.ROOM,
        status=Status.MISSING,
        findings=(),
        change=change,
        evidence=Evidence(Rung.CHAT_ROW, ("$1", "$2")),
    )
    bare = Unit(id="@a:hs", kind=UnitKind.USER, status=Status.MISSING, findings=())
    assert entries_of([unit, bare], {"!a": "eva"}, {"!a": "k"}) == (
        Entry(
            "!a",
            UnitKind.ROOM,
            change.writes,
            "eva",
            ("chat_row", "$1", "$2"),
            made="k",
        ),
        Entry("@a:hs", UnitKind.USER, (), "", ("none",)),
    )


class TestAfterACrash:
    """An intent without outcome: the rows tell."""

    @pytest.mark.parametrize(
        ("rows", "expected", "why"),
        [
            ({"a": "2", "b": "3"}, "applied", ""),
            ({"a": "1"}, "not applied", ""),
            ({"a": "2"}, "unknown", "the rows were written again since"),
            ({"a": "other", "b": "3"}, "unknown", "the rows were written again since"),
        ],
    )
    async def test_the_rows_tell_what_happened(
        self, journal: RunJournal, rows: dict[str, Raw], expected: str, why: str
    ) -> None:
        await journal.begin(run(entry(("a", "1", "2"), ("b", None, "3"))))
        assert await outcome(journal, rows) == [expected]
        assert (await journal.runs(rows))[0].entries[0].detail == why
        assert (await journal.runs())[0].entries[0].outcome == "unknown"

    @pytest.mark.parametrize("chat", ["3", '{"its": "own text"}'])
    async def test_a_row_that_only_the_chat_manager_wrote_is_unfinished(
        self, journal: RunJournal, chat: str
    ) -> None:
        await journal.begin(run(entry(("a", "1", "2"), ("b", None, "3"), made="b")))
        assert await outcome(journal, {"a": "1", "b": chat}) == ["unfinished"]
        [told] = await journal.runs({"a": "1", "b": chat})
        assert told.entries[0].detail.startswith("only the bot's chat manager wrote its row;")
        assert await outcome(journal, {"a": "1"}) == ["not applied"]
        assert await outcome(journal, {"a": "other", "b": chat}) == ["unknown"]

    async def test_a_finished_run_is_believed(self, journal: RunJournal) -> None:
        await journal.finish(run(entry(("a", "1", "2"), outcome="applied")))
        assert await outcome(journal, {"a": "written since"}) == ["applied"]

    async def test_what_a_later_run_wrote_is_not_taken_for_its_work(
        self, journal: RunJournal
    ) -> None:
        await journal.begin(run(entry(("a", "1", "2"))))
        await journal.finish(run(entry(("a", "1", "2"), outcome="applied"), name="r2"))
        assert await outcome(journal, {"a": "2"}) == ["not applied", "applied"]

    async def test_rows_that_no_later_run_wrote_are_as_it_left_them(
        self, journal: RunJournal
    ) -> None:
        await journal.begin(run(entry(("a", "1", "2"), ("b", None, "3"))))
        await journal.finish(run(entry(("b", "3", "4"), outcome="applied"), name="r2"))
        await journal.finish(run(entry(("c", "5", "6"), outcome="applied"), name="r3"))
        assert await outcome(journal, {"a": "2", "b": "4", "c": "6"}) == ["applied"] * 3

    async def test_a_run_that_a_later_one_took_back_was_applied(self, journal: RunJournal) -> None:
        await journal.begin(run(entry(("a", "1", "2"))))
        await journal.finish(run(entry(("a", "2", "1"), outcome="applied"), name="r2"))
        assert await outcome(journal, {"a": "1"}) == ["applied", "applied"]
