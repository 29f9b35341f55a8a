"""A session applies through the bot's own function, and takes a run back."""

import asyncio
import json
from pathlib import Path
from typing import Any

import nio
import pytest

from tests.bench import A1, A2, BOB, BOT, C1, TOKEN, Bench, small_rows
from tests.boards import look
from tests.session.votes import votes
from toolkit import ChatManager, Session, SQLiteStore, ToolkitError, reconcile_matrix_state
from toolkit import repairs as road
from toolkit.calls import Options
from toolkit.reconcile import reconcile
from toolkit.testing import FakeHomeserver, Fault, Hook, Status


class TestApplying:
    async def test_it_awaits_the_bots_own_function_with_decisions(
        self, session: Session, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[Options] = []

        async def spy(client: Any, store: Any, chat_mgr: Any, options: Options) -> Any:
            seen.append(options)
            return await reconcile(client, store, chat_mgr, options)

        monkeypatch.setattr(road, "reconcile", spy)
        session.approve("!a1")
        shown = session.plan.value.unit("!a1")
        await session.apply()
        [options] = seen
        assert shown and shown.change
        assert options.decisions and {u: d.change for u, d in options.decisions.items()} == {
            "!a1": shown.change.fingerprint
        }

    async def test_only_what_was_approved_is_written(self, session: Session, bench: Bench) -> None:
        before = bench.bytes()
        session.approve("!a1")
        done = await session.apply()
        assert bench.bytes().keys() - before.keys() == {A1, C1}
        assert {key: bench.bytes()[key] for key in before} == before
        assert done["restored_room_meta"] == ["!a1"] and done.rows == 2
        assert votes(session) == {"!a2": "pending", BOB: "pending"}

    async def test_nothing_approved_is_nothing_written(
        self, session: Session, bench: Bench
    ) -> None:
        session.reject(status="missing")
        before = bench.bytes()
        done = await session.apply()
        assert bench.bytes() == before and done.run is None and done.rows == 0
        assert "Written: 0 rows" in repr(done) and "reload" not in repr(done)

    async def test_approving_everything_ends_where_the_bots_start_up_ends(
        self, session: Session, bench: Bench, server: FakeHomeserver, tmp_path: Path
    ) -> None:
        other = Bench(tmp_path / "other.db", bench.world)
        other.fill({key: json.loads(value) for key, (_, value) in bench.bytes().items()})
        client = nio.AsyncClient(server.url, BOT)
        client.restore_login(BOT, "D", TOKEN)
        async with SQLiteStore(other.path) as store:
            await reconcile_matrix_state(client, store, ChatManager(store))
        await client.close()
        session.approve(status="missing")
        await session.apply()
        assert bench.bytes() == other.bytes() and session.plan.to_frame().empty

    async def test_what_moved_since_it_was_shown_is_left_alone_and_pending(
        self, session: Session, bench: Bench
    ) -> None:
        session.approve(["!a1", "!a2"])
        bench.put({C1: small_rows()[C1] | {"name": "mine"}})
        done = await session.apply()
        assert done.stale.keys() == {"!a1"} and "Left alone: !a1" in repr(done)
        assert bench.row(A2) == small_rows()[A2] and bench.row(A1) is None
        assert votes(session)["!a1"] == "pending"

    async def test_it_tells_how_far_it_is(self, session: Session) -> None:
        told: list[tuple[int, int, str]] = []
        session.approve(status="missing")
        await session.apply(progress=lambda *word: told.append(word))
        assert told[-1] == (3, 3, "") and len(told) > 3

    async def test_it_never_runs_twice_at_once(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        other = await look(bench, server)
        session.approve("!a1")
        other.approve("!a2")
        done = asyncio.Event()
        server.fault(Fault("/joined_rooms$", Hook(done.wait), times=1))
        first = asyncio.create_task(session.apply())
        await asyncio.sleep(0)
        for again in (session, other):
            with pytest.raises(ToolkitError, match="already writing"):
                await again.apply()
        done.set()
        await first
        await other.reload()
        assert (await other.apply()).rows == 1

    async def test_cancelled_before_the_first_write_it_has_written_nothing(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        before = bench.bytes()
        session.approve(status="missing")
        server.fault(Fault("/joined_rooms$", Hook(session.cancel)))
        done = await session.apply()
        assert done.cancelled and bench.bytes() == before and "Cancelled." in repr(done)
        assert set(votes(session).values()) == {"approved"}

    async def test_leaving_the_context_ends_a_run(
        self, bench: Bench, server: FakeHomeserver
    ) -> None:
        async with await look(bench, server) as session:
            session.approve("!a1")
            task = asyncio.create_task(session.apply())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        done = await task
        assert done.cancelled and bench.row(A1) is None

    async def test_a_server_that_is_down_writes_nothing_and_keeps_the_decisions(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve("!a1")
        before = bench.bytes()
        server.fault(Fault("/joined_rooms$", Status(403, {"errcode": "M_FORBIDDEN"})))
        with pytest.raises(ToolkitError):
            await session.apply()
        assert bench.bytes() == before and votes(session)["!a1"] == "approved"


class TestAfterARun:
    """It is over: what goes wrong then takes nothing of its report away."""

    async def test_a_file_of_decisions_that_is_damaged_meanwhile(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve("!a1")
        file = session.decisions_file
        assert file
        server.fault(Fault("/joined_rooms$", Hook(lambda: file.write_text("{damaged")), times=1))
        done = await session.apply()
        assert (done.rows, bench.row(A1)) == (2, small_rows()[A1]) and done.run and done.backup
        assert "of before: Can't read the decisions" in repr(done)

    async def test_a_homeserver_that_is_gone_when_what_is_stale_is_looked_at_again(
        self, session: Session, bench: Bench, server: FakeHomeserver
    ) -> None:
        session.approve(["!a1", "!a2"])
        bench.put({C1: small_rows()[C1]})  # the first one is stale
        server.fault(Fault("/joined_rooms$", Status(403), after=1))
        done = await session.apply()
        assert done.rows == 1 and "!a1" in done.stale and bench.row(A2) is not None
        assert "of before" in done.warning

    async def test_both_displays_say_how_was_decided(self, session: Session) -> None:
        session.approve("!a1")
        assert "missing, approved" in repr(session)
        assert "missing, approved" in str(session._repr_html_())
