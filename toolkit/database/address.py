"""What a database is named by: a file, or the address of a server. Pure, and quick to import."""

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from toolkit.errors import StoreError

SERVERS = ("postgresql://", "postgres://")
_SWALLOWED = tuple(start[:-1] for start in SERVERS)
_WORD = r"(?:host|hostaddr|port|dbname|user|password|passfile|service|sslmode)\s*="
# A scheme (a single letter is a drive), or libpq's own way to say it.
_ADDRESS = re.compile(
    rf"\s*(?:[a-z][a-z0-9+.-]+:/|{_WORD}.*\s{_WORD}|password\s*=)", re.IGNORECASE | re.DOTALL
)


def is_server(database: str | os.PathLike[str]) -> bool:
    """Whether that is no file, but an address, be it one that is known or not.

    >>> is_server("postgresql://bot@db/state"), is_server("bot.db"), is_server("Postgres://db")
    (True, False, True)
    >>> is_server("mysql://bot@db/state"), is_server("host=db user=bot"), is_server("C:/user=bot/bot.db")
    (True, True, False)
    """
    return _ADDRESS.match(os.fspath(database)) is not None


def read_address(database: str | os.PathLike[str]) -> Path | str:
    """A path, or a server's address as it was given: `Path` would swallow one of its slashes.

    Raises `StoreError` for any other address, and for one that somebody has made a path of. It repeats
    nothing of that, which may hold a password.
    """
    if _is_known(database):
        return os.fspath(database)
    if Path(database).as_posix().lower().startswith(_SWALLOWED):
        raise StoreError(
            "The address of the database lacks a slash: write postgresql:// with two of them, and in Python "
            "give it as a text, not as a Path, which takes one away."
        )
    if is_server(database):
        raise StoreError(
            "The database is named neither by a file nor by an address that is known here: of SQLite give "
            "the file's path alone, of PostgreSQL postgresql://user@host:5432/database."
        )
    return Path(database)


def read_path(database: str | os.PathLike[str]) -> Path:
    """A path, for who takes nothing else. Raises `StoreError`."""
    found = read_address(database)
    if isinstance(found, str):
        raise StoreError(
            f"{shown_address(found)} is a database on a server, and SQLiteStore takes a file: "
            "open it with PostgresStore."
        )
    return found


def shown_address(database: str | os.PathLike[str]) -> str:
    """How a database is called before people: a path as it is, of a server no more than which one it is.

    What stands in the address otherwise may hold a password, and so may what is malformed: of a password
    that isn't escaped, a part stands where host, port or path do.

    >>> shown_address("postgresql://bot:secret@db:5433/state?sslmode=require"), shown_address("bot.db")
    ('postgresql://db:5433/state', 'bot.db')
    """
    if not is_server(database):
        return os.fspath(database)
    if not _is_known(database):
        return "…"
    kind = os.fspath(database).partition(":")[0].lower()
    try:
        found = urlsplit(os.fspath(database))
        port = f":{found.port}" if found.port else ""
    except ValueError:
        return f"{kind}://…"
    if "@" in f"{found.path}{found.query}{found.fragment}":
        return f"{kind}://…"
    return f"{kind}://{found.hostname or ''}{port}{found.path}"


def _is_known(database: str | os.PathLike[str]) -> bool:
    return os.fspath(database).lower().startswith(SERVERS)
