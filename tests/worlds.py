"""Small worlds for laws: a bot's rooms as raw state, and rows derived from the truth, then broken.

Drawn by hypothesis; a draw of zero is always the ordinary case, so that counterexamples shrink to it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from hypothesis import strategies as st

from toolkit.convention import Convention, chat_number
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Code, Finding, Plan, RemoteState, RoomState, Unit
from toolkit.records import NULL, LocalState, Raw, chat_key, load_records, room_key, user_key
from toolkit.testing.world import Event, LinkKind, World, encode

T = TypeVar("T")

BOT = "@bot:example.org"
HELPER = "@admin:example.org"
STRANGER = "@stranger:elsewhere.org"
CHAT_ID_EVENT = "org.example.chat"
# A port, and a server called "unregistered": both belong to keys that a naive split gets wrong.
USERS = ("@alice:example.org", "@bob:example.org:8448", "@carol:unregistered")
CONVENTION = Convention(state_event_type=CHAT_ID_EVENT, helper_accounts=(HELPER,))
NAMES = (
    "Holiday",
    "",
    "Чат 007",
    "Чат ٣",
    "C" + "9" * 5_000,
    "Чат 4\u202e",
    "<script>alert(1)</script>",
    "=cmd()",
    "C999999999",
)
JUNK: tuple[Raw, ...] = (
    "",
    "null",
    "[]",
    "{",
    '"text"',
    "{}",
    "1e999",
    b"\xff\xfe",
    b"{}",
    "\udcff",
    NULL,
    7,
    1.5,
    "[" * 5_000,
    '{"space_id": "!s", "next_chat_index": "5"}',
    '{"space_id": "!s", "next_chat_index": 5.5}',
    '{"chat_id": "C1", "matrix_user_id": ["@alice:example.org"], "space_id": "!s"}',
    '{"surface_ref": 7}',
    b'{"surface_ref": "\xff"}',
)
JUNK_KEYS = (
    "matrix_user:",
    "matrix_room:",
    "chat:",
    "chat::",
    "chat:C1",
    "chat:@alice:example.org",
    "chat:@alice:example.org:",
    "chat:@alice:example.org:C04",
    "chat:@alice:example.org:C٣",
    "chat:@alice:example.org:C1:C2",
    "chat:@alice:example.org:unregistered:",
    "matrix_room:no room",
    "matrix_user:@alice:example.org:",
)
LINKS: tuple[LinkKind, ...] = ("both", "child", "parent", "none")
MEMBERSHIPS = ("join", "invite", "leave", "ban", "knock", "io.example.vanished")


@dataclass(frozen=True)
class Sides:
    """Both sides as they lie: room id to state events, key to stored value."""

    rooms: dict[str, list[Event]]
    rows: dict[str, Raw]
    unreadable: frozenset[str] = frozenset()

    def remote(self) -> RemoteState:
        """Read the remote side through the real decoder."""
        rooms: dict[str, RoomState] = {
            room_id: decode_room(room_id, _encode(events), CHAT_ID_EVENT)
            for room_id, events in self.rooms.items()
            if room_id not in self.unreadable
        }
        return RemoteState(BOT, rooms, dict.fromkeys(self.unreadable, "forbidden"))

    def local(self) -> LocalState:
        """Read the local side through the real decoder."""
        return load_records(self.rows.items())

    def without(self, *room_ids: str) -> Sides:
        """The same sides, these rooms unreadable."""
        return replace(self, unreadable=self.unreadable | set(room_ids))

    def heard_of(self, room_id: str, owner: str, space_id: str | None = None) -> bool:
        """Whether a row of the owner names the room, or a readable room of theirs does.

        That a chat names its Space isn't enough: a guest of that chat is no owner.
        """
        for room in self.remote().rooms.values():
            there = {m.user_id for m in room.members if m.membership != "ban"}
            theirs = room.room_id == space_id or owner in there
            links = room.children + (room.parents if room.is_space else ())
            named = {link.target for link in links}
            named |= {room.predecessor or "", room.replacement or ""}
            if room.room_id != room_id and room.creator == BOT and theirs and room_id in named:
                return True
        return self.rows_name(room_id, owner)

    def rows_name(self, room_id: str, owner: str) -> bool:
        """Whether a readable row of the owner names the room; nothing is built on other rows."""
        local = self.local()
        user = local.users.get(owner)
        named = {user.space_id} if user else set()
        for room, row in local.rooms.items():
            if row.matrix_user_id == owner:
                named |= {room, row.space_id}
        named |= {
            c.surface_ref for (u, i), c in local.chats.items() if u == owner and chat_number(i)
        }
        return room_id in named

    def written(self, *units: Unit) -> Sides:
        """The sides after these units' changes; what was planned from must still be there."""
        rows = dict(self.rows)
        for unit in units:
            assert unit.change
            for write in unit.change.writes:
                assert rows.get(write.key) == write.before, write.key
                rows[write.key] = write.after
        return replace(self, rows=rows)


