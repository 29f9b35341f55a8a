"""What the fake homeserver and the proxy share: a server on 127.0.0.1, and its record.

A server here takes a free port and closes at once, whatever its clients still wait for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import unquote

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

# aiohttp reads 0 as "wait for ever"; handlers are cancelled before it is asked anyway.
_GRACE = 0.01
_HIDDEN = "***"


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """One request as it arrived: path and query decoded, access tokens hidden.

    Names of headers are written `Like-This`.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


def path_parts(request: web.BaseRequest) -> list[str]:
    """Return the decoded parts of the path; a `%2F` inside a part does not split it."""
    return [unquote(part) for part in request.rel_url.raw_path.lstrip("/").split("/")]


async def record_request(request: web.BaseRequest) -> RecordedRequest:
    """Read the whole request and return what is worth remembering of it."""
    query = dict(request.rel_url.query)
    if "access_token" in query:
        query["access_token"] = _HIDDEN
    headers = {name.title(): value for name, value in request.headers.items()}
    if "Authorization" in headers:
        headers["Authorization"] = f"{headers['Authorization'].partition(' ')[0]} {_HIDDEN}"
    path = "/" + "/".join(path_parts(request))
    return RecordedRequest(request.method, path, query, await request.read(), headers)


class Loopback:
    """An HTTP server on a free port of 127.0.0.1, with one handler for everything."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._busy: set[asyncio.Task[object]] = set()
        self._runner: web.ServerRunner | None = None

    async def open(self) -> str:
        """Start to listen and return the server's URL."""
        # A client that gives up must not leave its handler behind.
        server = web.Server(self._handle, handler_cancellation=True, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=_GRACE)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}"

    async def close(self) -> None:
        """Stop listening, and end what is still being answered."""
        busy = list(self._busy)
        for task in busy:
            task.cancel()
        if self._runner is not None:
            await self._runner.cleanup()
        await asyncio.gather(*busy, return_exceptions=True)
        # Transports and connection tasks end in the loop's next rounds.
        for _ in range(3):
            await asyncio.sleep(0)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        task = cast("asyncio.Task[object]", asyncio.current_task())
        self._busy.add(task)
        try:
            return await self._handler(request)
        finally:
            self._busy.discard(task)
