"""The bot's two functions with light fakes: stand-ins, two coroutines, managers and mocks."""

import asyncio
import tempfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import AsyncMock

import nio
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.bench import (
    A1,
    A2,
    ALICE,
    B1,
    BOB,
    BOT,
    C1,
    C2,
    CB,
    UA,
    UB,
    Bench,
    SyncManager,
    small_rows,
    small_world,
)
from tests.reconcile.calls import ROOMS, news
from tests.worlds import CONVENTION, STRANGER, Sides, readable_worlds
from toolkit import (
    ChatManager,
    Convention,
    Decision,
    HomeserverError,
    InMemoryStore,
    RemoteIncomplete,
    SQLiteStore,
    ToolkitError,
    reconcile_matrix_state,
    reconcile_single_room,
)
from toolkit.model import Choices
from toolkit.planning.plan import plan_repairs
from toolkit.records import chat_key, room_key, user_key


def memory(**changes: Any) -> SimpleNamespace:
    """A light fake, as a bot's own unit tests have it: no network, only what it remembers."""

    def room(**fields: Any) -> SimpleNamespace:
        usual: dict[str, Any] = dict.fromkeys(("children", "parents", "users", "invited_users"), ())
        return SimpleNamespace(**{"room_type": "", "name": None, **usual, **fields})

    rooms = {
        "!alice": room(room_type="m.space", children=["!a1", "!a2"], users=[BOT, ALICE]),
        "!a1": room(name="Чат 1", parents={"!alice"}, users={BOT: 1}, invited_users={ALICE: 1}),
        "!a2": room(name="Чат 2", users=[BOT, ALICE]),
        "!bob": room(room_type="m.space", children={"!b1"}, users={BOB}),
        "!b1": room(name="Чат 1", users={BOB}),
        **changes,
    }
    return SimpleNamespace(user_id=BOT, rooms=rooms)


class Coroutines:
    """A client with nothing but the two calls; `refused` rooms answer with an error."""

    user_id = BOT

    def __init__(self, rooms: Any, errors: Any = SimpleNamespace, refused: Any = ()) -> None:
        self.state, self.errors, self.refused = rooms, errors, refused

    async def joined_rooms(self) -> Any:
        if self.refused == "all":
            return self.errors(message="no", status_code="M_FORBIDDEN")
        return SimpleNamespace(rooms=list(self.state))

    async def room_get_state(self, room_id: str) -> Any:
        if room_id in self.refused:
            return self.errors(message="no", status_code="M_FORBIDDEN")
        return SimpleNamespace(events=self.state[room_id])


