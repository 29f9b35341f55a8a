"""A writer in a process of its own, which dies by SIGKILL at a named step.

`python -m tests.killed` reads one order a line (`[database, step, calls, manager]`) and answers with the
exit code of the process that carried it out: a fork of this one, so that the imports are paid once.
"""

import asyncio
import inspect
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from tests.bench import Bench, Mine, SyncManager
from toolkit.database.store import SQLiteStore
from toolkit.database.transaction import Transaction
from toolkit.writing.journal import RunJournal

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


async def write(database: Path, manager: str) -> None:
    """Repair the small world's rows."""
    bench = Bench(database)
    async with SQLiteStore(database) as store:
        managers = {"none": None, "own": Mine(store), "foreign": SyncManager(database)}
        await bench.run(store, managers[manager])


def carry_out(database: str, step: str, calls: int, manager: str) -> int:
    """The exit code of a fork that does it: -9 if it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            arm(step, calls)
            asyncio.run(write(Path(database), manager))
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        sys.stdout.write(f"{carry_out(*json.loads(line))}\n")
        sys.stdout.flush()
