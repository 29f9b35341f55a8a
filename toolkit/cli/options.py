"""Where to look: the settings of one call as one value, and the two sides that it names.

Settings come from options, then the environment, then `matrix-drift.toml`; click's own order.
"""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.output import keep_secret, someone_there
from toolkit.database.address import read_address, shown_address
from toolkit.secrecy import StaysHere
from toolkit.sources.settings import (
    CONVENTION,
    KNOWN,
    TABLE,
    load_settings,
    read_token,
    tell_missing,
)

if TYPE_CHECKING:
    from toolkit.sources.sides import Sides


@dataclass(frozen=True)
class Where(StaysHere):
    """Settings of one call; what a command has no option for stays at its default."""

    homeserver: str | None = None
    database: str | None = field(default=None, repr=False)  # a server's may hold a password
    table: str = "kv"
    key_column: str = "key"
    value_column: str = "value"
    backup_dir: str | None = None
    snapshot: Path | None = None
    allow_empty: bool = False
    allow_new: bool = False
    sliding_sync: bool = True
    lower_counters: bool = False
    deadline: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    token: str = field(default="", repr=False)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> "Where":
        """From a command's options; what isn't given is left out, so that defaults hold."""
        given = {name: value for name, value in options.items() if value not in (None, ())}
        settings = {name: given.pop(name) for name in CONVENTION if name in given}
        return cls(**given, settings=settings)

    def without_lowering(self) -> "Where":
        """The same for a file of decisions, which says itself what is lowered."""
        return replace(self, lower_counters=False)

    def sides(self) -> "Sides":
        """The two sides as they are named, or the snapshot instead; each opened where it is used."""
        from toolkit.convention import Convention
        from toolkit.sources.sides import Sides, snapshot_sides

        if self.snapshot is not None:
            return snapshot_sides(self.snapshot, self.settings, _mapped().get("layout"))
        return Sides(
            Convention(**self.settings),
            homeserver=self.homeserver,
            token=self.token,
            database=read_address(self.named_database()),
            table={name: getattr(self, name) for name in TABLE} | _mapped(),
            backup_dir=None if self.backup_dir is None else Path(self.backup_dir),
            allow_empty=self.allow_empty,
            allow_new=self.allow_new,
            sliding_sync=self.sliding_sync,
            deadline=self.deadline,
        )

    def named_database(self, ways: Mapping[str, str] | None = None) -> str:
        """Raises `ToolkitError` if nobody has named one, with the ways to do so."""
        tell_missing(ways or _WAYS, database=self.database)
        return self.database or ""

    @property
    def shown_database(self) -> str:
        """How it is called in a question."""
        return shown_address(self.named_database())

    def check_named(self) -> str | None:
        """The token, if it is set; raises `ToolkitError` if something else is, or if nobody can be asked."""
        token = read_token(os.environ)
        asked = token or someone_there()
        tell_missing(_WAYS, homeserver=self.homeserver, database=self.database, token=asked)
        return token

    def with_token(self) -> "Where":
        """The same with the access token, from the environment or asked for; never an option."""
        if self.token or self.snapshot:
            return self
        token = self.check_named()
        self.sides()  # what is wrong with it is said before anybody is asked
        if token is None:
            token = click.prompt("Access token of the bot", hide_input=True, err=True).strip()
        tell_missing(_WAYS, token=token)
        return replace(self, token=keep_secret(token))


_WAYS = {
    "homeserver": "--homeserver, MATRIX_HOMESERVER",
    "database": "--database, BOT_DATABASE",
}


def _mapped() -> dict[str, Any]:
    """What the file says of rows in tables of their own, for which there is no option."""
    return {name: found for name, found in load_settings().items() if name == "layout"}


class FileDefaults(MutableMapping[str, Any]):
    """click's defaults for every command, read from the file when the first is asked for."""

    def __init__(self) -> None:
        self._found: dict[str, Any] | None = None

    def __getitem__(self, name: str) -> Any:
        if name not in KNOWN:
            raise KeyError(name)
        return self._settings()[name]

    def _settings(self) -> dict[str, Any]:
        if self._found is None:
            self._found = load_settings()
        return self._found

    def __setitem__(self, name: str, value: Any) -> None:
        self._settings()[name] = value

    def __delitem__(self, name: str) -> None:
        del self._settings()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings())

    def __len__(self) -> int:
        return len(self._settings())