class TestLightFakes:
    async def test_a_stand_in_is_taken_at_its_word(self) -> None:
        store = InMemoryStore()
        report = await reconcile_matrix_state(memory(), store, ChatManager(store))
        assert report["restored_user_meta"] == [ALICE, BOB]
        assert report["restored_room_meta"] == ["!a1", "!a2", "!b1"]
        assert {key: await store.get(key) for key in await store.keys("")} == small_rows()
        assert news(await reconcile_matrix_state(memory(), store, ChatManager(store))) == {}

    async def test_a_single_room_of_a_stand_in(self) -> None:
        store = InMemoryStore()
        report = await reconcile_single_room(memory(), store, ChatManager(store), "!b1", BOB)
        assert news(report).keys() == {
            "restored_user_meta",
            "restored_room_meta",
            "restored_chat_rows",
        }
        assert await store.keys("") == sorted([UB, B1, CB])

    async def test_without_a_room_it_is_in_no_room(self) -> None:
        store = InMemoryStore(small_rows())
        with pytest.raises(RemoteIncomplete):
            await reconcile_matrix_state(SimpleNamespace(user_id=BOT, rooms={}), store, None)

    async def test_two_coroutines_are_enough(self) -> None:
        store = InMemoryStore()
        client = Coroutines(small_world().rooms)
        await reconcile_matrix_state(client, store, ChatManager(store))
        assert {key: await store.get(key) for key in await store.keys("")} == small_rows()

    @pytest.mark.parametrize("errors", [SimpleNamespace, nio.ErrorResponse])
    async def test_their_error_responses_are_seen(self, errors: Any) -> None:
        store = InMemoryStore()
        with pytest.raises(HomeserverError, match="M_FORBIDDEN"):
            await reconcile_matrix_state(Coroutines({}, errors, "all"), store, None)
        client = Coroutines(small_world().rooms, errors, ROOMS)
        with pytest.raises(RemoteIncomplete):
            await reconcile_matrix_state(client, store, None)
        client = Coroutines(small_world().rooms, errors, ["!b1"])
        report = await reconcile_matrix_state(client, store, None)
        assert ("room_unreadable", "!b1") in [
            (conflict["code"], conflict.get("room_id")) for conflict in report["conflicts"]
        ]
        assert await store.keys("") == sorted([UA, A1, C1, A2, C2])

    async def test_helper_accounts_own_nothing(self) -> None:
        world = small_world()
        for room_id in world.rooms:
            world.member(room_id, "@admin:hs")
        store = InMemoryStore()
        helped = Convention(helper_accounts=("@admin:hs",))
        report = await reconcile_matrix_state(Coroutines(world.rooms), store, None)
        assert {c["code"] for c in report["conflicts"]} == {"owner_ambiguous"}
        await reconcile_matrix_state(Coroutines(world.rooms), store, None, convention=helped)
        assert {key: await store.get(key) for key in await store.keys("")} == small_rows()

    async def test_two_calls_at_once_run_one_after_the_other(self) -> None:
        store, log = InMemoryStore(), []

        class Slow(Coroutines):
            async def joined_rooms(self) -> Any:
                log.append("begin")
                await asyncio.sleep(0.01)
                return await super().joined_rooms()

        class Logging(ChatManager):
            async def get_or_create(self, *args: Any, **named: Any) -> Any:
                log.append("write")
                return await super().get_or_create(*args, **named)

        client, manager = Slow(small_world().rooms), Logging(store)
        first, second = await asyncio.gather(
            reconcile_matrix_state(client, store, manager),
            reconcile_single_room(client, store, manager, "!a1", ALICE),
        )
        assert log == ["begin", "write", "write", "write", "begin"]
        assert news(second) == {}
        assert first["restored_room_meta"] == ["!a1", "!a2", "!b1"]

    async def test_a_foreign_manager_restores_the_chat_rows(self, bench: Bench) -> None:
        bench.fill({})
        async with SQLiteStore(bench.path) as store:
            manager = SyncManager(bench.path)
            await reconcile_matrix_state(Coroutines(bench.world.rooms), store, manager)
        assert manager.called == ["!a1", "!a2", "!b1"]
        assert bench.row(C1)["mine"] == 1.0


