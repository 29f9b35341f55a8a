"""A room that a bot meets, by a client that remembers nothing: what is read, and what a look at everything says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec

from tests.bench import Bench
from tests.worlds import BOT
from toolkit.convention import Convention
from toolkit.database.store import SQLiteStore
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.vicinity import PlanOf, load_vicinity
from toolkit.model import Change, Plan, RemoteState, RoomState
from toolkit.planning.one_room import narrow_plan
from toolkit.records import LocalState, load_records


class Quiet:
    """A client without a memory, that counts what it is asked for."""

    def __init__(
        self, rooms: Mapping[str, Any], unreadable: Iterable[str] = (), user_id: str = BOT
    ) -> None:
        self.state, self.unreadable, self.user_id = rooms, set(unreadable), user_id
        self.asked: list[str] = []

    async def joined_rooms(self) -> Any:
        return SimpleNamespace(rooms=list(dict.fromkeys([*self.state, *self.unreadable])))

    async def room_get_state(self, room_id: str) -> Any:
        self.asked.append(room_id)
        return None if room_id in self.unreadable else SimpleNamespace(events=self.state[room_id])


class Meeting(NamedTuple):
    """What was planned by following links, and by a look at everything; and what the first one read."""

    room_id: str
    near: Plan
    truth: Plan
    read: frozenset[str]
    remote: RemoteState

    @property
    def same(self) -> bool:
        """Whether a report would say the same."""
        return said(self.near) == said(self.truth)

    def unseen_links(self) -> set[str]:
        """Rooms of the bot's that nothing led to, and that say something about what was read: Spaces that
        list one of those or have the same owner in them, and rooms that name one of those."""
        units = (*self.near.units, *self.truth.units)
        users = {unit.owner for unit in units if unit.owner} | {*self.truth.in_sync_users}
        return {
            room_id
            for room_id, room in self.remote.rooms.items()
            if room_id not in self.read and (_named(room) & self.read or _people(room) & users)
        }


def _named(room: RoomState) -> set[str]:
    return {link.target for link in (*room.children, *room.parents)}


def _people(room: RoomState) -> set[str]:
    return {member.user_id for member in room.members} if room.is_space else set()


def said(plan: Plan) -> Plan:
    """A plan as a report tells of it; what else is in there is about others."""
    return msgspec.structs.replace(plan, spaces={}, others=0)


def written(plan: Plan) -> dict[str, Change | None]:
    """What needs no human."""
    return {unit.id: unit.change for unit in plan.units if unit.certain}


async def meet_each(
    client: Quiet,
    bench: Bench,
    plan_of: PlanOf,
    convention: Convention,
    decided: Collection[str] = (),
) -> list[Meeting]:
    """Meet every room through its owner, as far as there is one."""
    found = []
    async with SQLiteStore(bench.path) as store:
        local = load_records(await store.load_rows())
        remote = await load_remote(client, convention, local_rows=True, allow_empty=True)
        whole = plan_of(remote, local)
        for room_id in remote.rooms:
            met = room_id, _owner(whole, local, room_id)
            client.asked.clear()
            _, near = await load_vicinity(client, store, convention, met, plan_of, decided)
            truth = narrow_plan(whole, local, *met)
            found.append(Meeting(room_id, near, truth, frozenset(client.asked), remote))
    return found


def _owner(plan: Plan, local: LocalState, room_id: str) -> str:
    row, unit = local.rooms.get(room_id), plan.unit(room_id)
    return (unit and unit.owner) or (row.matrix_user_id if row else "") or "@alice:hs"
