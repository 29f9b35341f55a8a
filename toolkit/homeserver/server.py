"""Reading the homeserver: the only module that speaks to one. It sends GET requests, and two POSTs that read.

Raw JSON is fetched through a transport (the bot's own nio client, or a plain one) behind the guard that
lets reads through alone, and decoded here: nio's event objects cost forty times the parsing, drop fields,
and refuse valid create events of room version 12. nio also returns some errors as successes; here every
status is looked at.
"""

import asyncio
import json
import logging
import re
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeGuard, TypeVar
from urllib.parse import quote

import aiohttp

from toolkit.aside import unwrapped
from toolkit.deadline import tell_trouble
from toolkit.errors import HomeserverError, RemoteIncomplete, TokenRefused
from toolkit.homeserver.following import Following
from toolkit.homeserver.readonly import read_only
from toolkit.homeserver.retries import Again, asked_to_wait, persist
from toolkit.homeserver.room_state import UnreadableState, decode_room
from toolkit.homeserver.sliding_sync import Slide, is_served
from toolkit.homeserver.transport import Transport
from toolkit.homeserver.unanswered import likely_scheme, meaning_of, no_address
from toolkit.progress import Progress
from toolkit.secrecy import StaysHere

API, VERSIONS = "/_matrix/client/v3", "/_matrix/client/versions"
AT_ONCE = 8  # more gain nothing: a Synapse process works on one core
REQUEST_SECONDS = 30.0
CONNECT_SECONDS = 5.0  # of them, TLS included: a port that speaks http may answer that with silence
SILENT_ROOMS = 8  # so many rooms without any answer in between: it is the server, not the rooms
BREATH_BYTES = 1024 * 1024  # some milliseconds of decoding
BIG_ROOM_BYTES = 4 * 1024 * 1024  # some 8,000 members; such a room is rarely a chat of ours
WHOLE_ROOM_BYTES = 128 * 1024 * 1024  # some 300,000 members; what is longer is never kept
ANSWER_BYTES = 64 * 1024 * 1024  # a list of a million rooms; one event has at most 64 KB (spec)

T = TypeVar("T")

_log = logging.getLogger(__name__)


class RoomRefused(Exception):
    """The homeserver won't give this room's state, or gave something that is none.

    `silent`: it gave no proper answer at all, so that the next room may fare no better.
    """

    def __init__(self, reason: str, *, silent: bool = False) -> None:
        super().__init__(reason)
        self.silent = silent


class NotFollowed(Exception):
    """The homeserver won't say what is new: it has forgotten the connection, or serves none."""


class _Refused(Exception):
    """A final answer other than 200."""

    def __init__(self, status: int, errcode: str) -> None:
        super().__init__(f"{status} {errcode}".strip())
        self.status, self.errcode = status, errcode


class _TooBig(Exception):
    """The body is longer than asked for."""

    def __init__(self) -> None:
        super().__init__("sent more than is read at once")


