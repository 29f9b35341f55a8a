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
from toolkit.model import Plan, RemoteState, RoomState, Unit
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
