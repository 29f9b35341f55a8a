"""A bot with users and their rows, and what a client that remembers asks for it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import nio

from tests.clients import TOKEN, nio_client
from tests.homeserver.meeting import said
from tests.worlds import BOT
from toolkit.convention import Convention
from toolkit.database.look import Look, load_look
from toolkit.database.store import InMemoryStore
from toolkit.homeserver.reading import load_remote, load_unsettled
from toolkit.homeserver.vicinity import load_vicinity
from toolkit.model import Plan, RemoteState
from toolkit.planning.one_room import narrow_plan
from toolkit.planning.plan import plan_repairs
from toolkit.records import Raw, chat_key, load_records, room_key, user_key
from toolkit.testing import FakeHomeserver, World

ALICE, BOB, CAROL = "@alice:example.org", "@bob:example.org", "@carol:example.org"
PLAIN = Convention()
Rows = dict[str, dict[str, Any]]


class Bot:
    """Users with two chats each, and the rows that a bot has that never failed."""

    def __init__(self, *users: str) -> None:
        self.world = World(BOT)
        self.rows: Rows = {}
        for user in users:
            self.add_user(user)

    def add_user(self, user: str) -> None:
        name = user[1:].partition(":")[0]
        space = self.world.space(f"!{name}", owner=user)
        self.rows[user_key(user)] = {"space_id": space, "next_chat_index": 3}
        for number in (1, 2):
            self.add_chat(user, f"!{name}{number}", f"C{number}", space)

    def add_chat(self, user: str, room_id: str, chat_id: str, space: str) -> None:
        title = f"Чат {chat_id[1:]}"
        self.world.chat(room_id, space, title, owner=user)
        self.rows[room_key(room_id)] = {
            "room_type": "chat",
            "chat_id": chat_id,
            "display_name": title,
            "matrix_user_id": user,
            "space_id": space,
        }
        self.rows[chat_key(user, chat_id)] = {
            "user_id": user,
            "chat_id": chat_id,
            "platform": "matrix",
            "surface_ref": room_id,
            "name": "mine",
        }

    async def store(self) -> InMemoryStore:
        store = InMemoryStore()
        for key, row in self.rows.items():
            await store.set(key, row)
        return store

    def plan_of(self) -> Callable[[RemoteState], Plan]:
        rows: dict[str, Raw] = {
            key: json.dumps(row, ensure_ascii=False) for key, row in self.rows.items()
        }
        local = load_records(rows.items())
        return lambda remote: plan_repairs(remote, local, PLAIN)

    async def reads(self, *, sync: bool = True) -> tuple[list[str], Plan]:
        """What a start-up of a synced bot asks the homeserver for, and what comes of it."""
        plan_of = self.plan_of()
        async with self.asked(sync=sync) as (client, server):
            remote = (await load_unsettled(client, PLAIN, plan_of, local_rows=True))[0]
            asked = paths(server)
            truth = plan_of(await load_remote(client, PLAIN, local_rows=True))
        plan = plan_of(remote)
        assert (plan.units, plan.skipped, plan.notes) == (truth.units, truth.skipped, truth.notes)
        return asked, plan

    async def meets(self, room_id: str, user: str, *, sync: bool = True) -> tuple[list[str], Plan]:
        """What one room costs, and what is said about it: the same as by a look at everything."""
        rows = load_records((await self.look()).rows.items())
        async with self.asked(sync=sync) as (client, server):
            _, plan = await load_vicinity(
                client, await self.store(), PLAIN, (room_id, user), plan_repairs
            )
            asked = paths(server)
            truth = plan_repairs(await load_remote(client, PLAIN, local_rows=True), rows, PLAIN)
        assert said(plan) == said(narrow_plan(truth, rows, room_id, user))
        return asked, plan

    async def look(self) -> Look:
        return await load_look(await self.store())

    @asynccontextmanager
    async def asked(self, *, sync: bool) -> AsyncIterator[tuple[nio.AsyncClient, FakeHomeserver]]:
        """A client, and the homeserver that remembers what it was asked from here on."""
        async with (
            FakeHomeserver(self.world.rooms, BOT, TOKEN) as server,
            nio_client(server.url, BOT) as client,
        ):
            if sync:
                await client.sync(full_state=True)
            server.requests.clear()
            yield client, server


def paths(server: FakeHomeserver) -> list[str]:
    return [request.path.removeprefix("/_matrix/client/v3/") for request in server.requests]


def states(*room_ids: str) -> list[str]:
    return sorted(f"rooms/{room_id}/state" for room_id in room_ids)


def rooms_in(asked: list[str]) -> list[str]:
    return sorted(path for path in asked if path.endswith("/state"))


# -- light stand-ins ------------------------------------------------------------------------------


def plan_without_rows(remote: RemoteState) -> Plan:
    return plan_repairs(remote, load_records([]), PLAIN)


async def load_remote_of(client: Any) -> RemoteState:
    return (await load_unsettled(client, PLAIN, plan_without_rows, local_rows=False))[0]
