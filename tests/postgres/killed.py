"""A writer on a server, in a process of its own that dies by SIGKILL at a named step."""

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


async def write(dsn: str, beside: str) -> None:
    """Repair the small world's rows."""
    bench = ServerBench(Path(beside), dsn=dsn)
    async with bench.store() as store:
        await bench.run(store)


if __name__ == "__main__":
    killed.serve(write)
