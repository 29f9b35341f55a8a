"""`fit` on a bot's database in a folder of its own, with a homeserver that has its rooms; in a file, or on a server."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.cli.command import TOKEN, Done, Md
from tests.postgres.server_bench import new_role
from toolkit import reconcile_links
from toolkit.database.opening import store_at
from toolkit.homeserver.transport import PlainClient
from toolkit.links import LinkReport
from toolkit.sources.settings import read_settings
from toolkit.testing import FakeHomeserver, World
from toolkit.testing.postgres import Postgres


class Fitter:
    """A bot's database in an empty folder, a homeserver with its rooms, and `fit` between them."""

    def __init__(self, folder: Path, md: Md, server: FakeHomeserver) -> None:
        self.folder, self.md, self.server = folder, md, server
        self.path = folder / "store.db"

    def fill(self, made: str, world: World | None = None) -> None:
        with closing(sqlite3.connect(self.path)) as database, database:
            database.executescript(made)
        self.server.rooms.clear()
        self.server.rooms.update((world or World()).rooms)

    def fit(self, *options: str) -> Done:
        """Run it; what it prints, if it does, can be used at once."""
        before = self.path.read_bytes()
        done = self.md("fit", "store.db", *options)
        assert self.path.read_bytes() == before
        assert sorted(path.name for path in self.folder.glob("store.db*")) == ["store.db"]
        (self.folder / "matrix-drift.toml").write_text(done.out)
        return done

    def settings(self) -> dict[str, Any]:
        return read_settings(self.folder / "matrix-drift.toml")

    def reconcile(self) -> LinkReport:
        """What a bot with the printed mapping does at its start."""
        return asyncio.run(self._reconcile())

    async def _reconcile(self) -> LinkReport:
        settings = self.settings()
        layout = settings["layout"]
        store = store_at(settings["database"], layout=layout)
        async with PlainClient(self.server.url, TOKEN) as client:
            await store.open()
            try:
                return await reconcile_links(client, store, layout)
            finally:
                await store.close()


class ServerFitter(Fitter):
    """The same with a database on a server, which `fit` is shown by a role that may only read."""

    def __init__(self, folder: Path, md: Md, server: FakeHomeserver, dsn: str) -> None:
        super().__init__(folder, md, server)
        self.dsn, self.reader = dsn, new_role(dsn)

    @property
    def role(self) -> str:
        return self.reader.partition("//")[2].partition(":")[0]

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL on a connection of its own, as the bot does."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            found = connection.execute(statement.encode())
            return found.fetchall() if found.description else []

    def fill(self, made: str, world: World | None = None) -> None:
        self.sql(f"DROP SCHEMA public CASCADE; CREATE SCHEMA public; {made}")
        self.sql(
            f"GRANT USAGE ON SCHEMA public TO {self.role};"
            f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {self.role}"
        )
        self.server.rooms.clear()
        self.server.rooms.update((world or World()).rooms)

    def fit(self, *options: str) -> Done:
        """Run it; no transaction got a number, which each that writes has. The bot itself has more rights."""
        written = "SELECT pg_current_snapshot()::text"
        before = self.sql(written)
        done = self.md("fit", self.reader, *options)
        assert self.sql(written) == before
        for secret in (Postgres.PASSWORD, "worker-secret"):
            assert secret not in done.out + done.err
        (self.folder / "matrix-drift.toml").write_text(done.out.replace(f"{self.role}@", "admin@"))
        return done