class Homeserver(StaysHere):
    """One account's read-only view of its homeserver.

    Raises `HomeserverError` where the server can't be asked at all; what concerns one room is that
    room's `RoomRefused`. `may_count`: whose rooms, beside the account's own, are wanted whole.
    """

    def __init__(
        self,
        client: Transport,
        progress: Progress | None = None,
        former_accounts: Sequence[str] = (),
        *,
        sliding_sync: bool = True,
        may_count: Callable[[str], bool] | None = None,
    ) -> None:
        self._client, self._progress = read_only(client), progress or _unseen
        self._former, self._may_slide = former_accounts, sliding_sync
        self._may_count = may_count
        self._done, self._rooms = 0, 0
        self._joined: frozenset[str] = frozenset()
        self._heard = False
        self.account = client.user_id
        self.address = _shown(client.homeserver)
        if not client.homeserver.startswith(("http://", "https://")) or "@" in self.address:
            raise no_address(self.address)
        if not client.access_token:
            raise HomeserverError("The client has no access token: log it in before reconciling.")
        if not (client.access_token.isascii() and client.access_token.isprintable()):
            raise HomeserverError(
                "The access token holds a line break or another character that no token has; "
                "look at where it was copied from."
            )

    async def whoami(self) -> str:
        """The account that the token belongs to (spec, `account/whoami`); never assumed."""
        answer = await self._ask(f"{API}/account/whoami", "ask which account the token belongs to")
        if isinstance(user_id := answer.get("user_id"), str):
            self.account = user_id
            return user_id
        raise self._foreign()

    async def joined_rooms(self) -> frozenset[str]:
        """Ids of the rooms that the account is joined to: the only list that counts (rules 2.8)."""
        answer = await self._ask(f"{API}/joined_rooms", "list the joined rooms")
        rooms = answer.get("joined_rooms")
        if isinstance(rooms, list) and set(map(type, rooms)) <= {str}:
            self._joined = frozenset(rooms)
            return self._joined
        raise self._foreign()

    async def read_rooms(
        self, room_ids: Sequence[str], decode: Callable[[str, bytes], T]
    ) -> tuple[dict[str, T], dict[str, str]]:
        """Read the state of many rooms: what was decoded, and why the rest wasn't.

        All of the account's rooms by sliding sync where the homeserver has it, and by `/state`, a few at
        once, what that leaves open, which may be everything. Where one round of `/state` reads them
        all, nothing else is asked. `decode` is given each room's raw state; it raises `UnreadableState`
        for what is none.
        """
        whole = len(room_ids) > AT_ONCE and self._joined <= set(room_ids)
        found = await self._slide(room_ids, decode) if whole and self._may_slide else {}

        async def read(room_id: str) -> T:
            return await self._read_room(room_id, decode)

        def tell(done: int, rooms: int) -> None:
            self._tell_done(len(found) + done, len(found) + rooms)

        left = [room_id for room_id in room_ids if room_id not in found]
        rest, refused = await read_each(left, read, tell)
        return found | rest, refused

    async def can_follow(self) -> bool:
        """Whether it offers a sliding sync, and one is wanted."""
        return self._may_slide and is_served(
            await self._ask(VERSIONS, "ask what the homeserver offers")
        )

    async def follow(self, following: Following, seconds: float) -> frozenset[str]:
        """The rooms that something new is told of; so long it is waited for any. Asked once.

        Raises `Again`, `TokenRefused`, or `NotFollowed`.
        """
        path, body = following.path(seconds), following.body
        try:
            return await self._once(path, following.take, ANSWER_BYTES, body, seconds)
        except _TooBig as error:
            raise Again(str(error)) from None
        except _Refused as error:
            if error.status == 401:
                raise self._no_token(error) from None
            if not error.errcode:  # a proxy's word, whose homeserver is most likely down
                raise Again(f"answered {error}") from None
            raise NotFollowed(str(error)) from None

    async def _slide(
        self, room_ids: Sequence[str], decode: Callable[[str, bytes], T]
    ) -> dict[str, T]:
        """What sliding sync gives of these rooms; nothing at all if there is anything odd about it."""
        found: dict[str, T] = {}
        slide = Slide(room_ids)
        try:
            if not is_served(await self._once(VERSIONS, _json_object, ANSWER_BYTES)):
                return {}
            while not slide.done:
                states = await self._once(slide.path, slide.take, ANSWER_BYTES, slide.body)
                found |= await _decode_each(states, decode)
                self._tell_done(len(found), len(room_ids))
        except (Again, _Refused, _TooBig) as error:
            why = f"answered {error}" if isinstance(error, _Refused) else str(error)
            word = f"{self.address} {why}; reading room by room instead"
            _log.info(word)
            self._progress(0, len(room_ids), word)
            return {}
        return found

    async def _read_room(self, room_id: str, decode: Callable[[str, bytes], T]) -> T:
        path = f"{API}/rooms/{quote(room_id, safe='')}/state"
        try:
            try:
                return await self._get(path, lambda body: decode(room_id, body), BIG_ROOM_BYTES)
            except _TooBig:
                return await self._read_big(room_id, path, decode)
        except _TooBig:
            raise RoomRefused("the homeserver sent more than a room can hold") from None
        except _Refused as error:
            if error.status == 401:
                raise RemoteIncomplete(
                    f"{self.address} stopped accepting the access token while rooms were being "
                    "read; nothing was decided. Log in again and retry."
                ) from None
            raise RoomRefused(f"the homeserver answered {error}") from None
        except Again as error:
            if error.throttled:  # it is about the account: every other room would wait as long
                raise RemoteIncomplete(
                    f"{self.address} {error.reason}, and went on so while rooms were being read; "
                    "nothing was decided. Try again later."
                ) from None
            raise RoomRefused(f"the homeserver {error.reason}", silent=True) from None

    async def _read_big(self, room_id: str, path: str, decode: Callable[[str, bytes], T]) -> T:
        """A room with very many members is only pulled whole if it can be a chat of the account."""
        parts = [await self._read_event(path, kind) for kind in _HEAD]
        known = json.dumps([part for part in parts if part]).encode()
        head = decode_room(room_id, known)
        own = head.creator in (None, self.account, *self._former) or (
            self._may_count is not None and self._may_count(str(head.creator))
        )
        if own or {head.predecessor, head.replacement} & self._joined:
            return await self._get(path, lambda body: decode(room_id, body), WHOLE_ROOM_BYTES)
        return decode(room_id, known)

    async def _read_event(self, path: str, kind: str) -> dict[str, Any] | None:
        try:
            return await self._get(f"{path}/{kind}/?format=event", _json_object, ANSWER_BYTES)
        except _Refused as error:
            if error.status == 404:
                return None
            raise

    async def _ask(self, path: str, doing: str) -> dict[str, Any]:
        try:
            return await self._get(path, _json_object, ANSWER_BYTES)
        except _TooBig:
            raise self._foreign() from None
        except _Refused as error:
            if error.status == 401 or (error.status == 403 and error.errcode):
                raise self._no_token(error) from None
            if error.status in (403, 404):
                raise self._foreign() from None
            if error.status == 400 and not error.errcode and self.address.startswith("http:"):
                # What nginx, Apache, Caddy and Go say to http on their port for https.
                likely = likely_scheme(self.address)
                raise HomeserverError(
                    f"Can't {doing}: {self.address} answered 400{likely}."
                ) from None
            raise HomeserverError(f"Can't {doing}: {self.address} answered {error}.") from None
        except Again as error:
            hint = (
                "Try again later." if error.throttled else "Check the address, and that it is up."
            )
            raise HomeserverError(f"Can't {doing}: {self.address} {error.reason}. {hint}") from None

    def _no_token(self, error: _Refused) -> TokenRefused:
        return TokenRefused(
            f"{self.address} doesn't accept the access token ({error}); nothing was read. "
            "Log the bot in again, or give a valid token."
        )

    def _foreign(self) -> HomeserverError:
        return HomeserverError(
            f"{self.address} doesn't answer like a Matrix homeserver; check the address "
            "(it is the client API's, such as https://matrix.example.org)."
        )

    async def _get(self, path: str, read: Callable[[bytes], T], limit: int) -> T:
        """GET with retries; the body is read (decoded) within, so that a broken one is asked again."""

        async def once() -> T:
            return await self._once(path, read, limit)

        return await persist(once, self._tell_wait)

    async def _once(
        self,
        path: str,
        read: Callable[[bytes], T],
        limit: int,
        data: str | None = None,
        wait: float = 0.0,
    ) -> T:
        """Ask once; the server may `wait` so long by itself before it answers."""
        status, headers, body = await self._fetch(path, limit, data, wait)
        if status == 200:
            try:
                return read(body)
            except UnreadableState as error:
                raise Again(f"sent what is no answer ({error})") from None
        if status == 429:
            asked = asked_to_wait(body, headers)
            raise Again("says that there are too many requests", asked, throttled=True)
        if status >= 500:
            raise Again(f"answered {status}", asked_to_wait(body, headers))
        raise _Refused(status, _errcode(body))

    async def _fetch(
        self, path: str, limit: int, data: str | None, wait: float
    ) -> tuple[int, Any, bytes]:
        method = "GET" if data is None else "POST"
        # What a proxy takes for it, such as Tor, says nothing of the homeserver.
        connect = None if getattr(self._client, "proxy", None) else CONNECT_SECONDS
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS + wait, sock_connect=connect)
        try:
            async with await self._client.send(method, path, data, timeout=timeout) as response:
                self._heard = True
                return response.status, response.headers, await _body(response, limit)
        except (aiohttp.ClientError, OSError) as error:
            trouble = meaning_of(error, self.address, timeout, first=not self._heard)
        raise trouble  # out here, without what aiohttp raised: that holds the request, and its token

    def _tell_done(self, done: int, rooms: int) -> None:
        self._done, self._rooms = done, rooms
        self._progress(done, rooms, "")

    def _tell_wait(self, reason: str, seconds: float) -> None:
        tell_trouble(f"{self.address} {reason}")
        if seconds >= 1:
            word = f"{self.address} {reason}; asking again in {seconds:.0f} s"
            _log.info(word)
            self._progress(self._done, self._rooms, word)


