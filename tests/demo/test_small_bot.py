"""A bot as a process of its own, on a real Synapse: whatever becomes of its rows, it goes on answering."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import nio
import pytest

from tests.homes import Home, rows_in, settle, write_database
from toolkit.records import chat_key, encode_row, room_key, user_key
from toolkit.testing import Synapse

ROOT = Path(__file__).parent.parent.parent
SECONDS = 60.0


class Bot:
    """The process, and what it logs."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process, self.log = process, log

    @property
    def lines(self) -> list[str]:
        return self.log.read_text(encoding="utf-8").splitlines()

    async def wait_until(self, done: Callable[[], Awaitable[bool]]) -> None:
        end = time.monotonic() + SECONDS
        while not await done():
            assert self.process.poll() is None, self.lines
            assert time.monotonic() < end, self.lines
            await asyncio.sleep(0.1)

    async def says(self, start: str) -> None:
        """Until it has logged a line that begins so."""

        async def said() -> bool:
            return any(line.startswith(start) for line in self.lines)

        await self.wait_until(said)


@contextmanager
def running(url: str, user_id: str, token: str, database: Path) -> Iterator[Bot]:
    log = database.with_name("bot.log")
    env = {**os.environ, "MATRIX_HOMESERVER": url, "MATRIX_USER": user_id}
    env |= {"MATRIX_ACCESS_TOKEN": token, "BOT_DATABASE": str(database)}
    command = [sys.executable, "-m", "toolkit.demo.small_bot"]
    with (
        log.open("wb") as out,
        subprocess.Popen(command, cwd=ROOT, env=env, stdout=out, stderr=out) as process,
    ):
        try:
            yield Bot(process, log)
        finally:
            process.kill()


@pytest.fixture(scope="module")
def home(synapse: Synapse) -> Home:
    home = settle(synapse, "bot-answering", "ada", "ben")
    for name in ("ada", "ben"):
        home.space(name)
        home.people[name].join(home.chat(name, 1))
    return home


def store(path: Path, key: str, text: str | None) -> None:
    """Write or delete a row as somebody does by hand."""
    with closing(sqlite3.connect(path, timeout=5)) as database, database:
        database.execute("DELETE FROM kv WHERE key = ?", (key,))
        if text is not None:
            database.execute("INSERT INTO kv VALUES (?, ?)", (key, text))


async def answers(home: Home, name: str) -> list[str]:
    """What the bot has said in a user's chat, oldest first."""
    person = home.people[name]
    client = nio.AsyncClient(person.url, person.user_id)
    client.access_token = person.account.access_token
    found = await client.room_messages(home.rooms[f"{name}/1"], limit=100)
    await client.close()
    assert isinstance(found, nio.RoomMessagesResponse)
    said = [event.body for event in found.chunk if isinstance(event, nio.RoomMessageNotice)]
    return said[::-1]


async def test_a_corrupt_row_stops_the_chat_that_it_is_about_and_no_other(
    home: Home, tmp_path: Path
) -> None:
    ada, room_id = home.user("ada"), home.rooms["ada/1"]
    bens = room_key(home.rooms["ben/1"])
    right = {**home.rows("ada", 1), **home.rows("ben", 1)}
    database = write_database(tmp_path / "bot.db", right)
    account = home.bot.account

    def write(name: str, text: str) -> None:
        home.people[name].send_text(home.rooms[f"{name}/1"], text)

    with running(home.bot.url, account.user_id, account.access_token, database) as bot:

        async def answered(name: str, text: str) -> None:
            write(name, text)

            async def heard() -> bool:
                return f"C1: {text}" in await answers(home, name)

            await bot.wait_until(heard)

        await bot.says("INFO bot ready")
        for key in (room_key(room_id), chat_key(ada, "C1")):
            store(database, key, "{oops")
            store(database, bens, None)
            write("ada", f"unheard {key}")
            for what in ("unreadable_row", "no chat for certain"):
                named = f"room {room_id}, user {ada}, key {key}: "
                await bot.says(f"WARNING toolkit.bot {what}: {named}")
            await answered("ben", f"while {key} is corrupt")
            store(database, key, encode_row(right[key]))
            await answered("ada", f"{key} is mended")
            assert rows_in(database) == right
        store(database, user_key(ada), "{oops")
        await answered("ada", "still here")
    assert len(await answers(home, "ada")) == 3
    assert len(await answers(home, "ben")) == 2
    assert not any("Traceback" in line or account.access_token in line for line in bot.lines)
