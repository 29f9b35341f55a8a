"""The most memory that a look at both sides takes: `python -m toolkit.benchmark.memory CHATS DATABASE`.

A process of its own, since memory that was taken once isn't given back. It prints megabytes over what
the interpreter takes with everything imported.
"""

import asyncio
import re
import resource
import subprocess
import sys
from pathlib import Path

from toolkit.benchmark.worlds import BOT, scale_rooms
from toolkit.database.look import load_look
from toolkit.database.store import SQLiteStore
from toolkit.homeserver.room_state import decode_room
from toolkit.model import RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records


def measure_memory(chats: int, database: Path) -> float:
    """Megabytes at the peak: rows, rooms and plan of a world whose rows are in this database."""
    command = [sys.executable, "-m", "toolkit.benchmark.memory", str(chats), str(database)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout)


async def _look(chats: int, database: Path) -> None:
    """The bodies come one by one, as from a homeserver."""
    async with SQLiteStore(database, read_only=True) as store:
        look = await load_look(store)
    known: dict[str, str] = {}
    rooms = {room: decode_room(room, body, None, known) for room, body in scale_rooms(chats)}
    plan_repairs(RemoteState(BOT, rooms), load_records(look.rows))


def _peak() -> float:
    """In megabytes. On Linux not as `getrusage` has it, which begins with what the parent took."""
    status = Path("/proc/self/status")
    if status.exists():
        [most] = re.findall(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE)
        return int(most) / 1e3
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Look, and print the megabytes."""
    before = _peak()
    asyncio.run(_look(int(sys.argv[1]), Path(sys.argv[2])))
    sys.stdout.write(f"{_peak() - before:.1f}\n")


if __name__ == "__main__":
    main()
