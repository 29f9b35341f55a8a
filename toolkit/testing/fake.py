"""A homeserver that serves a given world over real HTTP, and fails as scripted.

It answers what a bot reads, for one account, and refuses everything else with
M_UNRECOGNIZED; what was asked stands in `requests`. It is no proof by itself: show
the same behaviour against a real `Synapse`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, MutableMapping
from types import TracebackType
from typing import Any, Self, cast

from aiohttp import web

from toolkit.testing.faults import Fault, FaultScript
from toolkit.testing.loopback import Loopback, RecordedRequest, path_parts, record_request
from toolkit.testing.sliding import FEATURES, PATH, RefusedSlide, SlidingConnections, State
from toolkit.testing.world import Event, encode

_NEXT_BATCH = "s1"
_STEP_SECONDS = 0.02
_VERSIONS = ["r0.6.1", "v1.1", "v1.11"]


class FakeHomeserver:
    """Serves `rooms` (room id to state events, or to the bytes of the answer) to one bot.

    `rooms` is kept, not copied: a world that changes later is served as changed. With `sliding_sync` it
    offers and serves simplified sliding sync, as Synapse does.

    >>> async def example(rooms):
    ...     async with FakeHomeserver(rooms) as server:
    ...         server.fault(Fault("/state$", Status(502), times=1))
    """

    def __init__(
        self,
        rooms: Mapping[str, list[Event] | bytes] | Mapping[str, list[Event]],
        user_id: str = "@bot:example.org",
        access_token: str = "fake-token",
        device_id: str = "FAKE",
        *,
        sliding_sync: bool = False,
    ) -> None:
        self.rooms = cast(MutableMapping[str, State], rooms)
        self.user_id = user_id
        self.access_token = access_token
        self.device_id = device_id
        self.sliding_sync = sliding_sync
        self.requests: list[RecordedRequest] = []
        self.url = ""
        self._faults, self._slides = FaultScript(), SlidingConnections()
        self._server = Loopback(self._handle)

    async def __aenter__(self) -> Self:
        self.url = await self._server.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.close()

    def fault(self, *faults: Fault) -> None:
        """Script more faults; of several that hit, the first added is shown."""
        for fault in faults:
            self._faults.add(fault)

    def forget_positions(self) -> None:
        """Begin every connection of a sliding sync anew, as after a week."""
        self._slides.forget()

    def clear_faults(self) -> None:
        """Be healthy again."""
        self._faults.clear()

    # Answering

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        recorded = await record_request(request)
        self.requests.append(recorded)

        async def answer() -> web.Response:
            return await self._answer(request, recorded)

        return await self._faults.play(recorded.path, request, answer)

    async def _answer(self, request: web.BaseRequest, recorded: RecordedRequest) -> web.Response:
        match request.method, path_parts(request):
            case "GET", ["_matrix", "client", "versions"]:
                features = FEATURES if self.sliding_sync else {}
                return _json({"versions": _VERSIONS, "unstable_features": features})
            case "POST", ["_matrix", "client", "v3" | "r0", "login"]:
                return _json(self._login())
            case "GET", ["_matrix", "client", "v3" | "r0", *endpoint]:
                if not self._knows(request):
                    return _error(401, "M_UNKNOWN_TOKEN", "Unknown access token")
                return await self._answer_read(endpoint, recorded.query)
            case "POST", parts if parts == PATH and self.sliding_sync:
                if not self._knows(request):
                    return _error(401, "M_UNKNOWN_TOKEN", "Unknown access token")
                return await self._slide(recorded)
        return _unrecognized()

    def _knows(self, request: web.BaseRequest) -> bool:
        return request.headers.get("Authorization") == f"Bearer {self.access_token}"

    async def _slide(self, recorded: RecordedRequest) -> web.Response:
        """Answer at once if there is anything new, else when there is, or after the asked wait."""
        asked, pos = recorded.body, recorded.query.get("pos")
        clock = asyncio.get_running_loop().time
        until = clock() + int(recorded.query.get("timeout", "0")) / 1_000
        try:
            # The world is a dict that a test changes: nobody tells.
            while clock() < until and not self._slides.has_news(  # noqa: ASYNC110
                self.rooms, asked, pos
            ):
                await asyncio.sleep(_STEP_SECONDS)
            body = self._slides.answer(self.rooms, asked, pos)
        except RefusedSlide as error:
            return _error(400, error.errcode, str(error))
        return web.Response(body=body, content_type="application/json")

    async def _answer_read(self, endpoint: list[str], query: Mapping[str, str]) -> web.Response:
        match endpoint:
            case ["account", "whoami"]:
                return _json({"user_id": self.user_id, "device_id": self.device_id})
            case ["joined_rooms"]:
                return _json({"joined_rooms": list(self.rooms)})
            case ["sync"]:
                return _json(await self._sync(query))
            case ["rooms", room_id, "state"]:
                return self._state(room_id)
            case ["rooms", room_id, "state", type]:
                return self._state_event(room_id, type, "", query)
            case ["rooms", room_id, "state", type, state_key]:
                return self._state_event(room_id, type, state_key, query)
        return _unrecognized()

    def _login(self) -> dict[str, str]:
        return {
            "user_id": self.user_id,
            "access_token": self.access_token,
            "device_id": self.device_id,
        }

    def _state(self, room_id: str) -> web.Response:
        state = self.rooms.get(room_id)
        if state is None:
            return _forbidden(room_id)
        body = state if isinstance(state, bytes) else encode(state)
        return web.Response(body=body, content_type="application/json")

    def _state_event(
        self, room_id: str, type: str, state_key: str, query: Mapping[str, str]
    ) -> web.Response:
        if room_id not in self.rooms:
            return _forbidden(room_id)
        for event in _events(self.rooms[room_id]):
            if event["type"] == type and event["state_key"] == state_key:
                return _json(event if query.get("format") == "event" else event["content"])
        return _error(404, "M_NOT_FOUND", "Event not found.")

    async def _sync(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return a whole sync, or with `since` alone an empty one after the asked wait."""
        full = "since" not in query or query.get("full_state") == "true"
        if not full:
            await asyncio.sleep(int(query.get("timeout", "0")) / 1_000)
        rooms = self.rooms if full else {}
        return {
            "next_batch": _NEXT_BATCH,
            "rooms": {
                "join": {room_id: _joined(state) for room_id, state in rooms.items()},
                "invite": {},
                "leave": {},
            },
            "to_device": {"events": []},
            "presence": {"events": []},
            "account_data": {"events": []},
            "device_lists": {"changed": [], "left": []},
            "device_one_time_keys_count": {},
        }


def _events(state: State) -> list[Event]:
    return cast(list[Event], json.loads(state)) if isinstance(state, bytes) else state


def _joined(state: State) -> dict[str, Any]:
    """Return a room of a sync: all of it state, none of it timeline."""
    return {
        "state": {"events": _events(state)},
        "timeline": {"events": [], "limited": False, "prev_batch": _NEXT_BATCH},
        "ephemeral": {"events": []},
        "account_data": {"events": []},
        "summary": {},
        "unread_notifications": {"notification_count": 0, "highlight_count": 0},
    }


def _json(value: object) -> web.Response:
    return web.Response(body=encode(value), content_type="application/json")


def _error(status: int, code: str, message: str) -> web.Response:
    body = encode({"errcode": code, "error": message})
    return web.Response(status=status, body=body, content_type="application/json")


def _forbidden(room_id: str) -> web.Response:
    return _error(403, "M_FORBIDDEN", f"User not in room {room_id}")


def _unrecognized() -> web.Response:
    return _error(404, "M_UNRECOGNIZED", "Unrecognized request")
