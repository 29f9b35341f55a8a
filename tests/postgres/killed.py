"""A writer on a server, in a process of its own that dies by SIGKILL at a named step.

`python -m tests.postgres.killed` reads one order a line (`[dsn, beside, step, calls]`) and answers with the exit
code of the process that carried it out: a fork of this one, so that the imports are paid once.
"""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path

from tests import killed
from tests.postgres.server_bench import ServerBench
from toolkit.database.postgres.journal import Journal
from toolkit.database.postgres.store import PostgresStore
from toolkit.database.postgres.transaction import Transaction

killed.STEPS |= {
    "backup": (PostgresStore, "backup"),
    "append": (Journal, "append"),
    "write": (Transaction, "write"),
    "note": (Transaction, "note"),
    "commit": (Transaction, "commit"),
}


async def write(bench: ServerBench) -> None:
    """Repair the small world's rows."""
    async with bench.store() as store:
        await bench.run(store)


def carry_out(dsn: str, beside: str, step: str, calls: int) -> int:
    """The exit code of a fork that does it: -9 if it was killed."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            killed.arm(step, calls)
            asyncio.run(write(ServerBench(Path(beside), dsn=dsn)))
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
