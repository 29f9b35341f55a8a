"""Faults that a fake homeserver can be told to show: each kind spoils one answer.

A `Fault` says which requests and how often; a *kind* says what happens to them.
`Delay` and `Hook` let the request go on, to the next fault or to the true answer.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[], Awaitable[web.Response]]

_DRIPS_PER_SECOND = 20


class Kind(ABC):
    """What a fault does to a request."""

    __slots__ = ()

    @abstractmethod
    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse | None:
        """Answer in place of the homeserver (`answer` is what it would say); None goes on."""


@dataclass(frozen=True, slots=True)
class Status(Kind):
    """Answer with this status; a mapping as body is sent as JSON, a string as HTML."""

    status: int
    body: Mapping[str, Any] | bytes | str = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        headers = {"Content-Type": "text/html; charset=utf-8"}
        body = self.body
        if isinstance(body, Mapping):
            headers["Content-Type"] = "application/json"
            body = json.dumps(dict(body))
        if isinstance(body, str):
            body = body.encode()
        return web.Response(status=self.status, body=body, headers=headers | dict(self.headers))


@dataclass(frozen=True, slots=True)
class Hang(Kind):
    """Never answer, until client or server closes."""

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse | None:
        await asyncio.get_running_loop().create_future()
        return None


@dataclass(frozen=True, slots=True)
class Delay(Kind):
    """Answer this many seconds late."""

    seconds: float

    async def show(self, request: web.BaseRequest, answer: Answer) -> None:
        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Cut(Kind):
    """Promise the whole true answer, send half of it, and close the connection."""

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        body, response = await _promise(request, answer)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response


@dataclass(frozen=True, slots=True)
class Drip(Kind):
    """Send the true answer at this many bytes a second."""

    bytes_per_second: float

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        body, response = await _promise(request, answer)
        size = max(1, int(self.bytes_per_second / _DRIPS_PER_SECOND))
        for start in range(0, len(body), size):
            drop = body[start : start + size]
            await response.write(drop)
            await asyncio.sleep(len(drop) / self.bytes_per_second)
        return response


@dataclass(frozen=True, slots=True)
class Reset(Kind):
    """Close the connection without an answer."""

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        if request.transport is not None:
            request.transport.abort()
        return web.Response()


@dataclass(frozen=True, slots=True)
class Garbage(Kind):
    """Answer 200 with something that is no JSON, as a captive portal does."""

    body: bytes = b"<html>Welcome!</html>"

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        return web.Response(body=self.body, content_type="application/json")


@dataclass(frozen=True, slots=True)
class Alter(Kind):
    """Answer with the true JSON answer as this function changes or replaces it."""

    change: Callable[[Any], Any]

    async def show(self, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        full = await answer()
        assert isinstance(full.body, bytes)
        body = json.dumps(self.change(json.loads(full.body)))
        return web.Response(status=full.status, text=body, content_type="application/json")


@dataclass(frozen=True, slots=True)
class Hook(Kind):
    """Call a function, sync or async, before the true answer: the world may change in it."""

    call: Callable[[], object]

    async def show(self, request: web.BaseRequest, answer: Answer) -> None:
        result = self.call()
        if inspect.isawaitable(result):
            await result


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of trouble for requests whose decoded path holds the regex `path`.

    The first `after` matching requests pass; the next `times` (None: all) are hit.
    """

    path: str
    kind: Kind
    times: int | None = None
    after: int = 0


class FaultScript:
    """The faults of one server, and how many requests each has met."""

    def __init__(self) -> None:
        self._faults: list[tuple[Fault, Iterator[bool]]] = []

    def add(self, fault: Fault) -> None:
        """Put a fault behind those that are there."""
        self._faults.append((fault, _turns(fault)))

    def clear(self) -> None:
        """Forget all faults."""
        self._faults.clear()

    async def play(self, path: str, request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
        """Answer the request as the first fault wants that does not let it go on."""
        for fault, turns in tuple(self._faults):
            if re.search(fault.path, path) and next(turns):
                response = await fault.kind.show(request, answer)
                if response is not None:
                    return response
        return await answer()


def _turns(fault: Fault) -> Iterator[bool]:
    """Say for each matching request in turn whether the fault hits it."""
    for _ in range(fault.after):
        yield False
    hits = 0
    while fault.times is None or hits < fault.times:
        hits += 1
        yield True
    while True:
        yield False


async def _promise(request: web.BaseRequest, answer: Answer) -> tuple[bytes, web.StreamResponse]:
    """Send the head of the true answer; return its body and the open response."""
    full = await answer()
    body = full.body if isinstance(full.body, bytes) else b""
    response = web.StreamResponse(status=full.status, headers={"Content-Type": full.content_type})
    response.content_length = len(body)
    await response.prepare(request)
    return body, response
