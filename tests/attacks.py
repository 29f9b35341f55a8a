"""What an attacker does to a small world, and what a plan says about everybody else."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from tests.worlds import BOT, CHAT_ID_EVENT, HELPER, USERS, Dice, Sides, build
from toolkit.model import Code, Finding, Plan
from toolkit.records import Raw, chat_key, room_key, user_key
from toolkit.testing.world import World

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