def certain(plan: Plan) -> list[Unit]:
    """Units whose change needs no human."""
    return [unit for unit in plan.units if unit.change and not unit.needs_human]


def _encode(events: list[Event]) -> bytes:
    try:
        return encode(events)
    except UnicodeError:  # a lone surrogate travels escaped
        return json.dumps(events).encode()


class Dice:
    """Draws with a leaning: nought is the ordinary outcome."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self.draw = draw

    def hit(self, percent: int) -> bool:
        """True in so many of a hundred cases, roughly."""
        return bool(self.draw(st.integers(0, 99)) >= 100 - percent)

    def pick(self, options: Sequence[T]) -> T:
        """One of them; the first is the simplest."""
        found: T = self.draw(st.sampled_from(options))
        return found

    def number(self, low: int, high: int) -> int:
        """A number of that range."""
        return int(self.draw(st.integers(low, high)))


@dataclass
class Truth:
    """What the bot meant when it made a room."""

    room_id: str
    space: str
    owner: str
    number: int
    versions: list[str] = field(default_factory=list)


class Builder:
    """Makes one world with dice."""

    def __init__(self, dice: Dice, users: Sequence[str], prefix: str = "") -> None:
        self.dice, self.users, self.prefix = dice, users, prefix
        self.world = World(BOT)
        self.spaces: dict[str, str] = {}  # newest version -> owner
        self.chats: list[Truth] = []
        self.gone: list[str] = []
        self.count = 0

    def new_id(self, kind: str) -> str:
        self.count += 1
        server = ":example.org" if self.count % 2 else ""
        return f"!{self.prefix}{kind}{self.count}{server}"

    # -- the remote side --------------------------------------------------------------------------

    def build_rooms(self) -> None:
        for user in self.users:
            for _ in range(self.dice.pick((1, 1, 1, 1, 2, 0))):
                self.add_space(user)
        if self.spaces:
            for _ in range(self.dice.number(0, 6)):
                self.add_chat()
            for _ in range(self.dice.pick((0, 0, 1, 2))):
                self.add_other()
            for space in list(self.spaces):
                self.bend_space(space)
            if self.dice.hit(12):
                self.add_root()
        for room_id in list(self.world.rooms):
            if self.dice.hit(4):
                self.gone.append(room_id)
                self.world.leave(room_id)

    def members(self, owner: str) -> dict[str, str]:
        dice = self.dice
        found = {owner: dice.pick(MEMBERSHIPS) if dice.hit(20) else "join"}
        if dice.hit(8):
            del found[owner]
        if dice.hit(20):
            other = dice.pick([*self.users, STRANGER, HELPER])
            found.setdefault(other, dice.pick(MEMBERSHIPS))
        return found

    def add_space(self, owner: str) -> None:
        space = self.world.space(self.new_id("space"), members=self.members(owner))
        self.spaces[space] = owner

    def add_chat(self) -> None:
        dice, world = self.dice, self.world
        space = dice.pick(list(self.spaces))
        owner = self.spaces[space]
        number = 1 + sum(chat.owner == owner for chat in self.chats)
        if dice.hit(15):
            number = dice.number(1, 4)
        link: LinkKind = dice.pick(LINKS) if dice.hit(40) else "both"
        room_id = self.new_id("chat")
        name = dice.pick((None, *NAMES, "Чат 1", "Чат 2")) if dice.hit(25) else f"Чат {number}"
        sender = dice.pick((owner, STRANGER)) if dice.hit(12) else BOT
        world.chat(
            room_id,
            space,
            name,
            link=link,
            name_sender=sender,
            members=self.members(owner),
            version=dice.pick(("12", "10")),
            created=1_700_000_000_000 if dice.hit(5) else None,
        )
        if dice.hit(15):
            by = dice.pick((owner, STRANGER)) if dice.hit(30) else BOT
            said = dice.pick((f"C{number}", "C1", "C2", "C0", 3, None))
            world.event(room_id, CHAT_ID_EVENT, {"chat_id": said}, sender=by)
        if dice.hit(10):
            other = dice.pick(list(self.spaces))
            self.add_link(other, room_id, dice.pick((BOT, owner, STRANGER)))
        chat = Truth(room_id, space, owner, number, [room_id])
        self.chats.append(chat)
        while dice.hit(15):
            chat.room_id = self.upgrade(chat.room_id, owner)
            chat.versions.append(chat.room_id)

    def add_link(self, space: str, room_id: str, sender: str) -> None:
        content: object = self.dice.pick((None, {}, {"via": []}, {"via": "hs"}, {"via": [1]}))
        if self.dice.hit(50):
            self.world.link(space, room_id, content=content, sender=sender)
        else:
            self.world.parent(room_id, space, content=content, sender=sender)

    def upgrade(self, old: str, owner: str) -> str:
        new = self.new_id("new")
        by = self.dice.pick((BOT, BOT, owner))
        self.world.upgrade(old, new, by=by, copy_name=self.dice.hit(80))
        if self.dice.hit(40):
            self.world.member(new, owner, self.dice.pick(MEMBERSHIPS))
        if self.dice.hit(6):
            self.world.redact(new, "m.room.create")
        return new

    def add_other(self) -> None:
        dice, world = self.dice, self.world
        owner, space = dice.pick(self.users), dice.pick(list(self.spaces))
        kind = dice.pick(("look-alike", "loose", "dead", "forged", "redacted"))
        room_id = self.new_id("other")
        if kind == "look-alike":
            world.chat(room_id, space, "Чат 2", creator=STRANGER, owner=owner, link="parent")
        elif kind == "loose":
            world.room(room_id, name="Чат 3", members={owner: "join"})
        elif kind == "dead":
            world.chat(room_id, space, "Чат 5", owner=owner)
            world.event(room_id, "m.room.tombstone", {"replacement_room": "!nowhere"})
        elif kind == "forged":
            old = dice.pick(list(world.rooms))
            world.room(room_id, creator=STRANGER, predecessor=old, members={owner: "join"})
        else:
            world.chat(room_id, space, "Чат 6", owner=owner)
            world.redact(room_id, dice.pick(("m.room.name", "m.room.create")))

    def add_root(self) -> None:
        """A Space of the bot's above all others, or an archive below one, with or without rooms."""
        dice, world = self.dice, self.world
        root = world.space(self.new_id("root"), members=self.members(dice.pick(self.users)))
        if dice.hit(50):
            world.chat(self.new_id("lobby"), root, dice.pick(("Лобби", "Чат 8")))
        if dice.hit(30):
            world.link(dice.pick(list(self.spaces)), root)
            return
        for space in self.spaces:
            world.link(root, space)

    def bend_space(self, space: str) -> None:
        dice, owner = self.dice, self.spaces[space]
        if dice.hit(12):
            new = self.upgrade(space, owner)
            self.spaces[new] = self.spaces.pop(space)
            for chat in self.chats:
                if chat.space == space:
                    chat.space = new
            space = new
        if dice.hit(8) and len(self.spaces) > 1:
            outer = dice.pick(list(self.spaces))
            self.add_link(outer, space, dice.pick((BOT, owner)))

    # -- the local side ---------------------------------------------------------------------------

    def build_rows(self) -> dict[str, Raw]:
        rows: dict[str, Raw] = {}
        for space, owner in self.spaces.items():
            numbers = [chat.number for chat in self.chats if chat.owner == owner]
            rows[user_key(owner)] = self.bend_row(
                {"space_id": space, "next_chat_index": 1 + max(numbers, default=0)}
            )
        for chat in self.chats:
            self.add_rows(rows, chat)
        for key in [key for key in rows if self.dice.hit(15)]:
            del rows[key]
        for _ in range(self.dice.pick((0, 0, 0, 1, 2))):
            self.add_stray(rows)
        keys = list(rows)
        for _ in range(self.dice.pick((0, 0, 0, 0, 1, 2))):
            rows[self.dice.pick([*JUNK_KEYS, *keys])] = self.dice.pick(JUNK)
        return rows

    def add_rows(self, rows: dict[str, Raw], chat: Truth) -> None:
        chat_id = f"C{chat.number}"
        room_id = self.dice.pick(chat.versions) if self.dice.hit(50) else chat.room_id
        rows[room_key(room_id)] = self.bend_row(
            {
                "room_type": "chat",
                "chat_id": chat_id,
                "display_name": f"Чат {chat.number}",
                "matrix_user_id": chat.owner,
                "space_id": chat.space,
            }
        )
        rows[chat_key(chat.owner, chat_id)] = self.bend_row(
            {
                "user_id": chat.owner,
                "chat_id": chat_id,
                "platform": "matrix",
                "surface_ref": self.dice.pick(chat.versions) if self.dice.hit(50) else room_id,
                "name": "mine",
            }
        )

    def any_room(self) -> str:
        return self.dice.pick([*self.world.rooms, *self.gone, "!ghost"])

    def bend_row(self, fields: dict[str, Any]) -> Raw:
        dice = self.dice
        if dice.hit(35):
            wrong = dice.pick(list(fields))
            fields = {**fields, wrong: self.bend_field(wrong)}
        if dice.hit(6):
            del fields[dice.pick(list(fields))]
        if dice.hit(30):
            fields = {"x": 1.0, **fields, "nested": {"é": [None, dice.pick((1e22, math.nan))]}}
        text = json.dumps(
            fields, ensure_ascii=dice.hit(30), separators=dice.pick(((",", ":"), (", ", " : ")))
        )
        return text.encode() if dice.hit(8) else text

    def bend_field(self, name: str) -> Any:
        dice = self.dice
        if name in ("space_id", "surface_ref"):
            return self.any_room()
        if name in ("matrix_user_id", "user_id"):
            return dice.pick([*self.users, STRANGER, "", None])
        if name == "next_chat_index":
            return dice.pick((0, 1, 3, 40, -1, 10**30, True))
        if name == "chat_id":
            return dice.pick(("C1", "C2", "C3", "C04", "C٣", "", None, "C999999999"))
        return dice.pick(("other", None, 7))

    def add_stray(self, rows: dict[str, Raw]) -> None:
        dice = self.dice
        user, room_id = dice.pick(self.users), self.any_room()
        chat_id = f"C{dice.number(1, 9)}" if dice.hit(80) else "C999999999"
        kind = dice.pick(("chat", "room", "placeholder", "user"))
        if kind == "chat":
            rows.setdefault(chat_key(user, chat_id), json.dumps({"surface_ref": room_id}))
        elif kind == "room":
            named = {"chat_id": chat_id, "matrix_user_id": user, "space_id": "!ghost"}
            rows.setdefault(room_key(room_id), json.dumps(named))
        elif kind == "placeholder":
            key = chat_key(user, f"unregistered:{room_id}")
            rows.setdefault(key, json.dumps({"surface_ref": room_id}))
        else:
            user_row = {"space_id": self.any_room(), "next_chat_index": 1}
            rows.setdefault(user_key(STRANGER), json.dumps(user_row))


