"""The bot's chats: one `chat:` row each, and the rows of rooms and users by name.

A bot with a chat manager of its own needs none of this; `reconcile` only calls `get_or_create`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Protocol

from toolkit.database.contract import Store, transactional
from toolkit.records import chat_key, room_key, user_key


class ChatManagerLike(Protocol):
    """What `reconcile` needs of a bot's own manager; its method may be async or not."""

    def get_or_create(
        self, user_id: str, chat_id: str, platform: str, surface_ref: str, /, *, name: str | None
    ) -> object:
        """Make the chat unless it is there, with a `chat:` row that points at `surface_ref`."""


@dataclass(frozen=True, slots=True)
class ChatContext:
    """A chat as its row tells: whose it is, under which id, and the room where it lives."""

    user_id: str
    chat_id: str
    platform: str
    surface_ref: str
    name: str


class ChatManager:
    """Finds a user's chat in the store, or starts it."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def get_or_create(
        self, user_id: str, chat_id: str, platform: str, surface_ref: str, name: str | None = None
    ) -> ChatContext:
        """The chat as it is stored, or a new row for it, called `name` (by default its id).

        A row that is there stays as it is, wherever it points; a field that it lacks is answered
        as asked for. StoreError if it can't be read.
        """
        new = new_chat_row(user_id, chat_id, platform, surface_ref, name)
        key = chat_key(user_id, chat_id)
        row = await self.store.get(key)
        if row is None:
            row = await _add_row(self.store, key, new)
        return ChatContext(**{each.name: (new | row)[each.name] for each in fields(ChatContext)})


_STANDARD = ChatManager.get_or_create


def standard_chat_manager(chat_mgr: object) -> bool:
    """Whether its `get_or_create` is the one above, so that a writer may put the row itself.

    Overridden in a subclass, on the object or in the class, it may do more than write a row.
    """
    method = getattr(chat_mgr, "get_or_create", None)
    own = getattr(method, "__self__", None) is chat_mgr
    return own and getattr(method, "__func__", None) is _STANDARD


def new_chat_row(
    user_id: str, chat_id: str, platform: str, surface_ref: str, name: str | None = None
) -> dict[str, Any]:
    """The row of a new chat; its name is the user's to change, and until then its id.

    >>> new_chat_row("@a:hs", "C1", "matrix", "!r")["name"]
    'C1'
    """
    return {
        "user_id": user_id,
        "chat_id": chat_id,
        "platform": platform,
        "surface_ref": surface_ref,
        "name": chat_id if name is None else name,
    }


async def get_room_meta(store: Store, room_id: str) -> dict[str, Any] | None:
    """The `matrix_room` row: which chat the room is; None if there is none."""
    return await store.get(room_key(room_id))


async def set_room_meta(store: Store, room_id: str, meta: Mapping[str, Any]) -> None:
    """Write the whole `matrix_room` row."""
    await store.set(room_key(room_id), meta)


async def get_user_meta(store: Store, user_id: str) -> dict[str, Any] | None:
    """The `matrix_user` row: the user's Space and next chat number; None if there is none."""
    return await store.get(user_key(user_id))


async def set_user_meta(store: Store, user_id: str, meta: Mapping[str, Any]) -> None:
    """Write the whole `matrix_user` row."""
    await store.set(user_key(user_id), meta)


async def _add_row(store: Store, key: str, new: dict[str, Any]) -> dict[str, Any]:
    """The row that is there in the end: ours, unless somebody else was faster."""
    if not transactional(store):
        await store.set(key, new)
        return new
    async with store.transaction():
        row = await store.get(key)
        if row is None:
            await store.set(key, new)
        return new if row is None else row
