"""Four bots whose rows `fit` is shown: what their tables hold, and their rooms, each with some drift."""

from __future__ import annotations

from toolkit.testing import World

BOT, EVA = "@bot:hs", "@eva:hs"

SPACES = """
    CREATE TABLE user_spaces (
        space_id TEXT NOT NULL, user_id TEXT NOT NULL, active BOOLEAN NOT NULL DEFAULT TRUE,
        PRIMARY KEY (space_id, user_id)
    );
    INSERT INTO user_spaces VALUES
        ('!s0', '@eva:hs', TRUE), ('!s1', '@ann:hs', TRUE), ('!s2', '@bob:hs', TRUE),
        ('!old', '@bob:hs', FALSE);
    CREATE TABLE room_members (room_id TEXT, user_id TEXT);
    INSERT INTO room_members VALUES ('!r0', '@eva:hs'), ('!r1', '@ann:hs'), ('!r1', '@bob:hs');
"""
GHOSTED = """
    INSERT INTO portal (gcid, gc_receiver, mxid) VALUES ('dm:x', 'eva', '!x'), ('dm:y', 'eva', '!y');
    CREATE TABLE mx_room_state (room_id TEXT PRIMARY KEY, is_encrypted BOOLEAN);
    INSERT INTO mx_room_state VALUES ('!a', FALSE), ('!b', FALSE), ('!x', FALSE), ('!y', TRUE);
"""


def support() -> World:
    """A support bot, whose first ticket lost its room; a lobby and a stranger's room."""
    world = World(BOT)
    world.room("!one", name="Ticket #1 (Anna)")
    world.room("!two", name="Ticket #2 (Anna)")
    world.room("!three", name="Ticket #3 (Ben)")
    world.room("!lobby", name="Lobby")
    world.room("!eva", name="Ticket #1 (Eva)", creator=EVA)
    return world


def desk() -> World:
    """A help desk whose users make the rooms; one has no row, and one is forged."""
    world = World(BOT)
    for number, room in enumerate(("!one", "!two", "!lost"), 1):
        world.room(room, creator=EVA)
        world.event(room, "desk.case", {"conversation_id": number, "version": 1})
    world.room("!forged", creator=EVA)
    world.event("!forged", "desk.case", {"conversation_id": 9}, sender=EVA)
    return world


def bridge() -> World:
    """A bridge with composite ids, two of whose rooms are its ghosts'; one has no row, one an empty one."""
    world = World(BOT)
    portals = (
        ("!a", "space:a", None, BOT),
        ("!b", "space:b", None, BOT),
        ("!x", "dm:x", "eva", "@ghost_1:hs"),
        ("!y", "dm:y", "eva", "@ghost_2:hs"),
        ("!new", "dm:z", "eva", "@ghost_2:hs"),
    )
    for room, gcid, receiver, by in portals:
        world.room(room, creator=by)
        channel = {"id": gcid} | ({} if receiver is None else {"receiver": receiver})
        content = {"bridgebot": BOT, "channel": channel, "protocol": {"id": "googlechat"}}
        world.event(room, "m.bridge", content, state_key=f"gc://{gcid}", sender=by)
    return world


def spaces() -> World:
    """A bot with a Space for each user, and a plain room beside it; one Space has no row."""
    world = World(BOT)
    for number, user in enumerate(("@eva:hs", "@ann:hs", "@bob:hs")):
        world.space(f"!s{number}", owner=user)
        world.room(f"!r{number}", members=[user])
    world.space("!s9", owner="@new:hs")
    return world
