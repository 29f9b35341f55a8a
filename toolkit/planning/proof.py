"""What proves a unit, and what its change rests on: events, rows, and the rooms around it. Pure."""

from collections.abc import Iterable

from toolkit.model import NO_EVIDENCE, Evidence, RoomState, Unit, UnitKind
from toolkit.planning.chat_ids import ChatId
from toolkit.planning.identity import Identity
from toolkit.planning.owner_groups import Group, Groups
from toolkit.planning.places import live_links
from toolkit.planning.row_index import ids
from toolkit.planning.units import Subject
from toolkit.records import chat_key, room_key


def prove_chat(
    group: Group, versions: tuple[RoomState, ...], answer: ChatId | None, identity: Identity
) -> Evidence:
    """Rung and events: who made the room, what links it to the Space, what says its number."""
    places = [*group.spaces, *archives_with(versions[0].room_id, group, identity)]
    spaces = [v for space in places for v in identity.versions(space)]
    down = [link for v in spaces for link in live_links(v, ids(versions))]
    up = [link for v in versions for link in live_links(v, ids(spaces))]
    events = [versions[-1].create_event, *(link.event_id for link in [*down, *up])]
    return with_events(answer.evidence if answer else NO_EVIDENCE, events)


def with_events(evidence: Evidence, events: Iterable[str]) -> Evidence:
    """The same rung, and further events that prove it."""
    known = dict.fromkeys([*evidence.events, *events])
    return Evidence(evidence.rung, tuple(event for event in known if event))


def archives_with(room_id: str, group: Group, identity: Identity) -> tuple[str, ...]:
    """The Spaces inside the user's own that the room lies in, if it isn't in that one itself."""
    if all(room_id not in identity.archived.get(space, ()) for space in group.spaces):
        return ()
    return tuple(_archives(group, identity))


def rows_behind(subject: Subject, groups: Groups) -> set[str]:
    """A room rests on its rows, and on those that name its Space's owner."""
    if subject.kind is UnitKind.USER:
        return set()
    space_ids = ids(groups.identity.versions(subject.space_id or ""))
    owners = groups.naming.owner_keys(space_ids, subject.room_ids)
    relied = {key for key, _ in owners} | {room_key(room_id) for room_id in subject.room_ids}
    return relied | {chat_key(subject.owner or "", subject.chat_id or "")}


def find_reach(units: Iterable[Unit], groups: Groups) -> dict[str, tuple[str, ...]]:
    """Space -> ids of all its versions and chats, for the Spaces that something is planned for."""
    wanted = {unit.space_id for unit in units if unit.change}
    reached = [group for group in groups.groups if group.space in wanted]
    return {
        group.space or "": tuple(sorted(_rooms(group, groups.identity)))
        for group in sorted(reached, key=lambda group: group.spaces)
    }


def _rooms(group: Group, identity: Identity) -> Iterable[str]:
    for space in (*group.spaces, *_archives(group, identity)):
        yield from ids(identity.versions(space))
    for versions in group.chats.values():
        yield from ids(versions)


def _archives(group: Group, identity: Identity) -> Iterable[str]:
    spaces = set(group.spaces)
    return (inner for inner, above in identity.nesting.archives.items() if spaces & set(above))
