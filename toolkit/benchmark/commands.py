"""What the start of a command costs: a process of its own, to its end."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from toolkit.benchmark.lines import Line
from toolkit.benchmark.serving import serving
from toolkit.benchmark.stages import fill
from toolkit.benchmark.worlds import scale_rooms

CHECK = "import sys; from toolkit.cli import main; main()"
LIBRARIES = "import aiohttp, aiosqlite, click, msgspec, rich.console, rich.table, rich.progress"


def measure_check(chats: int, rounds: int) -> Iterator[Line]:
    """`matrix-drift check` of a bot that is in sync, against loading the libraries that it takes."""
    rooms = dict(scale_rooms(chats))
    with tempfile.TemporaryDirectory() as folder, serving(rooms) as served:
        database = Path(folder) / "bot.db"
        fill(database, chats, drift_every=0)
        bot = {
            "MATRIX_HOMESERVER": served.server.url,
            "MATRIX_ACCESS_TOKEN": served.server.access_token,
            "BOT_DATABASE": str(database),
        }
        check = min(_cpu([CHECK, "check"], bot, 0) for _ in range(rounds))
        libraries = min(_cpu([LIBRARIES], {}, 0) for _ in range(rounds))
    what = f"matrix-drift check of {len(rooms)} rooms against loading its libraries"
    yield Line(chats, what, check, libraries, 1.8)


def _cpu(code: list[str], variables: Mapping[str, str], wanted: int) -> float:
    """CPU seconds of a Python process that ends with this exit code."""
    environment = {**os.environ, **variables}
    process = subprocess.Popen(
        [sys.executable, "-c", *code], env=environment, stdout=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == wanted
    return used.ru_utime + used.ru_stime
