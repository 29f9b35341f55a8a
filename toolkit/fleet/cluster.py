"""The same on a Dask cluster: each bot is a coroutine task, wherever there is room.

Plain tasks that run a loop of their own in a thread stood still in two of six runs, coroutine tasks never. What
travels is a `Task`, and back comes an `Outcome`: neither has a token, and no exception of ours leaves a worker. A
worker that is lost is no loss: its bots are looked at again elsewhere, from the start.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from distributed import CancelledError, Client, Future, KilledWorker, get_worker
from distributed.security import Security

from toolkit.errors import ToolkitError
from toolkit.fleet.here import Watcher
from toolkit.fleet.outcome import Outcome, failure
from toolkit.fleet.task import Task
from toolkit.fleet.turns import in_turn
from toolkit.text.visible import visible

_TOPIC = "matrix-drift-fleet"
_EVERY = 0.5
"""Seconds between two words of a task about how far it is: they go through the scheduler."""

CONNECT_SECONDS, WORKER_SECONDS = 10.0, 20.0


@dataclass(frozen=True)
class Cluster:
    """A scheduler's address, and the files by which it and we know each other."""

    scheduler: str
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None

    @property
    def encrypted(self) -> bool:
        return self.scheduler.startswith("tls://")

    def security(self) -> Security | None:
        """None without TLS; what isn't given is what Dask's own configuration says."""
        if not self.encrypted:
            return None
        files = {"tls_ca_file": self.ca, "tls_client_cert": self.cert, "tls_client_key": self.key}
        for path in files.values():
            if path is not None and not path.is_file():
                raise ToolkitError(f"There is no file {path}.")
        given = {name: str(path) for name, path in files.items() if path is not None}
        return Security(require_encryption=True, **given)


async def run_on(cluster: Cluster, tasks: Sequence[Task], watcher: Watcher) -> None:
    """Run them on the cluster's workers, as many at a time as these have threads; who would write to one
    database, one after the other. Raises `ToolkitError`."""
    client = await _connect(cluster)
    try:
        workers = await _workers(client, cluster)
        client.subscribe_topic(_TOPIC, lambda event: _hear(event, watcher))
        run = f"{time.time_ns():x}"
        async with asyncio.TaskGroup() as group:
            for queue in in_turn(tasks, machines=True):
                group.create_task(_run_queue(queue, _Crew(client, workers, run), watcher))
    finally:
        await client.close()


@dataclass(frozen=True)
class _Crew:
    """Who takes tasks, under what names they may be asked for, and what tells this run's tasks from others'."""

    client: Client
    workers: Collection[str]
    run: str

    def submit(self, task: Task, waited: int) -> "Future[Outcome]":
        """Have it run. Of those that wait for a thread, one that has `waited` for others is the first.

        Raises Dask's own error if the scheduler is lost: a client that looks for it again never says so.
        """
        if self.client.status != "running":
            raise CancelledError(task.bot.name)
        wanted = task.bot.worker
        return self.client.submit(
            run_task,
            task,
            key=f"fleet-{task.action}-{task.bot.name}-{self.run}",
            workers=None if wanted is None else [wanted],
            priority=waited,
            pure=False,
        )


async def _run_queue(queue: Sequence[Task], crew: _Crew, watcher: Watcher) -> None:
    """One after the other: what waits for another is no task of the cluster's yet, and keeps no thread."""
    for waited, task in enumerate(queue):
        wanted = task.bot.worker
        if wanted is not None and wanted not in crew.workers:
            why = f"There is no worker {visible(repr(wanted))} in the cluster."
            await watcher.ended(failure(task.bot.name, why))
        else:
            await watcher.ended(await _outcome(partial(crew.submit, task, waited), task))


async def run_task(task: Task) -> Outcome:
    """What a worker runs."""
    worker, last = get_worker(), -_EVERY

    def tell(done: int, total: int, word: str) -> None:
        nonlocal last
        now = time.monotonic()
        if word or now - last >= _EVERY:
            last = now
            worker.log_event(_TOPIC, [task.bot.name, done, total, word])

    tell(0, 0, "")
    return await task.run(tell)


def _hear(event: tuple[float, Any], watcher: Watcher) -> None:
    name, done, total, word = event[1]
    if not total and not word:
        watcher.begun(name)
    watcher.told(name, done, total, word)


async def _connect(cluster: Cluster) -> Client:
    security = cluster.security()
    client = Client(
        cluster.scheduler,
        security=security,
        asynchronous=True,
        timeout=CONNECT_SECONDS,
        set_as_default=False,
    )
    try:
        await client
        return client
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    await client.close()
    raise ToolkitError(
        f"The scheduler {cluster.scheduler} can't be reached: {why.rstrip('.')}; "
        "check its address, that it runs, and the certificates."
    )


async def _workers(client: Client, cluster: Cluster) -> set[str]:
    """What its workers may be called: address, host and name. Raises `ToolkitError` if there are none."""
    try:
        await client.wait_for_workers(1, timeout=WORKER_SECONDS)
    except TimeoutError:
        raise ToolkitError(
            f"The scheduler {cluster.scheduler} has no worker: start one with `dask worker`."
        ) from None
    info = client.scheduler_info(n_workers=-1)["workers"]
    return {str(name) for address, w in info.items() for name in (address, w["host"], w["name"])}


async def _outcome(submit: "Callable[[], Future[Outcome]]", task: Task) -> Outcome:
    """What a task gave back. What else comes of it is Dask's own: nothing of ours is in that."""
    try:
        outcome: Outcome = await submit().result()
        return outcome
    except KilledWorker:
        why = "Its worker died, and so did the others that tried: their logs may say of what."
    except CancelledError:  # Dask's, not asyncio's
        why = "The scheduler was lost before it was done."
    except ModuleNotFoundError as error:
        why = f"The worker lacks the package {error.name}: pip install 'matrix-drift[fleet]' there."
    except Exception as error:
        why = f"The cluster gave no result: {type(error).__name__}."
    return failure(task.bot.name, why)
