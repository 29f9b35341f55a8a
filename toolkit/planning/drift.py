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
    """Findings of one unit, and what would be written if all of them may be mended."""

    findings: list[Finding]
    writes: list[RowWrite]


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


def compare_room(chat: Chat, local: LocalState, convention: Convention, overwrite: bool) -> Drift:
    """Compare the room row and the chat row of one room; `overwrite` also replaces unreadable ones."""
    drift = Drift([], [])
    row = local.rooms.get(chat.room.room_id)
    name = _display_name(chat, row, convention)
    _compare_room_row(drift, chat, row, name, local, overwrite)
    _compare_chat_row(drift, chat, name, local, convention.platform, overwrite)
    return drift


def _display_name(chat: Chat, row: RoomRow | None, convention: Convention) -> str:
    if chat.room.name is not None:
        return chat.room.name
    if row and isinstance(row.display_name, str):
        return row.display_name
    return convention.room_name(chat.chat_id)


def _compare_room_row(
    drift: Drift, chat: Chat, row: RoomRow | None, name: str, local: LocalState, overwrite: bool
) -> None:
    key = room_key(chat.room.room_id)
    right = {
        "room_type": "chat",
        "chat_id": chat.chat_id,
        "display_name": name,
        "matrix_user_id": chat.owner,
        "space_id": row.space_id if row and row.space_id in chat.archives else chat.space_id,
    }
    if row is None:
        _absent(
            drift,
            chat.room.room_id,
            key,
            right,
            local,
            chat.evidence,
            overwrite,
            _lost(chat, local),
        )
        return
    stored = msgspec.structs.asdict(row)
    wrong = {field: value for field, value in right.items() if stored[field] != value}
    for field, value in wrong.items():
        drift.findings.append(
            _wrong_field(
                chat, key, field, stored[field], value, _field_cause(chat, field, stored[field])
            )
        )
    if wrong:
        before = local.rows[key]
        drift.writes.append(RowWrite(key, before, repair_row(before, wrong)))


def _compare_chat_row(
    drift: Drift, chat: Chat, name: str, local: LocalState, platform: str, overwrite: bool
) -> None:
    key = chat_key(chat.owner, chat.chat_id)
    room_id = chat.room.room_id
    right = new_chat_row(chat.owner, chat.chat_id, platform, room_id, name)
    record = local.chats.get((chat.owner, chat.chat_id))
    if record is None:
        _absent(
            drift, room_id, key, right, local, chat.evidence, overwrite, _lost_chat(chat, local)
        )
        return
    del right["name"]  # the user's own: written once, never repaired
    stored = msgspec.structs.asdict(record)
    wrong = {field: value for field, value in right.items() if stored[field] != value}
    for field, value in wrong.items():
        if field == "surface_ref":
            drift.findings.append(_wrong_surface_ref(chat, key, record))
        else:
            cause = _field_cause(chat, field, stored[field])
            drift.findings.append(_wrong_field(chat, key, field, stored[field], value, cause))
    if wrong:
        before = local.rows[key]
        drift.writes.append(RowWrite(key, before, repair_row(before, wrong)))


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
    drift = Drift([], [])
    key = user_key(user_id)
    right: dict[str, Any] = {"space_id": space_ids[0], "next_chat_index": counter}
    row = local.users.get(user_id)
    if row is None:
        _absent(drift, user_id, key, right, local, evidence, overwrite, _USER_ROW_LOST)
        return drift
    wrong: dict[str, Any] = {}
    if row.space_id != space_ids[0]:
        wrong["space_id"] = space_ids[0]
        cause = _SPACE_UPGRADED if row.space_id in space_ids else _OTHER_SPACE
        drift.findings.append(
            _finding(
                user_id,
                Code.WRONG_FIELD,
                key,
                cause,
                evidence,
                "space_id",
                row.space_id,
                space_ids[0],
            )
        )
    stored = row.next_chat_index
    if counter <= HIGHEST_NUMBER and stored != counter:
        low = stored < counter
        code = Code.COUNTER_TOO_LOW if low else Code.COUNTER_TOO_HIGH
        cause = _COUNTER_LOW if low else _COUNTER_HIGH
        drift.findings.append(
            _finding(user_id, code, key, cause, evidence, "next_chat_index", stored, counter)
        )
        if low or lower:
            wrong["next_chat_index"] = counter
    if wrong:
        before = local.rows[key]
        drift.writes.append(RowWrite(key, before, repair_row(before, wrong)))
    return drift


def _absent(
    drift: Drift,
    unit: str,
    key: str,
    right: Mapping[str, Any],
    local: LocalState,
    evidence: Evidence,
    overwrite: bool,
    cause: str,
) -> None:
    """A row that can't be used: restored if it is gone, overwritten only if a human says so."""
    if key not in local.rows:
        drift.findings.append(_finding(unit, Code.MISSING_ROW, key, cause, evidence))
        drift.writes.append(RowWrite(key, None, local.encode(key, right)))
        return
    # A user id can be made to look like part of a placeholder's key.
    why = local.unreadable.get(key, "its key means another row")
    cause = f"the row is there but can't be read: {why}; it is overwritten only if you say so"
    stored = local.rows[key]
    told = stored if isinstance(stored, str) else None  # a BLOB is no text to show
    drift.findings.append(_finding(unit, Code.UNREADABLE_ROW, key, cause, evidence, local=told))
    if overwrite:
        before = local.rows[key]
        drift.writes.append(RowWrite(key, before, _overwrite(before, key, right, local)))


def _overwrite(before: Raw, key: str, right: Mapping[str, Any], local: LocalState) -> Raw:
    try:
        repaired = repair_row(before, right)  # keeps the other fields where there are any
        decode_object(repaired)
    except ValueError:
        after = local.encode(key, right)
        return after.encode() if isinstance(before, bytes) and isinstance(after, str) else after
    return repaired


def _finding(
    unit: str,
    code: Code,
    key: str,
    cause: str,
    evidence: Evidence,
    field: str = "",
    local: Any = None,
    remote: Any = None,
) -> Finding:
    return Finding(
        unit=unit,
        code=code,
        key=key,
        cause=cause,
        evidence=evidence,
        field=field,
        local=local,
        remote=remote,
    )


def _wrong_field(chat: Chat, key: str, field: str, local: Any, remote: Any, cause: str) -> Finding:
    return _finding(
        chat.room.room_id, Code.WRONG_FIELD, key, cause, chat.evidence, field, local, remote
    )


def _wrong_surface_ref(chat: Chat, key: str, record: ChatRow) -> Finding:
    upgraded = record.surface_ref in chat.versions
    return _finding(
        chat.room.room_id,
        Code.WRONG_SURFACE_REF,
        key,
        _SURFACE_UPGRADED if upgraded else _SURFACE_ELSEWHERE,
        chat.evidence,
        "surface_ref",
        record.surface_ref,
        chat.room.room_id,
    )


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


def _field_cause(chat: Chat, field: str, stored: Any) -> str:
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
