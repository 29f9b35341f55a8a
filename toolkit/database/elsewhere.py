"""What a database holds that a mapping doesn't name, as digests: two of them tell whether anybody wrote there.

Only reads, from a copy that nobody else has open.
"""

import sqlite3
from collections.abc import Collection
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path

from toolkit.database.sql import quote

SCHEMA = "how tables are made"
OTHER_COLUMNS = "other columns of its rows"


def digest_elsewhere(path: Path, table: str, columns: Collection[str]) -> dict[str, str]:
    """Digests of the schema, of each other table, and of this table's other columns; by their names.

    A table that can't be read, such as a virtual one whose module isn't there, has none.
    """
    mapped = {column.lower() for column in columns}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as connection:
        connection.text_factory = bytes
        names = [name.decode("utf-8", "replace") for (name,) in connection.execute(_TABLES)]
        found = {SCHEMA: _digest(connection, "SELECT type, name, sql FROM sqlite_master")}
        for name in names:
            with suppress(sqlite3.Error):
                if name.lower() != table.lower():
                    found[name] = _digest(connection, f"SELECT * FROM {quote(name)}")  # noqa: S608  # quoted
                elif others := _others(connection, name, mapped):
                    told = ", ".join(map(quote, others))
                    select = f"SELECT {told} FROM {quote(name)}"  # noqa: S608  # quoted
                    found[OTHER_COLUMNS] = _digest(connection, select)
    return found


def _others(connection: sqlite3.Connection, name: str, mapped: Collection[str]) -> list[str]:
    rows = connection.execute("SELECT name FROM pragma_table_xinfo(?)", (name,))
    columns = [column.decode("utf-8", "replace") for (column,) in rows]
    return [column for column in columns if column.lower() not in mapped]


def _digest(connection: sqlite3.Connection, select: str) -> str:
    told = sha256()
    for row in connection.execute(select):
        told.update(repr(row).encode())
    return told.hexdigest()


_TABLES = (
    r"SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'"
)