def build(draw: Callable[[st.SearchStrategy[Any]], Any]) -> tuple[Builder, Sides]:
    """One world, and the builder that knows the truth about it."""
    dice = Dice(draw)
    builder = Builder(dice, USERS[: dice.pick((1, 2, 3))])
    builder.build_rooms()
    rows = builder.build_rows()
    unreadable = frozenset(r for r in builder.world.rooms if dice.hit(2))
    return builder, Sides(builder.world.rooms, rows, unreadable)


@st.composite
def worlds(draw: Any) -> Sides:
    """Sides of a small world."""
    return build(draw)[1]


@st.composite
def readable_worlds(draw: Any) -> Sides:
    """Sides of a small world with every room read."""
    return replace(build(draw)[1], unreadable=frozenset())


# -- an attacker ----------------------------------------------------------------------------------

MALLORY = "@mallory:evil.org"
HENCHMAN = "@henchman:evil.org"


@dataclass(frozen=True)
class Attacked:
    """A world without and with mallory; `rooms` are hers, `kinds` what she did."""

    before: Sides
    after: Sides
    rooms: frozenset[str]
    kinds: frozenset[str]


class Attack:
    """What mallory can do with a bot-made Space and chats, rooms of her own, and a second account."""

    def __init__(self, sides: Sides) -> None:
        self.base = sides
        self.world = World(BOT, start=1_800_000_000_000)
        self.world.rooms = {room_id: list(events) for room_id, events in sides.rooms.items()}
        self.rows = dict(sides.rows)
        self.kinds: set[str] = set()
        self.ever: set[str] = set()
        self.own: frozenset[str] = frozenset()
        self.count = 0
        self.space = self.world.space("!evil-space", owner=MALLORY)
        self.chats = [self.add_chat(1), self.add_chat(2)]
        self.rows[user_key(MALLORY)] = json.dumps({"space_id": self.space, "next_chat_index": 3})
        self.ever.update(self.hers)
        if roots := self.roots():
            for root in roots:
                self.world.link(root, self.space)
            rooms = {room_id: list(events) for room_id, events in self.world.rooms.items()}
            self.base = replace(sides, rooms=rooms, rows=dict(self.rows))
        self.own = frozenset(self.ever)

    def roots(self) -> list[str]:
        """Spaces of the bot's that hold others of its Spaces; hers would be in there, too.

        Not one with a single member: it looks like that user's own as soon as nobody else's Space is
        in it, and then it is a conflict which one counts (nothing is written).
        """
        rooms = self.base.remote().rooms
        spaces = {room_id for room_id, room in rooms.items() if room.is_space}
        return [
            space
            for space in sorted(spaces)
            if {link.target for link in rooms[space].children} & spaces
            and len({m.user_id for m in rooms[space].members} - {BOT, HELPER}) != 1
        ]

    def add_chat(self, number: int) -> str:
        """A chat that the bot made for her, with its rows."""
        room_id, name, chat_id = f"!evil-chat{number}", f"Чат {number}", f"C{number}"
        self.world.chat(room_id, self.space, name, owner=MALLORY)
        room_row = {"chat_id": chat_id, "matrix_user_id": MALLORY, "space_id": self.space}
        self.rows[room_key(room_id)] = json.dumps(
            {"room_type": "chat", "display_name": name, **room_row}
        )
        chat_row = {"user_id": MALLORY, "chat_id": chat_id, "surface_ref": room_id}
        self.rows[chat_key(MALLORY, chat_id)] = json.dumps({"platform": "matrix", **chat_row})
        return room_id

    @property
    def hers(self) -> list[str]:
        """Every room that she has a say in."""
        rooms = self.world.rooms
        return [r for r in rooms if r not in self.base.rooms or r in self.own]

    def new_id(self) -> str:
        self.count += 1
        return f"!evil-own{self.count}"

    def done(self) -> Attacked:
        """Both worlds."""
        after = replace(self.base, rooms=self.world.rooms, rows=self.rows)
        return Attacked(self.base, after, frozenset(self.ever), frozenset(self.kinds))

    # Each takes one of her rooms, one of the victim's, and the victim.

    def claim_from_below(self, own: str, target: str, victim: str) -> None:
        self.world.parent(own, target, sender=MALLORY)

    def claim_from_above(self, own: str, target: str, victim: str) -> None:
        self.world.link(own, target, sender=MALLORY)

    def copy_room(self, own: str, target: str, victim: str) -> None:
        room_id = self.world.room(
            self.new_id(),
            creator=MALLORY,
            name="Чат 2",
            members={MALLORY: "join", victim: "invite"},
        )
        self.world.parent(room_id, target, sender=MALLORY)
        self.world.link(self.space, room_id, sender=MALLORY)

    def copy_space(self, own: str, target: str, victim: str) -> None:
        members = {MALLORY: "join", victim: "invite"}
        space = self.world.space(self.new_id(), creator=MALLORY, members=members)
        self.world.link(space, target, sender=MALLORY)
        self.world.link(space, own, sender=MALLORY)

    def forge_tombstone(self, own: str, target: str, victim: str) -> None:
        content = {"replacement_room": target}
        self.world.event(own, "m.room.tombstone", content, sender=MALLORY)

    def forge_predecessor(self, own: str, target: str, victim: str) -> None:
        self.world.room(
            self.new_id(),
            creator=MALLORY,
            name="Чат 1",
            predecessor=target,
            members={MALLORY: "join", victim: "invite"},
        )

    def upgrade_own(self, own: str, target: str, victim: str) -> None:
        self.world.upgrade(own, self.new_id(), by=MALLORY)

    def upgrade_into_space(self, own: str, target: str, victim: str) -> None:
        space = self.world.upgrade(own, self.new_id(), by=MALLORY, space=True)
        self.world.link(space, target, sender=MALLORY)

    def invite_victim(self, own: str, target: str, victim: str) -> None:
        if self.joined(own, MALLORY):
            self.world.member(own, victim, "invite", sender=MALLORY)

    def lure_victim(self, own: str, target: str, victim: str) -> None:
        self.world.member(own, victim, "join")

    def kick_victim(self, own: str, target: str, victim: str) -> None:
        if self.joined(own, MALLORY):
            self.world.member(own, victim, "leave", sender=MALLORY)

    def leave_own(self, own: str, target: str, victim: str) -> None:
        if self.joined(own, MALLORY):
            self.world.member(own, MALLORY, "leave")

    def leave_and_knock(self, own: str, target: str, victim: str) -> None:
        """Whoever holds a room's keys can open it for knocking."""
        self.world.member(own, MALLORY, "knock")

    def vanish(self, own: str, target: str, victim: str) -> None:
        """A membership that no spec knows, as her own server may invent it."""
        self.world.member(own, MALLORY, "io.example.vanished")

    def be_banned(self, own: str, target: str, victim: str) -> None:
        if not self.created_by(own, MALLORY):
            self.world.member(own, HENCHMAN, "join")
            self.world.member(own, MALLORY, "ban", sender=HENCHMAN)

    def be_kicked(self, own: str, target: str, victim: str) -> None:
        self.world.member(own, HENCHMAN, "join")
        self.world.member(own, MALLORY, "leave", sender=HENCHMAN)

    def ban_helper(self, own: str, target: str, victim: str) -> None:
        if self.joined(own, MALLORY):
            self.world.member(own, HENCHMAN, "ban", sender=MALLORY)

    def send_helper_away(self, own: str, target: str, victim: str) -> None:
        if self.joined(own, HENCHMAN):
            self.world.member(own, HENCHMAN, "leave")

    def forge_chat_id(self, own: str, target: str, victim: str) -> None:
        self.world.event(own, CHAT_ID_EVENT, {"chat_id": "C999999999"}, sender=MALLORY)

    def rename_own(self, own: str, target: str, victim: str) -> None:
        self.world.name(own, "Чат 999999999", MALLORY)

    def hide_behind_names(self, own: str, target: str, victim: str) -> None:
        self.world.name(own, "\u202e<img src=x onerror=alert(1)>\x00" * 50, MALLORY)

    def kick_bot(self, own: str, target: str, victim: str) -> None:
        self.world.leave(own)

    def lose_rows(self, own: str, target: str, victim: str) -> None:
        """Not her doing, but when the database is reset she may be there."""
        self.rows = dict(self.base.rows)

    def step(self, kind: str, own: str, target: str, victim: str) -> None:
        """Do one thing, and remember that it was done."""
        getattr(self, kind)(own, target, victim)
        self.ever.update(self.hers)
        self.kinds.add(kind)

    def joined(self, room_id: str, user: str) -> bool:
        """Whether the user may act in the room."""
        return any(
            event["type"] == "m.room.member"
            and event["state_key"] == user
            and event["content"].get("membership") == "join"
            for event in self.world.rooms[room_id]
        )

    def created_by(self, room_id: str, user: str) -> bool:
        """Creators can't be banned from rooms of version 12."""
        return any(
            event["type"] == "m.room.create" and event["sender"] == user
            for event in self.world.rooms[room_id]
        )


