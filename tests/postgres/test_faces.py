"""What a notebook and a bot call, on a database that is a server's."""

from pathlib import Path

import pytest

from tests.bench import A1, A2, BOB, BOT, TOKEN, UB
from tests.clients import nio_client
from tests.postgres.server_bench import ServerBench
from tests.postgres.test_mapped import PORTALS, ServerDesk
from tests.tables import link_layout
from toolkit import (
    BotRooms,
    PostgresStore,
    Session,
    fleet,
    reconcile_matrix_state,
    reconcile_single_room,
    shadow_run,
)
from toolkit.board import find_model, to_browser
from toolkit.database.contract import Store
from toolkit.errors import ToolkitError
from toolkit.testing import FakeHomeserver, World
from toolkit.testing.postgres import Postgres


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test, and no state of the developer's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
async def server(server_bench: ServerBench):  # type: ignore[no-untyped-def]
    async with FakeHomeserver(server_bench.world.rooms, BOT, TOKEN) as found:
        yield found


async def look(bench: ServerBench, server: FakeHomeserver) -> Session:
    return await Session.open(homeserver=server.url, access_token=TOKEN, database=bench.dsn)


async def test_a_session_finds_writes_and_takes_back(
    server_bench: ServerBench, server: FakeHomeserver
) -> None:
    before = server_bench.bytes()
    session = await look(server_bench, server)
    session.approve(status="missing")
    applied = await session.apply()
    assert applied is not None and {"!a1", "!a2"} <= {entry.unit for entry in applied.entries}
    assert server_bench.row(A1) and server_bench.row(UB)
    [run] = session.history().index
    await session.undo(run)
    assert server_bench.bytes() == before and len(session.history()) == 2
    assert session.decisions_file and session.decisions_file.parent.name == "matrix-drift"
    assert "throw-away" not in f"{session!r} {session.road!r} {session.decisions_file}"


async def test_one_person_at_a_time_writes_wherever_they_are(
    server_bench: ServerBench, server: FakeHomeserver
) -> None:
    session = await look(server_bench, server)
    session.approve(status="missing")
    async with PostgresStore(server_bench.dsn).alone():
        with pytest.raises(ToolkitError, match="is writing to this database now"):
            await session.apply()
    assert server_bench.row(A1) is None
    assert await session.apply() is not None and server_bench.row(A1)


async def test_a_session_on_a_bots_own_store_shares_it(
    server_bench: ServerBench, server: FakeHomeserver
) -> None:
    async with server_bench.store() as store:
        session = await Session.open(homeserver=server.url, access_token=TOKEN, store=store)
        session.approve(status="missing")
        assert await session.apply() is not None
        assert (await store.get(A1) or {})["chat_id"] == "C1" and len(session.history()) == 1


async def test_a_bot_repairs_at_its_start_and_when_it_meets_a_room(
    server_bench: ServerBench, server: FakeHomeserver
) -> None:
    async with nio_client(server.url, BOT, TOKEN) as client, server_bench.store() as store:
        met = await reconcile_single_room(client, store, None, "!a1", "@alice:hs")
        assert met["restored_room_meta"] == ["!a1"] and server_bench.row(A2) is None
        rooms = BotRooms(client, store)
        await rooms.start()
        assert server_bench.row(A2)["chat_id"] == "C2"
        again = await reconcile_matrix_state(client, store, None)
        assert not again["restored_room_meta"]


async def test_a_first_start_makes_the_table(
    postgres: Postgres, server: FakeHomeserver, tmp_path: Path
) -> None:
    fresh = postgres.new_database()
    async with (
        nio_client(server.url, BOT, TOKEN) as client,
        PostgresStore(fresh, table="bot_rows", beside=tmp_path / "x") as store,
    ):
        assert store.made
        report = await reconcile_matrix_state(client, store, None)
        assert [note["code"] for note in report["notes"]] == ["new_database"]


async def test_a_bot_of_another_shape_is_looked_at_as_well(dsn: str, tmp_path: Path) -> None:
    layout = link_layout("portal", ["gcid", "receiver"], "mxid")
    ServerDesk(tmp_path / "bot", PORTALS, layout, dsn=dsn)
    world = World(BOT)
    async with (
        FakeHomeserver(world.rooms, BOT, TOKEN) as server,
        PostgresStore(dsn, layout=layout, beside=tmp_path / "bot") as store,
    ):
        session = await Session.open(
            homeserver=server.url, access_token=TOKEN, store=store, allow_empty=True
        )
        assert len(session.rows) == 2


async def test_a_bots_own_function_runs_in_its_shadow_and_is_applied(
    server_bench: ServerBench, server: FakeHomeserver
) -> None:
    async def repair(client: object, store: Store, chat_mgr: object) -> None:
        room = {"chat_id": "C1", "matrix_user_id": "@alice:hs", "space_id": "!alice"}
        await store.set(A1, room)

    before = server_bench.bytes()
    async with nio_client(server.url, BOT, TOKEN) as client, server_bench.store() as store:
        run = await shadow_run(repair, client, store, None)
        assert server_bench.bytes() == before
        await run.apply("!a1")
    assert server_bench.row(A1)["chat_id"] == "C1"


async def test_the_review_writes_and_takes_back_and_shows_no_password(
    server_bench: ServerBench, server: FakeHomeserver
) -> None:
    before = server_bench.bytes()
    model = find_model(await look(server_bench, server))
    for unit in ("!a1", "!a2", BOB):
        model.decide(unit, "approve")
    await model.start_apply()
    told = to_browser.state(model)
    assert told["results"] == {"applied": 3} and "throw-away" not in str(told)
    [past] = model.history()
    assert past.run == told["undo"] and "throw-away" not in str(past)
    await model.start_undo(told["undo"], model.plan_undo(told["undo"]).plan)
    assert to_browser.state(model)["results"] == {"taken back": 3}
    assert server_bench.bytes() == before


async def test_a_fleet_takes_the_password_from_the_environment(
    server_bench: ServerBench,
    server: FakeHomeserver,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGPASSWORD", Postgres.PASSWORD)
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "fleet.toml").write_text(
        f"""[bots.desk]
homeserver = "{server.url}"
database = "{server_bench.dsn.replace(":" + Postgres.PASSWORD, "")}"
access_token_file = "token"
"""
    )
    [before] = (await fleet.check(tmp_path / "fleet.toml")).lines
    assert (before.state, before.ready) == ("drift", 3), before.reason
    [line] = (await fleet.apply(tmp_path / "fleet.toml", certain=True)).lines
    assert before.units is not None
    assert (line.rows_written, line.units) == (4, before.units - 3)
    assert server_bench.row(A1) and server_bench.row(UB)
