"""The bot's own chat manager: which row it makes, over whose connection, and whether it really did.

Missing chat rows are restored through it (rules 5), because a bot may do more there than write.
"""

import asyncio
import inspect
import time
from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

from toolkit.database.chat_manager import ChatManagerLike, standard_chat_manager
from toolkit.database.contract import Store
from toolkit.errors import StoreError
from toolkit.model import RowWrite, Unit
from toolkit.records import CHAT, Raw, decode_object, load_records, parse_key

LEFT_WRONG = "the bot's chat manager left a row that doesn't point at this room"


class ManagerFailed(Exception):
    """The bot's chat manager raised; what, but not its text, which may hold anything."""


class ChatRows(Enum):
    """Who makes chat rows that are gone."""

    OURS = auto()
    """There is no manager, or our own on this store, which would write just the planned row: we write
    it ourselves, many units at once."""

    JOINED = auto()
    """Another manager on this store: it is called within the unit's savepoint."""

    FOREIGN = auto()
    """A manager with a connection of its own would wait for our lock, and we for it: it is called
    before the transaction."""


def who_makes_chat_rows(chat_mgr: ChatManagerLike | None, store: Store) -> ChatRows:
    """Which way it is with this manager on this store."""
    if chat_mgr is None:
        return ChatRows.OURS
    if not works_on(chat_mgr, store):
        return ChatRows.FOREIGN
    return ChatRows.OURS if standard_chat_manager(chat_mgr) else ChatRows.JOINED


def works_on(chat_mgr: object, store: Store) -> bool:
    """Whether a manager writes through this very store, under whatever name it keeps it."""
    held = getattr(chat_mgr, "__dict__", {}).values()
    return getattr(chat_mgr, "store", None) is store or any(value is store for value in held)


def chat_insert(unit: Unit) -> RowWrite | None:
    """The chat row that has to be made anew, if the unit's is gone."""
    inserts = (write for write in unit.writes if write.before is None)
    return next((write for write in inserts if parse_key(write.key).family == CHAT), None)


async def make_chat(chat_mgr: ChatManagerLike, write: RowWrite, until: float | None) -> None:
    """Let the manager make the row. Raises `ManagerFailed`, also past the deadline."""
    row = decode_object(write.after)
    left = None if until is None else max(0.0, until - time.monotonic())
    try:
        async with asyncio.timeout(left):
            made = chat_mgr.get_or_create(
                row["user_id"],
                row["chat_id"],
                row["platform"],
                row["surface_ref"],
                name=row["name"],
            )
            if inspect.isawaitable(made):
                await made
    except StoreError as error:
        raise ManagerFailed(str(error)) from error
    except Exception as error:  # the bot's own code may raise anything: recorded per unit
        raise ManagerFailed(f"the bot's chat manager raised {type(error).__name__}") from error


def left_out(row: Mapping[str, Any], write: RowWrite) -> dict[str, Any]:
    """Fields that a manager wrote otherwise than planned; the name is its own affair.

    They are put right at once: the next run would, and would then not find what this one left.
    """
    wanted = decode_object(write.after)
    return {f: v for f, v in wanted.items() if f != "name" and row.get(f) != v}


def points_at(key: str, raw: Raw, room_id: str) -> bool:
    """Whether this chat row can be read and names the room."""
    records = load_records([(key, raw)]).chats.values()
    return any(record.surface_ref == room_id for record in records)
