"""Where to look: the settings of one call as one value, and the two sides opened as it says.

Settings come from options, then the environment, then `matrix-drift.toml`; click's own order.
"""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from toolkit.cli.output import keep_secret, someone_there
from toolkit.errors import ToolkitError
from toolkit.sources.settings import (
    CONVENTION,
    FILE,
    KNOWN,
    TOKEN,
    TOKEN_FILE,
    load_settings,
    read_token,
)

if TYPE_CHECKING:
    from toolkit.convention import Convention
    from toolkit.database.store import SQLiteStore
    from toolkit.homeserver.transport import PlainClient


@dataclass(frozen=True)
class Where:
    """Settings of one call; what a command has no option for stays at its default."""

    homeserver: str | None = None
    database: str | None = None
    table: str = "kv"
    key_column: str = "key"
    value_column: str = "value"
    backup_dir: str | None = None
    snapshot: str | None = None
    allow_empty: bool = False
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

    def convention(self, recorded: Mapping[str, Any] | None = None) -> "Convention":
        """How the bot names its chats; what isn't given is as it was when a snapshot was taken."""
        from toolkit.convention import Convention

        return Convention(**{**(recorded or {}), **self.settings})

    def open_store(self, *, read_only: bool) -> "SQLiteStore":
        """The bot's database, not opened yet."""
        from toolkit.database.store import SQLiteStore, check_there

        if not read_only:
            check_there(self.named_database())
        return SQLiteStore(
            self.named_database(),
            read_only=read_only,
            table=self.table,
            key_column=self.key_column,
            value_column=self.value_column,
            backup_dir=None if self.backup_dir is None else Path(self.backup_dir),
        )

    def open_homeserver(self) -> "PlainClient":
        """What reads the homeserver, closed where its `async with` ends."""
        from toolkit.homeserver.transport import PlainClient

        assert self.homeserver
        return PlainClient(self.homeserver, self.token)

    def open_nio(self) -> AbstractAsyncContextManager[Any]:
        """A client as a bot's own function expects it, closed likewise."""
        from toolkit.homeserver.transport import open_nio

        assert self.homeserver
        return open_nio(self.homeserver, self.token)

    def named_database(self) -> str:
        """Raises `ToolkitError` if nobody has named one."""
        if self.database:
            return self.database
        raise ToolkitError(
            f"No database is named: give --database, BOT_DATABASE, or `database` in {FILE}."
        )

    def with_token(self) -> "Where":
        """The same with the access token, from the environment or asked for; never an option."""
        if self.token:
            return self
        self.named_database()  # before anybody is asked
        if not self.homeserver:
            raise ToolkitError(
                "No homeserver is named: give --homeserver, MATRIX_HOMESERVER, or `homeserver` in "
                f"{FILE}."
            )
        token = read_token(os.environ)
        if token is None and someone_there():
            token = click.prompt("Access token of the bot", hide_input=True, err=True).strip()
        if not token:
            raise ToolkitError(
                f"There is no access token: set {TOKEN}, or {TOKEN_FILE} to a file that holds it."
            )
        return replace(self, token=keep_secret(token))


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
