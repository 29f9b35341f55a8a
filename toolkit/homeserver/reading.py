"""From a client to a `RemoteState`: completely, or as far as a bot's start-up needs it.

Three kinds of client (rules 5): nio's or a plain one, read through raw requests; any object with nio's
methods `joined_rooms` and `room_get_state`; and light stand-ins that can't be asked for state, taken at
their word.
"""

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

import msgspec

from toolkit.aside import aside, in_slices
from toolkit.convention import Convention
from toolkit.errors import HomeserverError, RemoteIncomplete, ToolkitError
from toolkit.homeserver import server as matrix
from toolkit.homeserver.client_memory import remembered_room, remembered_rooms, user_id_of
from toolkit.homeserver.readonly import is_transport, read_only
from toolkit.homeserver.room_state import UnreadableState, decode_room
from toolkit.homeserver.server import Homeserver, RoomRefused, is_errcode, read_each
from toolkit.layout import Layout
from toolkit.model import Plan, RemoteState, RoomState
from toolkit.planning.unverified import find_unverified
from toolkit.progress import Progress, watcher
from toolkit.secrecy import StaysHere

T = TypeVar("T")
PlanOf = Callable[[RemoteState], Plan]
ReadRooms: TypeAlias = Callable[[Iterable[str]], Awaitable[tuple[dict[str, T], dict[str, str]]]]
"""The rooms that could be read, and why the others couldn't."""


class ClientLike(Protocol):
    """What all three kinds have, nio's and stand-ins: an account. What else one offers is found out."""

    @property
    def user_id(self) -> str: ...


class Source(StaysHere):
    """Where rooms are listed and read from, whatever kind of client there is."""

    def __init__(
        self,
        client: ClientLike,
        convention: Convention,
        progress: Progress | None = None,
        seen: Callable[[str, bytes], None] | None = None,
        *,
        sliding_sync: bool = True,
        layout: Layout | None = None,
    ) -> None:
        progress = progress or watcher()
        guarded: Any = read_only(client)
        layout = layout or Layout()
        self._client, self._event_type = guarded, convention.state_event_type
        self._kept = layout.kept_events
        self._seen = seen or (lambda room_id, body: None)
        self._progress = progress or (lambda done, rooms, word: None)
        self._known: dict[str, str] = {}
        self._server = None
        if is_transport(guarded):
            former = convention.former_accounts
            count = layout.may_have_made
            self._server = Homeserver(
                guarded, progress, former, sliding_sync=sliding_sync, may_count=count
            )
        self.light = not self._server and not hasattr(guarded, "room_get_state")

    async def account(self) -> str:
        """Whose rooms these are. A stand-in is believed, a real client is not."""
        if self._server:
            return await self._server.whoami()
        if account := user_id_of(self._client):
            return account
        raise HomeserverError("The client has no `user_id`: set it to the bot's Matrix id.")

    async def joined_rooms(self) -> frozenset[str]:
        if self._server:
            return await self._server.joined_rooms()
        if not hasattr(self._client, "joined_rooms"):
            return frozenset(remembered_rooms(self._client))
        try:
            answer = await self._call("joined_rooms")
        except RoomRefused as error:
            raise HomeserverError(f"Can't list the joined rooms: {error}.") from None
        rooms = getattr(answer, "rooms", None)
        if isinstance(rooms, list | tuple) and all(isinstance(room, str) for room in rooms):
            return frozenset(rooms)
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

    async def gather(self, room_ids: Iterable[str]) -> tuple[dict[str, bytes], dict[str, str]]:
        """The same of a homeserver, with the rooms' state as it came."""
        assert self._server
        return await self._server.read_rooms(sorted(room_ids), lambda room_id, body: body)

    async def remembered(self, room_ids: Iterable[str]) -> dict[str, RoomState]:
        """What the client object holds of these rooms, of those whose create event it saw."""
        return {
            room_id: room
            async for room_id in in_slices(room_ids)
            if (room := remembered_room(self._client, room_id))
        }

    async def _read_one(self, room_id: str) -> RoomState:
        answer = await self._call("room_get_state", room_id)
        events = getattr(answer, "events", None)
        if not isinstance(events, list):
            raise RoomRefused(_said(answer))
        try:
            return self._decode(room_id, msgspec.json.encode(events))
        except (UnreadableState, TypeError, UnicodeError, RecursionError) as error:
            why = str(error)
        raise RoomRefused(
            f"its state can't be used: {why}"
        )  # out here, without what the error holds

    async def _call(self, method: str, *args: str) -> Any:
        """Call a stand-in's method, sync or async; what it raises is recorded by name only."""
        try:
            async with asyncio.timeout(matrix.REQUEST_SECONDS):
                answer = getattr(self._client, method)(*args)
                return await answer if inspect.isawaitable(answer) else answer
        except ToolkitError:
            raise
        except Exception as error:
            name = type(error).__name__
        raise RoomRefused(
            f"the client's {method} raised {name}"
        )  # out here, without the error itself

    def _decode(self, room_id: str, body: bytes) -> RoomState:
        account = self._server.account if self._server else None
        room = decode_whole(room_id, body, account, self._event_type, self._known, self._kept)
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
    layout: Layout | None = None,
    known: RemoteState | None = None,
    changed: Collection[str] = (),
) -> RemoteState:
    """Read every joined room; the toolkit's own look, which never trusts a client's memory.

    Of what is `known` of a look before, rooms are taken as they were then, unless they have `changed`.

    `seen` is given each room's raw state, the last time as it was used. Without `sliding_sync` every
    room is asked for by itself, whatever the homeserver offers. Of a `layout` of links the state events are kept
    that its evidence asks for.

    Raises `HomeserverError`, or `RemoteIncomplete` where nothing may be decided (rules 2.9).
    """
    source = Source(client, convention, progress, seen, sliding_sync=sliding_sync, layout=layout)
    look = Reading(source, source.read, may_be_empty=allow_empty or not local_rows)
    account = await look.source.account()
    joined = await look.list_rooms()
    if known is not None and known.account == account:
        still = joined.difference(changed)
        look.rooms = {room_id: room for room_id, room in known.rooms.items() if room_id in still}
    await look.read(joined - look.rooms.keys())
    return _state_of(look, account)


