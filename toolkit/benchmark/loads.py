"""What a whole load of rooms costs the client, over real HTTP from a fake homeserver on loopback."""

import asyncio
import json
import statistics
from collections.abc import Awaitable, Callable, Iterator
from urllib.parse import quote

import aiohttp

from toolkit.benchmark.lines import Line
from toolkit.benchmark.serving import Served, serving
from toolkit.benchmark.worlds import scale_rooms
from toolkit.convention import Convention
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.transport import PlainClient

AT_ONCE = 8


def measure_loads(chats: int, rounds: int) -> Iterator[Line]:
    """By `/state` against raw requests whose answers are parsed, and by sliding sync against `/state`."""
    with serving(dict(scale_rooms(chats)), sliding_sync=True) as served:
        ways: list[Callable[[Served], Awaitable[int]]] = [_by_state, _raw, _by_sliding_sync]
        state, raw, slid = _in_turn(served, ways, rounds)
    yield Line(chats, "all rooms by /state against the same requests, parsed", state, raw, 1.3)
    yield Line(chats, "all rooms by sliding sync against /state", slid, state, 0.5)


def _in_turn(
    served: Served, ways: list[Callable[[Served], Awaitable[int]]], rounds: int
) -> Iterator[float]:
    """Medians of CPU seconds; in turn, so that a busy neighbour hits all."""
    times: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        counts = set()
        for way, taken in zip(ways, times, strict=True):
            begun = served.client_cpu()
            counts.add(asyncio.run(_count(way, served)))
            taken.append(served.client_cpu() - begun)
        assert len(counts) == 1, "all must read the same rooms"
    return map(statistics.median, times)


async def _count(way: Callable[[Served], Awaitable[int]], served: Served) -> int:
    return await way(served)


async def _by_state(served: Served) -> int:
    return await _load(served, sliding_sync=False)


async def _by_sliding_sync(served: Served) -> int:
    return await _load(served, sliding_sync=True)


async def _load(served: Served, *, sliding_sync: bool) -> int:
    async with PlainClient(served.server.url, served.server.access_token) as client:
        remote = await load_remote(client, Convention(), local_rows=True, sliding_sync=sliding_sync)
    return len(remote.rooms)


async def _raw(served: Served) -> int:
    """What any client has to do: ask, and parse what comes."""
    base = f"{served.server.url}/_matrix/client/v3"
    header = {"Authorization": f"Bearer {served.server.access_token}"}
    async with aiohttp.ClientSession(headers=header) as session:
        async with session.get(f"{base}/joined_rooms") as answer:
            waiting = json.loads(await answer.read())["joined_rooms"]
        count = len(waiting)

        async def work() -> None:
            while waiting:
                async with session.get(f"{base}/rooms/{quote(waiting.pop())}/state") as answer:
                    json.loads(await answer.read())

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    return count
