"""The planner: two sides in, one `Plan` out. Pure, and the only place that decides about a room.

It emits only what matters: a room in sync costs one comparison and no finding. Owners and chat ids
come settled or blocked from `groups`, what the rows lack from `drift`; here both become units.
"""

from collections.abc import Iterable, Mapping

import msgspec

from toolkit.convention import HIGHEST_NUMBER, Convention
from toolkit.model import (
    NO_CHOICES,
    NO_EVIDENCE,
    Choices,
    Code,
    Evidence,
    Plan,
    RemoteState,
    RoomState,
    Rung,
    Skip,
    Unit,
    UnitKind,
)
from toolkit.planning.chat_ids import ChatId
from toolkit.planning.counter import find_highest
from toolkit.planning.drift import Chat, Drift, compare_room, compare_user
from toolkit.planning.identity import live_links
from toolkit.planning.leftover_rows import sort_leftovers
from toolkit.planning.no_chats import why_no_chat
from toolkit.planning.notes import find_notes
from toolkit.planning.owner_groups import Block, Group, Groups
from toolkit.planning.row_index import ids
from toolkit.planning.units import Subject, build_unit
from toolkit.quotes import quote_odd
from toolkit.records import LocalState, chat_key, room_key, user_key


def plan_repairs(
    remote: RemoteState,
    local: LocalState,
    convention: Convention | None = None,
    choices: Mapping[str, Choices] | None = None,
    *,
    lower_counters: bool = False,
) -> Plan:
    """Compare the two sides and say what could be written; reads nothing and writes nothing.

    `choices` maps a unit (room id or mxid) to what a human picked for it. `lower_counters` lets a
    readable `next_chat_index` be lowered without being asked for (rules 3).
    """
    return _Planner(remote, local, convention or Convention(), choices or {}, lower_counters).plan()


