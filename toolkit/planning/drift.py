"""What the rows of one unit say against what they should: findings, and the rows that would mend them.

Pure. Knows nothing of other units: who owns a room and which chat it is has been decided before.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from toolkit.convention import HIGHEST_NUMBER, Convention
from toolkit.model import Code, Evidence, Finding, RoomState, RowWrite
from toolkit.records import (
    ChatRow,
    LocalState,
    Raw,
    RoomRow,
    chat_key,
    decode_object,
    new_chat_row,
    repair_row,
    room_key,
    user_key,
)


class Drift(msgspec.Struct):
    """Findings of one unit, and what would be written if all of them may be mended.

    Not `compared`: too little is known for saying what the rows should be.
    """

    findings: list[Finding]
    writes: list[RowWrite]
    compared: bool = True


class Chat(msgspec.Struct, frozen=True, gc=False):
    """A room whose owner, Space and chat id are settled.

    In an archive inside the user's Space, the row may name that one as well.
    """

    room: RoomState
    versions: tuple[str, ...]
    owner: str
    chat_id: str
    space_id: str
    archives: tuple[str, ...]
    evidence: Evidence


class _Comparison:
    """One unit's rows beside what they should be; what is found goes into `drift`."""

    def __init__(self, unit: str, local: LocalState, evidence: Evidence, overwrite: bool) -> None:
        self.unit, self.local, self.evidence = unit, local, evidence
        self.overwrite = overwrite
        self.drift = Drift([], [])

    def find(
        self,
        code: Code,
        key: str,
        cause: str,
        field: str = "",
        local: Any = None,
        remote: Any = None,
    ) -> None:
        self.drift.findings.append(
            Finding(
                unit=self.unit,
                code=code,
                key=key,
                cause=cause,
                evidence=self.evidence,
                field=field,
                local=local,
                remote=remote,
            )
        )

    def absent(self, key: str, right: Mapping[str, Any], cause: str) -> None:
        """A row that can't be used: restored if it is gone, overwritten only if a human says so."""
        if key not in self.local.rows:
            self.find(Code.MISSING_ROW, key, cause)
            self.drift.writes.append(RowWrite(key, None, self.local.encode(key, right)))
            return
        # A user id can be made to look like part of a placeholder's key.
        why = self.local.unreadable.get(key, "its key means another row")
        cause = f"the row is there but can't be read: {why}; it is overwritten only if you say so"
        stored = self.local.rows[key]
        told = stored if isinstance(stored, str) else None  # a BLOB is no text to show
        self.find(Code.UNREADABLE_ROW, key, cause, local=told)
        if self.overwrite:
            after = _overwrite(stored, key, right, self.local)
            self.drift.writes.append(RowWrite(key, stored, after))

    def repair(self, key: str, wrong: Mapping[str, Any]) -> None:
        """Set the fields that are wrong, if any; every other one keeps its bytes."""
        if wrong:
            before = self.local.rows[key]
            self.drift.writes.append(RowWrite(key, before, repair_row(before, wrong)))


def compare_room(chat: Chat, local: LocalState, convention: Convention, overwrite: bool) -> Drift:
    """Compare the room row and the chat row of one room; `overwrite` also replaces unreadable ones."""
    comparison = _Comparison(chat.room.room_id, local, chat.evidence, overwrite)
    row = local.rooms.get(chat.room.room_id)
    name = _display_name(chat, row, convention)
    _compare_room_row(comparison, chat, row, name)
    _compare_chat_row(comparison, chat, name, convention.platform)
    return comparison.drift


def _display_name(chat: Chat, row: RoomRow | None, convention: Convention) -> str:
    if chat.room.name is not None:
        return chat.room.name
    if row and isinstance(row.display_name, str):
        return row.display_name
    return convention.room_name(chat.chat_id)


def _compare_room_row(comparison: _Comparison, chat: Chat, row: RoomRow | None, name: str) -> None:
    key = room_key(chat.room.room_id)
    right = {
        "room_type": "chat",
        "chat_id": chat.chat_id,
        "display_name": name,
        "matrix_user_id": chat.owner,
        "space_id": row.space_id if row and row.space_id in chat.archives else chat.space_id,
    }
    if row is None:
        comparison.absent(key, right, _lost(chat, comparison.local))
        return
    wrong = _differences(row, right)
    for field, (stored, value) in wrong.items():
        cause = _field_cause(field, stored)
        comparison.find(Code.WRONG_FIELD, key, cause, field, stored, value)
    comparison.repair(key, {field: value for field, (_, value) in wrong.items()})