class TestCrossCheck:
    """The single-room call writes exactly what the full run writes for that room."""

    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(readable_worlds(), st.data())
    def test_in_any_world(self, sides: Sides, data: st.DataObject) -> None:
        assume(sides.rooms)
        room_id = data.draw(st.sampled_from(sorted(sides.rooms)))
        assume(all(isinstance(raw, str | bytes) for raw in sides.rows.values()))
        plan = plan_repairs(sides.remote(), sides.local(), CONVENTION)
        unit, row = plan.unit(room_id), sides.local().rooms.get(room_id)
        owner = (unit.owner if unit else row.matrix_user_id if row else None) or STRANGER
        with tempfile.TemporaryDirectory() as folder:
            before, wide = asyncio.run(self.both(sides, Path(folder), "wide.db"))
            _, narrow = asyncio.run(
                self.both(sides, Path(folder), "narrow.db", room_id=room_id, owner=owner)
            )
        wide = {key: row for key, row in wide.items() if before.get(key) != row}
        narrow = {key: row for key, row in narrow.items() if before.get(key) != row}
        assert narrow.items() <= wide.items()
        due = {room_key(room_id)} if unit else set()
        due |= {user_key(owner)} if unit or room_id in plan.in_sync_rooms else set()
        if unit and unit.change:
            due |= {write.key for write in unit.change.writes}
        assert {key for key in wide if key in due} == set(narrow)

    async def both(
        self, sides: Sides, folder: Path, name: str, **only: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        bench = Bench(folder / name)
        bench.fill(sides.rows)
        before = bench.bytes()
        client = Coroutines(sides.rooms)
        async with SQLiteStore(bench.path) as store:
            manager = ChatManager(store)
            if only:
                await reconcile_single_room(
                    client, store, manager, *only.values(), convention=CONVENTION
                )
            else:
                await reconcile_matrix_state(
                    client, store, manager, convention=CONVENTION, lower_counters=False
                )
        return before, bench.bytes()


async def test_a_forgotten_client_is_an_error_and_not_an_empty_homeserver() -> None:
    store = InMemoryStore()
    with pytest.raises(HomeserverError, match="no client"):
        await reconcile_matrix_state(None, store, ChatManager(store))


async def test_a_chat_manager_that_can_make_no_chat_is_an_error_before_anything_is_read() -> None:
    with pytest.raises(ToolkitError, match="get_or_create"):
        await reconcile_matrix_state(
            SimpleNamespace(user_id=BOT, rooms={}),
            InMemoryStore(),
            object(),  # type: ignore[arg-type]
        )


@pytest.mark.parametrize("kind", ["plain", "joined", "foreign"])
async def test_a_chat_manager_that_leaves_fields_out_leaves_nothing_for_the_next_run(
    kind: str, tmp_path: Path
) -> None:
    class Sparse:
        def __init__(self, store: Any) -> None:
            self.store = store

        async def get_or_create(
            self,
            user_id: str,
            chat_id: str,
            platform: str,
            surface_ref: str,
            name: str | None = None,
        ) -> None:
            await self.store.set(chat_key(user_id, chat_id), {"surface_ref": surface_ref})

    rooms = {
        "!s": SimpleNamespace(room_type="m.space", users=[BOT, ALICE], children=["!c"]),
        "!c": SimpleNamespace(room_type="", users=[BOT, ALICE], name="Чат 1"),
    }
    client = SimpleNamespace(user_id=BOT, rooms=rooms)
    async with SQLiteStore(tmp_path / "bot.db") as database, SQLiteStore(database.path) as other:
        store: Any = InMemoryStore() if kind == "plain" else database
        manager = Sparse(other if kind == "foreign" else store)
        first = await reconcile_matrix_state(client, store, manager)
        assert [row["room_id"] for row in first["restored_chat_rows"]] == ["!c"]
        second = await reconcile_matrix_state(client, store, manager)
        assert second["unchanged_rooms"] == ["!c"]
        assert not second["repaired_chat_rows"]


async def test_a_single_room_call_lowers_no_counter_even_if_a_decision_says_so() -> None:
    rooms = {"!s": SimpleNamespace(room_type="m.space", users=[BOT, ALICE], children=[])}
    rooms["!c"] = SimpleNamespace(room_type="", users=[BOT, ALICE], name="Чат 1", parents=["!s"])
    client = SimpleNamespace(user_id=BOT, rooms=rooms)
    store = InMemoryStore({user_key(ALICE): {"space_id": "!s", "next_chat_index": 9}})
    decisions = {ALICE: Decision(choices=Choices(lower_counter=True))}
    await reconcile_single_room(client, store, None, "!c", ALICE, decisions=decisions)
    assert await store.get(user_key(ALICE)) == {"space_id": "!s", "next_chat_index": 9}


async def test_a_client_whose_methods_a_test_replaced_is_not_asked_over_the_network() -> None:
    client = nio.AsyncClient("https://example.invalid", BOT)
    client.user_id = BOT
    client.joined_rooms = AsyncMock(return_value=nio.JoinedRoomsResponse([]))
    client.room_get_state = AsyncMock()
    report = await reconcile_matrix_state(client, InMemoryStore(), None)
    assert report["joined_rooms"] == []


async def test_a_mock_of_a_store_is_taken_as_a_plain_one() -> None:
    store = AsyncMock()
    store.get.return_value, store.keys.return_value = None, []
    report = await reconcile_matrix_state(SimpleNamespace(user_id=BOT, rooms={}), store, None)
    assert report["conflicts"] == []
