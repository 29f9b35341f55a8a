"""What a database is named by: a file, or the address of a server. Pure, and quick to import."""

import os
from pathlib import Path
from urllib.parse import urlsplit

SERVERS = ("postgresql://", "postgres://")


def is_server(database: str | os.PathLike[str]) -> bool:
    """Whether that is no file.

    >>> is_server("postgresql://bot@db/state"), is_server("bot.db"), is_server("Postgres://db")
    (True, False, True)
    """
    return os.fspath(database).lower().startswith(SERVERS)


def read_address(database: str | os.PathLike[str]) -> Path | str:
    """A path, or a server's address as it was given: `Path` would swallow one of its slashes."""
    return str(database) if is_server(database) else Path(database)


def shown_address(database: str | os.PathLike[str]) -> str:
    """How a database is called before people: a path as it is, of a server no more than which one it is.

    What stands in the address otherwise may hold a password, and so may what is malformed: of a password
    that isn't escaped, a part stands where host, port or path do.

    >>> shown_address("postgresql://bot:secret@db:5433/state?sslmode=require"), shown_address("bot.db")
    ('postgresql://db:5433/state', 'bot.db')
    """
    if not is_server(database):
        return os.fspath(database)
    kind = os.fspath(database).partition(":")[0].lower()
    try:
        found = urlsplit(os.fspath(database))
        port = f":{found.port}" if found.port else ""
    except ValueError:
        return f"{kind}://…"
    if "@" in f"{found.path}{found.query}{found.fragment}":
        return f"{kind}://…"
    return f"{kind}://{found.hostname or ''}{port}{found.path}"
