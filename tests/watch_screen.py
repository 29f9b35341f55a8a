"""What `check --watch` shows of a small bot whose chat is renamed, and whose row then follows, by the product itself.

`python -m tests.update_readme watch` puts it into the README.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from asyncio.subprocess import PIPE
from pathlib import Path

from tests.bench import A2, BOT, TOKEN, Bench, small_rows
from toolkit.testing import FakeHomeserver


async def show(folder: Path) -> str:
    """Everything from the first change on."""
    bench = Bench(folder / "bot.db")
    bench.fill(small_rows())
    async with FakeHomeserver(bench.world.rooms, BOT, TOKEN, sliding_sync=True) as server:
        named = {"MATRIX_HOMESERVER": server.url, "MATRIX_ACCESS_TOKEN": TOKEN}
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from toolkit.cli import main; main()", "check", "--watch"),
            env=os.environ | named | {"BOT_DATABASE": str(bench.path)},
            stdout=PIPE,
        )
        assert process.stdout
        await _until(process.stdout, "In sync")
        bench.world.name("!a2", "Отпуск")
        told = await _until(process.stdout, "In drift now")
        bench.put({A2: small_rows()[A2] | {"display_name": "Отпуск"}})
        told += await _until(process.stdout, "In sync")
        process.terminate()
        await process.wait()
    return "".join(told)


async def _until(lines: asyncio.StreamReader, begin: str) -> list[str]:
    told = list[str]()
    while not (told and told[-1].startswith(begin)):
        told.append((await lines.readline()).decode())
    return told


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        sys.stdout.write(asyncio.run(show(Path(name))))
