"""The bot's chats: what a chat manager stores, and when the writer may do it in its place."""

from pathlib import Path
from typing import Any

import pytest

from toolkit.database.chat_manager import (
    ChatContext,
    ChatManager,
    get_room_meta,
    get_user_meta,
    new_chat_row,
    set_room_meta,
    set_user_meta,
    standard_chat_manager,
)
from toolkit.database.sql import RowChange
from toolkit.database.store import InMemoryStore, SQLiteStore
from toolkit.errors import StoreError

ALICE, ROOM = "@alice:example.org", "!room:example.org"
KEY = f"chat:{ALICE}:C4"


async def test_a_new_chat_is_written_as_one_row() -> None:
    store = InMemoryStore()
    chat = await ChatManager(store).get_or_create(ALICE, "C4", "matrix", ROOM, "Trip")
    assert chat == ChatContext(ALICE, "C4", "matrix", ROOM, "Trip")
    assert await store.get(KEY) == new_chat_row(ALICE, "C4", "matrix", ROOM, "Trip")
    assert await store.keys("") == [KEY]


async def test_a_chat_without_a_name_is_called_by_its_id_and_an_empty_name_is_a_name() -> None:
    manager = ChatManager(InMemoryStore())
    assert (await manager.get_or_create(ALICE, "C4", "matrix", ROOM)).name == "C4"
    assert (await manager.get_or_create(ALICE, "C5", "matrix", ROOM, "")).name == ""


async def test_an_existing_chat_is_returned_as_stored_and_left_alone() -> None:
    row = new_chat_row(ALICE, "C4", "matrix", "!old", "Mine") | {"mood": "calm"}
    store = InMemoryStore({KEY: row})
    chat = await ChatManager(store).get_or_create(ALICE, "C4", "other", ROOM, "Other")
    assert chat == ChatContext(ALICE, "C4", "matrix", "!old", "Mine")
    assert await store.get(KEY) == row


async def test_what_a_stored_chat_lacks_is_answered_as_asked_for_and_not_written() -> None:
    store = InMemoryStore({KEY: {"surface_ref": "!old"}})
    chat = await ChatManager(store).get_or_create(ALICE, "C4", "matrix", ROOM)
    assert chat == ChatContext(ALICE, "C4", "matrix", "!old", "C4")
    assert await store.get(KEY) == {"surface_ref": "!old"}


async def test_somebody_who_was_faster_is_not_overwritten(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "bot.db") as ours, SQLiteStore(tmp_path / "bot.db") as theirs:

        class Late(SQLiteStore):
            """Finds nothing at the first look, because the row is written right after it."""

            looked = False

            async def get(self, key: str) -> dict[str, Any] | None:
                found = await ours.get(key)
                if not self.looked:
                    self.looked = True
                    await theirs.set(key, new_chat_row(ALICE, "C4", "matrix", "!theirs", "Theirs"))
                return found

        late = Late(tmp_path / "bot.db")
        async with late:
            chat = await ChatManager(late).get_or_create(ALICE, "C4", "matrix", ROOM)
        assert chat.surface_ref == "!theirs"
        assert ((await ours.get(KEY)) or {})["surface_ref"] == "!theirs"


async def test_an_unreadable_chat_row_is_an_error_and_stays(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "bot.db") as store:
        async with store.transaction() as transaction:
            await transaction.write([RowChange(KEY, None, "[]")])
        with pytest.raises(StoreError, match="not an object"):
            await ChatManager(store).get_or_create(ALICE, "C4", "matrix", ROOM)
        assert await store.load_rows() == [(KEY, "[]")]


async def test_a_chat_made_inside_a_transaction_is_part_of_it(tmp_path: Path) -> None:
    async with SQLiteStore(tmp_path / "bot.db") as store:
        async with store.transaction():
            await ChatManager(store).get_or_create(ALICE, "C4", "matrix", ROOM)
            assert await store.keys("chat:") == [KEY]
            async with SQLiteStore(store.path, read_only=True) as another:
                assert await another.keys("chat:") == []
        assert await store.keys("") == [KEY]


class Subclass(ChatManager):
    """Adds something, but leaves get_or_create alone."""

    async def rename(self) -> None: ...


class Overridden(ChatManager):
    async def get_or_create(self, *args: Any, **kwargs: Any) -> ChatContext:
        return await super().get_or_create(*args, **kwargs)


class Foreign:
    def get_or_create(self, *args: Any) -> None: ...


def test_our_own_manager_is_standard_and_so_is_a_subclass_that_leaves_it_alone() -> None:
    assert standard_chat_manager(ChatManager(InMemoryStore()))
    assert standard_chat_manager(Subclass(InMemoryStore()))


def test_a_manager_with_another_get_or_create_is_not_standard() -> None:
    assert not standard_chat_manager(Overridden(InMemoryStore()))
    assert not standard_chat_manager(Foreign())
    assert not standard_chat_manager(None)


def test_a_manager_patched_on_the_object_is_not_standard() -> None:
    patched, other = ChatManager(InMemoryStore()), ChatManager(InMemoryStore())
    patched.get_or_create = other.get_or_create  # type: ignore[method-assign]
    assert not standard_chat_manager(patched)


def test_a_manager_patched_in_the_class_is_not_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ChatManager, "get_or_create", Overridden.get_or_create)
    assert not standard_chat_manager(ChatManager(InMemoryStore()))


async def test_room_and_user_rows_are_read_and_written_by_id() -> None:
    store = InMemoryStore()
    await set_room_meta(store, ROOM, {"chat_id": "C4"})
    await set_user_meta(store, ALICE, {"space_id": "!s"})
    assert await store.keys("") == [f"matrix_room:{ROOM}", f"matrix_user:{ALICE}"]
    assert await get_room_meta(store, ROOM) == {"chat_id": "C4"}
    assert await get_user_meta(store, ALICE) == {"space_id": "!s"}
    assert await get_room_meta(store, "!other") is None
    assert await get_user_meta(store, "@other") is None
