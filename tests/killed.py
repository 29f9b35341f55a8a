"""A writer in a process of its own, which dies by SIGKILL at a named step.

`python -m tests.killed` repairs rows so, and other modules have other work; `killing` gives them orders, `serve`
carries each out in a fork of its process, so that the imports are paid once.
"""

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from tests.bench import Bench, Mine, SyncManager
from toolkit.database.journal import RunJournal
from toolkit.database.store import SQLiteStore
from toolkit.database.transaction import Transaction

STEPS: dict[str, tuple[Any, str]] = {
    "backup": (SQLiteStore, "backup"),
    "begin": (RunJournal, "begin"),
    "write": (Transaction, "write"),
    "commit": (Transaction, "commit"),
    "finish": (RunJournal, "finish"),
    "foreign": (SyncManager, "get_or_create"),
    "own": (Mine, "get_or_create"),
}


def arm(step: str, calls: int) -> None:
    """Die before or after so many calls of a step, such as "before commit"; "never" is none."""
    when, _, name = step.partition(" ")
    if not name:
        return
    owner, method = STEPS[name]
    original = getattr(owner, method)
    left = calls

    def die_if(now: str) -> None:
        if left == 0 and when == now:
            os.kill(os.getpid(), signal.SIGKILL)

    async def armed_async(*args: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        die_if("before")
        result = await original(*args, **named)
        die_if("after")
        return result

    def armed(*args: Any, **named: Any) -> Any:
        nonlocal left
        left -= 1
        die_if("before")
        result = original(*args, **named)
        die_if("after")
        return result

    setattr(owner, method, armed_async if inspect.iscoroutinefunction(original) else armed)


def serve(work: Callable[..., Coroutine[Any, Any, None]]) -> None:
    """Read an order a line, `[step, calls, ...]` and then what the work is told; answer with its exit code."""
    for line in sys.stdin:
        step, calls, *told = json.loads(line)
        child = os.fork()
        if child == 0:
            code = 1
            try:
                arm(step, calls)
                asyncio.run(work(*told))
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
        sys.stdout.flush()


class Order(Protocol):
    """Work to be killed at a step; its exit code, -9 if it was."""

    def __call__(self, step: str, calls: int, *told: str) -> int: ...


@contextmanager
def killing(module: str) -> Iterator[Order]:
    """Have a module carry out orders, in a process that ends with us."""
    with subprocess.Popen(
        [sys.executable, "-m", module],
        cwd=Path(__file__).parent.parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as helper:
        orders, answers = helper.stdin, helper.stdout
        assert orders and answers

        def order(step: str, calls: int, *told: str) -> int:
            orders.write(json.dumps([step, calls, *told]) + "\n")
            orders.flush()
            return int(answers.readline())

        yield order
        orders.close()


async def write(database: str, manager: str) -> None:
    """Repair the small world's rows."""
    path = Path(database)
    bench = Bench(path)
    async with SQLiteStore(path) as store:
        managers = {"none": None, "own": Mine(store), "foreign": SyncManager(path)}
        await bench.run(store, managers[manager])


if __name__ == "__main__":
    serve(write)
