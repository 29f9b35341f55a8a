"""A bot on a real Synapse, in sync and with a database of its own, and the watch of both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state
from toolkit.benchmark.homes import Guest, make_rooms
from toolkit.convention import Convention
from toolkit.repairs import Repairs
from toolkit.sources.sides import Sides
from toolkit.testing.synapse import ApiUser, Synapse
from toolkit.watch.watch import Look, Watch

PATIENCE = 15.0


class Bot(NamedTuple):
    """A bot in sync, with what a watch of it needs."""

    user: ApiUser
    guests: list[Guest]
    sides: Sides
    database: Path

    @property
    def rooms(self) -> int:
        return sum(1 + len(guest.chats) for guest in self.guests)


async def settle(synapse: Synapse, folder: Path, name: str, chats: int) -> Bot:
    """Its rooms, and the rows that the toolkit gives it for them."""
    user = ApiUser(synapse.url, synapse.register(name))
    guests = await asyncio.to_thread(make_rooms, synapse, user, chats)
    database = folder / f"{name}.db"
    sides = Sides(Convention(), synapse.url, user.account.access_token, database)
    async with SQLiteStore(database):
        pass  # one that is new is told of
    async with sides.open_client() as client, SQLiteStore(database) as store:
        await reconcile_matrix_state(client, store, ChatManager(store))
    return Bot(user, guests, sides, database)


class Followed:
    """What a watch has seen last."""

    def __init__(self, road: Repairs) -> None:
        self._road = road
        self._last: Look | None = None
        self._news = asyncio.Condition()

    async def see(self, look: Look) -> bool:
        """Plan, as all do who are shown one."""
        self._road.plan(look.remote, self._road.read(look.rows), {})
        async with self._news:
            self._last = look
            self._news.notify_all()
        return True

    async def until(self, shows: Callable[[Look], bool]) -> None:
        """Wait for a look that shows it."""
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: self._last is not None and shows(self._last))


@asynccontextmanager
async def watching(bot: Bot) -> AsyncIterator[Followed]:
    """A watch that has looked once, and goes on."""
    road = Repairs(bot.sides)
    followed = Followed(road)
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(Watch(road, tell=_refuse).run(followed.see))
        await followed.until(lambda look: True)
        yield followed
        watch.cancel()


def _refuse(trouble: str) -> None:
    raise AssertionError(trouble)
