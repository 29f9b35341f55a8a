"""What carries a request to the homeserver: a bot's own nio client, or one that only has a token.

Both follow one protocol, and everything that is decided about a request or its answer is decided
elsewhere: this is the same for both. nio is imported where a bot's own function wants a client of it,
and nowhere else: with JupyterLab beside it, that alone costs a second.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp

from toolkit.secrecy import StaysHere


class Transport(Protocol):
    """What of nio's `AsyncClient` is used here."""

    homeserver: str
    access_token: str
    user_id: str

    async def send(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse: ...


class PlainClient(StaysHere):
    """A transport that only carries the token, over a connection that is its own; to be closed.

    It connects as nio does: certificates are checked, proxies of the environment aren't used, and a
    redirect to another server goes without the token.
    """

    __slots__ = ("__weakref__", "_session", "access_token", "homeserver", "user_id")

    def __init__(self, homeserver: str, access_token: str) -> None:
        self.homeserver, self.access_token = homeserver.rstrip("/"), access_token
        self.user_id = ""  # the homeserver is asked for it
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        """The answer as it begins; its body is the caller's to read."""
        if self._session is None:  # a session belongs to the loop that it is made in
            self._session = aiohttp.ClientSession()
        return await self._session.request(method, self.homeserver + path, **options)

    async def close(self) -> None:
        """Give the connections back."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


@asynccontextmanager
async def open_nio(homeserver: str, access_token: str) -> AsyncIterator[Any]:
    """nio's own client with the token alone, for a bot's function that calls its methods."""
    import nio

    client = nio.AsyncClient(homeserver.rstrip("/"))
    client.access_token = access_token
    try:
        yield client
    finally:
        await client.close()
