"""What a watch does when a side is ill, which a real one can't be told to be: a fake homeserver and SQLite's locks."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from tests.bench import A1, B1, BOT, C1, TOKEN, Bench, small_rows
from tests.watch.conftest import Until
from toolkit import InMemoryStore
from toolkit.database.store import SQLiteStore
from toolkit.errors import HomeserverError, NoDatabase, StoreError, TokenRefused, ToolkitError
from toolkit.homeserver import changes
from toolkit.homeserver import server as matrix
from toolkit.homeserver.changes import Changes
from toolkit.layout import Layout
from toolkit.repairs import Repairs
from toolkit.sources.sides import Sides
from toolkit.testing import FakeHomeserver, Fault, Hang, Hook, Status
from toolkit.watch.rows import RowVersions
from toolkit.watch.troubles import OVER
from toolkit.watch.wanted import Cause
from toolkit.watch.watch import Look, Watch

SYNC = "/sync$"


class Watched:
    """A watch that goes on in a task, and what it has said."""

    def __init__(self, road: Repairs, **options: Any) -> None:
        self.looks: list[Look] = []
        self.told: list[str] = []
        self.refuse = 0
        self.watch = Watch(road, tell=self.told.append, **options)

    @property
    def causes(self) -> list[set[Cause]]:
        return [{*look.causes} for look in self.looks]

    @property
    def last(self) -> Look:
        return self.looks[-1]

    async def see(self, look: Look) -> bool:
        self.looks.append(look)
        self.refuse -= 1
        return self.refuse < 0

    async def run(self) -> None:
        await self.watch.run(self.see)


@asynccontextmanager
async def watching(road: Repairs, until: Until, **options: Any) -> AsyncIterator[Watched]:
    watched = Watched(road, **options)
    task = asyncio.create_task(watched.run())
    await until(lambda: watched.looks or task.done())
    try:
        yield watched
    finally:
        task.cancel()
        [ended] = await asyncio.gather(task, return_exceptions=True)
        assert isinstance(ended, asyncio.CancelledError), ended


def asked(server: FakeHomeserver, ending: str) -> int:
    return sum(request.path.endswith(ending) for request in server.requests)


# -- what is looked at ----------------------------------------------------------------------------


async def test_only_what_changed_is_read_again(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver
) -> None:
    async with watching(road, until) as watched:
        assert watched.causes == [{Cause.START}]
        server.requests.clear()
        bench.world.name("!a2", "Отпуск")
        await until(lambda: watched.last.remote.rooms["!a2"].name == "Отпуск")
        states = [r.path for r in server.requests if r.path.endswith("/state")]
        assert states == ["/_matrix/client/v3/rooms/!a2/state"]
        server.requests.clear()
        bench.put({A1: small_rows()[A1]})
        await until(lambda: A1 in watched.last.rows)
        assert asked(server, "/state") == 0 and asked(server, "/joined_rooms") == 1
        bench.world.chat("!a7", "!alice", "Чат 7", owner="@alice:hs")
        await until(lambda: "!a7" in watched.last.remote.rooms)
        del bench.world.rooms["!a7"]
        bench.put({C1: small_rows()[C1]})
        await until(lambda: "!a7" not in watched.last.remote.rooms)
        assert watched.causes[1:] == [{Cause.ROOMS}, {Cause.ROWS}, {Cause.ROOMS}, {Cause.ROWS}]


async def test_rooms_that_another_account_knew_are_read_again(
    sides: Sides, server: FakeHomeserver
) -> None:
    remote, _ = await sides.look()
    for account, read in ((remote.account, 0), ("@other:hs", len(remote.rooms))):
        server.requests.clear()
        known = msgspec.structs.replace(remote, account=account)
        again, _ = await sides.look_again(known, ())
        assert again == remote and asked(server, "/state") == read


async def test_now_and_then_it_looks_at_everything(
    road: Repairs, until: Until, server: FakeHomeserver
) -> None:
    async with watching(road, until, every=0.2) as watched:
        server.requests.clear()
        await until(lambda: len(watched.looks) >= 3)
        assert watched.causes[1:] == [{Cause.TIME}] * (len(watched.looks) - 1)
        assert asked(server, "/state") >= 2 * len(watched.last.remote.rooms)


async def test_of_another_table_the_homeserver_is_told_nothing(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver
) -> None:
    bench.sql("CREATE TABLE log (line TEXT)")
    async with watching(road, until) as watched:
        server.requests.clear()
        for _ in range(3):
            bench.sql("INSERT INTO log VALUES ('Привет')")
            await asyncio.sleep(0.1)
        assert not asked(server, "/joined_rooms") and len(watched.looks) == 1
        bench.put({A1: small_rows()[A1]})
        await until(lambda: A1 in watched.last.rows)


async def test_a_burst_is_one_look(road: Repairs, until: Until, bench: Bench) -> None:
    async with watching(road, until) as watched:
        for number in range(20):
            bench.put({B1: small_rows()[B1] | {"display_name": f"{number}"}})
        await until(lambda: '"19"' in str(watched.last.rows[B1]))
        assert len(watched.looks) <= 4


async def test_what_changes_during_a_look_is_looked_at_after_it(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver
) -> None:
    server.fault(Fault("/joined_rooms$", Hook(lambda: bench.put({A1: small_rows()[A1]})), times=1))
    async with watching(road, until) as watched:
        assert A1 not in watched.last.rows
        await until(lambda: A1 in watched.last.rows)


async def test_a_look_that_is_not_taken_is_made_again(
    road: Repairs, until: Until, bench: Bench
) -> None:
    async with watching(road, until) as watched:
        watched.refuse = 2
        bench.put({A1: small_rows()[A1]})
        await until(lambda: len(watched.looks) == 4)
        assert watched.causes[1:] == [{Cause.ROWS}] * 3


async def test_an_event_of_the_bots_own_wakes_it_too(
    sides: Sides, until: Until, bench: Bench
) -> None:
    convention = replace(bench.convention, state_event_type="org.example.chat")
    async with watching(Repairs(replace(sides, convention=convention)), until) as watched:
        bench.world.event("!a1", "org.example.chat", {"chat_id": "C5"})
        await until(lambda: watched.last.remote.rooms["!a1"].chat_id == "C5")


# -- a homeserver that is ill ---------------------------------------------------------------------


async def test_without_sliding_sync_lists_are_asked_for_and_rooms_slowly(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver, monkeypatch: Any
) -> None:
    monkeypatch.setattr("toolkit.watch.watch.EVERY_WITH_LISTS", 0.5)
    server.sliding_sync = False
    async with watching(road, until) as watched:
        bench.world.chat("!a7", "!alice", "Чат 7", owner="@alice:hs")
        await until(lambda: "!a7" in watched.last.remote.rooms)
        bench.world.name("!a7", "Чат 70")
        await until(lambda: watched.last.remote.rooms["!a7"].name == "Чат 70")
        assert watched.causes[1] == {Cause.ROOMS} and watched.causes[-1] == {Cause.TIME}
        assert asked(server, "sync") == 0 and watched.told == []


@pytest.mark.parametrize("code", ["M_UNRECOGNIZED", "M_FORBIDDEN"])
async def test_where_it_is_offered_and_refused_lists_do(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver, code: str
) -> None:
    server.fault(Fault(SYNC, Status(404, {"errcode": code})))
    async with watching(road, until) as watched:
        bench.world.chat("!a7", "!alice", "Чат 7", owner="@alice:hs")
        await until(lambda: "!a7" in watched.last.remote.rooms)
        assert asked(server, "sync") == 1


async def test_one_that_may_not_slide_does_not(
    sides: Sides, until: Until, server: FakeHomeserver
) -> None:
    async with watching(Repairs(replace(sides, sliding_sync=False)), until):
        await until(lambda: asked(server, "/joined_rooms") > 3)
        assert asked(server, "sync") == asked(server, "versions") == 0


async def test_a_lost_position_is_nobodys_trouble(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver
) -> None:
    async with watching(road, until) as watched:
        server.forget_positions()
        await until(lambda: len(watched.looks) == 2)  # at everything
        bench.world.name("!a2", "Отпуск")
        await until(lambda: watched.last.remote.rooms["!a2"].name == "Отпуск")
        assert watched.causes == [{Cause.START}, {Cause.ROOMS}, {Cause.ROOMS}]
        assert watched.told == []


@pytest.mark.parametrize(
    "fault",
    [Status(502, "<html>"), Status(404, "<html>"), Status(429, {"retry_after_ms": 20})],
    ids=["bad gateway", "a proxy's word", "throttled"],
)
async def test_a_trouble_is_told_once_and_its_end_once(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver, fault: Status
) -> None:
    async with watching(road, until) as watched:
        server.fault(Fault(SYNC, fault, times=4))
        bench.world.name("!a2", "Отпуск")
        await until(lambda: OVER in watched.told)
        bench.world.name("!a2", "Чат 2")
        await until(lambda: watched.last.remote.rooms["!a2"].name == "Чат 2")
        assert len(watched.told) == 2 and watched.told[0].startswith(server.url)


async def test_one_that_falls_silent_is_given_up_and_asked_again(
    road: Repairs,
    until: Until,
    bench: Bench,
    server: FakeHomeserver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with watching(road, until) as watched:
        monkeypatch.setattr(matrix, "REQUEST_SECONDS", 1.0)
        monkeypatch.setattr(changes, "POLL_SECONDS", 0.1)
        server.fault(Fault(SYNC, Hang(), times=1))
        await until(lambda: "gave no whole answer" in "".join(watched.told))
        bench.world.name("!a2", "Отпуск")
        await until(lambda: watched.last.remote.rooms["!a2"].name == "Отпуск")


async def test_one_that_answers_at_once_is_not_asked_all_the_time(
    road: Repairs, until: Until, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "POLL_SECONDS", 0.0)
    async with watching(road, until):
        server.requests.clear()
        await asyncio.sleep(0.3)
        assert 3 <= asked(server, "sync") <= 8


async def test_an_answer_that_is_too_long_is_a_trouble(
    road: Repairs, until: Until, server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with watching(road, until) as watched:
        monkeypatch.setattr(matrix, "ANSWER_BYTES", 10)
        server.forget_positions()
        await until(lambda: watched.told)


async def test_a_look_that_fails_is_made_again(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver
) -> None:
    async with watching(road, until) as watched:
        server.fault(Fault("/joined_rooms$", Status(500), times=9))
        bench.put({A1: small_rows()[A1]})
        await until(lambda: A1 in watched.last.rows)
        assert len(watched.told) == 2 and "500" in watched.told[0] and watched.told[1] == OVER
        assert watched.causes == [{Cause.START}, {Cause.ROWS}]


@pytest.mark.parametrize("path", [SYNC, "/whoami$"], ids=["poll", "look"])
async def test_a_dead_token_ends_it(
    road: Repairs, until: Until, bench: Bench, server: FakeHomeserver, path: str
) -> None:
    watched = Watched(road)
    task = asyncio.create_task(watched.run())
    await until(lambda: watched.looks)
    server.fault(Fault(path, Status(401, {"errcode": "M_UNKNOWN_TOKEN"})))
    bench.put({A1: small_rows()[A1]})
    bench.world.name("!a2", "Отпуск")
    with pytest.raises(TokenRefused) as caught:
        await task
    assert TOKEN not in str(caught.value) and watched.told == []


async def test_what_keeps_it_from_beginning_is_raised(sides: Sides, server: FakeHomeserver) -> None:
    with pytest.raises(NoDatabase):
        await Watched(Repairs(replace(sides, database=sides.database.with_name("no.db")))).run()  # type: ignore[union-attr]
    with pytest.raises(TokenRefused):
        await Watched(Repairs(replace(sides, token="other"))).run()
    with pytest.raises(HomeserverError):
        await Watched(Repairs(replace(sides, homeserver="http://127.0.0.1:1"))).run()


async def test_an_error_of_whoever_sees_ends_it(road: Repairs) -> None:
    async def see(look: Look) -> bool:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await Watch(road, tell=print).run(see)


# -- rows -----------------------------------------------------------------------------------------


async def test_a_lock_is_waited_for(
    sides: Sides, until: Until, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    patient = replace(sides, table={"busy_timeout": 0.05})
    async with watching(Repairs(patient), until) as watched:
        with closing(sqlite3.connect(bench.path, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            await until(lambda: watched.told)
            other.execute("UPDATE kv SET value = '{}' WHERE key = ?", (B1,))
            other.execute("COMMIT")
        await until(lambda: watched.last.rows[B1] == "{}")
        assert "lock" in watched.told[0] and watched.told[1:] == [OVER]


async def test_a_database_that_is_gone_for_a_while_is_a_trouble(
    road: Repairs, until: Until, bench: Bench
) -> None:
    async with watching(road, until) as watched:
        kept = bench.path.rename(bench.path.with_suffix(".kept"))
        await until(lambda: watched.told)
        assert "no such file" in watched.told[0]
        kept.rename(bench.path)
        await until(lambda: watched.told[1:] == [OVER])
        bench.put({A1: small_rows()[A1]})
        await until(lambda: A1 in watched.last.rows)


async def test_a_new_database_is_seen_when_it_comes(
    sides: Sides, until: Until, bench: Bench
) -> None:
    kept = bench.path.rename(bench.path.with_suffix(".kept"))
    async with watching(Repairs(replace(sides, allow_new=True)), until) as watched:
        assert watched.last.rows == {}
        kept.rename(bench.path)
        await until(lambda: B1 in watched.last.rows)
        assert watched.told == []


async def test_a_store_of_the_bots_own_is_asked_and_left_open(
    sides: Sides, until: Until, bench: Bench
) -> None:
    async with SQLiteStore(bench.path) as store:
        mine = replace(sides, database=None, store=store)
        async with watching(Repairs(mine), until) as watched:
            await store.set(A1, small_rows()[A1])
            await until(lambda: A1 in watched.last.rows)
        assert await store.get(A1)


async def test_one_without_versions_is_read_with_everything_else(
    sides: Sides, until: Until
) -> None:
    store = InMemoryStore(small_rows())
    mine = replace(sides, database=None, store=store)
    async with watching(Repairs(mine), until, every=0.3) as watched:
        await store.set(A1, {"chat_id": "C9"})
        await until(lambda: "C9" in str(watched.last.rows[A1]))
        assert watched.causes[1:] == [{Cause.TIME}] * (len(watched.looks) - 1)


async def test_what_is_no_trouble_of_the_database_leaves_nothing_open(sides: Sides) -> None:
    class Broken(SQLiteStore):
        async def version(self) -> Any:
            raise StoreError("broken")

    async with RowVersions(replace(sides, database=None, store=InMemoryStore())) as rows:
        assert not await rows.changed()
    with pytest.raises(ToolkitError, match="broken"):
        async with RowVersions(replace(sides, database=None, store=Broken(str(sides.database)))):
            pass


# -- other clients --------------------------------------------------------------------------------


async def test_a_stand_in_is_asked_for_its_list(bench: Bench, quick: None) -> None:
    rooms = ["!a1"]

    class StandIn:
        user_id = BOT

        async def joined_rooms(self) -> Any:
            return SimpleNamespace(rooms=rooms)

        async def room_get_state(self, room_id: str) -> Any:
            raise AssertionError

    listening = Changes(StandIn(), bench.convention, Layout())
    await listening.begin()
    assert listening.only_lists and await listening.wait() == frozenset()
    rooms.append("!a2")
    assert await listening.wait() == frozenset({"!a2"})