def _compare_chat_row(comparison: _Comparison, chat: Chat, name: str, platform: str) -> None:
    key = chat_key(chat.owner, chat.chat_id)
    right = new_chat_row(chat.owner, chat.chat_id, platform, chat.room.room_id, name)
    record = comparison.local.chats.get((chat.owner, chat.chat_id))
    if record is None:
        comparison.absent(key, right, _lost_chat(chat, comparison.local))
        return
    del right["name"]  # the user's own: written once, never repaired
    wrong = _differences(record, right)
    for field, (stored, value) in wrong.items():
        code, cause = Code.WRONG_FIELD, _field_cause(field, stored)
        if field == "surface_ref":
            upgraded = stored in chat.versions
            code = Code.WRONG_SURFACE_REF
            cause = _SURFACE_UPGRADED if upgraded else _SURFACE_ELSEWHERE
        comparison.find(code, key, cause, field, stored, value)
    comparison.repair(key, {field: value for field, (_, value) in wrong.items()})


def _differences(row: RoomRow | ChatRow, right: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Field -> (stored, right), for the fields that are wrong."""
    stored = msgspec.structs.asdict(row)
    return {f: (stored[f], value) for f, value in right.items() if stored[f] != value}


def compare_user(
    user_id: str,
    space_ids: tuple[str, ...],
    counter: int,
    local: LocalState,
    evidence: Evidence,
    *,
    overwrite: bool,
    lower: bool,
) -> Drift:
    """Compare a user row with the user's Space (all versions, newest first) and next number.

    `counter` beyond the highest chat id fits nowhere: a readable stored one is left as it is.
    """
    comparison = _Comparison(user_id, local, evidence, overwrite)
    key, space_id = user_key(user_id), space_ids[0]
    row = local.users.get(user_id)
    if row is None:
        right = {"space_id": space_id, "next_chat_index": counter}
        comparison.absent(key, right, _USER_ROW_LOST)
        return comparison.drift
    wrong: dict[str, Any] = {}
    if row.space_id != space_id:
        wrong["space_id"] = space_id
        cause = _SPACE_UPGRADED if row.space_id in space_ids else _OTHER_SPACE
        comparison.find(Code.WRONG_FIELD, key, cause, "space_id", row.space_id, space_id)
    stored = row.next_chat_index
    if counter <= HIGHEST_NUMBER and stored != counter:
        low = stored < counter
        code = Code.COUNTER_TOO_LOW if low else Code.COUNTER_TOO_HIGH
        cause = _COUNTER_LOW if low else _COUNTER_HIGH
        comparison.find(code, key, cause, "next_chat_index", stored, counter)
        if low or lower:
            wrong["next_chat_index"] = counter
    comparison.repair(key, wrong)
    return comparison.drift


def _overwrite(before: Raw, key: str, right: Mapping[str, Any], local: LocalState) -> Raw:
    try:
        decode_object(before)
    except ValueError:
        after = local.encode(key, right)
        return after.encode() if isinstance(before, bytes) and isinstance(after, str) else after
    return repair_row(before, right)  # keeps the other fields


def _lost(chat: Chat, local: LocalState) -> str:
    record = local.chats.get((chat.owner, chat.chat_id))
    if any(room_id in local.rooms for room_id in chat.versions[1:]):
        return "the room was upgraded, and the room row still stands under the old room's id"
    if record and record.surface_ref in chat.versions:
        return "the room row is gone while the chat row still points here: the row was lost, the room was not"
    if record:
        return "the room row is gone, and the chat row points elsewhere"
    return _BOTH_LOST


def _lost_chat(chat: Chat, local: LocalState) -> str:
    if any(room_id in local.rooms for room_id in chat.versions):
        return "the chat row is gone while the room row still names it: the two writes were cut in between"
    return _BOTH_LOST


def _field_cause(field: str, stored: Any) -> str:
    if field == "display_name" and isinstance(stored, str):
        return "the room was renamed after the row was written"
    if field == "space_id":
        return "the row names another Space: the Space was upgraded or made anew, or the row was restored"
    if stored is None:
        return "the field is absent: an older version of the bot wrote the row, or it was cut short"
    return "the row says something else than the room: it is stale, or was edited by hand"


_BOTH_LOST = (
    "both rows are gone while the bot is still in the room: a reset, a backup older than the room, or a "
    "crash between making the room and writing them"
)
_USER_ROW_LOST = (
    "the user row is gone while the bot is still in the user's Space: the row was lost, the Space was not, "
    "or a crash came before it was written"
)
_SPACE_UPGRADED = "the Space was upgraded, and the row still names the old one"
_OTHER_SPACE = "the row names another Space than the one that holds the user's chats"
_COUNTER_LOW = (
    "the counter is behind the highest chat id in use: the next chat would take a number twice"
)
_COUNTER_HIGH = "the counter is ahead of every known chat id: a chat was begun and never finished, or its rows are gone"
_SURFACE_UPGRADED = "the room was upgraded, and the chat row still points to the old one"
_SURFACE_ELSEWHERE = (
    "the chat row points to another room: a reset made a new room, or the row comes from a backup"
)
