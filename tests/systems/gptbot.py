"""matrix-gptbot's own code: its migrations, and its command `space`, which makes a Space and its row.

`python -m tests.systems.gptbot JSON` plays what users write to a bot with a new database, and prints the
Space of each user who enabled one. `enable and die` is the last thing that the bot does.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import nio

own_migrations: Any = import_module("gptbot.migrations")
own_space: Any = import_module("gptbot.commands.space")


class Bot:
    """What the command asks of its bot."""

    logo_uri = None

    def __init__(self, client: nio.AsyncClient, database: sqlite3.Connection) -> None:
        self.matrix_client, self.database = client, database
        self.logger = SimpleNamespace(log=lambda *_: None)
        self.made = ""

    async def create_space(self, name: str) -> str:
        """As `GPTBot.create_space` does it."""
        private = nio.RoomVisibility.private
        answer = await self.matrix_client.room_create(name=name, visibility=private, space=True)
        self.made = str(answer.room_id)
        return self.made

    async def add_rooms_to_space(self, space: str, rooms: list[str]) -> None:
        """There are none."""
        assert not rooms

    async def send_message(self, *_: Any) -> None:
        """Nobody reads it."""


async def main(told: dict[str, Any]) -> None:
    url, user, device, token = told["bot"]
    client = nio.AsyncClient(url, user)
    client.user_id, client.device_id, client.access_token = user, device, token
    database = sqlite3.connect(told["database"])
    own_migrations.migrate(database)
    bot, invite = Bot(client, database), client.room_invite
    made: dict[str, str] = {}

    async def invite_and_die(space: str, user: str) -> None:
        await invite(space, user)
        sys.stdout.write(json.dumps({**made, user: space}))
        sys.stdout.flush()
        os._exit(9)  # between the INSERT and its commit

    for sender, what in told["said"]:
        if what == "enable and die":
            client.room_invite = invite_and_die
        event = SimpleNamespace(sender=sender, body=f"!gptbot space {what.split()[0]}")
        await own_space.command_space(None, event, bot)
        made[sender] = bot.made
    await client.close()
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
