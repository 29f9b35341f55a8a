"""A real, throw-away PostgreSQL on loopback: a cluster of its own, with a database for whoever asks.

Slow to make (about two seconds), so share one per test session. Needs Debian's package `postgresql`; no
system service runs or is asked. The server refuses to run as root, so root's runs as an ordinary user.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from typing import Self

from toolkit.testing.child_process import ChildProcess, Server, free_port, last_lines

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_FOLDERS = "usr/lib/postgresql"  # a folder for each version, seen from the root
_LOG_LINES = 20
# What a crash of the machine would lose is of no interest here.
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "track_commit_timestamp": "on",  # who came before whom
    "jit": "off",
    "log_statement": "none",
}


class PostgresError(RuntimeError):
    """The server did not come up, or there is none here."""


class Postgres(Server):
    """A running server, its files in a folder that is gone afterwards.

    `admin` is a superuser whose password is `throw-away-admin`; it comes in by TCP and password only.
    """

    PASSWORD = "throw-away-admin"

    def __init__(self, programs: Path, folder: Path, user: str | None) -> None:
        self.folder, self.port = folder, free_port()
        self._programs, self._user = programs, user
        self._names = count()
        self._used: list[str] = []

    @staticmethod
    def programs() -> Path | None:
        """Where the server's programs are, of the newest version; None if they aren't installed."""
        found = Path("/", _FOLDERS).glob("*/bin/initdb")
        newest = max(found, key=lambda path: int(path.parts[-3]), default=None)
        return newest and newest.parent

    @classmethod
    def start(cls) -> Self:
        """Make a cluster and run it."""
        programs = cls.programs()
        if programs is None:
            raise PostgresError("PostgreSQL is not installed: apt-get install postgresql")
        folder = Path(tempfile.mkdtemp(prefix="matrix-drift-postgres-"))
        server = cls(programs, folder, _ordinary_user())
        try:
            server._make()
            server._launch()
        except BaseException:
            server.stop()
            raise
        return server

    @property
    def log(self) -> Path:
        """The file with everything that the server said."""
        return self.folder / "server.log"

    def dsn(
        self, database: str = "postgres", user: str = "admin", password: str | None = None
    ) -> str:
        """How a client comes in."""
        return f"postgresql://{user}:{password or self.PASSWORD}@127.0.0.1:{self.port}/{database}"

    def new_database(self, options: str = "") -> str:
        """A new, empty database, UTF-8 unless the options say otherwise; its DSN."""
        name = f"bot{next(self._names)}"
        self._run(f"CREATE DATABASE {name} TEMPLATE template0 {options}")
        return self.dsn(name)

    def borrow_database(self) -> str:
        """An empty database, which may have been another's that was given back; its DSN."""
        return self._used.pop() if self._used else self.new_database()

    def give_back(self, dsn: str) -> None:
        """Empty it for the next one: a new database costs 7 MB and a tenth of a second."""
        self._run(_EMPTY, dsn.rpartition("/")[2])
        self._used.append(dsn)

    def halt(self) -> None:
        """End it at once, as a crash would: nothing is put in order, and no client is told."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait(_STOP_SECONDS)
            self._process = None

    def restart(self) -> None:
        """Run it again, on the same port and with the same databases."""
        self._end()
        self._launch()

    def stop(self) -> None:
        """End it, and remove its files; there is nothing to be put in order."""
        self.halt()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            process.send_signal(signal.SIGINT)  # doesn't wait for its clients, as SIGTERM would
            try:
                process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGQUIT)
                process.wait()

    def _make(self) -> None:
        if self._user is not None:
            shutil.chown(self.folder, self._user)
        password = self.folder / "password"
        password.write_text(self.PASSWORD, "utf-8")
        command = [
            str(self._programs / "initdb"),
            f"--pgdata={self.folder / 'data'}",
            "--username=admin",
            f"--pwfile={password}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--no-instructions",
        ]
        made = subprocess.run(
            command,
            cwd=self.folder,
            user=self._user,
            capture_output=True,
            env=_ENVIRONMENT,
            check=False,
        )
        if made.returncode:
            raise PostgresError(f"initdb failed: {made.stderr.decode('utf-8', 'replace')}")

    def _launch(self) -> None:
        settings = {**_SETTINGS, "port": str(self.port), "unix_socket_directories": ""}
        told = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        self._process = ChildProcess(
            [str(self._programs / "postgres"), "-D", str(self.folder / "data"), *told],
            self.log,
            cwd=self.folder,
            env=_ENVIRONMENT,
            user=self._user,
            ends_with_us=True,
        )
        why = self._process.why_not_up(self._ask, _START_SECONDS)
        if why is not None:
            raise PostgresError(
                "\n".join([f"PostgreSQL {why}:", *last_lines(self.log, _LOG_LINES)])
            )

    def _ask(self) -> None:
        """Raises OSError while it isn't up."""
        self._run("SELECT 1")

    def _run(self, sql: str, database: str = "postgres") -> None:
        command = [str(self._programs / "psql"), "--no-psqlrc", "-qc", sql]
        environment = _ENVIRONMENT | {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": "admin",
            "PGDATABASE": database,
            "PGPASSWORD": self.PASSWORD,
        }
        done = subprocess.run(command, env=environment, capture_output=True, check=False)
        if done.returncode:
            raise OSError(done.stderr.decode("utf-8", "replace"))


def _ordinary_user() -> str | None:
    """Whom the server runs as: us, or if we are root, whoever is there to be asked."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


_EMPTY = """DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    LOOP EXECUTE format('DROP SCHEMA %I CASCADE', name); END LOOP; CREATE SCHEMA public;
    GRANT USAGE ON SCHEMA public TO PUBLIC; END $$"""
_ENVIRONMENT = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
