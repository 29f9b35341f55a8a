"""`session.watch()`: the session looks again by itself, and whatever shows it shows what it found."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.bench import A1, A2, C1, TOKEN, Bench, small_rows
from tests.boards import look
from tests.session.votes import votes
from tests.watch.conftest import Until
from toolkit import ChatManager, Session, SQLiteStore, shadow_run
from toolkit.board import find_model
from toolkit.board.events import Event
from toolkit.errors import TokenRefused, ToolkitError
from toolkit.homeserver.transport import PlainClient
from toolkit.session.looking import Looking
from toolkit.testing import FakeHomeserver, Fault, Hook, Status

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
async def session(bench: Bench, server: FakeHomeserver) -> Session:
    return await look(bench, server)


async def test_the_board_updates_itself_and_decisions_stay(
    session: Session, bench: Bench, until: Until
) -> None:
    model = find_model(session)
    heard = list[Event]()
    model.subscribe(heard.append)
    model.decide("!a2", "approve")
    async with session:
        watching = session.watch()
        assert watching.running and model.item("!a1")
        before = session.looked
        await until(lambda: session.looked != before)
        heard.clear()
        bench.put({key: small_rows()[key] for key in (A1, C1)})
        await until(lambda: model.item("!a1") is None)
        assert Event.ITEMS in heard
        assert votes(session)["!a2"] == "approved"
        bench.world.name("!a2", "Отпуск")
        await until(lambda: session.state.remote.rooms["!a2"].name == "Отпуск")
        assert votes(session)["!a2"] == "pending"  # another change by now
        assert set(bench.bytes()) >= {A1, C1} and A2 not in bench.bytes()
    assert not watching.running and "ended." in repr(watching)


async def test_there_is_one_at_a_time(session: Session, until: Until) -> None:
    first = session.watch()
    assert session.watch() is first and repr(first).startswith("Watching since ")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    async with session:
        second = session.watch(every=0.1)
        assert second is not first
        before = session.looked
        await until(lambda: session.looked != before)


async def test_an_apply_beside_it_is_neither_disturbed_nor_shown_as_undone(
    session: Session, bench: Bench, server: FakeHomeserver, until: Until
) -> None:
    async with session:
        session.watch(every=0.05)
        for unit in ("!a1", "!a2"):
            session.approve(unit)
            bench.world.name("!b1", f"Чат {unit}")  # something to look at meanwhile
            report = await session.apply()
            assert report.rows and session.state.plan.unit(unit) is None
            seen = list[object]()
            stop = session.subscribe(lambda: seen.append(session.state.plan.unit(unit)))  # noqa: B023
            before = session.looked
            await until(lambda: session.looked != before)  # noqa: B023
            stop()
            assert seen and not any(seen)


async def test_a_look_that_something_else_overtook_is_made_again(
    session: Session, bench: Bench, server: FakeHomeserver, until: Until
) -> None:
    state = session.state
    async with session:
        session.watch()
        before = session.looked
        await until(lambda: session.looked != before)
        overtake = Hook(lambda: session.see(state.local.rows, state.past, state.remote))
        server.fault(Fault("/joined_rooms$", overtake, times=1))
        bench.put({A1: small_rows()[A1]})
        await until(lambda: A1 in session.state.local.rows)


async def test_while_rows_are_written_it_waits(
    session: Session, bench: Bench, server: FakeHomeserver, until: Until
) -> None:
    session.approve("!a1")
    async with session:
        session.watch()
        before = session.looked
        await until(lambda: session.looked != before)
        waits = asyncio.Event()
        server.fault(Fault("/joined_rooms$", Hook(waits.wait), times=1))
        run = asyncio.ensure_future(session.apply())
        await until(lambda: session._running.going)
        bench.world.name("!b1", "Чат 10")
        looked = session.looked
        await asyncio.sleep(0.3)
        assert session.looked == looked
        waits.set()
        await run
        await until(lambda: session.state.remote.rooms["!b1"].name == "Чат 10")


async def test_looking_again_by_hand_goes_on_beside_it(
    session: Session, bench: Bench, until: Until
) -> None:
    async with session:
        session.watch(every=0.05)
        for number in range(5):
            bench.put({A1: {"chat_id": f"C{number}"}})
            await session.reload()
            assert f"C{number}" in str(session.state.local.rows[A1])


async def test_what_is_in_its_way_is_told_and_a_dead_token_ends_it(
    session: Session, bench: Bench, server: FakeHomeserver, until: Until
) -> None:
    watching = session.watch()
    before = session.looked
    await until(lambda: session.looked != before)
    server.fault(Fault("/joined_rooms$", Status(502), times=20))
    bench.put({A1: small_rows()[A1]})
    await until(lambda: "502" in repr(watching))
    await until(lambda: A1 in session.state.local.rows)
    await until(lambda: not watching.trouble)
    server.fault(Fault("/whoami$", Status(401, {"errcode": "M_UNKNOWN_TOKEN"})))
    bench.put({A1: None})
    await watching.ended()
    assert "ended: " in repr(watching) and "access token" in repr(watching)
    with pytest.raises(TokenRefused):
        await watching
    assert TOKEN not in repr(watching)


async def test_an_error_of_ours_is_told_by_its_name(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Looking, "_show", lambda *_: 1 / 0)
    session._deciding.state = Session(session.road, None).state
    watching = session.watch()
    with pytest.raises(ZeroDivisionError):
        await watching
    assert "ZeroDivisionError" in repr(watching)


async def test_what_never_changes_is_not_watched(
    session: Session, bench: Bench, server: FakeHomeserver, tmp_path: Path
) -> None:
    with pytest.raises(ToolkitError, match="running event loop"):
        await asyncio.to_thread(session.watch)
    file = tmp_path / "both.snapshot"
    from toolkit.sources.sides import Sides
    from toolkit.sources.snapshot import save_snapshot

    sides = Sides(bench.convention, server.url, TOKEN, bench.path)
    assert session.looked
    save_snapshot(file, await sides.take({}), session.looked)
    offline = await Session.open(snapshot=file)
    with pytest.raises(ToolkitError, match="can be watched"):
        offline.watch()

    async def nothing(client: object, store: object, chat_mgr: object) -> None:
        """A function of the bot's."""

    async with PlainClient(server.url, TOKEN) as client, SQLiteStore(bench.path) as store:
        run = await shadow_run(nothing, client, store, ChatManager(store))
        with pytest.raises(ToolkitError, match="can be watched"):
            run.session.watch()
