"""Scenario files: two sides in, a plan out; this module reads them, `test_scenarios.py` judges.

A file holds a list of scenarios, each a mapping (`scenarios/README.md` says it at length):

- `rule`: the sentence that the scenario shows; it is the test's name.
- `remote`: room id -> room. A room is `{space: owner or null, chats: {room id: name or room}}` or
  `{in: Space id, link: both|child|parent|none}` or neither; further `name`, `name_by`, `members`
  (user -> membership), `by` (who created it), `version`, `type`, `predecessor`, `created`. Creation
  time is the order in the file. Besides rooms: `upgrades` ("!old -> !new" or with `by`), `events`
  (room id -> raw events as `{type, key, content, by}`), `redacted` ("!room type key"), and
  `unreadable` (room id -> why).
- `right`: "user in Space" -> {chat id: room id}: all rows of that user, complete and right.
- `rows`: key -> object, raw text, `!!binary` or number; over a right row an object replaces the fields
  that it names (`absent` removes one), and the word `absent` removes the row.
- `convention`, `choices`, `lower_counters`: as the planner takes them.
- `expect`: unit -> `{status, codes}` and whatever else of proposal, chat_id, owner, space_id, rung,
  candidates, fields, `says` (field, key or code -> words of its cause) and `proof` ("!room type key" of
  the events that prove it) matters, with `writes` (nobody has to agree) or `if_approved` (a human must):
  key -> fields afterwards. `skipped`, `orphans`, `notes`, `loose`, and `in_sync` where it matters.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from toolkit.convention import Convention
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Choices, Plan, RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import LocalState, Raw, load_records
from toolkit.testing import World

FOLDER = Path(__file__).parent / "scenarios"
BOT = "@bot:hs"
_WORDS = {"upgrades", "events", "redacted", "unreadable"}
_KNOWN = {"rule", "remote", "right", "rows", "convention", "choices", "lower_counters", "expect"}
Row = Mapping[str, Any]


def _as_it_is(items: Iterable[Any]) -> list[Any]:
    return list(items)


def backwards(items: Iterable[Any]) -> list[Any]:
    """The other order, which must not matter."""
    return list(reversed(list(items)))


@dataclass(frozen=True)
class Scenario:
    """One scenario as written; `remote()` and `local()` build the two sides anew each time."""

    data: Mapping[str, Any]

    @property
    def rule(self) -> str:
        return str(self.data["rule"])

    @property
    def expect(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data["expect"] or {}
        return found

    @property
    def convention(self) -> Convention:
        return Convention(**self.data.get("convention", {}))

    @property
    def choices(self) -> dict[str, Choices]:
        return {unit: Choices(**picked) for unit, picked in self.data.get("choices", {}).items()}

    def remote(self, order: Callable[[Iterable[Any]], list[Any]] = _as_it_is) -> RemoteState:
        described = self.data.get("remote", {})
        world = build_world(described)
        unreadable = described.get("unreadable", {})
        custom = self.convention.state_event_type
        rooms = {
            room_id: decode_room(room_id, json.dumps(order(world.rooms[room_id])).encode(), custom)
            for room_id in order(world.rooms)
            if room_id not in unreadable
        }
        return RemoteState(BOT, rooms, {r: unreadable[r] for r in order(unreadable)})

    def rows(self) -> dict[str, Raw]:
        rows: dict[str, Any] = {}
        for whose, chats in self.data.get("right", {}).items():
            user_id, space_id = whose.split(" in ")
            rows |= right_rows(user_id, space_id, chats)
        for key, value in self.data.get("rows", {}).items():
            rows[key] = _over(rows.get(key), value)
        return {key: _stored(value) for key, value in rows.items() if value != "absent"}

    def event_id(self, event: str) -> str:
        """The id of "!room type key"; the key may be empty."""
        room_id, kind, key = (*event.split(), "")[:3]
        state = build_world(self.data["remote"]).rooms[room_id]
        [found] = [e for e in state if (e["type"], e["state_key"]) == (kind, key)]
        return str(found["event_id"])

    def plan(
        self,
        rows: Mapping[str, Raw] | None = None,
        *,
        choices: Mapping[str, Choices] | None = None,
        order: Callable[[Iterable[Any]], list[Any]] = _as_it_is,
    ) -> Plan:
        picked = self.choices if choices is None else choices
        return plan_repairs(
            self.remote(order),
            load(self.rows() if rows is None else rows, order),
            self.convention,
            {unit: picked[unit] for unit in order(picked)},
            lower_counters=bool(self.data.get("lower_counters")),
        )


@cache
def load_scenarios() -> tuple[Scenario, ...]:
    """All scenarios of all files, in the order of reading; nobody changes one."""
    return tuple(_read(sorted(FOLDER.glob("*.yaml"))))


def _read(files: Iterable[Path]) -> Iterator[Scenario]:
    for file in files:
        for data in yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            if strange := set(data) - _KNOWN:
                raise ValueError(f"{file.name}: {data.get('rule')}: unknown words {strange}")
            yield Scenario(data)


def load(
    rows: Mapping[str, Raw], order: Callable[[Iterable[Any]], list[Any]] = _as_it_is
) -> LocalState:
    return load_records(order(rows.items()))


def build_world(described: Mapping[str, Any]) -> World:
    """The homeserver's side, event by event as the bot and the users would have made it."""
    world = World(bot=BOT)
    for room_id, room in described.items():
        if room_id not in _WORDS:
            _add_room(world, room_id, dict(room or {}))
    for upgrade in described.get("upgrades", ()):
        how: dict[str, Any] = {"ids": upgrade} if isinstance(upgrade, str) else upgrade
        old, new = how["ids"].split(" -> ")
        world.upgrade(old, new, by=how.get("by"), space=how.get("space"))
    for room_id, events in described.get("events", {}).items():
        for event in events:
            world.event(
                room_id,
                event["type"],
                event["content"],
                state_key=event.get("key", ""),
                sender=event.get("by"),
                ts=event.get("ts"),
            )
    for redacted in described.get("redacted", ()):
        world.redact(*redacted.split())
    return world