async def read_each(
    room_ids: Sequence[str],
    read: Callable[[str], Awaitable[T]],
    tell: Callable[[int, int], None],
) -> tuple[dict[str, T], dict[str, str]]:
    """Read rooms, a few at once: what came, and why the rest didn't (their `RoomRefused`).

    Raises `RemoteIncomplete` as soon as it is the server that is silent, and no longer the rooms.
    """
    found: dict[str, T] = {}
    refused: dict[str, str] = {}
    silent: list[str] = []
    waiting = iter(room_ids)

    async def work() -> None:
        for room_id in waiting:
            try:
                found[room_id] = await read(room_id)
                silent.clear()
            except RoomRefused as error:
                refused[room_id] = str(error)
                silent[:] = [*silent, room_id] if error.silent else []
                if len(silent) >= SILENT_ROOMS:
                    raise RemoteIncomplete(_SILENT.format(len(silent), error)) from None
            tell(len(found) + len(refused), len(room_ids))

    async with unwrapped(), asyncio.TaskGroup() as group:
        for _ in range(min(AT_ONCE, len(room_ids))):
            group.create_task(work())
    return found, refused


async def _decode_each(
    states: Sequence[tuple[str, bytes]], decode: Callable[[str, bytes], T]
) -> dict[str, T]:
    """The rooms of one answer; about what is left out, `/state` has the last word."""
    found: dict[str, T] = {}
    size = 0
    for room_id, body in states:
        if len(body) <= BIG_ROOM_BYTES // 2:  # by `/state` it may be half as long again
            with suppress(UnreadableState, RoomRefused):
                found[room_id] = decode(room_id, body)
        size += len(body)
        if size > BREATH_BYTES:  # the bot goes on meanwhile
            size = 0
            await asyncio.sleep(0)
    return found


