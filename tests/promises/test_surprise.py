"""Guards against surprise: too many changes, another account's database, a list that is far too short."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import nio
import pytest

import toolkit.cli
from tests.bench import ALICE, BOB, BOT, Bench, small_rows
from tests.clients import TOKEN, is_one_sentence, nio_client
from tests.scenario import right_rows
from toolkit import (
    ChatManager,
    RemoteIncomplete,
    Session,
    SQLiteStore,
    ToolkitError,
    reconcile_matrix_state,
    reconcile_single_room,
)
from toolkit.demo.recorded import serve_recorded
from toolkit.homeserver.belonging import FEW, MANY, check_belonging
from toolkit.model import RemoteState, RoomState
from toolkit.records import chat_key, encode_row, load_records, room_key, user_key
from toolkit.testing import FakeHomeserver, Fault, Garbage
from toolkit.writing.report import Report

A1, A2, C2, UA = room_key("!a1"), room_key("!a2"), chat_key(ALICE, "C2"), user_key(ALICE)
EVE = right_rows("@eve:hs", "!eve", {f"C{n}": f"!e{n}" for n in range(1, 9)})


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Alice's two room rows and her user row are gone: two units, three rows."""
    bench = Bench(tmp_path / "bot.db")
    bench.fill({k: v for k, v in small_rows().items() if k not in (A1, A2, UA)})
    return bench


@pytest.fixture
async def server(bench: Bench) -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    async with nio_client(server.url, BOT) as found:
        yield found


async def start_up(bench: Bench, client: nio.AsyncClient, **options: Any) -> Report:
    async with SQLiteStore(bench.path) as store:
        return await reconcile_matrix_state(client, store, ChatManager(store), **options)


def untouched(bench: Bench, before: dict[str, Any]) -> bool:
    return bench.bytes() == before and not bench.backups() and not bench.journal.exists()


# -- no more than so many rows --------------------------------------------------------------------


async def test_a_start_up_writes_no_more_rows_than_allowed_or_none(
    bench: Bench, client: nio.AsyncClient
) -> None:
    before = bench.bytes()
    with pytest.raises(ToolkitError, match="would write 3 rows, and no more than 2") as caught:
        await start_up(bench, client, max_changes=2)
    assert is_one_sentence(str(caught.value)) and untouched(bench, before)
    assert (await start_up(bench, client, max_changes=2, dry_run=True))["restored_room_meta"]
    assert (await start_up(bench, client, max_changes=3))["restored_room_meta"] == ["!a1", "!a2"]
    assert (await start_up(bench, client, max_changes=0))["restored_room_meta"] == []


async def test_a_session_writes_no_more_rows_than_allowed_or_none(
    bench: Bench, server: FakeHomeserver
) -> None:
    before = bench.bytes()
    session = await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
    session.approve("!a1")  # its user row goes along
    with pytest.raises(ToolkitError, match="would write 2 rows, and no more than 1"):
        await session.apply(max_changes=1)
    assert untouched(bench, before)
    assert (await session.apply(max_changes=2)).run


def command(*arguments: str, bench: Bench, monkeypatch: pytest.MonkeyPatch, url: str) -> int:
    monkeypatch.chdir(bench.path.parent)
    monkeypatch.setenv("MATRIX_HOMESERVER", url)
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", TOKEN)
    monkeypatch.setenv("BOT_DATABASE", str(bench.path))
    return toolkit.cli.run(arguments)


