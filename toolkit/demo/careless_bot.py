"""A bot's own repair, as one might write it at night. Lesson 5 runs it in the shadow, and nowhere else."""

from typing import Any


async def recreate_rooms(client: Any, store: Any, chat_mgr: Any) -> None:
    """Make a new room for every chat whose room row is gone. The bug: the old room is still there."""
    for key in await store.keys("chat:"):
        chat = await store.get(key)
        if await store.get(f"matrix_room:{chat['surface_ref']}"):
            continue
        await store.set(key, chat | {"surface_ref": None})
        room = await client.room_create(name=chat["name"], invite=[chat["user_id"]])
        await store.set(key, chat | {"surface_ref": room.room_id})