async def _body(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(1 << 16):
        parts.append(part)
        size += len(part)
        if size > limit:
            response.close()
            raise _TooBig
    return b"".join(parts)


def _json_object(body: bytes) -> dict[str, Any]:
    value = None
    with suppress(ValueError, RecursionError):  # not as a cause: that would keep the whole body
        value = json.loads(body)
    if not isinstance(value, dict):
        raise UnreadableState("no JSON object")
    return value


def _errcode(body: bytes) -> str:
    """Only the error code is repeated: the rest of a body may quote the request."""
    try:
        errcode = _json_object(body).get("errcode")
    except UnreadableState:
        return ""
    return errcode if is_errcode(errcode) else ""


def is_errcode(value: Any) -> TypeGuard[str]:
    """Whether it looks like one (`M_FORBIDDEN`, `ORG.EXAMPLE_X`); what doesn't may quote a secret."""
    return isinstance(value, str) and _ERRCODE.fullmatch(value) is not None


def _shown(address: str) -> str:
    """The address as messages may have it: without a name and password, which have no place in it."""
    scheme, found, rest = address.partition("://")
    _, secret, host = rest.rpartition("@")
    return f"{scheme}{found}***@{host}" if secret else address


def _unseen(done: int, rooms: int, word: str) -> None:
    """Nobody looks."""


_ERRCODE = re.compile(r"[A-Z][A-Z0-9_.]{0,59}")

# What tells whether a room can be a chat of the account, and what to call it if it can't.
_HEAD = ("m.room.create", "m.room.tombstone", "m.room.name")
_SILENT = (
    "{} rooms one after the other could not be read ({}), so nothing was decided; try again when the "
    "homeserver is well."
)
