"""mautrix-googlechat's own code: its migrations, its portals' rows, and what it writes into their rooms.

`python -m tests.systems.googlechat JSON` makes the portals that it is told of in a new database, each by the
account that makes such rooms, and prints their rooms.
"""

from __future__ import annotations

import asyncio
import json
import sys
from importlib import import_module
from types import SimpleNamespace
from typing import Any

from toolkit.testing import Account, ApiUser

async_db: Any = import_module("mautrix.util.async_db")
own_db: Any = import_module("mautrix_googlechat.db")
own_portal: Any = import_module("mautrix_googlechat.portal")


async def make_portal(told: dict[str, Any], maker: ApiUser) -> str:
    """As `Portal._create_matrix_room` does it: the row, the room, the row again."""
    portal = own_portal.Portal(told["gcid"], told["receiver"], name=told["name"])
    portal._main_intent = SimpleNamespace(mxid=maker.user_id)
    await portal.insert()
    info = {"state_key": portal.bridge_info_state_key, "content": portal.bridge_info}
    state = [{"type": type_, **info} for type_ in ("m.bridge", "uk.half-shot.bridge")]
    name = {} if portal.name is None else {"name": portal.name}
    portal.mxid = maker.create_room(**name, initial_state=state, invite=told["invite"])
    if not told["crash"]:
        await portal.save()
    return str(portal.mxid)


async def main(told: dict[str, Any]) -> None:
    own_portal.Portal.az = SimpleNamespace(bot_mxid=told["bot"])
    own_portal.Portal.config = {"appservice.bot_avatar": "mxc://example.org/avatar"}
    place = f"sqlite:///{told['database']}"
    database = async_db.Database.create(place, upgrade_table=own_db.upgrade_table)
    await database.start()
    own_db.init(database)
    made = {}
    try:
        for portal in told["portals"]:
            url, *account = portal["by"]
            made[portal["gcid"]] = await make_portal(portal, ApiUser(url, Account(*account)))
    finally:
        await database.stop()
    sys.stdout.write(json.dumps(made))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
