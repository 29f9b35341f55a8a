"""What opens a database, or looks into it, from what a setting, an option or a variable names as one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from toolkit.database.address import read_address, shown_address
from toolkit.database.contract import TransactionalStore
from toolkit.database.sample import Site
from toolkit.database.store import SQLiteStore
from toolkit.errors import StoreError


def store_at(
    database: str | os.PathLike[str],
    *,
    read_only: bool = False,
    backup_dir: Path | None = None,
    **settings: Any,
) -> TransactionalStore:
    """The store on this database, which isn't open yet; `settings` as a store tells its own.

    Raises `StoreError` for an address that isn't known, and where the program for it isn't installed.
    """
    found = read_address(database)
    if isinstance(found, str):
        with _on_server(found):
            from toolkit.database.postgres.store import PostgresStore  # nobody else pays for it
        return PostgresStore(found, read_only=read_only, backup_dir=backup_dir, **settings)
    return SQLiteStore(found, read_only=read_only, backup_dir=backup_dir, **settings)


def site_at(database: str | os.PathLike[str]) -> Site:
    """This database, to be looked into before any mapping describes it. Raises `StoreError` likewise."""
    found = read_address(database)
    if isinstance(found, str):
        with _on_server(found):
            from toolkit.database.postgres.survey import ServerSite
        return ServerSite(found)
    from toolkit.database.survey import FileSite  # nor for this

    return FileSite(found)


@contextmanager
def _on_server(address: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name != "psycopg":
            raise
        raise StoreError(
            f"Can't open the database {shown_address(address)}: PostgreSQL needs the extra `postgres`; "
            "pip install 'matrix-drift[postgres]' and try again."
        ) from None
