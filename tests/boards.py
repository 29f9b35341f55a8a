"""Worlds for tests of the review in a browser: a kernel makes one, looks at it, and shows it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import ALICE, BOT, TOKEN, Bench, small_rows
from tests.scenario import right_rows
from toolkit.records import chat_key, room_key, user_key
from toolkit.session.session import Session
from toolkit.testing import FakeHomeserver, World

HOSTILE = "<img src=x onerror=\"window.__hacked='name'\"><script>window.__hacked='s'</script> $x^2$ \u202e"
RTL = "חדר של אליס עם שם ארוך مرحبا 12"


async def look(bench: Bench, server: FakeHomeserver, **more: Any) -> Session:
    """A session on both sides of the bench."""
    return await Session.open(
        homeserver=server.url, access_token=TOKEN, database=bench.path, **more
    )


def small(path: Path) -> Bench:
    """Missing rows, a wrong field, a chat whose id nobody knows; Bob's user row is gone."""
    bench = Bench(path)
    bench.world.chat("!a9", "!alice", "Разговор", owner=ALICE)
    gone = (room_key("!a1"), chat_key(ALICE, "C1"), user_key("@bob:hs"))
    rows = {key: row for key, row in small_rows().items() if key not in gone}
    rows[room_key("!a2")] |= {"space_id": "!elsewhere"}
    bench.fill(rows)
    return bench


def none(path: Path) -> Bench:
    """All in sync."""
    bench = Bench(path)
    bench.fill(small_rows())
    return bench


def one(path: Path) -> Bench:
    """One room without its row."""
    bench = Bench(path)
    bench.fill({key: row for key, row in small_rows().items() if key != room_key("!a1")})
    return bench


def hostile(path: Path) -> Bench:
    """Names that are markup, formulas, very long, from right to left."""
    bench = small(path)
    names = [HOSTILE, "W" * 400, "я" * 400, RTL, "\u0627" * 400, "   ", "a\x1b[2Jb\r\n<b>c</b>"]
    for number, name in enumerate(names):
        bench.world.chat(f"!h{number}<b>", "!alice", name, owner=ALICE)
    bench.world.chat("!far", "!alice", "Чат 7", owner=ALICE)
    return bench


def disputed(path: Path) -> Bench:
    """Carol has left; Dora's chat was Olga's by its row; two Spaces were made for Eva."""
    world = World(BOT)
    world.space("!carol", owner="@carol:hs")
    world.chat("!c1", "!carol", "Чат 1", owner="@carol:hs")
    for room in ("!carol", "!c1"):
        world.member(room, "@carol:hs", "leave")
    world.space("!dora", owner="@dora:hs")
    world.chat("!d1", "!dora", "Чат 1", owner="@dora:hs")
    for space, chat in (("!eva1", "!e1"), ("!eva2", "!e2")):
        world.space(space, owner="@eva:hs")
        world.chat(chat, space, f"Чат {chat[-1]}", owner="@eva:hs")
    bench = Bench(path, world)
    rows = right_rows("@olga:hs", "!dora", {"C1": "!d1"})
    bench.fill({room_key("!d1"): rows[room_key("!d1")]})
    return bench


def many(path: Path, rooms: int = 5000) -> Bench:
    """So many rooms without rows, ten a user; every tenth user's are in sync."""
    world, rows = World(BOT), {}
    for user in range(-(-rooms // 10)):
        owner, space = f"@u{user}:hs", f"!s{user}"
        world.space(space, owner=owner)
        chats = range(1, min(10, rooms - 10 * user) + 1)
        for chat in chats:
            world.chat(f"!r{user}x{chat}", space, f"Чат {chat}", owner=owner)
    extra = "@quiet:hs"
    world.space("!quiet", owner=extra)
    world.chat("!q1", "!quiet", "Чат 1", owner=extra)
    rows = right_rows(extra, "!quiet", {"C1": "!q1"})
    bench = Bench(path, world)
    bench.fill(rows)
    return bench


def various(path: Path) -> Bench:
    """Seventy units of a few kinds beside seventy that are right: renamed rooms, lost rows, ids that nothing
    tells, and chats that two rooms claim."""
    world, rows = World(BOT), dict[str, Any]()
    for user in range(20):
        owner, space = f"@user{user}:hs", f"!s{user}"
        world.space(space, owner=owner)
        chats = {f"C{n}": f"!r{user}x{n}" for n in range(1, 7)}
        right = right_rows(owner, space, chats)
        for n, (chat, room) in enumerate(chats.items(), 1):
            name = f"Отпуск {n}" if user < 11 and n > 4 else f"Чат {n}"
            world.chat(room, space, name, owner=owner)
            if 11 <= user < 17 and n > 3:
                del right[room_key(room)], right[chat_key(owner, chat)]
            elif user >= 17 and n > 2:
                del right[room_key(room)]
        if user < 8:
            world.chat(f"!odd{user}", space, "Разговор", owner=owner)
        if 8 <= user < 18:
            world.chat(f"!twin{user}", space, "Чат 1", owner=owner)
        rows |= right
    bench = Bench(path, world)
    bench.fill(rows)
    return bench


WORLDS: dict[str, Callable[[Path], Bench]] = {
    "small": small,
    "none": none,
    "one": one,
    "hostile": hostile,
    "disputed": disputed,
    "many": many,
    "various": various,
    "thousand": partial(many, rooms=1000),
    "seventy": partial(many, rooms=70),
}


async def show(world: str, path: Path) -> tuple[FakeHomeserver, Session]:
    """The homeserver, which must be kept, and a session; the database is made if it isn't there."""
    again = path.exists()
    bench = WORLDS[world](path.with_name(f"{path.name}.again") if again else path)
    if again:
        bench.path.unlink()
    server = await FakeHomeserver(bench.world.rooms, BOT, TOKEN).__aenter__()
    session = await Session.open(homeserver=server.url, access_token=TOKEN, database=path)
    return server, session
