"""The planner: two sides in, one `Plan` out. Pure, and the only place that decides about a room.

It emits only what matters: a room in sync costs one comparison and no finding. Owners and chat ids
come settled or blocked from `owner_groups`, what the rows lack from `drift`; here both become units.
"""

from collections.abc import Mapping

import msgspec

from toolkit.convention import HIGHEST_NUMBER, Convention
from toolkit.model import (
    NO_CHOICES,
    Choices,
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
from toolkit.planning.leftover_rows import sort_leftovers
from toolkit.planning.no_chats import calling_row
from toolkit.planning.notes import find_notes
from toolkit.planning.owner_groups import Block, Group, Groups
from toolkit.planning.proof import archives_with, find_reach, prove_chat, rows_behind, with_events
from toolkit.planning.row_index import ids
from toolkit.planning.units import Subject, build_unit
from toolkit.planning.unplaced import find_unplaced
from toolkit.records import LocalState, room_key, user_key


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
        for room_id, block in find_unplaced(self.remote, self.groups):
            self._stop(room_id, block)
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
            spaces=find_reach(self.units, self.groups),
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
        evidence = with_events(evidence, (space[0].create_event,))
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
        evidence = prove_chat(group, versions, answer, self.identity)
        drift = Drift([], [], compared=False)
        if answer and answer.chat_id and answer.free and group.owner and group.space:
            chat = Chat(
                versions[0],
                ids(versions),
                group.owner,
                answer.chat_id,
                group.space,
                archives_with(room_id, group, self.identity),
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

    def _stop(self, room_id: str, block: Block) -> None:
        """A room that belongs to nobody for certain."""
        self.groups.block(room_id, block)
        read = room_id in self.remote.rooms
        room_ids = ids(self.identity.versions(room_id)) if read else (room_id,)
        called = room_id in self.groups.called
        row = calling_row(room_id, self.identity, self.local) if called else None
        key = room_key(row or room_id)
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
            relies_on=lambda: rows_behind(subject, self.groups),
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
