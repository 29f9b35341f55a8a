"""Functions that a bot may have, and a run of them in the shadow."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import ALICE
from tests.clients import TOKEN
from toolkit import shadow_run
from toolkit.model import Plan
from toolkit.records import chat_key, room_key, user_key
from toolkit.shadow import ShadowRun

A1, C1, USER = room_key("!a1"), chat_key(ALICE, "C1"), user_key(ALICE)
Function = Callable[[Any, Any, Any], Any]


def files(store: Any) -> dict[Path, bytes]:
    """The database and whatever lies beside it, to the byte."""
    path = getattr(store, "path", None)
    return {each: each.read_bytes() for each in path.parent.iterdir()} if path else {}


async def run(fn: Function, client: Any, store: Any, chat_mgr: Any = None) -> ShadowRun:
    """A shadow run that writes nothing, and never tells the token."""
    before = files(store)
    found = await shadow_run(fn, client, store, chat_mgr)
    assert files(store) == before
    assert TOKEN not in repr(found) + found._repr_html_()
    return found


def written(plan: Plan) -> dict[str, Any]:
    """Key -> what would stand there."""
    writes = [write for unit in plan.units if unit.change for write in unit.change.writes]
    return {write.key: json.loads(str(write.after)) for write in writes}


def user_row(space_id: str = "!alice") -> dict[str, Any]:
    return {"space_id": space_id, "next_chat_index": 3}


async def repair(client: Any, store: Any, chat_mgr: Any) -> int:
    """A right one."""
    await store.set(USER, user_row())
    rows = [await store.get(chat_key(ALICE, "C2")), await store.get(USER)]
    room = {"chat_id": "C1", "matrix_user_id": ALICE, "space_id": "!alice"}
    await store.set(A1, room)
    return len(rows)


async def rebuild(client: Any, store: Any, chat_mgr: Any) -> None:
    """A wrong one: it takes rooms whose rows are gone for rooms that don't exist."""
    await store.set("config:bot", {"colour": "blue"})
    for room_id in (await client.joined_rooms()).rooms:
        if room_id.startswith("!a") and not await store.get(room_key(room_id)):
            made = await client.room_create(name="Чат 1", invite=[ALICE])
            await store.set(room_key(made.room_id), {"chat_id": "C1"})
