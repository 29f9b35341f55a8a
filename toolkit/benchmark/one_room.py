"""What the first access of a room costs a bot whose client never synced, however many rooms it is in."""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nio

from toolkit import ChatManager, SQLiteStore, reconcile_single_room
from toolkit.benchmark.lines import Line
from toolkit.benchmark.serving import Served, serving
from toolkit.benchmark.stages import fill
from toolkit.benchmark.worlds import BOT, CHATS_EACH, scale_rooms

FEW = 10


def measure_one_room(chats: int, calls: int = 10) -> Iterator[Line]:
    """Requests and CPU milliseconds of one call, of several for rooms that have lost their row; without
    the write, whose backup grows with the database."""
    rooms = dict(scale_rooms(chats))
    lost = [room_id for room_id in rooms if room_id.startswith("!chat")][:: 4 * CHATS_EACH][:calls]
    with tempfile.TemporaryDirectory() as folder, serving(rooms) as served:
        database = Path(folder) / "bot.db"
        fill(database, chats)
        taken = asyncio.run(_meet(lost, served, database))
        requests = len(served.server.requests) / len(lost)
    bound = FEW + CHATS_EACH
    yield Line(chats, "one room, client never synced", requests, bound=bound, unit="requests")
    what = "one room, client never synced, CPU"
    yield Line(chats, what, 1000 * taken / len(lost), bound=10, unit="ms")


async def _meet(lost: list[str], served: Served, database: Path) -> float:
    client = nio.AsyncClient(served.server.url, BOT)
    client.user_id, client.access_token = BOT, served.server.access_token
    async with SQLiteStore(database) as store:
        manager = ChatManager(store)
        await manager.get_or_create(
            "@user0:example.org", "C1", "matrix", lost[0]
        )  # nio's own start
        begun = served.client_cpu()
        for room_id in lost:
            owner = f"@user{int(room_id[5:-1])}:example.org"
            report = await reconcile_single_room(
                client, store, manager, room_id, owner, dry_run=True
            )
            assert report["restored_room_meta"] == [room_id]
        taken = served.client_cpu() - begun
    await client.close()
    return taken
