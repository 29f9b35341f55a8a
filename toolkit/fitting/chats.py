"""Whether a table is the key-value one of the toolkit's own shape, whatever it and its columns are called. Pure."""

from collections.abc import Sequence
from itertools import permutations

import msgspec

from toolkit.database.sample import Sample
from toolkit.records import FAMILIES, LocalState, load_records


class KeyValue(msgspec.Struct, frozen=True):
    """A table with rows of the three families, and how many of the rows that were read can be."""

    table: str
    key_column: str
    value_column: str
    users: int
    rooms: int
    chats: int

    @property
    def readable(self) -> int:
        """All rows that could be read as rows of a bot of this shape."""
        return self.users + self.rooms + self.chats

    @property
    def settings(self) -> dict[str, str]:
        """What the file says of it, as far as it isn't so anyway."""
        usual = {"table": "kv", "key_column": "key", "value_column": "value"}
        return {name: told for name, kv in usual.items() if (told := getattr(self, name)) != kv}


def find_key_value(samples: Sequence[Sample]) -> KeyValue | None:
    """The table with most rows that only a bot of this shape has; None if there is none."""
    found = [
        one
        for sample in samples
        for key, value in permutations(sample.names, 2)
        if (one := _read(sample, key, value))
    ]
    return max(found, key=lambda one: one.readable, default=None)


def _read(sample: Sample, key: str, value: str) -> KeyValue | None:
    rows = {
        name: raw
        for name, raw in zip(sample.cells(key), sample.cells(value), strict=True)
        if isinstance(name, str) and name.startswith(FAMILIES) and isinstance(raw, str | bytes)
    }
    state: LocalState = load_records(rows)
    if not (state.users or state.rooms):
        return None
    counts = len(state.users), len(state.rooms), len(state.chats)
    return KeyValue(sample.name, key, value, *counts)
