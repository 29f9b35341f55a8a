"""Rows that no chat or user of the plan accounts for: orphans, notes, and rows nobody can read. Pure.

Nothing here is ever deleted or repaired (rules 3, 4); it is said, so that a person can decide.
"""

from collections import defaultdict
from collections.abc import Mapping

import msgspec

from toolkit.model import Code, Finding, Reason, RemoteState
from toolkit.planning.owner_groups import Groups
from toolkit.records import (
    CHAT,
    ROOM,
    LocalState,
    chat_key,
    is_placeholder,
    parse_key,
    room_key,
    user_key,
)


class Leftovers(msgspec.Struct, frozen=True):
    """`orphans` are keys without a joined room, `conflicts` unreadable rows that belong to no unit."""

    orphans: tuple[str, ...]
    notes: tuple[Finding, ...]
    conflicts: tuple[Finding, ...]


def sort_leftovers(remote: RemoteState, groups: Groups) -> Leftovers:
    """Go once through all rows that the units leave over."""
    local = groups.local
    orphans: list[str] = []
    notes: list[Finding] = []
    _sort_rooms(remote, local, groups, orphans, notes)
    planned = {group.unit for group in groups.groups}
    _sort_users(remote, local, groups, planned, orphans, notes)
    expected = _expected(groups)
    _sort_chats(remote, local, groups, expected, orphans, notes)
    conflicts = _sort_unreadable(remote, local, groups, planned, expected, orphans)
    return Leftovers(
        tuple(sorted(orphans)),
        tuple(sorted(notes, key=_by_key)),
        tuple(sorted(conflicts, key=_by_key)),
    )


def _sort_rooms(
    remote: RemoteState, local: LocalState, groups: Groups, orphans: list[str], notes: list[Finding]
) -> None:
    identity = groups.identity
    rooms, unreadable = remote.rooms, remote.unreadable
    orphans += [room_key(r) for r in local.rooms if r not in rooms and r not in unreadable]
    notes += [
        _no_chat(room_key(room_id), room_id, reason, goes_on=groups.is_chat(room_id))
        for room_id, reason in identity.reasons.items()
        if room_id in local.rooms
        and room_id not in identity.unproven
        and room_id not in groups.called
    ]


def _sort_users(
    remote: RemoteState,
    local: LocalState,
    groups: Groups,
    planned: set[str],
    orphans: list[str],
    notes: list[Finding],
) -> None:
    owned = set(groups.identity.user_spaces)
    for user, row in local.users.items():
        if user in planned:
            continue
        space = groups.identity.lineage.head(row.space_id)
        if not remote.joined(row.space_id):
            if user not in groups.awaited:
                orphans.append(user_key(user))
        elif space not in owned and space not in remote.unreadable:
            notes.append(_no_chat(user_key(user), space, groups.identity.reasons.get(space)))


def _sort_chats(
    remote: RemoteState,
    local: LocalState,
    groups: Groups,
    expected: Mapping[str, set[str]],
    orphans: list[str],
    notes: list[Finding],
) -> None:
    for name, row in local.chats.items():
        if name[1] in expected.get(name[0], ()):
            continue
        key = chat_key(*name)
        target = groups.identity.lineage.head(row.surface_ref)
        if is_placeholder(name[1]):
            orphans.append(key)
        elif not remote.joined(row.surface_ref):
            if name[0] not in groups.awaited:
                orphans.append(key)
        elif target in remote.unreadable or target in groups.identity.unproven:
            continue
        elif reason := groups.identity.reasons.get(target):
            notes.append(_no_chat(key, target, reason))
        elif target in groups.group_of and target not in groups.blocks:
            notes.append(Finding(unit=target, code=Code.SURPLUS_CHAT_ROW, key=key, cause=_SURPLUS))


def _expected(groups: Groups) -> dict[str, set[str]]:
    """User -> ids of the chat rows that rooms which aren't stopped use or are about to use."""
    expected: dict[str, set[str]] = defaultdict(set)
    for group in groups.groups:
        if group.owner:
            expected[group.owner].update(
                answer.chat_id
                for room_id, answer in group.found.items()
                if answer.chat_id and room_id not in groups.blocks
            )
    return expected


def _sort_unreadable(
    remote: RemoteState,
    local: LocalState,
    groups: Groups,
    planned: set[str],
    expected: Mapping[str, set[str]],
    orphans: list[str],
) -> list[Finding]:
    conflicts: list[Finding] = []
    for key, why in local.unreadable.items():
        name = parse_key(key)
        gone = name.family == ROOM and not remote.joined(name.room_id)
        if gone or name.is_placeholder:
            orphans.append(key)
            continue
        if name.family == CHAT:
            known = name.chat_id in expected.get(name.user, ())
        else:
            known = name.user in planned or name.room_id in groups.group_of
        if not known:
            cause = f"the row can't be read: {why}; nothing here is built on it"
            conflicts.append(Finding(unit=key, code=Code.UNREADABLE_ROW, key=key, cause=cause))
    return conflicts


def _no_chat(key: str, room_id: str, reason: Reason | None, *, goes_on: bool = False) -> Finding:
    """`goes_on`: another room, with which the row's was compared, is the chat now."""
    what = f"no chat ({reason.value})" if reason else "no Space"
    return Finding(
        unit=room_id,
        code=Code.ROW_OF_NO_CHAT,
        key=key,
        cause=f"the row is about a joined room that is {what}; it is left as it is",
        remote=None if goes_on else reason,
    )


def _by_key(finding: Finding) -> tuple[str, str]:
    return finding.key, finding.code


_SURPLUS = "a further chat row points at this room, which another one already records"