async def load_unsettled(
    client: ClientLike,
    convention: Convention,
    plan_of: PlanOf,
    *,
    local_rows: bool,
    allow_empty: bool = False,
    sliding_sync: bool = True,
) -> tuple[RemoteState, Plan]:
    """Read what a bot's start-up needs: rooms that its own memory shows in sync are taken as that.

    Everything else is read, together with all that it rests on, until nothing that would be said or
    written rests on memory.
    """
    source = Source(client, convention, sliding_sync=sliding_sync)
    look = Reading(source, source.read, may_be_empty=allow_empty or not local_rows)
    joined = await look.list_rooms()
    if look.source.light:
        await look.read(joined)
        remote = _state_of(look, await look.source.account())
        return remote, await aside(plan_of, remote)
    account, confirmed = user_id_of(client), False
    look.rooms = await look.source.remembered(joined)
    unread = set(joined) - look.rooms.keys()
    while True:
        if not confirmed and (unread or not account):
            confirmed, told = True, await look.source.account()
            if told != account:  # memory of another account's view is worth nothing
                account, look.rooms, unread = told, {}, set(joined)
        if unread:
            await look.read(unread)
        remote, plan, unread = await aside(_judge, account, look.rooms, look.refused, plan_of)
        if not unread:
            return remote, plan


def _judge(
    account: str, rooms: Mapping[str, RoomState], refused: dict[str, str], plan_of: PlanOf
) -> tuple[RemoteState, Plan, set[str]]:
    """What is known by now, the plan of it, and the rooms that must be read before it can be trusted."""
    remote = RemoteState(account, dict(sorted(rooms.items())), refused)
    plan = plan_of(remote)
    return remote, plan, find_unverified(remote, plan)


