"""Small worlds of bots of shape links, for laws: rooms made by bot, ghosts and strangers, and broken rows.

Drawn by hypothesis; a draw of zero is always the ordinary case, so that counterexamples shrink to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from toolkit.homeserver.room_state import decode_room
from toolkit.layout import Layout, TableFacts
from toolkit.model import Choices, Plan, RemoteState, Unit
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import LinkState, load_links
from toolkit.records import Raw, encode_row, link_key
from toolkit.testing.world import Event, World, encode

BOT, GHOST, EVA = "@bot:hs", "@ghost_1:hs", "@eva:evil"
EVENT = "org.desk.case"
MAKERS = (BOT, BOT, GHOST, EVA)
JUNK: tuple[Any, ...] = (True, None, [], {}, "", "x", 1.5, "007", 10**20)
MEMBERSHIPS = ("join", "invite", "leave", "ban")


def layouts() -> list[Layout]:
    """The mappings that the worlds are looked at with; single ids first, then composite ones."""
    found = []
    for rooms in ("bot", "bot-event", ["@ghost_.+:hs"]):
        for ids in (["id"], ["id", "part"]):
            single = len(ids) == 1
            name = "Ticket #{id}" if single else r"Ticket #{id}/{part}"
            evidence: list[dict[str, Any]] = [
                {"event": EVENT, "state_key": "*", "id": ids},
                {"name": name},
                {"alias": name.replace("Ticket ", "") + ":hs"},
            ]
            if single:
                evidence.append({"sole_member": True})
            for insert in (False, True):
                table = {"table": "t", "id": ids, "room": "room", "show": ["s"], "insert": insert}
                shape = {"kind": "links", "rooms": rooms}
                found.append(Layout.of(shape, {"link": table}, evidence))
    return found


LAYOUTS = layouts()


@dataclass(frozen=True)
class LinkSides:
    """A homeserver's rooms and a bot's rows, and the mapping between them."""

    layout: Layout
    rooms: Mapping[str, list[Event]]
    rows: Mapping[str, Raw]
    unreadable: frozenset[str] = frozenset()
    facts: TableFacts | None = None

    def remote(self) -> RemoteState:
        kept = self.layout.kept_events
        rooms = {
            room_id: decode_room(room_id, encode(events), kept=kept)
            for room_id, events in self.rooms.items()
            if room_id not in self.unreadable
        }
        return RemoteState(BOT, rooms, dict.fromkeys(sorted(self.unreadable), "it failed"))

    def local(self) -> LinkState:
        return load_links(self.rows, self.layout, self.facts)

    def plan(self, choices: Mapping[str, Choices] | None = None) -> Plan:
        return plan_links(self.remote(), self.local(), self.layout, choices=choices)

    def written(self, *units: Unit) -> LinkSides:
        """The same once these units are written."""
        rows = dict(self.rows)
        for unit in units:
            rows |= {write.key: write.after for write in unit.writes}
        return replace(self, rows=rows)


def certain(plan: Plan) -> list[Unit]:
    return [unit for unit in plan.units if unit.certain]


class Builder:
    """Builds one world, draw by draw."""

    def __init__(self, draw: Any) -> None:
        self.draw = draw
        self.layout: Layout = self.pick(LAYOUTS)
        self.world = World(BOT)

    def pick(self, choices: Any) -> Any:
        return self.draw(st.sampled_from(list(choices)))

    def hit(self, of: int) -> bool:
        """One time in `of`, and never in the ordinary case."""
        return bool(self.draw(st.integers(0, of - 1)) == of - 1)

    @property
    def ids(self) -> tuple[str, ...]:
        return self.layout.link.ids

    def id(self) -> list[Any]:
        """Few, so that they meet."""
        return [self.pick((1, 2, 3)) if name == "id" else self.pick(("", "a")) for name in self.ids]

    def text(self) -> str:
        return "/".join(map(str, self.id()))

    def add_room(self, room_id: str, makers: tuple[str, ...] = MAKERS) -> None:
        """A room by somebody, with what tells an id, by somebody."""
        maker = self.pick(makers)
        members = {f"@u{n}:hs": self.pick(MEMBERSHIPS) for n in range(self.pick((1, 0, 2)))}
        kind = "m.space" if self.hit(8) else None
        self.world.room(room_id, creator=maker, members=members, room_type=kind)
        senders = (maker, *makers)
        if self.pick((True, False)):
            self.world.name(room_id, f"Ticket #{self.text()}", self.pick(senders))
        if self.pick((False, True)):
            self.add_event(room_id, "", self.pick(senders))
        if self.hit(3):
            self.add_event(room_id, "other", self.pick(senders))
        if self.hit(3):
            alias = {"alias": f"#{self.text()}:hs"}
            self.world.event(room_id, "m.room.canonical_alias", alias, sender=self.pick(senders))

    def add_event(self, room_id: str, key: str, sender: str) -> None:
        content: dict[str, Any] = {
            name: self.pick(JUNK) if self.hit(8) else self.pick((part, str(part)))
            for name, part in zip(self.ids, self.id(), strict=True)
            if not self.hit(4)
        }
        self.world.event(room_id, EVENT, content, state_key=key, sender=sender)

    def build_rooms(self) -> None:
        for number in range(self.pick(range(1, 6))):
            self.add_room(f"!r{number}")
        for old in list(self.world.rooms):
            if self.hit(4):
                by = self.pick((BOT, EVA))
                self.world.upgrade(old, f"{old}+", by=by, copy_name=self.hit(2))
                if self.hit(3):
                    self.world.leave(self.pick((old, f"{old}+")))

    def cells(self, id: list[Any]) -> dict[str, Any]:
        room = self.pick((*self.world.rooms, "!gone", None, ""))
        room = self.pick((7, {"blob": "ff"})) if self.hit(12) else room
        return {**dict(zip(self.ids, id, strict=True)), "room": room, "s": self.pick(("x", None))}

    def build_rows(self) -> dict[str, Raw]:
        rows: dict[str, Raw] = {}
        for _ in range(self.pick(range(5))):
            id = self.id()
            texts = [encode_row(self.cells(id)) for _ in range(2 if self.hit(8) else 1)]
            raw = texts[0] if len(texts) == 1 else f"[{','.join(sorted(texts))}]"
            rows[link_key("t", [str(part) for part in id])] = raw
        return rows


def build(draw: Any) -> LinkSides:
    builder = Builder(draw)
    builder.build_rooms()
    rows = builder.build_rows()
    facts = TableFacts(builder.pick(("", "it needs more")), frozenset({"id"}))
    unreadable = frozenset(room for room in builder.world.rooms if builder.hit(8))
    return LinkSides(builder.layout, builder.world.rooms, rows, unreadable, facts)


@st.composite
def link_worlds(draw: Any) -> LinkSides:
    """Sides of a small world."""
    return build(draw)


@st.composite
def readable_link_worlds(draw: Any) -> LinkSides:
    """Sides of a small world with every room read."""
    return replace(build(draw), unreadable=frozenset())


@st.composite
def with_strangers(draw: Any) -> tuple[LinkSides, LinkSides]:
    """A world, and the same after what a stranger can do: make rooms, invite the bot, forge and join."""
    builder = Builder(draw)
    builder.build_rooms()
    facts = TableFacts("", frozenset({"id"}))
    rows = builder.build_rows()
    before = {room_id: list(events) for room_id, events in builder.world.rooms.items()}
    sides = LinkSides(builder.layout, before, rows, facts=facts)
    for number in range(builder.pick((1, 2, 3))):
        builder.add_room(f"!eva{number}", (EVA,))
    for room_id in before:
        if builder.pick((True, False)):
            builder.add_event(room_id, "@eva", EVA)
    return sides, replace(sides, rooms=builder.world.rooms)
