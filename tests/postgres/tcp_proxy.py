"""What may lie between a client and its server: a network that loses an answer, hangs, or is cut."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

COMMIT = b"COMMIT\0"


class TcpProxy:
    """Passes everything on to the server of a DSN, until it is told otherwise; `dsn` leads through it.

    `lose`: a commit is passed on, and its answer isn't. `swallow`: not even the commit is. `refuse`: nobody
    new is let in, once something was lost. While `passes` is cleared, nothing goes through, and nobody is told.
    """

    def __init__(self, dsn: str) -> None:
        self._to = urlsplit(dsn)
        self.dsn = ""
        self.lose = self.swallow = self.refuse = False
        self.passes = asyncio.Event()
        self.passes.set()
        self.lost = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._handle, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        to = self._to
        self.dsn = f"{to.scheme}://{to.username}:{to.password}@127.0.0.1:{port}{to.path}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.cut()
        await asyncio.sleep(0)
        await self._server.wait_closed()

    def cut(self) -> None:
        """End every connection at once."""
        for writer in self._writers:
            writer.transport.abort()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuse and self.lost:
            writer.transport.abort()
            return
        assert self._to.hostname and self._to.port
        far = await asyncio.open_connection(self._to.hostname, self._to.port)
        mine = {writer, far[1]}
        self._writers |= mine
        done = asyncio.Event()
        there = asyncio.create_task(self._forward(reader, far[1], done))
        back = asyncio.create_task(self._answer(far[0], writer, done))
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for task in (there, back):
            task.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        for each in mine:
            each.transport.abort()
        self._writers -= mine

    async def _forward(
        self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, done: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while piece := await reader.read(1 << 16):
                await self.passes.wait()
                if COMMIT in piece and (self.lose or self.swallow):
                    done.set()
                    if self.swallow:
                        self._count()
                        return
                far.write(piece)
                await far.drain()

    async def _answer(
        self, far: asyncio.StreamReader, writer: asyncio.StreamWriter, done: asyncio.Event
    ) -> None:
        with suppress(OSError):
            while piece := await far.read(1 << 16):
                await self.passes.wait()
                if done.is_set():
                    self._count()
                    return
                writer.write(piece)
                await writer.drain()

    def _count(self) -> None:
        """Once is enough: what comes after the accident passes."""
        self.lost += 1
        self.lose = self.swallow = False