class Reading(Generic[T]):
    """What one look at the homeserver has found so far, room by room: decoded, or as it came."""

    def __init__(self, source: Source, read: ReadRooms[T], *, may_be_empty: bool = True) -> None:
        self.source, self.may_be_empty = source, may_be_empty
        self._read = read
        self.joined: frozenset[str] = frozenset()
        self.rooms: dict[str, T] = {}
        self.refused: dict[str, str] = {}

    async def list_rooms(self) -> frozenset[str]:
        self.joined = await self.source.joined_rooms()
        if not self.joined and not self.may_be_empty:
            raise RemoteIncomplete(
                "The homeserver says that the account is in no room at all, but there are local "
                "rows: wrong account, or a server that isn't ready. Nothing was decided; if it is "
                "true, allow it (`allow_empty=True`, or --allow-empty)."
            )
        return self.joined

    async def read(self, wanted: Iterable[str]) -> None:
        """Read rooms; too many failures stop it all."""
        await self.read_some(wanted)
        if len(self.refused) > len(self.rooms):
            why = min(self.refused.values())
            raise RemoteIncomplete(
                f"{len(self.refused)} of {len(self.refused) + len(self.rooms)} rooms could not be "
                f"read ({why}); that is too few to decide anything. Try again."
            )

    async def read_some(self, wanted: Iterable[str]) -> None:
        """Read rooms; those that the account left meanwhile are dropped."""
        wanted = set(wanted)
        rooms, refused = await self._read(wanted)
        if refused:
            still_joined = await self.list_rooms()
            refused = {room: why for room, why in refused.items() if room in still_joined}
        self.rooms = {r: room for r, room in self.rooms.items() if r not in wanted} | rooms
        self.refused |= refused


def _state_of(look: Reading[RoomState], account: str) -> RemoteState:
    return RemoteState(account, dict(sorted(look.rooms.items())), look.refused)


def decode_whole(
    room_id: str,
    body: bytes,
    account: str | None,
    state_event_type: str | None,
    known: dict[str, str],
    kept: frozenset[str],
) -> RoomState:
    """The state of a room that the account is in, if it is known whose that is.

    Raises `UnreadableState` for what isn't all of it, `RoomRefused` for a room that the account has left.
    """
    room = decode_room(room_id, body, state_event_type, known, kept)
    if room.creator is None:  # every room has one: this is not all of its state
        raise UnreadableState("state without the room's create event")
    if account:
        _check_membership(room, account)
    return room


def _check_membership(room: RoomState, account: str) -> None:
    """Homeservers also give the state of a room that was left, as of then; and a list of members may
    be cut short. Only a stranger's crowded room, of which just the head was asked for, has none at all.
    """
    own = next((m.membership for m in room.members if m.user_id == account), None)
    if own is None and (room.members or room.creator == account):
        raise UnreadableState("state without the account's own membership")
    if own not in (None, "join"):
        raise RoomRefused("the account isn't in the room any more, by the room's own state")


def _said(answer: Any) -> str:
    """What an error response says; never its repr or message, which may quote the request."""
    errcode = getattr(answer, "status_code", None)
    if is_errcode(errcode):
        return f"the homeserver answered {errcode}"
    return f"the client gave a {type(answer).__name__} without the promised list"


async def load_one_room(
    client: ClientLike,
    convention: Convention,
    layout: Layout,
    room_id: str,
    *,
    sliding_sync: bool = True,
) -> RemoteState:
    """Read one room of a bot of shape links, with what it replaced and what replaced it.

    The list of joined rooms says of all others that they are there. A room that isn't on it is not read.
    """
    source = Source(client, convention, sliding_sync=sliding_sync, layout=layout)
    look = Reading(source, source.read)
    account = await look.source.account()
    joined = await look.list_rooms()
    wanted = {room_id} & joined
    while wanted:
        await look.read_some(wanted)
        read = [room for room in look.rooms.values() if room.room_id in wanted]
        near = {r for room in read for r in (room.predecessor, room.replacement) if r}
        wanted = (near & look.joined) - look.rooms.keys() - look.refused.keys()
    return msgspec.structs.replace(_state_of(look, account), listed=look.joined)
