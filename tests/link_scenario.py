"""Scenario files of bots of shape links: two sides and a mapping in, a plan out.

As `tests/scenario.py` has it for chats, and with the same words for rooms. What differs:

- `layout`: `shape`, `rows` and `evidence` as the settings file has them; without it, tickets whose ids are told by the
  name `Ticket #{id}`. `facts`: what the database says of the table (`integers`, `why_no_insert`, `why_no_write`).
- `rows`: id -> the room that the row names, or null; or -> an object of columns; or -> a list of either, for several
  rows with one id. A composite id is written as a JSON list; what begins with `link:` is a whole key.
- `expect`: unit -> `{status, codes}` and of id, rung, proposal, `says`, `proof`, `owner` what matters, with `writes` or
  `if_approved`: id -> room. `skipped`, `orphans` and `unlinked` (ids), `notes` (id -> code), `loose` (id -> code),
  `in_sync`.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.scenario import BOT, build_world
from toolkit.convention import Convention
from toolkit.homeserver.room_state import decode_room
from toolkit.layout import Layout, TableFacts
from toolkit.model import Choices, Plan, RemoteState, Unit
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import LinkState, load_links
from toolkit.records import Raw, encode_row, link_key

FOLDER = Path(__file__).parent / "scenarios" / "links"
TICKETS = {
    "shape": {"kind": "links"},
    "rows": {"link": {"table": "tickets", "id": "id", "room": "room"}},
    "evidence": [{"name": "Ticket #{id}"}],
}
_KNOWN = {"rule", "remote", "layout", "facts", "rows", "convention", "choices", "expect"}
Order = Callable[[Iterable[Any]], list[Any]]


@dataclass(frozen=True)
class LinkScenario:
    """One scenario as written; the sides are built anew each time."""

    data: Mapping[str, Any]

    @property
    def rule(self) -> str:
        return str(self.data["rule"])

    @property
    def expect(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self.data["expect"] or {}
        return found

    @property
    def layout(self) -> Layout:
        told: dict[str, Any] = {**TICKETS, **self.data.get("layout", {})}
        link = {**TICKETS["rows"]["link"], **told["rows"].get("link", {})}  # type: ignore[index]
        shape = {"kind": "links", **told["shape"]}
        return Layout.of(shape, {"link": link}, told["evidence"])

    @property
    def facts(self) -> TableFacts | None:
        told = self.data.get("facts")
        return told and TableFacts(
            told.get("why_no_insert", ""),
            frozenset(told.get("integers", ())),
            told.get("why_no_write", ""),
        )

    def remote(self, order: Order = list) -> RemoteState:
        described = self.data.get("remote", {})
        world, unreadable = build_world(described), described.get("unreadable", {})
        kept = self.layout.kept_events
        rooms = {
            room: decode_room(room, json.dumps(order(world.rooms[room])).encode(), kept=kept)
            for room in order(world.rooms)
            if room not in unreadable
        }
        return RemoteState(BOT, rooms, {room: unreadable[room] for room in order(unreadable)})

    def key(self, id: Any) -> str:
        if str(id).startswith("link:"):
            return str(id)
        parts = json.loads(id) if len(self.layout.link.ids) > 1 else [str(id)]
        return link_key(self.layout.link.table, parts)

    def rows(self) -> dict[str, Raw]:
        return {self.key(id): self._raw(id, told) for id, told in self.data.get("rows", {}).items()}

    def _raw(self, id: Any, told: Any) -> str:
        if isinstance(told, list):
            return f"[{','.join(sorted(self._raw(id, one) for one in told))}]"
        link = self.layout.link
        parts = json.loads(id) if len(link.ids) > 1 else [id]
        cells: dict[str, Any] = dict.fromkeys(link.columns)
        cells |= zip(link.ids, parts, strict=True)
        cells |= told if isinstance(told, Mapping) else {link.room: told}
        return encode_row(cells)

    def local(self, rows: Mapping[str, Raw] | None = None, order: Order = list) -> LinkState:
        stored = self.rows() if rows is None else rows
        return load_links({k: stored[k] for k in order(stored)}, self.layout, self.facts)

    def plan(self, rows: Mapping[str, Raw] | None = None, order: Order = list) -> Plan:
        picked = {unit: Choices(**told) for unit, told in self.data.get("choices", {}).items()}
        return plan_links(
            self.remote(order),
            self.local(rows, order),
            self.layout,
            Convention(**self.data.get("convention", {})),
            {unit: picked[unit] for unit in order(picked)},
        )

    def written(self, *units: Unit) -> dict[str, Raw]:
        """The rows once these units are written."""
        return self.rows() | {write.key: write.after for unit in units for write in unit.writes}

    def event_id(self, event: str) -> str:
        room, kind, key = (*event.split(), "")[:3]
        state = build_world(self.data["remote"]).rooms[room]
        [found] = [e for e in state if (e["type"], e["state_key"]) == (kind, key)]
        return str(found["event_id"])


def load_link_scenarios() -> list[LinkScenario]:
    """All scenarios of all files, in the order of reading."""
    found = []
    for file in sorted(FOLDER.glob("*.yaml")):
        for data in yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader):
            if strange := set(data) - _KNOWN:
                raise ValueError(f"{file.name}: {data.get('rule')}: unknown words {strange}")
            found.append(LinkScenario(data))
    return found
