"""Rows that no room of the plan accounts for: orphans, unlinked ones, notes, and rows nobody can read. Pure.

Nothing here is ever deleted or repaired, and no pointer is cleared.
"""

from collections.abc import Collection, Sequence

import msgspec

from toolkit.model import Code, Finding, Reason, RemoteState
from toolkit.planning.links.contest import quoted
from toolkit.planning.links.rooms import Rooms
from toolkit.planning.links.rows import Id, LinkRow, LinkState


class Leftovers(msgspec.Struct, frozen=True):
    """`orphans` are keys of rows whose room isn't joined, `unlinked` of those that name none, `conflicts` rows
    that can't be told."""

    orphans: tuple[str, ...]
    unlinked: tuple[str, ...]
    notes: tuple[Finding, ...]
    conflicts: tuple[Finding, ...]


def sort_leftovers(
    remote: RemoteState, links: LinkState, rooms: Rooms, claimed: Collection[Id]
) -> Leftovers:
    """Go once through all rows whose ids no room claims."""
    orphans: list[str] = []
    notes: list[Finding] = []
    unlinked: list[LinkRow] = []
    for id, row in links.links.items():
        if id in claimed:
            continue
        if row.room is None:
            unlinked.append(row)
        elif not remote.joined(row.room):
            orphans.append(row.key)
        elif note := _note(row, row.room, remote, rooms):
            notes.append(note)
    if unlinked or links.nameless:
        notes.append(_say_unlinked(unlinked, len(links.nameless)))
    held = set(map(links.key, claimed))
    conflicts = [
        Finding(unit=key, code=Code.UNREADABLE_ROW, key=key, cause=_ODD.format(why))
        for key, why in links.unreadable.items()
        if key not in held
    ]
    conflicts += [
        _say_repeated(id, rows) for id, rows in links.repeated.items() if id not in claimed
    ]
    return Leftovers(
        tuple(sorted(orphans)),
        tuple(sorted(row.key for row in unlinked)),
        tuple(sorted(notes, key=_by_key)),
        tuple(sorted(conflicts, key=_by_key)),
    )


def find_lost(remote: RemoteState, links: LinkState) -> list[Finding]:
    """That rows name rooms, and the account is in none of them: that is never in sync."""
    named = links.pointing.keys()
    if not named or any(map(remote.joined, named)):
        return []
    return [Finding(unit="", code=Code.NO_ROOM_JOINED, key="", cause=_LOST.format(len(named)))]


def _note(row: LinkRow, room_id: str, remote: RemoteState, rooms: Rooms) -> Finding | None:
    """What to say of a row that names a joined room which isn't taken for its id."""
    head = rooms.lineage.head(room_id) if room_id in remote.rooms else room_id
    if head in remote.unreadable:
        return None
    if (reason := rooms.reasons.get(head)) is None:
        return Finding(unit=head, code=Code.SURPLUS_ROW, key=row.key, cause=_SURPLUS)
    if reason is Reason.TOMBSTONED and rooms.lineage.rooms[head].replacement in remote.unreadable:
        return None
    cause = _SKIPPED.format(reason.value)
    return Finding(
        unit=head, code=Code.ROW_OF_SKIPPED_ROOM, key=row.key, cause=cause, remote=reason.value
    )


def _say_unlinked(rows: Sequence[LinkRow], nameless: int) -> Finding:
    ids = [quoted(row.id) for row in sorted(rows, key=lambda row: row.id)]
    some = f" ({', '.join(ids[:_SOME])}{', …' if len(ids) > _SOME else ''})" if ids else ""
    cause = f"rows that name no room, and that no room claims: {len(ids)}{some}"
    if nameless:
        cause = f"{cause}; rows without an id: {nameless}"
    return Finding(unit="", code=Code.UNLINKED, key="", cause=cause, local=len(ids) + nameless)


def _say_repeated(id: Id, rows: tuple[LinkRow, ...]) -> Finding:
    cause = f"{len(rows)} rows have the id {quoted(id)}, and none of them is touched"
    return Finding(unit=rows[0].key, code=Code.DUPLICATE_ROW, key=rows[0].key, cause=cause)


def _by_key(finding: Finding) -> tuple[str, str]:
    return finding.key, finding.code


_SOME = 3
_ODD = "the row can't be read: {}"
_SURPLUS = "the row names a room that belongs to another id, or that several rows name"
_SKIPPED = "the row names a room that isn't looked at ({})"
_LOST = "rows name {} rooms, and the account is in none of them: it is another account, or another server"
