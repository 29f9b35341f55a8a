"""What is odd without being drift, and stays as it is: links, counters, rows of rooms elsewhere. Pure."""

from collections.abc import Iterable, Iterator

from msgspec.structs import replace

from toolkit.model import Code, Finding, Plan, RemoteState
from toolkit.planning.owner_groups import Groups
from toolkit.quotes import quote_odd
from toolkit.records import is_placeholder, room_key, user_key


def find_notes(
    remote: RemoteState, groups: Groups, exhausted: Iterable[str], *, nothing_found: bool
) -> Iterator[Finding]:
    """`exhausted`: users who have the highest chat id; `nothing_found`: neither unit nor chat in sync."""
    yield from _note_unlisted(groups)
    for owner in exhausted:
        yield Finding(unit=owner, code=Code.IDS_EXHAUSTED, key=user_key(owner), cause=_EXHAUSTED)
    if nothing_found:
        yield from _note_elsewhere(remote, groups)


def note_new_database(plan: Plan, path: str) -> Plan:
    """The plan of rows that stand in a new database, which is at this absolute path."""
    note = Finding(unit="", code=Code.NEW_DATABASE, key=path, cause=_NEW)
    return replace(plan, notes=tuple(sorted([*plan.notes, note], key=lambda f: (f.key, f.code))))


def _note_unlisted(groups: Groups) -> Iterator[Finding]:
    """Chats that name their Space, which doesn't list them."""
    chats = groups.group_of if groups.identity.unlisted else {}
    for room_id in chats.keys() & set(groups.identity.unlisted):
        cause = _UNLISTED.format(
            " and ".join(map(quote_odd, groups.spaces_of(room_id, chats[room_id])))
        )
        yield Finding(unit=room_id, code=Code.UNLISTED_ROOM, key=room_key(room_id), cause=cause)


def _note_elsewhere(remote: RemoteState, groups: Groups) -> Iterator[Finding]:
    """Rows whose rooms the account is in none of are never "in sync": chats, or else Spaces."""
    local = groups.local
    named = {row.surface_ref for name, row in local.chats.items() if not is_placeholder(name[1])}
    named |= local.rooms.keys()
    named = named or {row.space_id for row in local.users.values()}
    rooms, trusts = remote.rooms.values(), groups.identity.lineage.trusts
    known = {room.predecessor for room in rooms if room.predecessor and trusts(room)}
    if named and not any(remote.joined(room) or room in known for room in named):
        cause = _ELSEWHERE.format(quote_odd(remote.account), len(named))
        yield Finding(unit="", code=Code.NO_ROOM_JOINED, key="", cause=cause)


_EXHAUSTED = "the user's highest chat id is C999999999, after which no chat id fits; the counter is left as it is"
_NEW = (
    "this database is new, there are no rows in it yet: if the bot had one before, the path is "
    "mistyped, or the file was lost; rows come back as far as the rooms tell, all else from a backup only"
)
_UNLISTED = (
    "Space {} doesn't list this chat, only the chat names the Space: its user doesn't find it there"
)
_ELSEWHERE = (
    "{0} is in none of the {1} rooms that the rows name: probably another account than the rows are "
    "of, or an empty homeserver; nothing here says that they are right"
)
