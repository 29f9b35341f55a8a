"""From a client to a `RemoteState`: completely, or as far as a bot's start-up needs it.

Three kinds of client (rules 5): nio's or a plain one, read through raw requests; any object with nio's
methods `joined_rooms` and `room_get_state`; and light stand-ins that can't be asked for state, taken at
their word.
"""

import asyncio
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import msgspec

from toolkit.convention import Convention
from toolkit.errors import HomeserverError, RemoteIncomplete, ToolkitError
from toolkit.homeserver import server as matrix
from toolkit.homeserver.client_memory import knows_create_event, remembered_rooms, user_id_of
from toolkit.homeserver.readonly import is_transport, read_only
from toolkit.homeserver.room_state import UnreadableState, decode_room
from toolkit.homeserver.server import Homeserver, RoomRefused, is_errcode, read_each
from toolkit.model import Code, Plan, Reason, RemoteState, RoomState
from toolkit.progress import Progress, watcher

_STRANGE = Reason.NOT_CREATED_BY_BOT
PlanOf = Callable[[RemoteState], Plan]


class ClientLike(Protocol):
    """What all three kinds have, nio's and stand-ins: an account. What else one offers is found out."""

    @property
    def user_id(self) -> str: ...


class Source:
    """Where rooms are listed and read from, whatever kind of client there is."""

    def __init__(
        self,
        client: ClientLike,
        convention: Convention,
        progress: Progress | None = None,
        seen: Callable[[str, bytes], None] | None = None,
        *,
        sliding_sync: bool = True,
    ) -> None:
        progress = progress or watcher()
        guarded: Any = read_only(client)
        self._client, self._event_type = guarded, convention.state_event_type
        self._seen = seen or (lambda room_id, body: None)
        self._progress = progress or (lambda done, rooms, word: None)
        self._known: dict[str, str] = {}
        self._server = None
        if is_transport(guarded):
            former = convention.former_accounts
            self._server = Homeserver(guarded, progress, former, sliding_sync=sliding_sync)
        self.light = not self._server and not hasattr(guarded, "room_get_state")

    async def account(self) -> str:
        """Whose rooms these are. A stand-in is believed, a real client is not."""
        if self._server:
            return await self._server.whoami()
        if account := user_id_of(self._client):
            return account
        raise HomeserverError("The client has no `user_id`: set it to the bot's Matrix id.")

    async def joined_rooms(self) -> list[str]:
        if self._server:
            return await self._server.joined_rooms()
        if not hasattr(self._client, "joined_rooms"):
            return sorted(remembered_rooms(self._client))
        try:
            answer = await self._call("joined_rooms")
        except RoomRefused as error:
            raise HomeserverError(f"Can't list the joined rooms: {error}.") from None
        rooms = getattr(answer, "rooms", None)
        if isinstance(rooms, list | tuple) and all(isinstance(room, str) for room in rooms):
            return sorted(set(rooms))
        raise HomeserverError(f"Can't list the joined rooms: {_said(answer)}.")

    async def read(self, room_ids: Iterable[str]) -> tuple[dict[str, RoomState], dict[str, str]]:
        """The rooms that could be read, and why the others couldn't."""
        wanted = sorted(room_ids)
        if self._server:
            return await self._server.read_rooms(wanted, self._decode)
        if not self.light:
            return await read_each(wanted, self._read_one, self._tell)
        held = remembered_rooms(self._client)
        found = {room_id: held[room_id] for room_id in wanted if room_id in held}
        return found, dict.fromkeys(set(wanted) - found.keys(), "the client doesn't hold it")

    def remembered(self) -> dict[str, RoomState]:
        """What the client object holds of rooms whose create event it saw."""
        rooms = remembered_rooms(self._client)
        return {r: room for r, room in rooms.items() if knows_create_event(self._client, r)}

    async def _read_one(self, room_id: str) -> RoomState:
        answer = await self._call("room_get_state", room_id)
        events = getattr(answer, "events", None)
        if not isinstance(events, list):
            raise RoomRefused(_said(answer))
        try:
            return self._decode(room_id, msgspec.json.encode(events))
        except (UnreadableState, TypeError, UnicodeError, RecursionError) as error:
            raise RoomRefused(f"its state can't be used: {error}") from None

    async def _call(self, method: str, *args: str) -> Any:
        """Call a stand-in's method, sync or async; what it raises is recorded by name only."""
        try:
            async with asyncio.timeout(matrix.REQUEST_SECONDS):
                answer = getattr(self._client, method)(*args)
                return await answer if inspect.isawaitable(answer) else answer
        except ToolkitError:
            raise
        except Exception as error:
            raise RoomRefused(f"the client's {method} raised {type(error).__name__}") from error

    def _decode(self, room_id: str, body: bytes) -> RoomState:
        room = decode_room(room_id, body, self._event_type, self._known)
        if room.creator is None:  # every room has one: this is not all of its state
            raise UnreadableState("state without the room's create event")
        if self._server:
            _check_membership(room, self._server.account)
        self._seen(room_id, body)
        return room

    def _tell(self, done: int, rooms: int) -> None:
        self._progress(done, rooms, "")


