"""What a watch sees when, and what it costs whom: `python -m toolkit.benchmark.watch`.

On a throw-away Synapse, for bots with few rooms and with many. How long it takes is counted from before the change is
asked for until the look that shows it is planned, and the bots' watches go on at once; then what each costs, one after
the other. CPU is that of the homeserver's process, less what it takes when nobody asks anything, and of this one.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from toolkit.benchmark.changes import each_change
from toolkit.benchmark.lines import cpu_of
from toolkit.benchmark.watched import Bot, settle, watching
from toolkit.homeserver.following import Following
from toolkit.homeserver.reading import Source
from toolkit.homeserver.readonly import read_only
from toolkit.homeserver.server import Homeserver
from toolkit.repairs import Repairs
from toolkit.testing.synapse import Synapse
from toolkit.watch.watch import BREATH_SECONDS, ROWS_SECONDS

TIMES = 8
SECONDS = 1.0  # in which nothing happens
POLL_SECONDS = 0.05  # of the 30 that one waits; what it costs is its beginning and its end
POLL = "a request that waited and heard nothing"
NOTHING_NEW, ONE_NEW = "a look at what changed: no room", "a look at what changed: one room"
WHOLE = "a look at everything"
CONNECTION = "the first request of a connection"
LIST = "a list of joined rooms"
SAID, SAID_WATCHED = "a message in a room, without a watch", "a message in a room, with a watch"
SECOND = "a second in which nothing happens"
HOMESERVERS = (SECOND, POLL, NOTHING_NEW, ONE_NEW, WHOLE, CONNECTION, LIST, SAID, SAID_WATCHED)
WATCHS = (SECOND, ONE_NEW, WHOLE)
Run = Callable[[], Awaitable[object]]


class Cost(NamedTuple):
    """CPU seconds of one time."""

    homeserver: float
    watch: float


async def measure_latency(bot: Bot, rounds: int) -> Mapping[str, list[float]]:
    """Kind of change -> seconds until a look showed it, each time."""
    taken: dict[str, list[float]] = {}
    async with watching(bot) as followed:
        for number in range(rounds):
            await asyncio.sleep(ROWS_SECONDS)  # for what is left of an upgrade
            for change in each_change(bot.user, bot.guests[0], bot.database, number):
                # The breath, and each time another part of the rhythm in which rows are asked for.
                await asyncio.sleep(BREATH_SECONDS + ROWS_SECONDS * number / rounds)
                began = time.monotonic()
                await asyncio.to_thread(change.do)
                await followed.until(change.shows)
                taken.setdefault(change.kind, []).append(time.monotonic() - began)
    return taken


async def measure_costs(bot: Bot, pid: int, rounds: int) -> Mapping[str, Cost]:
    """What each thing costs that a watch does, or that it has the homeserver do besides."""

    async def say() -> None:
        await asyncio.to_thread(bot.user.send_text, bot.guests[-1].chats[0], "Привет")

    async with watching(bot):
        await asyncio.sleep(BREATH_SECONDS)
        idle = [await _cost(lambda: asyncio.sleep(SECONDS), pid, 0.0, 1) for _ in range(rounds)]
    calm, watch = (statistics.median(parts) / SECONDS for parts in zip(*idle, strict=True))
    taken: dict[str, list[Cost]] = {SAID: [], SAID_WATCHED: []}
    for _ in range(rounds):
        taken[SAID].append(await _cost(say, pid, calm))
        async with watching(bot):
            taken[SAID_WATCHED].append(await _cost(say, pid, calm))
    async for what, run in _requests(bot):
        taken[what] = [await _cost(run, pid, calm) for _ in range(rounds)]
    # What else the machine does only ever adds to it.
    costs = {what: Cost(*map(min, zip(*times, strict=True))) for what, times in taken.items()}
    return {**costs, SECOND: Cost(calm, watch)}


async def _requests(bot: Bot) -> AsyncIterator[tuple[str, Run]]:
    """What a watch asks for again and again, asked as it does."""
    road, room = Repairs(bot.sides), bot.guests[-1].chats[0]
    known, _ = await road.look(None)

    async def look(changed: Collection[str] | None) -> None:
        found = road.look(None) if changed is None else road.look_again(known, changed)
        remote, rows = await found
        road.plan(remote, road.read(rows), {})

    yield WHOLE, lambda: look(None)
    yield NOTHING_NEW, lambda: look(())
    yield ONE_NEW, lambda: look((room,))
    async with bot.sides.open_client() as client:
        guarded: Any = read_only(client)
        server, following = Homeserver(guarded), _following()
        await server.follow(following, 0)
        yield POLL, lambda: server.follow(following, POLL_SECONDS)
        yield CONNECTION, lambda: server.follow(_following(), 0)
        yield LIST, Source(client, bot.sides.convention).joined_rooms


def _following() -> Following:
    return Following((), secrets.token_hex(8))


async def _cost(run: Run, pid: int, calm: float, times: int = TIMES) -> Cost:
    """Of one of so many times; the homeserver takes `calm` in a second whatever is done."""
    began, homeserver, ours = time.monotonic(), cpu_of(pid), time.process_time()
    for _ in range(times):
        await run()
    watch = time.process_time() - ours
    await asyncio.sleep(0.1)  # the homeserver goes on for a moment after an answer
    spent = cpu_of(pid) - homeserver - calm * (time.monotonic() - began)
    return Cost(spent / times, watch / times)


class Measured(NamedTuple):
    """Of one bot."""

    rooms: int
    latency: Mapping[str, list[float]]
    costs: Mapping[str, Cost]


async def measure_watch(
    synapse: Synapse, folder: Path, chats: Sequence[int], rounds: int
) -> list[Measured]:
    """A bot of each size."""
    pid = synapse.pid
    assert pid is not None
    bots = [await settle(synapse, folder, f"bot{count}", count) for count in chats]
    sizes = [bot.rooms for bot in bots]
    latencies = await asyncio.gather(*(measure_latency(bot, rounds) for bot in bots))
    costs = [await measure_costs(bot, pid, rounds) for bot in bots]
    return [Measured(*each) for each in zip(sizes, latencies, costs, strict=True)]


def latency_table(found: Sequence[Measured]) -> Table:
    """The least and the most of each kind."""
    table = Table("seconds until a look shows it", *(f"{one.rooms} rooms" for one in found))
    for kind in found[0].latency:
        taken = [one.latency[kind] for one in found]
        table.add_row(kind, *(f"{min(times):.2f} to {max(times):.2f}" for times in taken))
    return table


def cost_table(found: Sequence[Measured]) -> Table:
    """Milliseconds, and how many times those of a look at everything."""
    columns = [text for one in found for text in (f"{one.rooms} rooms", "ratio")]
    table = Table("CPU, ms", *columns)
    for whose, lines in (("homeserver", HOMESERVERS), ("watch", WATCHS)):
        for what in lines:
            taken = [(getattr(one.costs[what], whose), one.costs[WHOLE]) for one in found]
            cells = [(f"{1000 * s:.1f}", f"{s / getattr(base, whose):.2f}") for s, base in taken]
            table.add_row(f"{whose}, {what}", *(text for pair in cells for text in pair))
    return table


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chats", type=int, nargs="+", default=[5, 50], help="of each bot")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with Synapse.start(folder / "synapse") as synapse:
            found = asyncio.run(measure_watch(synapse, folder, options.chats, options.rounds))
    console = Console(width=100)
    console.print(latency_table(found), cost_table(found))
    console.print(
        f"load of this machine meanwhile: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    )


if __name__ == "__main__":
    main()