async def test_the_command_line_writes_no_more_rows_than_allowed_or_none(
    bench: Bench,
    server: FakeHomeserver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = bench.bytes()

    async def md(*arguments: str) -> int:
        return await asyncio.to_thread(
            command, *arguments, bench=bench, monkeypatch=monkeypatch, url=server.url
        )

    assert await md("apply", "--approve-certain", "--max-changes", "2") == 1
    assert "no more than 2 are allowed" in capsys.readouterr().err
    assert untouched(bench, before)
    assert await md("apply", "--approve-certain", "--max-changes", "3") == 0
    assert await md("apply", "--approve-certain", "--max-changes", "-1") == 1


# -- another account's database, a list cut short -------------------------------------------------


async def test_a_database_of_another_account_is_refused_as_a_whole(
    bench: Bench,
    client: nio.AsyncClient,
    server: FakeHomeserver,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Else the rooms of this account would be written into that bot's table."""
    bench.sql("DELETE FROM kv")
    bench.put(EVE)
    before = bench.bytes()
    with pytest.raises(RemoteIncomplete, match=r"None of the 9 .* another account's") as caught:
        await start_up(bench, client)
    assert is_one_sentence(str(caught.value))
    with pytest.raises(RemoteIncomplete, match="another account's"):
        await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.path)
    for words in (["check"], ["apply", "--approve-certain"], ["snapshot", "file"]):
        code = await asyncio.to_thread(
            command, *words, bench=bench, monkeypatch=monkeypatch, url=server.url
        )
        assert code == 1
        assert "another account's database" in capsys.readouterr().err
    assert untouched(bench, before)
    assert (await start_up(bench, client, allow_empty=True))["restored_room_meta"]


async def test_a_list_of_rooms_cut_short_moves_no_row(
    bench: Bench, client: nio.AsyncClient, server: FakeHomeserver
) -> None:
    """The row of a chat points at a room that the short list lacks: it must not go to another."""
    for number in range(60):
        bench.world.space(f"!s{number}", owner=f"@user{number}:hs")
        rows = right_rows(f"@user{number}:hs", f"!s{number}", {"C1": f"!c{number}"})
        bench.world.chat(f"!c{number}", f"!s{number}", "Чат 1", owner=f"@user{number}:hs")
        bench.put(rows)
    bench.world.chat("!twin", "!s0", "Чат 1", owner="@user0:hs")
    bench.put({room_key("!c0"): None})
    before = bench.bytes()
    whole = await start_up(bench, client, dry_run=True)
    assert {c["code"] for c in whole["conflicts"]} == {"duplicate_chat_id"}
    short = Garbage(b'{"joined_rooms": ["!s0", "!twin", "!alice", "!a1"]}')
    server.fault(Fault("/joined_rooms$", short))
    with pytest.raises(RemoteIncomplete, match=r"Only \d of the 12\d .* cut short"):
        await start_up(bench, client)
    assert untouched(bench, before)
    # Without the guard, that is what would happen.
    report = await start_up(bench, client, allow_empty=True, dry_run=True)
    assert {row["room_id"] for row in report["repaired_chat_rows"]} == {"!twin"}


async def test_one_room_is_repaired_whatever_the_others_are(
    bench: Bench, client: nio.AsyncClient
) -> None:
    """A live bot that was started with `allow_empty` must not be stopped at its next message."""
    bench.sql("DELETE FROM kv")
    bench.put(EVE)
    async with SQLiteStore(bench.path) as store:
        report = await reconcile_single_room(client, store, ChatManager(store), "!a1", ALICE)
    assert report["restored_room_meta"] == ["!a1"]


def belongs(named: int, joined: int, others: int = 0, **room: Any) -> bool:
    """Whether rows that name so many rooms fit an account that is in so many of them."""
    row = encode_row({"chat_id": "C1", "matrix_user_id": BOB, "space_id": "!s"})
    local = load_records((room_key(f"!r{n}"), row) for n in range(named))
    rooms = {f"!r{n}": RoomState(room_id=f"!r{n}") for n in range(joined)}
    rooms |= {f"!o{n}": RoomState(room_id=f"!o{n}", **room) for n in range(others)}
    try:
        check_belonging(local, RemoteState(BOT, rooms))
    except RemoteIncomplete:
        return False
    return True


@pytest.mark.parametrize(
    ("named", "joined", "fits"),
    [
        (0, 0, True),
        (FEW - 1, 0, True),  # a bot may have left them all
        (FEW, 0, False),
        (FEW, 1, True),
        (MANY - 1, 1, True),
        (MANY, 1, False),
        (MANY, MANY // 10, False),
        (MANY, MANY // 10 + 1, True),
        (500, 20, False),
        (500, 51, True),
    ],
)
def test_only_what_can_hardly_be_true_is_refused(named: int, joined: int, fits: bool) -> None:
    assert belongs(named, joined, others=3) is fits


def test_one_user_who_throws_the_bot_out_of_a_thousand_rooms_stops_nobody() -> None:
    hers = {f"C{n}": f"!m{n}" for n in range(1, 1000)}
    rows = right_rows("@mallory:hs", "!mallory", hers) | small_rows()
    local = load_records((key, encode_row(row)) for key, row in rows.items())
    rooms = {room: RoomState(room_id=room) for room in ("!alice", "!a1", "!a2")}
    check_belonging(local, RemoteState(BOT, rooms))


def test_rooms_that_were_all_upgraded_are_the_same_rooms() -> None:
    assert not belongs(FEW, 0, others=1)
    assert belongs(FEW, 0, others=1, predecessor="!r0")


async def test_the_demos_world_is_surprising_to_nobody(tmp_path: Path) -> None:
    with serve_recorded(tmp_path) as served:
        session = await Session.open(
            homeserver=served.url, access_token=served.token, database=served.database
        )
    assert len(session.plan.to_frame())


def test_what_is_no_id_of_a_room_counts_for_nothing() -> None:
    rows = {user_key(f"@u{n}:hs"): {"space_id": "none", "next_chat_index": 1} for n in range(FEW)}
    local = load_records((key, encode_row(row)) for key, row in rows.items())
    check_belonging(local, RemoteState(BOT, {"!lobby": RoomState(room_id="!lobby")}))
