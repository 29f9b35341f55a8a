"""Which server and database a DSN names, and what of that may be shown: everything but the password.

libpq repeats a malformed DSN whole in its message, password included; so that message goes nowhere.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlencode

from psycopg import Error, pq
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import ConninfoOption

from toolkit.errors import StoreError
from toolkit.secrecy import StaysHere


class Address(StaysHere):
    """A parsed DSN; it shows itself without the password, and also while it isn't made yet."""

    host = port = user = database = ""

    def __init__(self, dsn: str) -> None:
        self.parameters = _parse(dsn)
        known = _defaults() | self.parameters
        service = known.get("service")  # of libpq's own file, which says where it is
        elsewhere = f"service-{service}" if service else "localhost"
        self.host = known.get("host") or known.get("hostaddr") or elsewhere
        self.port = known.get("port") or "5432"
        self.user = known.get("user") or ""
        self.database = known.get("dbname") or self.user

    def __repr__(self) -> str:
        return self.name

    @property
    def name(self) -> str:
        """As it is shown to people.

        >>> Address("postgresql://bot:secret@db.example.org/rows").name
        'postgresql://bot@db.example.org:5432/rows'
        """
        user = f"{self.user}@" if self.user else ""
        host = quote(self.host, safe="") if "/" in self.host else self.host
        host = f"[{host}]" if ":" in host else host
        return f"postgresql://{user}{host}:{self.port}/{self.database}"

    @property
    def secrets(self) -> dict[str, str]:
        """What of the DSN nobody may see."""
        hidden = {option.keyword.decode() for option in _options() if option.dispchar == b"*"}
        return {name: told for name, told in self.parameters.items() if name in hidden}

    @property
    def without_secrets(self) -> str:
        """A DSN that says all the rest, made from what libpq reads: in the text itself anything may be a password.

        >>> Address("postgresql://bot:s#e?c@db/rows?sslmode=require").without_secrets
        'postgresql://bot@db/rows?sslmode=require'
        """
        told = {name: said for name, said in self.parameters.items() if name not in self.secrets}
        user, host, database = (told.pop(name, "") for name in ("user", "host", "dbname"))
        who = f"{quote(user, safe='')}@" if user else ""
        port = f":{told.pop('port')}" if told.get("port", "").isdigit() else ""
        more = f"?{urlencode(told, quote_via=quote)}" if told else ""
        return f"postgresql://{who}{quote(host, safe='')}{port}/{quote(database, safe='')}{more}"

    @property
    def uri(self) -> str:
        """All of it, the password too, in the form that `store_at` knows, whichever libpq was given."""
        return f"postgresql://?{urlencode(self.parameters, quote_via=quote)}"

    @property
    def place(self) -> tuple[str, str, str]:
        """Which database it is, whoever comes in."""
        return self.host, self.port, self.database

    @property
    def whose(self) -> tuple[str, str, str]:
        """The same for all names of this machine: of two servers on one port it is too careful."""
        host = self.host.lower()
        here = host.startswith(("/", "@")) or host in _HERE
        return "localhost" if here else host, self.port, self.database

    def default_folder(self, environment: Mapping[str, str] = os.environ) -> Path:
        """Where what belongs beside a database on a server goes by default: the person's own state."""
        named = environment.get("XDG_STATE_HOME")
        try:
            state = Path(named) if named else Path.home() / ".local" / "state"
        except RuntimeError:  # an account of a container that nobody has given a home
            raise StoreError(
                f"There is no folder for what belongs beside {self.name}, since this account has no home: set "
                "XDG_STATE_HOME to one, or name a path (PostgresStore(beside=…)).",
                concerns_all=True,
            ) from None
        return state / "matrix-drift"


_HERE = {"localhost", "127.0.0.1", "::1"}


def file_name(host: str, *parts: str) -> str:
    """A file's name that tells these parts apart, whatever is in them.

    >>> print(file_name("db.example", "5432", "x.y", "z"), file_name("db.example", "5432", "x", "y.z"))
    db.example.5432.x%2Ey.z db.example.5432.x.y%2Ez
    """
    others = (quote(part, safe="").replace(".", "%2E") for part in parts)
    return ".".join((quote(host, safe=""), *others))


def _parse(dsn: str) -> dict[str, str]:
    """Raises `StoreError`, which repeats nothing of the DSN."""
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(dsn).items()}
    except (Error, ValueError):  # ValueError: a character that no text has
        found = None
    if found is not None and "\0" not in dsn and not _is_torn(found):
        return found
    # Out here, without the error itself, which quotes it.
    raise StoreError(
        "The DSN of the database can't be read: it must be like postgresql://user@host:5432/database, "
        "with special characters of user and password escaped (a space is %20, @ is %40, / is %2F)."
    )


def _is_torn(found: Mapping[str, str]) -> bool:
    """Whether a part of a password that isn't escaped stands where host, port or database do."""
    port = found.get("port", "").replace(",", "")
    odd = "@" in found.get("host", "") + found.get("dbname", "")
    return odd or not ((port.isascii() and port.isdigit()) or not port)


def _defaults() -> dict[str, str]:
    """What libpq takes where a DSN says nothing: PGHOST and the like."""
    wanted = {"host", "hostaddr", "port", "user", "dbname", "service"}
    return {
        option.keyword.decode(): option.val.decode()
        for option in _options()
        if option.val is not None and option.keyword.decode() in wanted
    }


def _options() -> list[ConninfoOption]:
    return pq.Conninfo.get_defaults()
