"""A remote side built in memory: raw state events, as `/rooms/{id}/state` gives them.

Everything is counted, nothing is drawn or timed, so two runs build equal worlds.
Serve one with `FakeHomeserver(world.rooms)`, or read it straight from `World.rooms`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Literal

Event = dict[str, Any]
Members = Iterable[str] | Mapping[str, str]
LinkKind = Literal["both", "child", "parent", "none"]

_SPACE = "m.space"
_VIA = ("example.org",)
_TICK = 1_000  # milliseconds between two events
_LAST_VERSION_WITH_CREATOR = 10
_LAST_VERSION_WITH_PREDECESSOR_EVENT = 11


def encode(value: object) -> bytes:
    """Return `value` as the JSON that a homeserver sends: compact, UTF-8, unescaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


class World:
    """The joined rooms of one bot: room id to state events.

    >>> world = World()
    >>> space = world.space("!space", owner="@alice:example.org")
    >>> chat = world.chat("!chat", space, "Чат 1", owner="@alice:example.org")
    >>> world.joined()
    ['!space', '!chat']
    """

    def __init__(self, bot: str = "@bot:example.org", start: int = 1_700_000_000_000) -> None:
        self.bot = bot
        self.rooms: dict[str, list[Event]] = {}
        self._start = start
        self._count = 0

    # Reading

    def joined(self) -> list[str]:
        """Return the ids of the joined rooms, oldest entry first."""
        return list(self.rooms)

    def state(self, room_id: str) -> bytes:
        """Return the body of the homeserver's answer to `/rooms/{room_id}/state`."""
        return encode(self.rooms[room_id])

    # Single events

    def event(
        self,
        room_id: str,
        type: str,
        content: object,
        *,
        state_key: str = "",
        sender: str | None = None,
        ts: int | None = None,
    ) -> str:
        """Set one piece of state, in place of what had its type and key; return the event id."""
        event_id, now = self._next()
        event = {
            "type": type,
            "state_key": state_key,
            "sender": self.bot if sender is None else sender,
            "event_id": event_id,
            "origin_server_ts": now if ts is None else ts,
            "room_id": room_id,
            "content": content,
        }
        old = self._find(room_id, type, state_key)
        if old is None:
            self.rooms.setdefault(room_id, []).append(event)
        else:
            # One statement, so that a reader of the list never sees the state half replaced.
            self.rooms[room_id][self.rooms[room_id].index(old)] = event
        return event_id

    def redact(self, room_id: str, type: str, state_key: str = "") -> None:
        """Redact a piece of state: it stays current, with the content `{}`.

        Real redactions spare some keys (`membership`, the content of new create events);
        this one takes everything, which is what a careful reader must survive.
        """
        event = self._find(room_id, type, state_key)
        if event is None:
            raise KeyError(f"{room_id} has no {type} with state key {state_key!r} to redact")
        redaction, now = self._next()
        because = {
            "type": "m.room.redaction",
            "sender": self.bot,
            "event_id": redaction,
            "origin_server_ts": now,
            "room_id": room_id,
            "redacts": event["event_id"],
            "content": {"redacts": event["event_id"]},
        }
        event["content"] = {}
        event["unsigned"] = {"redacted_because": because}

    def member(
        self, room_id: str, user_id: str, membership: str = "join", sender: str | None = None
    ) -> str:
        """Set a membership; the bot invites and bans, the rest users do themselves."""
        if sender is None:
            sender = self.bot if membership in ("invite", "ban") else user_id
        content = {"membership": membership}
        return self.event(room_id, "m.room.member", content, state_key=user_id, sender=sender)

    def name(self, room_id: str, name: str, sender: str | None = None) -> str:
        """Set the room's name."""
        return self.event(room_id, "m.room.name", {"name": name}, sender=sender)

    def link(
        self, space_id: str, room_id: str, *, content: object = None, sender: str | None = None
    ) -> str:
        """List the room in the Space (`m.space.child`)."""
        return self._link(space_id, "m.space.child", room_id, content, sender)

    def parent(
        self, room_id: str, space_id: str, *, content: object = None, sender: str | None = None
    ) -> str:
        """Name the Space in the room (`m.space.parent`)."""
        return self._link(room_id, "m.space.parent", space_id, content, sender)

    # Whole rooms

    def room(
        self,
        room_id: str,
        *,
        creator: str | None = None,
        room_type: str | None = None,
        name: str | None = None,
        name_sender: str | None = None,
        members: Members = (),
        version: str = "12",
        predecessor: str | None = None,
        created: int | None = None,
        parent: str | None = None,
        bot_member: bool = True,
    ) -> str:
        """Create a room; `members` maps users to memberships, or lists joined ones.

        A creator other than the bot is a member only if `members` says so.
        """
        creator = self.bot if creator is None else creator
        content = _creation(creator, room_type, version, predecessor)
        self.event(room_id, "m.room.create", content, sender=creator, ts=created)
        if bot_member:
            self.member(room_id, self.bot)
        for user_id, membership in _memberships(members).items():
            self.member(room_id, user_id, membership)
        if name is not None:
            self.name(room_id, name, creator if name_sender is None else name_sender)
        if parent is not None:
            self.parent(room_id, parent, sender=creator)
        return room_id

    def space(self, room_id: str, owner: str | None = None, **kw: Any) -> str:
        """Create a Space that the owner, if given, has joined; `kw` as for `room`."""
        return self.room(room_id, **{"room_type": _SPACE, **_with_owner(owner, kw)})

    def chat(
        self,
        room_id: str,
        space_id: str,
        name: str | None = None,
        *,
        owner: str | None = None,
        link: LinkKind = "both",
        **kw: Any,
    ) -> str:
        """Create a room linked to the Space, joined by the owner if given; `kw` as for `room`."""
        self.room(room_id, name=name, **_with_owner(owner, kw))
        if link in ("both", "child"):
            self.link(space_id, room_id)
        if link in ("both", "parent"):
            self.parent(room_id, space_id)
        return room_id

    def upgrade(
        self,
        old: str,
        new: str,
        *,
        by: str | None = None,
        copy_name: bool = True,
        space: bool | None = None,
    ) -> str:
        """Replace a room as Synapse does, and return the new one's id.

        The new room gets type, name and, for a Space, the non-empty child links; it gets
        neither parent link nor custom state, and of the members only upgrader and bot.
        `space` forces the type of the new room.
        """
        by = self.bot if by is None else by
        as_space = self._is_space(old) if space is None else space
        room_type = _SPACE if as_space else self._content(old, "m.room.create").get("type")
        if space is False:
            room_type = None
        members = () if by == self.bot else (by,)
        self.room(new, creator=by, room_type=room_type, predecessor=old, members=members)
        old_name = self._content(old, "m.room.name").get("name")
        if copy_name and old_name is not None:
            self.name(new, old_name, by)
        if as_space:
            self._copy_children(old, new, by)
        tombstone = {"body": "This room has been replaced", "replacement_room": new}
        self.event(old, "m.room.tombstone", tombstone, sender=by)
        return new

    def leave(self, room_id: str) -> None:
        """Take the room from the joined ones, as if the bot had left it."""
        del self.rooms[room_id]

    # Helpers

    def _next(self) -> tuple[str, int]:
        """Count one event: its id and its time."""
        now = self._start + self._count * _TICK
        self._count += 1
        return f"${self._count}", now

    def _find(self, room_id: str, type: str, state_key: str = "") -> Event | None:
        for event in self.rooms.get(room_id, ()):
            if event["type"] == type and event["state_key"] == state_key:
                return event
        return None

    def _content(self, room_id: str, type: str) -> Mapping[str, Any]:
        event = self._find(room_id, type)
        content = {} if event is None else event["content"]
        return content if isinstance(content, Mapping) else {}

    def _is_space(self, room_id: str) -> bool:
        return self._content(room_id, "m.room.create").get("type") == _SPACE

    def _link(
        self, room_id: str, type: str, target: str, content: object, sender: str | None
    ) -> str:
        content = {"via": list(_VIA)} if content is None else content
        return self.event(room_id, type, content, state_key=target, sender=sender)

    def _copy_children(self, old: str, new: str, sender: str) -> None:
        children = [e for e in self.rooms[old] if e["type"] == "m.space.child" and e["content"]]
        for child in children:
            self.link(new, child["state_key"], content=child["content"], sender=sender)


def _creation(
    creator: str, room_type: str | None, version: str, predecessor: str | None
) -> dict[str, Any]:
    """Return the content of a create event as that room version writes it."""
    content: dict[str, Any] = {"room_version": version}
    number = int(version) if version.isdecimal() else None
    if number is not None and number <= _LAST_VERSION_WITH_CREATOR:
        content["creator"] = creator
    if room_type is not None:
        content["type"] = room_type
    if predecessor is not None:
        content["predecessor"] = {"room_id": predecessor}
        if number is not None and number <= _LAST_VERSION_WITH_PREDECESSOR_EVENT:
            content["predecessor"]["event_id"] = "$tombstone"
    return content


def _memberships(members: Members) -> dict[str, str]:
    return dict(members) if isinstance(members, Mapping) else dict.fromkeys(members, "join")


def _with_owner(owner: str | None, kw: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments for `room` with the owner first among the members."""
    joined = {} if owner is None else {owner: "join"}
    return {**kw, "members": joined | _memberships(kw.get("members", ()))}
