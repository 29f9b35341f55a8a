"""A link where a file is to be made: nothing is written through it, and it stays."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

import toolkit.cli
from tests.bench import BOT, Bench, small_rows
from tests.clients import TOKEN, is_one_sentence
from toolkit.decisions.ledger import Ledger
from toolkit.decisions.ledger_file import load_ledger, save_ledger
from toolkit.records import room_key
from toolkit.sources.snapshot import Snapshot, load_snapshot, save_snapshot
from toolkit.testing import FakeHomeserver

WRITERS = (["plan", "--out", "link"], ["snapshot", "link"], ["snapshot", "--anonymise", "link"])
TARGETS = ("nothing", "a file", "an empty file", "a snapshot", "itself")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    bench = Bench(tmp_path / "bot.db")
    bench.fill({key: row for key, row in small_rows().items() if key != room_key("!a1")})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    return bench


def link_to(target: str) -> Path:
    """`link`, which leads to what it is said to; returns that."""
    file = Path("link" if target == "itself" else "target")
    if target == "a file":
        file.write_text("mine")
    elif target == "an empty file":
        file.touch()
    elif target == "a snapshot":
        save_snapshot(file, Snapshot(BOT, {}, {}, {}), datetime.now(UTC))
    Path("link").symlink_to(file)
    return file


def everything(folder: Path) -> dict[str, bytes | str]:
    found = sorted(folder.iterdir())
    return {p.name: str(p.readlink()) if p.is_symlink() else p.read_bytes() for p in found}


@pytest.mark.parametrize("target", TARGETS)
@pytest.mark.parametrize("words", WRITERS, ids=" ".join)
async def test_a_link_is_refused_and_stays_wherever_it_leads(
    bench: Bench,
    tmp_path: Path,
    words: list[str],
    target: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    link_to(target)
    before = everything(tmp_path)
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
        assert await asyncio.to_thread(toolkit.cli.run, words) == 1
    assert everything(tmp_path) == before
    told = capsys.readouterr().err.strip()
    assert is_one_sentence(told) and "link" in told and "Traceback" not in told


async def test_without_a_link_the_same_commands_write(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as server:
        monkeypatch.setenv("MATRIX_HOMESERVER", server.url)
        for words in WRITERS:
            assert await asyncio.to_thread(toolkit.cli.run, words) in (0, 2)
            if words[0] == "plan":
                assert load_ledger(Path("link")).votes.keys() == {"!a1"}
                Path("link").unlink()
            else:
                assert load_snapshot(Path("link")).rooms


@pytest.mark.parametrize("target", ["nothing", "a file"])
def test_a_link_in_the_place_of_a_sessions_decisions_is_replaced_and_not_followed(
    bench: Bench, target: str
) -> None:
    file = link_to(target)
    save_ledger(Path("link"), b'{"version": 1, "decisions": {}}')
    assert not Path("link").is_symlink() and load_ledger(Path("link")) == Ledger()
    assert file.exists() is (target == "a file") and (
        target == "nothing" or file.read_text() == "mine"
    )
