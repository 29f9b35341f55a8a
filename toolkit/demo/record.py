"""Record the demo's world: `python -m toolkit.demo.record` starts a real Synapse and rewrites two files.

To be run when the demo's world changes. Ids and times are new then, and notebooks show some of them.
"""

import asyncio
import json
import sqlite3
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from toolkit.convention import Convention
from toolkit.demo.recorded import LABELS, SNAPSHOT
from toolkit.demo.world import DemoWorld, open_demo
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.transport import PlainClient
from toolkit.records import Raw, parse_key
from toolkit.sources.snapshot import Snapshot, save_snapshot


async def record(world: DemoWorld, snapshot: Path, labels: Path) -> None:
    """Write both sides of a seeded world down."""
    rooms = await _read_rooms(world)
    rows = _read_rows(world.database)
    families = {key: raw for key, raw in rows.items() if parse_key(key).family}
    found = Snapshot(world.account.user_id, rooms, {}, families)
    save_snapshot(snapshot, found, datetime.now(UTC))
    snapshot.chmod(0o644)  # nobody's secret, unlike a bot's own
    beside = {
        "users": {name: account.user_id for name, account in world.users.items()},
        "rooms": dict(world.rooms),
        "others": {key: raw for key, raw in rows.items() if key not in families},
    }
    text = json.dumps(beside, indent=1, ensure_ascii=False, sort_keys=True)
    labels.write_text(f"{text}\n", "utf-8")


async def _read_rooms(world: DemoWorld) -> dict[str, bytes]:
    bodies: dict[str, bytes] = {}
    async with PlainClient(world.url, world.account.access_token) as client:
        remote = await load_remote(client, Convention(), local_rows=True, seen=bodies.__setitem__)
    assert remote.rooms.keys() == bodies.keys(), remote.unreadable
    return bodies


def _read_rows(path: Path) -> dict[str, Raw]:
    with closing(sqlite3.connect(path)) as database:
        return dict(database.execute("SELECT key, value FROM kv"))


if __name__ == "__main__":
    with open_demo() as (_, demo):
        asyncio.run(record(demo, SNAPSHOT, LABELS))
    sys.stdout.write(f"{SNAPSHOT} and {LABELS.name} are written.\n")
