"""Worlds of bots of shape links for tests of the review: a desk with a bit of everything, and a bridge's portals."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.bench import TOKEN
from tests.boards import HOSTILE, RTL
from tests.tables import PORTALS, Desk
from toolkit.layout import Layout
from toolkit.session.session import Session
from toolkit.testing import FakeHomeserver, World

BOT, ANNA, BEN = "@bot:hs", "@anna:hs", "@ben:hs"
CASE = "org.desk.case"
CASES = """
    CREATE TABLE cases (number INTEGER UNIQUE, room TEXT, login TEXT, state TEXT DEFAULT 'open');
    INSERT INTO cases (number, room, login) VALUES
        (1, '!right', '@anna:hs'), (3, '!gone', '@ben:hs'), (4, NULL, '@anna:hs'), (5, '!old', '@ben:hs'),
        (6, NULL, '@anna:hs'), (7, x'ff', '@ben:hs'), (8, '!torn', '@anna:hs'), (9, NULL, '@anna:hs'),
        (20, '!left', '@ben:hs'), (21, NULL, '@anna:hs');
"""
DESK = Layout.of(
    {"kind": "links"},
    {"link": {"table": "cases", "id": "number", "room": "room", "owner": "login", "insert": True}},
    [{"event": CASE, "id": "number"}, {"name": r"Case #{number}( .*)?"}],
)
BRIDGE = Layout.of(
    {"kind": "links"},
    {"link": {"table": "portal", "id": ["gcid", "gc_receiver"], "room": "mxid"}},
    [{"event": "m.bridge", "state_key": "*", "id": ["channel.id", "channel.receiver"]}],
)


def desk_world() -> World:
    """Rows lost, NULL, of rooms left or upgraded; twins, one of a joined room's id; evidence that disagrees; an odd
    cell; names that are markup."""
    world = World(BOT)
    events = {"!right": 1, "!new": 2, "!moved": 3, "!old": 5, "!twin1": 6, "!twin2": 6, "!torn": 9}
    for room, number in events.items():
        world.room(room, name=f"Case {number}", members=[ANNA])
        world.event(room, CASE, {"number": number})
    world.upgrade("!old", "!upgraded", by=BOT)
    world.room("!null", name="Case #4 (Anna)", members=[ANNA])
    world.room("!second", name="Case #1 again", members=[ANNA, BEN])
    world.room("!odd", name="Case #7", members=[BEN])
    world.room("!lobby", name="The lobby")
    world.room("!eva<b>", creator="@eva:evil", name=HOSTILE)
    for number, name in enumerate((HOSTILE, RTL, "W" * 400, "a\x1b[2Jb\r\n<b>c</b>")):
        world.room(f"!h{number}<b>", name=name, members=["@x<script>:evil"])
        world.event(f"!h{number}<b>", CASE, {"number": 100 + number})
    return world


def bridge_world() -> World:
    """A portal that moved, one that two events tell of, and one without a row that nobody makes."""
    world = World(BOT)
    for room, channels in {"!a": "a", "!b": "b", "!torn": "bc", "!new": "<b>"}.items():
        world.room(room, name=f"Portal {room}" if room != "!a" else HOSTILE)
        for channel in channels if room == "!torn" else [channels]:
            content = {"channel": {"id": f"space:{channel}", "receiver": ""}}
            world.event(room, "m.bridge", content, state_key=channel)
    return world


DESKS: dict[str, Any] = {
    "desk": (CASES, DESK, desk_world),
    "bridge": (PORTALS, BRIDGE, bridge_world),
}


class Shown:
    """A desk, its homeserver, and a session on both."""

    def __init__(self, desk: Desk, world: World) -> None:
        self.desk, self.world = desk, world
        self.store = desk.store()

    async def __aenter__(self) -> Shown:
        self.server = await FakeHomeserver(self.world.rooms, BOT, TOKEN).__aenter__()
        await self.store.open()
        self.session = await self.look()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.store.close()
        await self.server.__aexit__(None, None, None)

    async def look(self) -> Session:
        """Another session, as another notebook has it."""
        return await Session.open(homeserver=self.server.url, access_token=TOKEN, store=self.store)


def make_desk(name: str, path: Path) -> Shown:
    """A world by its name; the database is made anew."""
    made, layout, world = DESKS[name]
    path.unlink(missing_ok=True)
    return Shown(Desk(path, made, layout), world())