class _Planner:
    """One run over one pair of sides; its state is thrown away with it."""

    def __init__(
        self,
        remote: RemoteState,
        local: LocalState,
        convention: Convention,
        choices: Mapping[str, Choices],
        lower_counters: bool,
    ) -> None:
        self.remote, self.convention = remote, convention
        self.choices, self.lower_counters = choices, lower_counters
        self.groups = Groups(remote, local, convention, choices)
        self.local = self.groups.local
        self.identity = self.groups.identity
        self.units: list[Unit] = []
        self.exhausted: list[str] = []
        self.in_sync_rooms: list[str] = []
        self.in_sync_users: list[str] = []

    def plan(self) -> Plan:
        for group in self.groups.groups:
            self._plan_user(group)
            self._plan_chats(group)
        self._plan_unplaced()
        left = sort_leftovers(self.remote, self.groups)
        stopped = self.identity.unproven.keys() | self.groups.called
        nothing = not (self.units or self.in_sync_rooms)
        notes = find_notes(self.remote, self.groups, self.exhausted, nothing_found=nothing)
        return Plan(
            account=self.remote.account,
            joined=tuple(sorted([*self.remote.rooms, *self.remote.unreadable])),
            in_sync_rooms=tuple(sorted(self.in_sync_rooms)),
            in_sync_users=tuple(sorted(self.in_sync_users)),
            skipped=tuple(
                sorted(Skip(r, why) for r, why in self.identity.reasons.items() if r not in stopped)
            ),
            units=tuple(sorted(self.units, key=lambda u: (u.kind is UnitKind.ROOM, u.id))),
            orphans=left.orphans,
            notes=tuple(sorted([*notes, *left.notes], key=lambda f: (f.key, f.code))),
            loose=left.conflicts,
            others=len(self.groups.others.keys),
            spaces=self._reach(),
        )

    # -- user rows --------------------------------------------------------------------------------

    def _plan_user(self, group: Group) -> None:
        owner = group.owner if not group.shared else None
        space = self.identity.versions(group.space or group.spaces[0])
        unit_id = group.unit
        choice = self.choices.get(unit_id, NO_CHOICES)
        evidence = group.answer.evidence
        drift = Drift([], [], compared=False)
        if owner and group.space:
            highest = find_highest(owner, group, self.groups)
            if highest >= HIGHEST_NUMBER and group.answer.certain:
                self.exhausted.append(owner)
            drift = compare_user(
                owner,
                ids(space),
                highest + 1,
                self.local,
                evidence,
                overwrite=choice.overwrite,
                lower=self.lower_counters or choice.lower_counter,
            )
            if not drift.findings and unit_id not in self.groups.blocks:
                self.in_sync_users.append(owner)
                return
        evidence = _with_events(evidence, (space[0].create_event,))
        drift.findings = [
            msgspec.structs.replace(f, unit=unit_id, evidence=evidence) for f in drift.findings
        ]
        subject = Subject(
            id=unit_id,
            kind=UnitKind.USER,
            key=user_key(owner) if owner else "",
            owner=group.owner,
            space_id=space[0].room_id,
            room_ids=ids(space),
            evidence=evidence,
            choices=choice,
        )
        self._emit(subject, drift, group)

    # -- rooms ------------------------------------------------------------------------------------

    def _plan_chats(self, group: Group) -> None:
        blocks = self.groups.blocks
        for room_id, versions in group.chats.items():
            answer = group.found.get(room_id)
            if answer and answer.recorded and room_id not in blocks:
                self.in_sync_rooms.append(room_id)
            else:
                self._plan_chat(group, room_id, versions, answer)

    def _plan_chat(
        self,
        group: Group,
        room_id: str,
        versions: tuple[RoomState, ...],
        answer: ChatId | None,
    ) -> None:
        choice = self.choices.get(room_id, NO_CHOICES)
        evidence = self._proof(group, versions, answer)
        drift = Drift([], [], compared=False)
        if answer and answer.chat_id and answer.free and group.owner and group.space:
            chat = Chat(
                versions[0],
                ids(versions),
                group.owner,
                answer.chat_id,
                group.space,
                self._archives(group, room_id),
                evidence,
            )
            drift = compare_room(chat, self.local, self.convention, choice.overwrite)
            if not drift.findings and room_id not in self.groups.blocks:
                self.in_sync_rooms.append(room_id)
                return
        subject = Subject(
            id=room_id,
            kind=UnitKind.ROOM,
            key=room_key(room_id),
            owner=group.owner,
            chat_id=answer.chat_id if answer else None,
            space_id=group.space or group.spaces[0],
            room_ids=ids(versions),
            evidence=evidence,
            choices=choice,
        )
        self._emit(subject, drift, group)

    def _proof(
        self, group: Group, versions: tuple[RoomState, ...], answer: ChatId | None
    ) -> Evidence:
        """Rung and events: who made the room, what links it to the Space, what says its number."""
        places = [*group.spaces, *self._archives(group, versions[0].room_id)]
        spaces = [v for space in places for v in self.identity.versions(space)]
        down = [link for v in spaces for link in live_links(v, ids(versions))]
        up = [link for v in versions for link in live_links(v, ids(spaces))]
        events = [versions[-1].create_event, *(link.event_id for link in [*down, *up])]
        return _with_events(answer.evidence if answer else NO_EVIDENCE, events)

    def _archives(self, group: Group, room_id: str) -> tuple[str, ...]:
        """The Spaces inside the user's own that the room lies in, if it isn't in that one itself."""
        archived = self.identity.archived
        if all(room_id not in archived.get(space, ()) for space in group.spaces):
            return ()
        return tuple(
            inner
            for inner, above in self.identity.nesting.archives.items()
            if set(above) & set(group.spaces)
        )

    def _plan_unplaced(self) -> None:
        """Rooms that belong to nobody for certain: several owners claim them, or they can't be read."""
        for room_id, spaces in self.identity.linked.items():
            if room_id not in self.groups.tied:
                block = Block(Code.OWNER_AMBIGUOUS, _SEVERAL_SPACES, None, spaces)
                self._stop(room_id, block, ids(self.identity.versions(room_id)))
        for room_id, why in self.remote.unreadable.items():
            self._stop(room_id, Block(Code.ROOM_UNREADABLE, _UNREADABLE.format(why)), (room_id,))
        for room_id, behind in self.identity.unproven.items():
            block = Block(Code.ROOM_UNREADABLE, _UNPROVEN.format(quote_odd(behind)))
            self._stop(room_id, block, ids(self.identity.versions(room_id)))
        for room_id in self.groups.called:
            room, reason = self.remote.rooms[room_id], self.identity.reasons[room_id]
            cause = why_no_chat(room, reason, self.remote, self.identity, self.local)
            block = Block(Code.NOT_A_CHAT, cause, remote=reason)
            self._stop(room_id, block, ids(self.identity.versions(room_id)))

    def _stop(self, room_id: str, block: Block, room_ids: tuple[str, ...]) -> None:
        self.groups.block(room_id, block)
        key = room_key(room_id)
        subject = Subject(id=room_id, kind=UnitKind.ROOM, key=key, room_ids=room_ids)
        self._emit(subject, Drift([], [], compared=False), None)

    # -- both -------------------------------------------------------------------------------------

    def _emit(self, subject: Subject, drift: Drift, group: Group | None) -> None:
        """Add a unit that isn't in sync."""
        blocks = [*self.groups.blocks.get(subject.id, ()), *self._contested(drift, group)]
        unit = build_unit(
            subject,
            blocks,
            drift,
            withheld=subject.id in self.groups.unsafe,
            chosen=self._chosen(subject, group),
            relies_on=lambda: self._relied_on(subject),
        )
        self.units.append(unit)

    def _contested(self, drift: Drift, group: Group | None) -> list[Block]:
        """Rows that are evidence in another Space's conflict stay as they are."""
        spaces = group.spaces if group else ()
        found = (self.groups.contested.get(write.key) for write in drift.writes)
        return [hit[1] for hit in found if hit and hit[0] not in spaces][:1]

    def _chosen(self, subject: Subject, group: Group | None) -> bool:
        if subject.choices != NO_CHOICES:
            return True
        return group is not None and (
            group.answer.evidence.rung is Rung.CHOICE
            or group.space == self.choices.get(group.owner or "", NO_CHOICES).space_id
        )

    def _relied_on(self, subject: Subject) -> set[str]:
        """A room rests on its rows, and on those that name its Space's owner."""
        if subject.kind is UnitKind.USER:
            return set()
        space_ids = ids(self.identity.versions(subject.space_id or ""))
        owners = self.groups.naming.owner_keys(space_ids, subject.room_ids)
        relied = {key for key, _ in owners} | {room_key(room_id) for room_id in subject.room_ids}
        return relied | {chat_key(subject.owner or "", subject.chat_id or "")}

    def _reach(self) -> dict[str, tuple[str, ...]]:
        """Space -> ids of all its versions and chats, for the Spaces that something is planned for."""
        wanted = {unit.space_id for unit in self.units if unit.change}
        groups = [group for group in self.groups.groups if group.space in wanted]
        return {
            group.space or "": tuple(sorted(self._rooms(group)))
            for group in sorted(groups, key=lambda g: g.spaces)
        }

    def _rooms(self, group: Group) -> Iterable[str]:
        archives = self.identity.nesting.archives.items()
        inner = (archive for archive, above in archives if set(above) & set(group.spaces))
        for space in (*group.spaces, *inner):
            yield from ids(self.identity.versions(space))
        for versions in group.chats.values():
            yield from ids(versions)


def _with_events(evidence: Evidence, events: Iterable[str]) -> Evidence:
    known = dict.fromkeys([*evidence.events, *events])
    return Evidence(evidence.rung, tuple(event for event in known if event))


_SEVERAL_SPACES = (
    "the room is linked to Spaces of different users, or of one whose owner isn't certain; remove the "
    "wrong link, or pick the Space"
)
_UNREADABLE = "the room could not be read ({}); try again before deciding anything about it"
_UNPROVEN = "the room may belong to {}, which could not be read; try again"
