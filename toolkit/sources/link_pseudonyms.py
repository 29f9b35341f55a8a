"""An anonymised snapshot of a bot of shape links: its table, ids and what tells them, under other names. Pure.

What a clue reads in a room is read here, and written anew in a form that holds nothing but the id: in a name and an
alias between brackets, in an event under a field of its own. The mapping of the snapshot says the same form.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from toolkit.layout import ALIAS, Clue, Layout, LinkTable, TableFacts, id_pattern
from toolkit.planning.links.rows import load_links
from toolkit.records import Raw, encode_row, link_key, split_link_key
from toolkit.sources.pseudonyms import STATE_TYPES, Pseudonyms

TABLE = "links"
_WHY = "the table needs more than the mapping gives"


class LinkPseudonyms:
    """The words for one snapshot's layout, rows and evidence; `code` of the bot's own can't be taken along."""

    def __init__(
        self,
        layout: Layout,
        facts: TableFacts | None,
        rows: Mapping[str, Raw],
        names: Pseudonyms,
    ) -> None:
        self._layout, self._facts, self._rows, self._names = layout, facts, rows, names
        ids = layout.link.ids
        whole = load_links(rows, layout, facts).integers
        integers = frozenset(name for name, is_whole in zip(ids, whole, strict=True) if is_whole)
        self._patterns = {
            place: id_pattern(text, ids, integers)
            for place, clue in enumerate(layout.clues)
            if (text := clue.name if clue.name is not None else clue.alias) is not None
        }
        self._kinds = layout.kept_events
        self._columns = _columns(layout.link)
        self._makers: set[str] = set()

    # What rooms say

    def hear(self, sender: object) -> None:
        """Notes who may be one of the declared makers of rooms."""
        makers = self._layout.makers
        if isinstance(sender, str) and makers and makers.fullmatch(sender):
            self._makers.add(sender)

    def name(self, name: str) -> str:
        """For a room's name: what tells an id in it still does."""
        return self._names.text(name) + self._told(name, "name")

    def _told(self, text: str, kind: str) -> str:
        told = []
        for place, pattern in self._patterns.items():
            if self._layout.clues[place].kind != kind or not (match := pattern.fullmatch(text)):
                continue
            parts = [match[f"part{n}"] for n in range(len(self._layout.link.ids))]
            told.append(f"{place}<{'|'.join(map(self._names.id, parts))}>")
        return "".join(told)

    def fields(self, kind: object, read: Callable[[tuple[str, ...]], Any]) -> list[tuple[str, Any]]:
        """For the content of an event: what its clues `read` at a path, each under a field of its own."""
        if not isinstance(kind, str) or kind not in self._kinds:
            return []
        found: list[tuple[str, Any]] = []
        if kind == ALIAS and isinstance(alias := read(("alias",)), str):
            found.append(("alias", self._names.text(alias) + self._told(alias, "alias")))
        for place, clue in enumerate(self._layout.clues):
            if clue.event is None or clue.event != kind:
                continue
            for number, path in enumerate(clue.paths):
                if (value := read(path)) is not None:
                    found.append((_field(place, number), self._part(value)))
        return found

    def _part(self, value: Any) -> Any:
        """A part of an id; what can be none stays of another type."""
        if isinstance(value, str):
            return self._names.id(value)
        if type(value) is not int:
            return True
        told = self._names.id(str(value))
        return int(told) if told.removeprefix("-").isdigit() else told

    # What stands in the database

    @property
    def facts(self) -> TableFacts | None:
        if self._facts is None:
            return None
        integers = frozenset(self._columns[name] for name in self._facts.integers)
        return TableFacts(_WHY if self._facts.why_no_insert else "", integers)

    def rows(self) -> dict[str, Raw]:
        """Rows of the table, with the mapped columns alone."""
        return {self._key(key): self._row(str(raw)) for key, raw in self._rows.items()}

    def _key(self, key: str) -> str:
        told = split_link_key(key)[1]
        parts = json.loads(told) if len(self._layout.link.ids) > 1 else [told]
        return link_key(TABLE, [self._names.id(str(part)) for part in parts])

    def _row(self, text: str) -> str:
        told = json.loads(text)
        if isinstance(told, list):
            return f"[{','.join(encode_row(self._cells(cells)) for cells in told)}]"
        return encode_row(self._cells(told))

    def _cells(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        return {self._columns[name]: self._cell(name, value) for name, value in cells.items()}

    def _cell(self, column: str, value: Any) -> Any:
        if column in self._layout.link.ids and isinstance(value, str | int):
            return self._part(value)
        if isinstance(value, str):
            return self._names.text(value)
        if isinstance(value, dict):
            return {"blob": "00"}
        return None if value is None else 0

    # What is declared

    @property
    def layout(self) -> Layout:
        """The mapping that reads all this."""
        link, columns = self._layout.link, self._columns
        ids = [columns[name] for name in link.ids]
        told: dict[str, Any] = {
            "table": TABLE,
            "id": ids if len(ids) > 1 else ids[0],
            "room": columns[link.room],
            "show": [columns[name] for name in link.show],
            "insert": link.insert is not False,
        }
        if link.owner is not None:
            told["owner"] = columns[link.owner]
        rooms: Any = self._layout.shape.rooms
        if not isinstance(rooms, str):
            rooms = [re.escape(self._names.text(user)) for user in sorted(self._makers)]
        shape = {"kind": "links", "type": self._layout.shape.type, "rooms": rooms or ["nobody"]}
        evidence = [self._clue(place, clue, ids) for place, clue in enumerate(self._layout.clues)]
        return Layout.of(shape, {"link": told}, evidence)

    def _clue(self, place: int, clue: Clue, ids: Iterable[str]) -> dict[str, Any]:
        if clue.sole_member:
            return {"sole_member": True}
        if clue.event is None:
            slots = r"\|".join(f"{{{name}}}" for name in ids)
            return {clue.kind: rf".*?{place}<{slots}>.*"}
        paths = [_field(place, number) for number in range(len(clue.paths))]
        return {
            "event": self._names.keep(clue.event, STATE_TYPES),
            "state_key": "*" if clue.state_key == "*" else self._names.text(clue.state_key),
            "id": paths if len(paths) > 1 else paths[0],
        }


def _columns(link: LinkTable) -> dict[str, str]:
    """The name of each mapped column, after what it is."""
    ids = link.ids
    told = {name: f"id{place}" if len(ids) > 1 else "id" for place, name in enumerate(ids, 1)}
    told.setdefault(link.room, "room")
    if link.owner is not None:
        told.setdefault(link.owner, "owner")
    for place, name in enumerate(link.show, 1):
        told.setdefault(name, f"show{place}")
    return told


def _field(place: int, number: int) -> str:
    return f"clue{place}part{number}"
