"""The small bot of the writer's tests, its rows in a table on a PostgreSQL server."""

from __future__ import annotations

import secrets
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg

from tests.bench import Bench, text
from toolkit.database.postgres.store import PostgresStore
from toolkit.testing.postgres import Postgres


@dataclass
class ServerBench(Bench):
    """A bot whose database has a DSN; `path` is that beside which its files go."""

    dsn: str = ""
    kind: str = "text"

    def fill(self, rows: Mapping[str, Any], mode: str = "") -> None:
        """Make the table, its values of this bench's type."""
        self.sql(f"CREATE TABLE kv (key text PRIMARY KEY, value {self.kind})")
        self.put(rows)

    def put(self, rows: Mapping[str, Any]) -> None:
        """Write rows as a worker of the bot does, on a connection of its own; None deletes."""
        with psycopg.connect(self.dsn) as connection:
            for key, row in rows.items():
                raw = text(row)
                if raw is None:
                    connection.execute("DELETE FROM kv WHERE key = %s", (key,))
                    continue
                sql = (
                    f"INSERT INTO kv VALUES (%s, %s::text::{self.kind}) "
                    "ON CONFLICT (key) DO UPDATE SET value = excluded.value"
                )
                connection.execute(sql, (key, raw))

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run SQL on a connection of its own."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            found = connection.execute(statement)
            return found.fetchall() if found.description else []

    def bytes(self) -> dict[str, tuple[str, bytes]]:
        """Every row's text, in the shape that SQLite's benches have."""
        found = self.sql("SELECT key, value::text FROM kv")
        return {key: ("text", value.encode()) for key, value in found}

    def restore(self, script: str) -> None:
        """Read a backup, as `psql -f` does."""
        programs = Postgres.programs()
        assert programs
        command = [str(programs / "psql"), "-qX", "-v", "ON_ERROR_STOP=1", self.dsn]
        subprocess.run(command, input=script, text=True, check=True)

    def store(self, **more: Any) -> PostgresStore:
        """A store on it that isn't open, with files beside `path`."""
        return PostgresStore(self.dsn, **{"beside": self.path, "busy_timeout": 3.0, **more})


def as_worker(dsn: str, granted: str = "SELECT, INSERT, UPDATE") -> str:
    """The DSN of a role of this database alone, with these rights on its table."""
    return new_role(dsn, f"GRANT {granted} ON kv TO {{role}}")


def new_role(dsn: str, rights: str = "") -> str:
    """The DSN of a role of this database alone, with what SQL gives to `{role}`."""
    role = f"worker_{secrets.token_hex(4)}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        sql = f"CREATE ROLE {role} LOGIN PASSWORD 'worker-secret'; {rights.format(role=role)}"
        connection.execute(sql.encode())
    return dsn.replace("admin:throw-away-admin", f"{role}:worker-secret")
