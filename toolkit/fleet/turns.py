"""Whose turn it is: bots on one database are written to one after the other, all others side by side."""

from collections.abc import Hashable, Iterable
from pathlib import Path

from toolkit.fleet.task import Task


def in_turn(tasks: Iterable[Task], *, machines: bool = False) -> list[list[Task]]:
    """Tasks that may run side by side, each followed by those that have to wait for it; order is kept.

    With several `machines` a path is a file of the bot's `worker`, if it has one. Who only reads waits for nobody.
    """
    queues: dict[Hashable, list[Task]] = {}
    for task in tasks:
        queues.setdefault(_shared(task, machines=machines), []).append(task)
    return [*queues.values()]


def _shared(task: Task, *, machines: bool) -> Hashable:
    if not task.action.writes:
        return task.bot.name
    identity = task.bot.identity
    return (task.bot.worker, identity) if machines and isinstance(identity, Path) else identity
