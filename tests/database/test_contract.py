"""What every store with transactions keeps, whatever database is below: reading, writing, all or nothing."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, cast
from unittest.mock import MagicMock, Mock

import pytest

from tests.stores import PLACES, Place, make_place
from toolkit import InMemoryStore, SQLiteStore
from toolkit.database.contract import Store, StoreTransaction, TransactionalStore, transactional
from toolkit.database.look import load_look
from toolkit.database.opening import store_at
from toolkit.database.sql import RowChange
from toolkit.database.waiting import waiting_until
from toolkit.errors import StoreError, ToolkitError
from toolkit.records import Names, chat_key, room_key, user_key

ROOM, USER, CHAT = room_key("!a:hs"), user_key("@a:hs"), chat_key("@a:hs", "C1")


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return make_place(request, tmp_path)


@asynccontextmanager
async def opened(store: TransactionalStore) -> AsyncIterator[TransactionalStore]:
    await store.open()
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(place: Place) -> AsyncIterator[TransactionalStore]:
    async with opened(place.store()) as store:
        yield store


class TestRows:
    async def test_what_is_set_is_got(self, store: TransactionalStore, place: Place) -> None:
        assert await store.get(ROOM) is None
        values: list[dict[str, Any]] = [{"n": 1, "ä": ["é", None, 1.5, True]}, {"other": {}}]
        for value in values:
            await store.set(ROOM, value)
            assert await store.get(ROOM) == value
        assert list(place.texts()) == [ROOM]

    @pytest.mark.parametrize("value", [{"x": object()}, {"x": 1j}])
    async def test_what_json_cannot_hold_is_refused_and_is_that_rows_own(
        self, store: TransactionalStore, value: Any, place: Place
    ) -> None:
        with pytest.raises(StoreError) as refused:
            await store.set(ROOM, value)
        assert not refused.value.concerns_all and place.texts() == {}

    async def test_a_key_that_no_database_holds_is_refused_and_is_its_own(
        self, store: TransactionalStore
    ) -> None:
        with pytest.raises(StoreError) as refused:
            await store.get("\ud800")
        assert not refused.value.concerns_all

    async def test_keys_begin_with_exactly_the_prefix(
        self, store: TransactionalStore, place: Place
    ) -> None:
        keys = [
            "chat:@a:hs:C1",
            "chat:@a:hs:C10",
            "chat:@a%_:hs:C1",
            "CHAT:@a:hs:C1",
            "chat;",
            "chät:",
        ]
        place.put(dict.fromkeys(keys, "{}"))
        assert await store.keys("chat:") == sorted(k for k in keys if k.startswith("chat:"))
        assert await store.keys("chat:@a%") == ["chat:@a%_:hs:C1"]
        assert await store.keys("chat:@a:hs:C1") == ["chat:@a:hs:C1", "chat:@a:hs:C10"]
        assert await store.keys("none:") == []

    async def test_rows_are_loaded_as_they_are_and_no_others(
        self, store: TransactionalStore, place: Place
    ) -> None:
        rows = {f"{ROOM}{n}": text for n, text in enumerate(place.odd)} | {USER: "{}", CHAT: "{ }"}
        place.put({**rows, "config:bot": "{}", "other": "1"})
        assert dict(await store.load_rows()) == rows == (await load_look(store)).rows

    async def test_what_cannot_be_read_says_which_row_it_is(
        self, store: TransactionalStore, place: Place
    ) -> None:
        place.put({ROOM: "{", USER: "[]"})
        for key in (ROOM, USER):
            with pytest.raises(StoreError, match=key) as refused:
                await store.get(key)
            assert not refused.value.concerns_all

    async def test_rows_about_names_are_among_those_that_are_loaded(
        self, store: TransactionalStore, place: Place
    ) -> None:
        named = {ROOM: '{"matrix_user_id": "@a:hs"}', USER: "{}", CHAT: '{"surface_ref": "!x:hs"}'}
        place.put({**named, room_key("!b:hs"): "{}", user_key("@b:hs"): "{}"})
        for about, least in (
            (Names(rooms=frozenset(["!a:hs"])), {ROOM}),
            (Names(users=frozenset(["@a:hs"])), {ROOM, USER, CHAT}),
            (Names(rooms=frozenset(["!x:hs"])), {CHAT}),
        ):
            found = dict(await store.load_rows(about))
            assert least <= found.keys() <= place.texts().keys()
            assert all(found[key] == place.texts()[key] for key in found)


class TestVersion:
    async def test_it_is_the_same_as_long_as_nobody_writes(self, store: TransactionalStore) -> None:
        token = await store.version()
        await store.load_rows()
        assert await store.version() == token
        async with store.transaction() as transaction:
            assert await transaction.version() == token
        hash(token)

    async def test_another_programs_write_shows(
        self, store: TransactionalStore, place: Place
    ) -> None:
        token = await store.version()
        place.put({ROOM: "{}"})
        assert await store.version() != token
        async with store.transaction() as transaction:
            assert await transaction.version() != token

    async def test_its_own_shows_also_within_the_transaction(
        self, store: TransactionalStore
    ) -> None:
        token = await store.version()
        async with store.transaction() as transaction:
            await transaction.write([RowChange(ROOM, None, "{}")])
            assert await transaction.version() != token
        assert await store.version() != token

    async def test_what_was_rolled_back_is_not_taken_for_nothing(
        self, store: TransactionalStore
    ) -> None:
        with suppress(ZeroDivisionError):
            async with store.transaction() as transaction:
                await transaction.write([RowChange(ROOM, None, "{}")])
                token = await transaction.version()
                raise ZeroDivisionError
        assert await store.version() != token


class TestWrite:
    async def test_each_row_is_written_only_as_it_was_found(
        self, store: TransactionalStore, place: Place
    ) -> None:
        place.put({ROOM: "{ }", USER: "{}"})
        async with store.transaction() as transaction:
            for change, taken in (
                (RowChange(ROOM, "{}", "{1}"), False),
                (RowChange(ROOM, None, "{1}"), False),
                (RowChange(CHAT, "{}", "{1}"), False),
                (RowChange(CHAT, "{}", None), False),
                (RowChange(ROOM, "{ }", '{"a": 1}'), True),
                (RowChange(CHAT, None, '{"b": 1}'), True),
                (RowChange(USER, "{}", None), True),
            ):
                assert await transaction.write([change]) is taken, change
        assert place.texts() == {ROOM: '{"a": 1}', CHAT: '{"b": 1}'}

    async def test_of_many_one_is_enough_to_be_refused(
        self, store: TransactionalStore, place: Place
    ) -> None:
        keys = [room_key(f"!{n}:hs") for n in range(700)]
        place.put(dict.fromkeys(keys, "{}"))
        changes = [RowChange(key, "{}", '{"n":1}') for key in keys]
        async with store.transaction() as transaction:
            with suppress(ZeroDivisionError):
                async with transaction.savepoint():
                    assert not await transaction.write([*changes, RowChange(ROOM, "{}", "{1}")])
                    raise ZeroDivisionError
            assert await transaction.write([*changes, RowChange(ROOM, None, "{1}")])
        assert place.texts() == {**dict.fromkeys(keys, '{"n":1}'), ROOM: "{1}"}

    async def test_odd_rows_are_compared_and_put_back_to_the_letter(
        self, store: TransactionalStore, place: Place
    ) -> None:
        odd = {room_key(f"!{n}:hs"): text for n, text in enumerate(place.odd)}
        place.put(odd)
        found = dict(await store.load_rows())
        for before, after in ((found, dict.fromkeys(odd, "{}")), (dict.fromkeys(odd, "{}"), found)):
            async with store.transaction() as transaction:
                changes = [RowChange(key, before[key], after[key]) for key in odd]
                assert await transaction.write(changes)
        assert place.texts() == odd

    async def test_a_key_that_occurs_twice_is_refused(self, store: TransactionalStore) -> None:
        async with store.transaction() as transaction:
            with pytest.raises(ValueError, match="twice"):
                await transaction.write([RowChange(ROOM, None, "1"), RowChange(ROOM, "1", "2")])

    async def test_rows_of_keys_are_as_this_transaction_left_them(
        self, store: TransactionalStore, place: Place
    ) -> None:
        place.put({USER: "{}", CHAT: "{}"})
        async with store.transaction() as transaction:
            assert await transaction.rows_of([]) == {}
            await transaction.write([RowChange(ROOM, None, "1"), RowChange(CHAT, "{}", None)])
            assert await transaction.rows_of([ROOM, USER, CHAT]) == {ROOM: "1", USER: "{}"}
            assert dict(await transaction.load_rows()) == {ROOM: "1", USER: "{}"}

    async def test_a_trigger_is_told_and_what_it_did_is_read_back(
        self, store: TransactionalStore, place: Place
    ) -> None:
        async with store.transaction() as transaction:
            assert not await transaction.has_triggers()
        place.change_by_trigger()
        async with store.transaction() as transaction:
            assert await transaction.has_triggers()
            assert await transaction.write([RowChange(ROOM, None, '{"n":1}')])
            assert "seen" in str((await transaction.rows_of([ROOM]))[ROOM])


class TestAllOrNothing:
    async def test_a_transaction_is_seen_by_others_once_it_is_whole(
        self, store: TransactionalStore, place: Place
    ) -> None:
        async with store.transaction() as transaction:
            await transaction.write([RowChange(ROOM, None, "{}")])
            await store.set(USER, {"n": 1})
            assert await store.get(USER) == {"n": 1} and await store.keys("matrix_user:") == [USER]
            assert place.texts() == {} and not transaction.given_up
            assert not await transaction.committed()
        assert place.texts().keys() == {ROOM, USER} and await transaction.committed()

    async def test_an_error_takes_all_of_it_back(
        self, store: TransactionalStore, place: Place
    ) -> None:
        with suppress(ZeroDivisionError):
            async with store.transaction() as transaction:
                await transaction.write([RowChange(ROOM, None, "{}")])
                raise ZeroDivisionError
        assert place.texts() == {} and not await transaction.committed()
        with pytest.raises(StoreError, match="ended"):
            await transaction.write([RowChange(ROOM, None, "{}")])

    async def test_savepoints_nest(self, store: TransactionalStore, place: Place) -> None:
        async with store.transaction() as transaction:
            with suppress(ZeroDivisionError):
                async with transaction.savepoint():
                    await transaction.write([RowChange(ROOM, None, "1")])
                    async with transaction.savepoint():
                        await transaction.write([RowChange(USER, None, "1")])
                    raise ZeroDivisionError
            async with transaction.savepoint():
                await transaction.write([RowChange(ROOM, None, "2")])
                with suppress(ZeroDivisionError):
                    async with store.transaction() as inner:
                        await inner.write([RowChange(CHAT, None, "1")])
                        raise ZeroDivisionError
        assert place.texts() == {ROOM: "2"}

    async def test_a_refused_row_leaves_the_transaction_as_it_was(
        self, store: TransactionalStore, place: Place
    ) -> None:
        place.refuse_by_trigger(USER)

        async def refused(transaction: StoreTransaction) -> None:
            async with transaction.savepoint():
                await transaction.write([RowChange(ROOM, "{}", "[]"), RowChange(USER, None, "{}")])

        async with store.transaction() as transaction:
            await transaction.write([RowChange(ROOM, None, "{}")])
            with pytest.raises(StoreError) as error:
                await refused(transaction)
            assert not error.value.concerns_all and not transaction.given_up
            await transaction.write([RowChange(CHAT, None, "{}")])
        assert place.texts() == {ROOM: "{}", CHAT: "{}"}

    async def test_tasks_of_a_transaction_join_it_and_others_wait(
        self, store: TransactionalStore, place: Place
    ) -> None:
        begun, order = asyncio.Event(), list[str]()

        async def other() -> None:
            await begun.wait()
            await store.set(USER, {"n": 1})
            order.append("other")

        outside = asyncio.create_task(other())
        async with store.transaction():
            begun.set()
            await asyncio.create_task(store.set(ROOM, {"n": 1}))
            await asyncio.sleep(0.02)
            assert place.texts() == {}
            order.append("transaction")
        await outside
        assert order == ["transaction", "other"] and place.texts().keys() == {ROOM, USER}

    async def test_cancelled_before_the_commit_nothing_is_written(
        self, store: TransactionalStore, place: Place
    ) -> None:
        inside = asyncio.Event()

        async def work() -> None:
            async with store.transaction() as transaction:
                await transaction.write([RowChange(ROOM, None, "{}")])
                inside.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(work())
        await inside.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert place.texts() == {}
        await store.set(ROOM, {"n": 1})

    async def test_cancelled_while_it_is_committed_it_is(
        self, store: TransactionalStore, place: Place
    ) -> None:
        async def work() -> None:
            async with store.transaction() as transaction:
                await transaction.write([RowChange(ROOM, None, "{}")])
                task.cancel()
                transactions.append(transaction)

        transactions: list[Any] = []
        task = asyncio.create_task(work())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await transactions[0].committed() is (place.texts() == {ROOM: "{}"}) is True

    async def test_a_lock_is_waited_for_no_longer_than_there_is_time(self, place: Place) -> None:
        begun = time.monotonic()
        async with opened(place.store(busy_timeout=20)) as store:
            with place.locked(), pytest.raises(StoreError) as refused:
                async with waiting_until(time.monotonic() + 0.05), store.transaction():
                    pytest.fail("somebody else is writing")
            assert refused.value.concerns_all and time.monotonic() - begun < 10
            assert await store.keys("") == []
            async with store.transaction() as transaction:
                await transaction.write([RowChange(ROOM, None, "{}")])


class TestItself:
    async def test_it_says_what_it_is(self, place: Place) -> None:
        first, second, other = place.store(), place.store(), place.elsewhere().store()
        assert transactional(first) and first.identity == second.identity != other.identity
        assert len({first.identity, second.identity, other.identity}) == 2
        assert first.name == second.name != other.name
        assert first.layout == store_at(first.address, **first.settings).layout
        assert store_at(first.address, **first.settings).identity == first.identity

    def test_what_is_no_such_store_is_not_taken_for_one(self) -> None:
        for other in (InMemoryStore(), Mock(), MagicMock(), MagicMock(spec=SQLiteStore)):
            assert not transactional(other)

    def test_a_bots_store_that_has_a_part_of_it_is_a_plain_one(self, place: Place) -> None:
        store = place.store()
        members = {
            name: getattr(store, name) for name in vars(TransactionalStore) if name[0] != "_"
        }
        assert transactional(type("Whole", (), members)())
        for name in members:
            part = {other: value for other, value in members.items() if other != name}
            assert not transactional(type("Part", (), part)())

    def test_one_that_passes_everything_on_is_what_it_passes_on_to(self, place: Place) -> None:
        store = place.store()

        class Passing:
            def __getattr__(self, name: str) -> object:
                return getattr(store, name)

        assert transactional(cast(Store, Passing()))

    async def test_one_that_only_reads_writes_nothing(self, place: Place) -> None:
        place.put({ROOM: "{}"})
        async with opened(place.store(read_only=True)) as store:
            assert store.read_only and await store.get(ROOM) == {}
            with pytest.raises(StoreError) as refused:
                await store.set(ROOM, {"n": 1})
            assert refused.value.concerns_all
        assert place.texts() == {ROOM: "{}"}

    async def test_what_is_not_there_is_not_made_unless_it_may_be(self, place: Place) -> None:
        absent = place.absent()
        with pytest.raises(StoreError):
            await absent.open(make=False)
        async with opened(absent):
            assert absent.made and (await load_look(absent)).made == absent.name
            await absent.set(ROOM, {"n": 1})
            assert (await load_look(absent)).made == ""
        await absent.open(make=False)
        await absent.close()

    async def test_closed_it_says_so_and_opens_again(self, place: Place) -> None:
        store = place.store()
        with pytest.raises(StoreError, match="isn't open"):
            await store.get(ROOM)
        for _ in range(2):
            async with opened(store):
                await store.open()
                await store.set(ROOM, {"n": 1})
            await store.close()
        async with opened(store), store.transaction():
            with pytest.raises(StoreError, match="inside a transaction"):
                await store.close()

    async def test_one_at_a_time_is_alone(self, place: Place) -> None:
        first, second = place.store(), place.store()
        async with first.alone():
            with pytest.raises(ToolkitError, match="is writing to this database now"):
                async with second.alone():
                    pytest.fail("there are two")
            async with place.elsewhere().store().alone():
                pass
        with suppress(ZeroDivisionError):
            async with second.alone():
                raise ZeroDivisionError
        async with first.alone():
            place.put({ROOM: "{}"})  # the bot doesn't ask
        assert place.texts() == {ROOM: "{}"}
