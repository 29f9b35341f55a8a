"""What a bot does with the toolkit: once when it starts, and for each message. Whose chat a room is.

Nothing is decided here: both are a call of the bot's own two functions, with what a live bot needs around
them, which is a limit, a way to go on, and a line in the log for whatever a person has to look at.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol
from weakref import WeakValueDictionary

from toolkit.convention import Convention
from toolkit.database.chat_manager import ChatManagerLike
from toolkit.database.contract import Store
from toolkit.errors import HomeserverError, RemoteIncomplete, ToolkitError
from toolkit.homeserver.reading import ClientLike
from toolkit.model import Code
from toolkit.quotes import quote_odd
from toolkit.reconcile import reconcile_matrix_state, reconcile_single_room
from toolkit.records import chat_key, parse_key, room_key, user_key
from toolkit.text.visible import visible
from toolkit.writing.report import Report

_log = logging.getLogger(__name__)
_LONG = 1_000


class Room(Protocol):
    """What is needed of nio's `MatrixRoom`."""

    @property
    def room_id(self) -> str: ...


class Event(Protocol):
    """What is needed of nio's `Event`."""

    @property
    def sender(self) -> str: ...


@dataclass(frozen=True, slots=True)
class FoundChat:
    """A chat of the user who wrote, with both rows as the bot keeps them, fields of its own included."""

    user_id: str
    chat_id: str
    room_id: str
    room_row: Mapping[str, Any]
    chat_row: Mapping[str, Any]


class BotRooms:
    """Whose chat each of the bot's rooms is; make it once, with the bot's own objects.

    `await rooms.start()` before the first message is handled, `await rooms.find_chat(room, event)` for
    each message. What a person has to look at is logged under `toolkit.bot`, and names room, user and key.
    """

    def __init__(
        self,
        client: ClientLike,
        store: Store,
        chat_mgr: ChatManagerLike | None = None,
        *,
        convention: Convention | None = None,
    ) -> None:
        self._client, self._store, self._chat_mgr = client, store, chat_mgr
        self._convention = convention
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def start(
        self, *, deadline: float | None = 60, lower_counters: bool = True
    ) -> Report | None:
        """Bring back what was lost; returns the report, None where the rows stay as they are.

        That is so if the homeserver can't be read, or not whole, within `deadline` seconds: the bot goes
        on with the rows that it has. Raises `StoreError`, in one sentence: without its database a bot
        can't work.
        """
        try:
            report = await reconcile_matrix_state(
                self._client,
                self._store,
                self._chat_mgr,
                convention=self._convention,
                deadline=deadline,
                lower_counters=lower_counters,
            )
        except (HomeserverError, RemoteIncomplete) as error:
            _log.warning("starting with the rows as they are: %s", visible(str(error), _LONG))
            return None
        _tell_report(report)
        return report

    async def find_chat(
        self, room: Room, event: Event, *, deadline: float | None = 10
    ) -> FoundChat | None:
        """The chat in which this user writes; None if there is none for certain.

        That is the user whose chat it is: what a guest writes there isn't theirs. Where a row is missing,
        can't be read or contradicts another, the room is looked at once, and what is certain comes back.
        Raises nothing on account of a row or of the homeserver.
        """
        room_id, user_id = room.room_id, event.sender
        chat: FoundChat | None
        try:
            chat = await self._read(room_id)
        except _Unclear:
            lock = self._locks.setdefault(room_id, asyncio.Lock())
            async with lock:  # who waited here finds what the first one brought back
                chat = await self._repair(room_id, user_id, deadline)
        if chat is not None and chat.user_id != user_id:
            told = f"it is {quote_odd(chat.chat_id)} of {quote_odd(chat.user_id)}"
            _tell(logging.INFO, "a guest writes", room_id, user_id, room_key(room_id), told)
            return None
        return chat

    async def _repair(self, room_id: str, user_id: str, deadline: float | None) -> FoundChat | None:
        """What the rows say by now, or once the room was looked at; else it is logged why nothing does."""
        try:
            return await self._read(room_id)
        except _Unclear as found:
            unclear = found
        try:
            report = await reconcile_single_room(
                self._client,
                self._store,
                self._chat_mgr,
                room_id,
                user_id,
                convention=self._convention,
                deadline=deadline,
            )
        except ToolkitError as error:
            told = f"{unclear.why}; it can't be looked at now: {error}"
            _tell(logging.WARNING, "no chat for certain", room_id, user_id, unclear.key, told)
            return None
        _tell_report(report, user_id)
        try:
            return await self._read(room_id)
        except _Unclear as still:
            reasons = [skip["reason"] for skip in report["skipped_rooms"]]
            level = logging.INFO if reasons else logging.WARNING
            told = f"it is no chat ({', '.join(reasons)})" if reasons else still.why
            _tell(level, "no chat for certain", room_id, user_id, still.key, told)
            return None

    async def _read(self, room_id: str) -> FoundChat:
        """The chat as both rows tell it. Raises `_Unclear`."""
        key = room_key(room_id)
        room_row = await self._row(key)
        user_id, chat_id = room_row.get("matrix_user_id"), room_row.get("chat_id")
        if not isinstance(user_id, str) or not isinstance(chat_id, str):
            raise _Unclear(key, "the row doesn't say whose chat it is, or which")
        if room_row.get("room_type", "chat") != "chat":
            raise _Unclear(key, "the row calls the room something else than a chat")
        key = chat_key(user_id, chat_id)
        chat_row = await self._row(key)
        if chat_row.get("surface_ref") != room_id:
            raise _Unclear(key, "the row points at another room")
        return FoundChat(user_id, chat_id, room_id, room_row, chat_row)

    async def _row(self, key: str) -> Mapping[str, Any]:
        try:
            row = await self._store.get(key)
        except ToolkitError as error:
            raise _Unclear(key, str(error)) from None
        except Exception as error:  # the bot's own store may raise anything for what it can't read
            why = f"the bot's store raised {type(error).__name__} when it was read"
            raise _Unclear(key, why) from None
        if isinstance(row, Mapping):
            return row
        raise _Unclear(key, "there is no such row" if row is None else "the row is no JSON object")


class _Unclear(Exception):
    """A row doesn't say what it should."""

    def __init__(self, key: str, why: str) -> None:
        super().__init__(key, why)
        self.key, self.why = key, why


def _tell_report(report: Report, user_id: str = "") -> None:
    """A line for each conflict and note; of one room, `user_id` is who wrote there."""
    skipped = {skip["room_id"] for skip in report["skipped_rooms"]}
    for conflict in report["conflicts"]:
        room_id, whose = conflict.get("room_id", ""), conflict.get("user_id", user_id)
        key = conflict.get("key") or room_key(room_id)
        if room_id in skipped:  # a Space, of which only its user's row tells
            key = whose and user_key(whose)
        _tell(logging.WARNING, conflict["code"], room_id, whose, key, conflict["detail"])
    for note in report["notes"]:
        if note["code"] == Code.NEW_DATABASE.value:
            continue  # a warning of its own, wherever it is found
        name = parse_key(note["key"])
        _tell(
            logging.INFO,
            note["code"],
            name.room_id,
            name.user or user_id,
            note["key"],
            note["detail"],
        )


def _tell(level: int, what: str, room_id: str, user_id: str, key: str, detail: str) -> None:
    """A line of the log in which every name can be seen, and seen where it ends."""
    names = (("room", room_id), ("user", user_id), ("key", key))
    told = ", ".join(f"{name} {visible(quote_odd(id_))}" for name, id_ in names if id_)
    _log.log(level, "%s: %s: %s", what, told, visible(detail, _LONG))