async def load_remote(
    client: ClientLike,
    convention: Convention,
    *,
    local_rows: bool,
    allow_empty: bool = False,
    progress: Progress | None = None,
    seen: Callable[[str, bytes], None] | None = None,
    sliding_sync: bool = True,
) -> RemoteState:
    """Read every joined room; the toolkit's own look, which never trusts a client's memory.

    `seen` is given each room's raw state, the last time as it was used. Without `sliding_sync` every
    room is asked for by itself, whatever the homeserver offers.

    Raises `HomeserverError`, or `RemoteIncomplete` where nothing may be decided (rules 2.9).
    """
    source = Source(client, convention, progress, seen, sliding_sync=sliding_sync)
    look = _Look(source, local_rows, allow_empty)
    account = await look.source.account()
    await look.read(await look.list_rooms())
    return look.state(account)


async def load_unsettled(
    client: ClientLike,
    convention: Convention,
    plan_of: PlanOf,
    *,
    local_rows: bool,
    allow_empty: bool = False,
    only: str | None = None,
    sliding_sync: bool = True,
) -> RemoteState:
    """Read what a bot's call needs: rooms that its own memory shows in sync are taken as that.

    Everything else is read, together with all that it rests on, until nothing that would be said or
    written rests on memory. `only` narrows "everything" to one room.
    """
    source = Source(client, convention, sliding_sync=sliding_sync)
    look = _Look(source, local_rows, allow_empty)
    joined = await look.list_rooms()
    if look.source.light:
        await look.read(joined)
        return look.state(await look.source.account())
    account = user_id_of(client)
    remembered = look.source.remembered()
    look.rooms = {room_id: remembered[room_id] for room_id in joined if room_id in remembered}
    unread = set(joined) - look.rooms.keys()
    if not unread:
        unread = _to_prove(look.state(account), plan_of, only)
    if (unread or not account) and (told := await look.source.account()) != account:
        # Memory of another account's view is worth nothing.
        account, look.rooms, unread = told, {}, set(joined)
    while unread:
        await look.read(unread)
        unread = _to_prove(look.state(account), plan_of, only)
    return look.state(account)


class _Look:
    """What one look has found so far."""

    def __init__(self, source: Source, local_rows: bool, allow_empty: bool) -> None:
        self.source, self._may_be_empty = source, allow_empty or not local_rows
        self.rooms: dict[str, RoomState] = {}
        self.refused: dict[str, str] = {}

    async def list_rooms(self) -> list[str]:
        joined = await self.source.joined_rooms()
        if not joined and not self._may_be_empty:
            raise RemoteIncomplete(
                "The homeserver says that the account is in no room at all, but there are local "
                "rows: wrong account, or a server that isn't ready. Nothing was decided; if it is "
                "true, allow it (`allow_empty=True`, or --allow-empty)."
            )
        return joined

    async def read(self, wanted: Iterable[str]) -> None:
        """Read rooms; those that the account left meanwhile are dropped, too many failures stop it all."""
        wanted = set(wanted)
        rooms, refused = await self.source.read(wanted)
        if refused:
            still_joined = set(await self.list_rooms())
            refused = {room: why for room, why in refused.items() if room in still_joined}
        self.rooms = {r: room for r, room in self.rooms.items() if r not in wanted} | rooms
        self.refused |= refused
        if len(self.refused) > len(self.rooms):
            why = min(self.refused.values())
            raise RemoteIncomplete(
                f"{len(self.refused)} of {len(self.refused) + len(self.rooms)} rooms could not be "
                f"read ({why}); that is too few to decide anything. Try again."
            )

    def state(self, account: str) -> RemoteState:
        return RemoteState(account, dict(sorted(self.rooms.items())), self.refused)


def _check_membership(room: RoomState, account: str) -> None:
    """Homeservers also give the state of a room that was left, as of then; and a list of members may
    be cut short. Only a stranger's crowded room, of which just the head was asked for, has none at all.
    """
    own = next((m.membership for m in room.members if m.user_id == account), None)
    if own is None and (room.members or room.creator == account):
        raise UnreadableState("state without the account's own membership")
    if own not in (None, "join"):
        raise RoomRefused("the account isn't in the room any more, by the room's own state")


