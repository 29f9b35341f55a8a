"""What bot code does that was written without a thought for cost, beside ours, on a real Synapse.

nio parses the whole sync into objects; then one `get` a key, and one committed `set` for each that is
gone. It knows no upgrades, no strangers and no conflicts; in the benchmark's world there are none.
"""

import asyncio
import json
import sqlite3
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import nio

from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state
from toolkit.benchmark.homes import make_rooms
from toolkit.benchmark.lines import Line
from toolkit.testing.synapse import Account, ApiUser, Synapse

Start = Callable[[nio.AsyncClient, Path], Awaitable[object]]


def measure_start(chats: int) -> Iterator[Line]:
    """A start-up with a fresh client and an empty database, on the wall and in CPU seconds."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Synapse.start(Path(folder) / "synapse") as synapse,
    ):
        bot = synapse.register("bot")
        make_rooms(synapse, ApiUser(synapse.url, bot), chats)
        ours, base = Path(folder) / "ours.db", Path(folder) / "naive.db"
        taken = asyncio.run(_start(run_ours, synapse, bot, ours))
        naive = asyncio.run(_start(run_naively, synapse, bot, base))
        assert _keys(ours) == _keys(base), "both must bring back the same rows"
    for unit, one, other in zip(("CPU", "wall"), taken, naive, strict=True):
        yield Line(
            chats, f"start-up on a real Synapse against naive bot code, {unit}", one, other, 0.5
        )


async def _start(run: Start, synapse: Synapse, bot: Account, database: Path) -> tuple[float, float]:
    with closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
    client = nio.AsyncClient(synapse.url, bot.user_id)
    client.access_token, client.user_id = bot.access_token, bot.user_id
    begun = time.process_time(), time.monotonic()
    await run(client, database)
    taken = time.process_time() - begun[0], time.monotonic() - begun[1]
    await client.close()
    return taken


async def run_ours(client: nio.AsyncClient, database: Path) -> None:
    """The toolkit's start-up."""
    async with SQLiteStore(database) as store:
        await reconcile_matrix_state(client, store, ChatManager(store))


async def run_naively(client: nio.AsyncClient, database: Path) -> None:
    """Sync, then look at the rows of every chat one by one."""
    await client.sync(full_state=True)
    async with aiosqlite.connect(database) as connection:
        for room_id, room in client.rooms.items():
            if room.room_type != "m.space":
                await _restore_chat(connection, room_id, room)


def _keys(database: Path) -> set[str]:
    with closing(sqlite3.connect(database)) as connection:
        return {key for (key,) in connection.execute("SELECT key FROM kv")}


async def _restore_chat(connection: aiosqlite.Connection, room_id: str, room: Any) -> None:
    owner = next(u for u in (*room.users, *room.invited_users) if u != room.own_user_id)
    chat_id = f"C{room.name.rpartition(' ')[2]}"
    space_id = next(iter(room.parents))
    if await _get(connection, f"matrix_user:{owner}") is None:
        await _set(connection, f"matrix_user:{owner}", {"space_id": space_id})
    if await _get(connection, f"matrix_room:{room_id}") is None:
        row = {"chat_id": chat_id, "matrix_user_id": owner, "space_id": space_id}
        await _set(connection, f"matrix_room:{room_id}", row)
    if await _get(connection, f"chat:{owner}:{chat_id}") is None:
        await _set(connection, f"chat:{owner}:{chat_id}", {"surface_ref": room_id})


async def _get(connection: aiosqlite.Connection, key: str) -> Any:
    async with connection.execute("SELECT value FROM kv WHERE key = ?", (key,)) as cursor:
        row = await cursor.fetchone()
    return json.loads(row[0]) if row else None


async def _set(connection: aiosqlite.Connection, key: str, value: dict[str, Any]) -> None:
    await connection.execute("INSERT OR REPLACE INTO kv VALUES (?, ?)", (key, json.dumps(value)))
    await connection.commit()