ATTACKS = (
    "claim_from_below",
    "claim_from_above",
    "copy_room",
    "copy_space",
    "forge_tombstone",
    "forge_predecessor",
    "upgrade_own",
    "upgrade_into_space",
    "invite_victim",
    "lure_victim",
    "kick_victim",
    "leave_own",
    "leave_and_knock",
    "vanish",
    "be_banned",
    "be_kicked",
    "ban_helper",
    "send_helper_away",
    "forge_chat_id",
    "rename_own",
    "hide_behind_names",
    "kick_bot",
    "lose_rows",
)


@st.composite
def attacks(draw: Any) -> Attacked:
    """A world, and the same world with mallory in it."""
    dice = Dice(draw)
    _, sides = build(draw)
    attack = Attack(replace(sides, rows={key: _as_text(raw) for key, raw in sides.rows.items()}))
    targets = [*sides.rooms, "!ghost"]
    if dice.hit(40):
        _hand_over(attack, dice)
    for _ in range(dice.number(1, 12)):
        if not attack.hers:
            break
        own = dice.pick([attack.space, *attack.hers]) if dice.hit(60) else attack.hers[0]
        if own not in attack.world.rooms:
            own = attack.hers[0]
        target = dice.pick(targets) if dice.hit(85) else dice.pick(attack.hers)
        attack.step(dice.pick(ATTACKS), own, target, dice.pick(USERS))
    return attack.done()


