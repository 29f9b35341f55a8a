"""Where a bot's rows stand and how its rooms are told: the mapping of `matrix-drift.toml`.

In order: `values` (what it says), `mistakes` (what can't work), `patterns` (ids in texts and paths).
"""

from toolkit.layout.patterns import LARGEST, SMALLEST, as_integer, id_pattern, split_path
from toolkit.layout.values import (
    ALIAS,
    EVERY_TYPE,
    Cell,
    ChatTable,
    Clue,
    Field,
    Layout,
    LinkTable,
    RoomTable,
    Shape,
    TableFacts,
    Tables,
    UserTable,
)

__all__ = [
    "ALIAS",
    "EVERY_TYPE",
    "LARGEST",
    "SMALLEST",
    "Cell",
    "ChatTable",
    "Clue",
    "Field",
    "Layout",
    "LinkTable",
    "RoomTable",
    "Shape",
    "TableFacts",
    "Tables",
    "UserTable",
    "as_integer",
    "id_pattern",
    "split_path",
]
