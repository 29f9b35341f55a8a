"""A store from what a setting, an option or a variable names as the database."""

import os
from pathlib import Path
from typing import Any

from toolkit.database.address import read_address, shown_address
from toolkit.database.contract import TransactionalStore
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
        try:
            from toolkit.database.postgres.store import PostgresStore  # nobody else pays for it
        except ModuleNotFoundError as error:
            if error.name != "psycopg":
                raise
        else:
            return PostgresStore(found, read_only=read_only, backup_dir=backup_dir, **settings)
        raise StoreError(
            f"Can't open the database {shown_address(database)}: PostgreSQL needs the extra `postgres`; "
            "pip install 'matrix-drift[postgres]' and try again."
        )
    return SQLiteStore(found, read_only=read_only, backup_dir=backup_dir, **settings)
