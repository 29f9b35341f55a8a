"""A reverse proxy that remembers what passed: the proof of which requests a client makes."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from aiohttp import ClientResponse, ClientSession, ClientTimeout, web
from yarl import URL

from toolkit.testing.loopback import Loopback, RecordedRequest, record_request

# These belong to one connection, not to the message (RFC 9110, 7.6.1).
_HOP_BY_HOP = {"connection", "host", "keep-alive", "content-length", "transfer-encoding", "upgrade"}
_ANSWER_HEADERS = ("Content-Type", "Content-Encoding", "Content-Length", "Retry-After")


class RecordingProxy:
    """Passes everything on to `upstream_url`, and lists it in `requests`."""

    def __init__(self, upstream_url: str) -> None:
        self.requests: list[RecordedRequest] = []
        self.url = ""
        self._upstream = upstream_url.rstrip("/")
        self._client: ClientSession | None = None
        self._server = Loopback(self._handle)

    async def __aenter__(self) -> Self:
        # A long poll may take its time, and compressed bodies pass as they are.
        self._client = ClientSession(timeout=ClientTimeout(total=None), auto_decompress=False)
        self.url = await self._server.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._server.close()
        if self._client is not None:
            await self._client.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        recorded = await record_request(request)
        self.requests.append(recorded)
        assert self._client is not None, "a proxy handles requests only while it is open"
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP_BY_HOP}
        async with self._client.request(
            request.method,
            URL(self._upstream + request.raw_path, encoded=True),
            data=recorded.body or None,
            headers=headers,
            allow_redirects=False,
        ) as upstream:
            return await _stream(upstream, request)


async def _stream(upstream: ClientResponse, request: web.BaseRequest) -> web.StreamResponse:
    """Send the upstream's answer on while it arrives."""
    headers = {name: upstream.headers[name] for name in _ANSWER_HEADERS if name in upstream.headers}
    response = web.StreamResponse(status=upstream.status, headers=headers)
    await response.prepare(request)
    async for chunk in upstream.content.iter_any():
        await response.write(chunk)
    await response.write_eof()
    return response
