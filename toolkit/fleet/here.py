"""A fleet in one process, on one event loop: the network is what is waited for. Others beside it may judge."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from toolkit.fleet.judges import Judges, judges
from toolkit.fleet.outcome import Outcome
from toolkit.fleet.task import Task
from toolkit.fleet.turns import in_turn


class Watcher(Protocol):
    """Who hears how far a run is."""

    def begun(self, bot: str) -> None:
        """It is a bot's turn."""

    def told(self, bot: str, done: int, total: int, word: str) -> None:
        """So many of its rooms are read, of how many, and a word about waiting (mostly empty)."""

    async def ended(self, outcome: Outcome) -> None:
        """A bot is done; of one that failed, this says why."""


async def run_here(
    tasks: Sequence[Task], at_once: int, watcher: Watcher, processes: int | None = None
) -> None:
    """Run them, so many at a time, in their order; who would write to one database, one after the other."""
    turns = asyncio.Semaphore(at_once)
    async with judges(len(tasks), at_once, processes) as who:
        await _run_all(tasks, turns, watcher, who)


async def _run_all(
    tasks: Sequence[Task], turns: asyncio.Semaphore, watcher: Watcher, who: Judges
) -> None:
    async def run(task: Task) -> None:
        name = task.bot.name
        watcher.begun(name)
        outcome = await task.run(
            lambda done, total, word: watcher.told(name, done, total, word), who
        )
        await watcher.ended(outcome)

    async def run_queue(queue: list[Task]) -> None:
        """In one place: who waits for another holds none."""
        async with turns:
            for task in queue:
                await run(task)

    async with asyncio.TaskGroup() as group:
        for queue in in_turn(tasks):
            group.create_task(run_queue(queue))
