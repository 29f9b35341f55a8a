"""One room and what its plan rests on, read by following links; the whole account only if nothing else tells.

What leads on is decided in `planning.reach`; here it is read, rows before rooms: a room that the bot
makes meanwhile is then in neither, instead of being one that its new rows name and that nobody is in.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from toolkit.aside import aside, in_slices
from toolkit.convention import Convention
from toolkit.database.contract import Store
from toolkit.database.look import Look, load_look
from toolkit.homeserver.client_memory import (
    held_rooms,
    note_links,
    remembered_room,
    user_id_of,
)
from toolkit.homeserver.reading import Reading, Source
from toolkit.homeserver.server import AT_ONCE
from toolkit.model import Plan, RemoteState, RoomState
from toolkit.planning.one_room import narrow_plan
from toolkit.planning.reach import Reach, find_reach
from toolkit.planning.unverified import find_unverified
from toolkit.records import LocalState, Names, load_records

Met = tuple[str, str]
"""A room, and the user through whom it was met."""

PlanOf = Callable[[RemoteState, LocalState], Plan]


async def load_vicinity(
    client: Any,
    store: Store,
    convention: Convention,
    met: Met,
    plan_of: PlanOf,
    decided: Collection[str] = (),
    *,
    sliding_sync: bool = True,
) -> tuple[Look, Plan]:
    """The rows and the plan of one room, `met` through a user; raises as every look does.

    `decided` are the units that a human agreed to.
    """

    def begin() -> _Vicinity:
        source = Source(client, convention, sliding_sync=sliding_sync)
        return _Vicinity(client, source, convention, met, plan_of, decided)

    vicinity = begin()
    light = vicinity.source.light  # whose rooms cost nothing
    look = await load_look(store, None if light else Names())
    while True:
        plan, names = await vicinity.explore(look)
        if look.covers(names):
            return look, plan
        before = look
        look = await load_look(store, names and before.about and names | before.about)
        if look.token != before.token:  # what the rooms said is older than these rows
            vicinity = begin()


class _Vicinity:
    """What was read since the rows were. `rooms` are those that something led to, read or remembered."""

    def __init__(
        self,
        client: Any,
        source: Source,
        convention: Convention,
        met: Met,
        plan_of: PlanOf,
        decided: Collection[str],
    ) -> None:
        self.client, self.source, self.convention, self.met = client, source, convention, met
        self.plan_of, self.decided = plan_of, decided
        self.reading = Reading(source, source.read)
        self.rooms: dict[str, RoomState] = {}
        self.account = user_id_of(client)
        self.remembers = False
        self.near: Mapping[str, Collection[str]] = {}
        self.begun = self.whole = False

    async def explore(self, look: Look) -> tuple[Plan, Names | None]:
        """Read all that these rows and the links lead to; and say whose rows that takes, None for all."""
        local = await aside(load_records, look.rows)
        if not self.begun:
            await self._begin(local_rows=bool(look.rows))
        while True:
            remote = self._state()
            plan, reach = await aside(self._judge, remote, local)
            if self.source.light or not remote.joined(self.met[0]):
                break
            if reach.rooms:
                await self._see(reach.rooms)
            elif not look.covers(reach.names):
                break
            elif unverified := await aside(find_unverified, remote, plan, self.met[0]):
                await self._read(unverified)
            elif reach.everything:
                self.whole = True  # any Space of the account may list the room
                await self._see(self.reading.joined - self.rooms.keys())
            else:
                break
        return narrow_plan(plan, local, *self.met), reach.names

    def _judge(self, remote: RemoteState, local: LocalState) -> tuple[Plan, Reach]:
        plan = self.plan_of(remote, local)
        return plan, self._find_reach(remote, local, plan)

    def _find_reach(self, remote: RemoteState, local: LocalState, plan: Plan) -> Reach:
        if not remote.joined(self.met[0]):
            return Reach(names=Names(frozenset([self.met[0]])))
        if self.source.light or self.whole:
            return Reach(names=None)
        return find_reach(remote, local, plan, self.met, self.convention, self.near, self.decided)

    async def _begin(self, *, local_rows: bool) -> None:
        self.begun, self.reading.may_be_empty = True, not local_rows
        joined = await self.reading.list_rooms()
        if self.source.light:
            await self.reading.read(joined)
            self.rooms, self.account = self.reading.rooms, await self.source.account()
        elif self.met[0] in self.reading.joined:
            told = await self.source.account()
            # Memory of another account's view is worth nothing.
            self.remembers = told == self.account
            self.account, self.near = told, await self._links() if self.remembers else {}

    async def _links(self) -> dict[str, list[str]]:
        """What the rooms that the client object holds say of others, copied before anybody thinks about it."""
        near: dict[str, list[str]] = {}
        async for room_id, room in in_slices(held_rooms(self.client)):
            note_links(room_id, room, near)
        return near

    def _state(self) -> RemoteState:
        rooms = dict(sorted(self.rooms.items()))
        return RemoteState(self.account, rooms, self.reading.refused, self.reading.joined)

    async def _see(self, room_ids: Iterable[str]) -> None:
        """Take rooms in: those that are known by now, those that the client remembers, and the others."""
        unread = set[str]()
        for room_id in room_ids:
            if room := self.reading.rooms.get(room_id) or self._recall(room_id):
                self.rooms[room_id] = room
            else:
                unread.add(room_id)
        await self._read(unread)

    def _recall(self, room_id: str) -> RoomState | None:
        return remembered_room(self.client, room_id) if self.remembers else None

    async def _read(self, room_ids: Collection[str]) -> None:
        reading = self.reading
        await reading.read_some(room_ids)
        if len(reading.refused) > len(reading.rooms):  # is it these rooms, or the homeserver?
            others = sorted(reading.joined - reading.rooms.keys() - reading.refused.keys())
            await reading.read(others[:AT_ONCE])
        self.rooms = {r: room for r, room in self.rooms.items() if r not in room_ids}
        self.rooms |= {r: room for r, room in reading.rooms.items() if r in room_ids}