def _add_room(world: World, room_id: str, room: dict[str, Any]) -> None:
    chats = room.pop("chats", {})
    space, link = room.pop("in", None), room.pop("link", "both")
    creation = {
        "members": dict(room.pop("members", {})),
        "name": room.pop("name", None),
        "name_sender": room.pop("name_by", None),
        "creator": room.pop("by", None),
        "version": room.pop("version", "12"),
        "created": room.pop("created", None),
        "predecessor": room.pop("predecessor", None),
    }
    if "space" in room:
        world.space(room_id, owner=room.pop("space"), **creation)
    elif space is not None:
        world.chat(room_id, space, link=link, **creation)
    else:
        world.room(room_id, room_type=room.pop("type", None), **creation)
    if room:
        raise ValueError(f"{room_id}: unknown words {set(room)}")
    for chat, details in chats.items():
        details = details if isinstance(details, Mapping) else {"name": details}
        _add_room(world, chat, {"in": room_id, **details})


def right_rows(user_id: str, space_id: str, chats: Mapping[str, str]) -> dict[str, Row]:
    """The rows of a user whose chats have nothing wrong with them."""
    numbers = [int(chat_id[1:]) for chat_id in chats]
    rows: dict[str, Row] = {
        f"matrix_user:{user_id}": {
            "space_id": space_id,
            "next_chat_index": 1 + max(numbers, default=0),
        }
    }
    for chat_id, room_id in chats.items():
        name = f"Чат {chat_id[1:]}"
        rows[f"matrix_room:{room_id}"] = {
            "room_type": "chat",
            "chat_id": chat_id,
            "display_name": name,
            "matrix_user_id": user_id,
            "space_id": space_id,
        }
        rows[f"chat:{user_id}:{chat_id}"] = {
            "user_id": user_id,
            "chat_id": chat_id,
            "platform": "matrix",
            "surface_ref": room_id,
            "name": name,
        }
    return rows


def _over(right: Row | None, value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    return {k: v for k, v in {**(right or {}), **value}.items() if v != "absent"}


def _stored(value: Any) -> Raw:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value
