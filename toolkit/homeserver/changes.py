"""Waiting for something new in the account's rooms, which a look then finds out.

By simplified sliding sync, on a connection of this one's own, or where that isn't served by asking for the list of
joined rooms again and again. What is told is no more than which rooms to read again, or that it may be any.
"""

import asyncio
import secrets
from typing import Any

from toolkit.convention import Convention
from toolkit.errors import HomeserverError
from toolkit.homeserver.following import Following
from toolkit.homeserver.reading import ClientLike, Source
from toolkit.homeserver.readonly import is_transport, read_only
from toolkit.homeserver.retries import Again
from toolkit.homeserver.server import Homeserver, NotFollowed
from toolkit.layout import Layout

POLL_SECONDS = 30.0  # as clients do; proxies cut what is silent for a minute
BURST_SECONDS, IDLE_SECONDS = 0.1, 1.0  # from one question to the next, at least
LIST_SECONDS = 1.5

Told = frozenset[str] | None
"""Rooms of which there is something new; None: it may be any of them."""


class Unheard(HomeserverError):
    """The homeserver doesn't say what is new; `wait` seconds it wants to be left alone."""

    def __init__(self, words: str, wait: float) -> None:
        super().__init__(words)
        self.wait = wait


class Changes:
    """What is new in one account's rooms, for as long as the client is open; `begin` comes first."""

    def __init__(
        self,
        client: ClientLike,
        convention: Convention,
        layout: Layout,
        *,
        sliding_sync: bool = True,
    ) -> None:
        self._source = Source(client, convention, layout=layout)
        self._server: Homeserver | None = None
        guarded: Any = read_only(client)
        if is_transport(guarded):
            self._server = Homeserver(guarded, sliding_sync=sliding_sync)
        kinds = layout.kept_events if layout.links else frozenset[str]()
        if convention.state_event_type is not None:
            kinds |= {convention.state_event_type}
        self._following = Following(kinds, secrets.token_hex(8))
        self._joined = frozenset[str]()
        self.only_lists = False

    async def begin(self) -> None:
        """Hear how things are, so that from then on only what is new is told; `only_lists` says of how much.

        Raises `HomeserverError`.
        """
        server = self._server
        if server is not None and await server.can_follow():
            try:
                while not self._following.begun:
                    await self._ask(server, 0)
                return
            except NotFollowed:
                pass
        self.only_lists = True
        self._joined = await self._source.joined_rooms()

    async def wait(self) -> Told:
        """What is new; nothing after a while. Raises `HomeserverError`: what comes after one may be all."""
        if self.only_lists or self._server is None:
            await asyncio.sleep(LIST_SECONDS)
            before, self._joined = self._joined, await self._source.joined_rooms()
            return self._joined ^ before
        try:
            if self._following.begun:
                return await self._poll(self._server)
        except NotFollowed:
            self._following.restart()
        await self.begin()
        return None

    async def _poll(self, server: Homeserver) -> frozenset[str]:
        """What comes at once is waited for longer: of a burst it is the rest, of an impatient server a rest."""
        clock = asyncio.get_running_loop().time
        began = clock()
        told = await self._ask(server, POLL_SECONDS)
        await asyncio.sleep((BURST_SECONDS if told else IDLE_SECONDS) - (clock() - began))
        return told

    async def _ask(self, server: Homeserver, seconds: float) -> frozenset[str]:
        try:
            return await server.follow(self._following, seconds)
        except Again as error:
            if not error.throttled:  # it may be another server by then, or one that has forgotten
                self._following.restart()
            raise Unheard(f"{server.address} {error.reason}.", error.wait) from None
