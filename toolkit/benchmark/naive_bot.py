"""What bot code does that was written without a thought for cost: the benchmark's other side.

nio parses the whole sync into objects; then one `get` a key, and one committed `set` for each that is
gone. It knows no upgrades, no strangers and no conflicts; in the benchmark's world there are none.
"""

import json
from pathlib import Path
from typing import Any

import aiosqlite
import nio


def sync_body(rooms: list[tuple[str, bytes]]) -> bytes:
    """The same rooms as one `/sync` answer."""
    join = ",".join(
        f'{json.dumps(room_id)}:{{"state":{{"events":{body.decode()}}},{_REST}}}'
        for room_id, body in rooms
    )
    return f'{{"next_batch":"s1","rooms":{{"join":{{{join}}}}}}}'.encode()


async def run_naively(sync: bytes, database: Path) -> None:
    """Parse the sync, then look at the rows of every chat one by one."""
    client = nio.AsyncClient("http://127.0.0.1:1", "@bot:example.org")
    client.user_id = "@bot:example.org"
    await client.receive_response(nio.SyncResponse.from_dict(json.loads(sync)))
    async with aiosqlite.connect(database) as connection:
        for room_id, room in client.rooms.items():
            if room.room_type != "m.space":
                await _restore_chat(connection, room_id, room)


async def _restore_chat(connection: aiosqlite.Connection, room_id: str, room: Any) -> None:
    owner = next(user for user in room.users if user != room.own_user_id)
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


_REST = (
    '"timeline":{"events":[],"limited":false,"prev_batch":"p"},"ephemeral":{"events":[]},'
    '"account_data":{"events":[]},"summary":{},"unread_notifications":{}'
)
