"""A database that the bot's start has just made: a mistyped path, or the loss of it, is loud."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import nio
import pytest

from tests.bench import A1, ALICE, Bench
from tests.reconcile.calls import full, single
from toolkit import ChatManager, InMemoryStore, SQLiteStore, reconcile_matrix_state


def news(report: Any) -> list[Any]:
    return [note for note in report["notes"] if note["code"] == "new_database"]


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    said = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    caplog.clear()
    return [line for line in said if line.startswith("new_database: ")]


@pytest.mark.parametrize("found", ["absent", "no byte", "no table"])
async def test_it_is_a_note_and_a_warning_with_the_whole_path(
    bench: Bench,
    client: nio.AsyncClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    found: str,
) -> None:
    monkeypatch.chdir(bench.path.parent)
    if found == "no byte":
        bench.path.touch()
    elif found == "no table":
        with closing(sqlite3.connect(bench.path)) as database:
            database.execute("PRAGMA journal_mode=WAL")
    async with SQLiteStore("bot.db") as store:
        for dry_run in (True, False):
            report = await reconcile_matrix_state(
                client, store, ChatManager(store), dry_run=dry_run
            )
            [note] = news(report)
            assert note["key"] == str(bench.path)
            assert "the path is mistyped, or the file was lost" in note["detail"]
            assert warned(caplog) == [f"new_database: {bench.path}: {note['detail']}"]
        again = await reconcile_matrix_state(client, store, ChatManager(store))
    assert news(again) == [] == warned(caplog)
    assert bench.row(A1)["chat_id"] == "C1"
    assert news(await full(bench, client)) == [] == warned(caplog)


async def test_a_table_that_was_there_a_room_and_a_store_without_a_file_are_none(
    bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    assert news(await single(Bench(tmp_path / "other.db"), client, "!a1", ALICE)) == []
    bench.fill({})
    assert news(await full(bench, client)) == []
    assert news(await reconcile_matrix_state(client, InMemoryStore(), None)) == []
    assert warned(caplog) == []


async def test_a_bots_first_start_is_quiet(
    bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    bench.world.rooms.clear()
    bench.world.room("!lobby", name="Lobby")
    report = await full(bench, client)
    assert report["joined_rooms"] == ["!lobby"] and report["notes"] == []
    assert warned(caplog) == []


async def test_a_path_is_harmless_in_the_log(
    bench: Bench, client: nio.AsyncClient, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    bench.path = tmp_path / "bot\n\u202e.db"
    await full(bench, client)
    [line] = warned(caplog)
    assert "bot\\u{a}\\u{202e}.db: " in line and line.isprintable()
