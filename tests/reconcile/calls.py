"""The bot's two functions as a bot calls them, and what their reports say."""

from typing import Any

from tests.bench import Bench, small_rows
from toolkit import ChatManager, SQLiteStore, reconcile_matrix_state, reconcile_single_room
from toolkit.testing import FakeHomeserver
from toolkit.writing.report import Report

SPACES = [{"room_id": "!alice", "reason": "space"}, {"room_id": "!bob", "reason": "space"}]
ROOMS = ["!a1", "!a2", "!alice", "!b1", "!bob"]


def lost(*keys: str) -> dict[str, Any]:
    """The right rows without these."""
    return {key: row for key, row in small_rows().items() if key not in keys}


def news(report: Report) -> dict[str, Any]:
    """What a report says beyond the rooms that there are."""
    usual = ("joined_rooms", "skipped_rooms", "unchanged_rooms")
    return {key: found for key, found in report.items() if found and key not in usual}


async def full(bench: Bench, client: Any, **options: Any) -> Report:
    async with SQLiteStore(bench.path) as store:
        return await reconcile_matrix_state(client, store, ChatManager(store), **options)


async def single(bench: Bench, client: Any, room_id: str, user_id: str, **options: Any) -> Report:
    async with SQLiteStore(bench.path) as store:
        manager = ChatManager(store)
        return await reconcile_single_room(client, store, manager, room_id, user_id, **options)


def paths(server: FakeHomeserver) -> list[str]:
    return [request.path.rpartition("/v3/")[2] for request in server.requests]