def _as_text(raw: Raw) -> Raw:
    """Her rows are TEXT; beside nothing but BLOBs, what is inserted would be another kind."""
    return raw.decode(errors="surrogateescape") if isinstance(raw, bytes) else raw


def _hand_over(attack: Attack, dice: Dice) -> None:
    """Leave everything to one victim, room by room in one way or another."""
    victim = dice.pick(USERS)
    for own in attack.hers:
        ways = ("nothing", "leave_own", "leave_and_knock", "vanish", "be_banned", "be_kicked")
        attack.step(dice.pick(("lure_victim", "invite_victim")), own, own, victim)
        if (way := dice.pick(ways)) != "nothing":
            attack.step(way, own, own, victim)
        if dice.hit(30):
            attack.step("send_helper_away", own, own, victim)
    if dice.hit(70):
        attack.step("lose_rows", attack.space, attack.space, victim)


class View:
    """What a plan says about everybody but mallory; equal views mean that she changed nothing."""

    def __init__(self, plan: Plan, hers: frozenset[str]) -> None:
        people = {MALLORY, HENCHMAN}
        ids = people | hers

        def own_key(key: str) -> bool:
            return any(name in key for name in ids)

        def theirs(found: Finding) -> bool:
            if found.code is Code.NO_ROOM_JOINED:
                return False  # about the account, which has a user more
            return found.unit not in ids and not own_key(found.key)

        self.units = [u for u in plan.units if u.id not in ids and not hers & {*u.room_ids}]
        self.own_units = [u for u in plan.units if u not in self.units]
        self.in_sync = [i for i in (*plan.in_sync_rooms, *plan.in_sync_users) if i not in ids]
        self.skipped = [s for s in plan.skipped if s.room_id not in ids]
        self.orphans = [key for key in plan.orphans if not own_key(key)]
        self.notes = [f for f in plan.notes if theirs(f)]
        self.loose = [f for f in plan.loose if theirs(f)]
        self.spaces = {s: r for s, r in plan.spaces.items() if s not in hers}
        self.foreign_writes = [
            write.key
            for unit in self.own_units
            for write in (unit.change.writes if unit.change else ())
            if not unit.needs_human and not own_key(write.key)
        ]

    def facts(self) -> dict[str, object]:
        """All of it, to compare."""
        return {name: value for name, value in vars(self).items() if name != "own_units"}