def _to_prove(remote: RemoteState, plan_of: PlanOf, only: str | None) -> set[str]:
    """Rooms known from memory whose state must be read before the plan can be trusted.

    First those that it says more about than "in sync"; once they are proven, what that rests on.
    """
    plan = plan_of(remote)
    said = _said_about(remote, plan)
    if only is not None:
        said = (said & _reach(remote, plan, {only})) | {only}  # memory proves nothing about it
    # Memory doesn't know who made a Space either: whoever made one of its rooms may have made it.
    doubted = {only or "", *(s.room_id for s in plan.skipped if s.reason is _STRANGE)} & said
    doubted |= {u.id for u in plan.units if any(f.remote is _STRANGE for f in u.findings)} & said
    said |= {r for r, room in remote.rooms.items() if room.is_space and _lists(room, doubted)}
    return _unproven(remote, said) or _unproven(remote, _rests_on(remote, plan, said))


def _lists(space: RoomState, rooms: set[str]) -> bool:
    return any(link.target in rooms for link in space.children)


def _unproven(remote: RemoteState, room_ids: set[str]) -> set[str]:
    return {r for r in room_ids if r in remote.rooms and not remote.rooms[r].verified}


def _said_about(remote: RemoteState, plan: Plan) -> set[str]:
    """Rooms that findings, notes or reasons are about; that a Space is one needs no proof."""
    said = {room_id for unit in plan.units for room_id in unit.room_ids}
    said |= {note.unit for note in plan.notes}
    said |= {s.room_id for s in plan.skipped if not remote.rooms[s.room_id].is_space}
    spaces = {room_id: room for room_id, room in remote.rooms.items() if room.is_space}
    users = {*plan.in_sync_users, *(unit.owner for unit in plan.units if unit.owner)}
    return said | _spaces_in_spaces(spaces) | _further_spaces(spaces, users)


def _spaces_in_spaces(spaces: Mapping[str, RoomState]) -> set[str]:
    """Spaces that are linked to each other: the inner one is nobody's, if the link is live."""
    return {
        end
        for room_id, space in spaces.items()
        for link in (*space.children, *space.parents)
        if link.target in spaces
        for end in (room_id, link.target)
    }


def _further_spaces(spaces: Mapping[str, RoomState], users: Iterable[str]) -> set[str]:
    """Spaces that share a user: what the plan says of the user row is about one of them only."""
    of_user: dict[str, set[str]] = {user: set() for user in users}
    for room_id, space in spaces.items():
        for member in space.members:
            if member.user_id in of_user:
                of_user[member.user_id].add(room_id)
    return {room_id for shared in of_user.values() if len(shared) > 1 for room_id in shared}


def _rests_on(remote: RemoteState, plan: Plan, said: set[str]) -> set[str]:
    """What must be true elsewhere for that to be true."""
    reasons = {skip.room_id: skip.reason for skip in plan.skipped if skip.room_id in said}
    found: set[str] = set()
    if Reason.NO_SPACE in reasons.values():  # any Space may list the room
        found |= {room_id for room_id, room in remote.rooms.items() if room.is_space}
    for room_id in reasons:  # it may be the upgrade of one of the account's rooms
        found.add(remote.rooms[room_id].predecessor or "")
    for note in plan.notes:  # nio may have refused the link of the Space that doesn't list the chat
        if note.code is Code.UNLISTED_ROOM and note.unit in said:
            found |= {link.target for link in remote.rooms[note.unit].parents}
    units = {room_id for unit in plan.units for room_id in unit.room_ids}
    return found | _reach(remote, plan, units & said)


def _reach(remote: RemoteState, plan: Plan, start: set[str]) -> set[str]:
    """All rooms connected with these through links, upgrades, a common owner or a row."""
    if not start:
        return set()
    near = _neighbours(remote, plan)
    reached: set[str] = set()
    waiting = set(start)
    while waiting:
        reached |= waiting
        waiting = {other for one in waiting for other in near.get(one, ())} - reached
    return reached


def _neighbours(remote: RemoteState, plan: Plan) -> dict[str, set[str]]:
    """What touches what. A stranger's room, once proven one, touches nothing: its links count nowhere."""
    strange = {s.room_id for s in plan.skipped if s.reason is _STRANGE}
    near: dict[str, set[str]] = {}

    def connect(one: str, other: str) -> None:
        if one not in strange and other not in strange:
            near.setdefault(one, set()).add(other)
            near.setdefault(other, set()).add(one)

    for room_id, room in remote.rooms.items():
        linked = (link.target for link in (*room.children, *room.parents))
        for target in (*linked, room.predecessor, room.replacement):
            if target:
                connect(room_id, target)
    for unit in plan.units:
        told = (f.local for f in unit.findings if isinstance(f.local, str))
        for other in (*unit.room_ids, unit.space_id, *unit.candidates, *told):
            if other:
                connect(unit.owner or unit.id, other)
    for space, rooms in plan.spaces.items():
        for room_id in rooms:
            connect(space, room_id)
    return near


def _said(answer: Any) -> str:
    """What an error response says; never its repr or message, which may quote the request."""
    errcode = getattr(answer, "status_code", None)
    if is_errcode(errcode):
        return f"the homeserver answered {errcode}"
    return f"the client gave a {type(answer).__name__} without the promised list"
