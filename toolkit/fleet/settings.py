"""The bots of a fleet, and where each stands: `fleet.toml`.

Each has the settings of a `matrix-drift.toml` of its own. Paths are seen from the file.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

from toolkit.convention import Convention
from toolkit.database.address import is_server, read_address
from toolkit.errors import ConventionError, StoreError, ToolkitError
from toolkit.fleet.tokens import TokenSource, Way, holds_token
from toolkit.repairs import Repairs, road_to
from toolkit.sources.settings import (
    CONVENTION,
    KNOWN,
    PATHS,
    TABLE,
    TABLES,
    check_settings,
    parse_toml,
    say_unknown,
)
from toolkit.sources.sides import Sides
from toolkit.text.visible import visible

FILE = "fleet.toml"
WORKER = "worker"
"""Which worker of a cluster looks at a bot, where only one can reach its database."""

_OWN = (*Way, WORKER)
_KEYS = (*KNOWN, *TABLES, *_OWN)
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_SIGNED_IN = "://[^/@]*:[^@]*@"
_PASSWORD = re.compile(f"{_SIGNED_IN}|[?&][^=&]*(?:password|%)[^=&]*=", re.IGNORECASE)
_SECRET = re.compile("token|password|secret", re.IGNORECASE)


@dataclass(frozen=True)
class Bot:
    """A bot's settings and where its token comes from; it holds no token, so it may travel."""

    name: str
    settings: Mapping[str, Any]
    token: TokenSource
    worker: str | None = None

    @property
    def lowers(self) -> bool:
        """Whether its counters that are too high count as drift."""
        return bool(self.settings.get("lower_counters"))

    @property
    def identity(self) -> Hashable:
        """What it must not share with a bot that is written to at the same time, as far as that is known here.

        A file is called by its path, which another machine may have as well.
        """
        try:
            return self.road("").sides.identity
        except (StoreError, RuntimeError, ValueError):
            # Its program is missing here, or the path is none, of which its own turn tells.
            return self.settings["database"], self.settings.get("table")

    def road(self, token: str, *, lower: bool = False) -> Repairs:
        """How it is looked at both of its sides, planned and written."""
        known = self.settings
        sides = Sides(
            Convention(**{name: known[name] for name in CONVENTION if name in known}),
            homeserver=known["homeserver"],
            token=token,
            database=read_address(known["database"]),
            table={name: known[name] for name in (*TABLE, "layout") if name in known},
            backup_dir=Path(known["backup_dir"]) if "backup_dir" in known else None,
            allow_empty=known.get("allow_empty", False),
            sliding_sync=known.get("sliding_sync", True),
            deadline=known.get("deadline"),
        )
        return road_to(sides, lower_counters=lower)


@dataclass(frozen=True)
class Fleet:
    """The bots of a file, in its order."""

    path: Path
    bots: tuple[Bot, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """The file, with all of it checked that can be without a bot. Raises `ToolkitError`."""
        found = parse_toml(path)
        if found is None:
            raise ToolkitError(
                f"There is no {path}: give each bot a table [bots.NAME] there, with what its "
                "matrix-drift.toml would hold and where its token comes from."
            )
        for name in found:
            if _SECRET.search(name) or holds_token(name):
                raise ToolkitError(_no_secret(str(path), name))
            if name != "bots":
                raise ToolkitError(say_unknown(str(path), name, ["bots"]))
        tables = found.get("bots", {})
        if not isinstance(tables, dict) or not tables:
            raise ToolkitError(f"{path} names no bot: each is a table [bots.NAME].")
        _check_names(path, tables)
        folder = path.absolute().parent
        return cls(path, tuple(_read(path, folder, name, tables[name]) for name in tables))

    def only(self, names: Iterable[str]) -> Self:
        """The fleet with these bots alone; all of it without a name. Raises `ToolkitError`."""
        wanted, known = set(names), {bot.name for bot in self.bots}
        if unknown := sorted(wanted - known):
            told = say_unknown(str(self.path), unknown[0], sorted(known))
            raise ToolkitError(told.replace("no setting", "no bot"))
        if not wanted:
            return self
        return replace(self, bots=tuple(bot for bot in self.bots if bot.name in wanted))

    def within(self, deadline: float) -> Self:
        """The fleet with this deadline for bots that have none."""
        given = {"deadline": deadline}
        bots = (replace(bot, settings=given | {**bot.settings}) for bot in self.bots)
        return replace(self, bots=tuple(bots))


def _check_names(path: Path, names: Iterable[str]) -> None:
    """A bot's name becomes that of a file, also where `A` and `a` are one."""
    seen: dict[str, str] = {}
    for name in names:
        if holds_token(name):
            raise ToolkitError(_no_secret(f"{path}: bots", name))
        if not _NAME.fullmatch(name):
            raise ToolkitError(
                f"{path}: {visible(repr(name))} can't be a bot's name: take letters a to z, digits, "
                "`-` and `_`, at most 64."
            )
        if (other := seen.setdefault(name.lower(), name)) != name:
            raise ToolkitError(
                f"{path}: the bots {other} and {name} would share a file of results: rename one."
            )


def _read(path: Path, folder: Path, name: str, table: Any) -> Bot:
    where = f"{path}: bots.{name}"
    if not isinstance(table, dict):
        raise ToolkitError(f"{where} must be a table of settings.")
    for key in table:
        if key not in _KEYS and (_SECRET.search(key) or holds_token(key)):
            raise ToolkitError(_no_secret(where, key))
        if key not in _KEYS:
            raise ToolkitError(say_unknown(where, key, _KEYS))
        if key not in [*Way] and holds_token(repr(table[key])):
            raise ToolkitError(_no_secret(where, key))
        if isinstance(table[key], str) and _has_password(key, table[key]):
            raise ToolkitError(
                f"{where}: {key} has a password in it, which must not stand there: "
                "give it in a passfile, or in PGPASSWORD if it is the same for all bots."
            )
    own = {key: table[key] for key in table if key in _OWN}
    for key, value in own.items():
        if not isinstance(value, str):
            raise ToolkitError(f"{where}: {key} must be a text.")
    settings = check_settings(where, {key: table[key] for key in table if key not in own})
    for key in ("homeserver", "database"):
        if not settings.get(key):
            raise ToolkitError(f"{where} names no {key}: give it as `{key}`.")
    paths = [key for key in PATHS & settings.keys() if not is_server(settings[key])]
    beside = {key: str(folder / settings[key]) for key in paths}
    source = _read_source(where, folder, own)
    bot = Bot(name, settings | beside, source, own.get(WORKER))
    _check_convention(where, bot)
    return bot


def _has_password(key: str, value: str) -> bool:
    """In a command, `&`, `%` and `@` mean other things than in an address."""
    if key == Way.COMMAND:
        return any(re.search(_SIGNED_IN, word) for word in value.split())
    return _PASSWORD.search(value) is not None


def _check_convention(where: str, bot: Bot) -> None:
    try:
        bot.road("")
    except (ConventionError, StoreError) as error:
        raise ToolkitError(f"{where}: {error}") from None


def _read_source(where: str, folder: Path, table: Mapping[str, str]) -> TokenSource:
    ways = [way for way in Way if way in table]
    if len(ways) != 1:
        many = "has several" if ways else "doesn't say"
        either = ", ".join(Way)
        raise ToolkitError(f"{where} {many} where its token comes from: give one of {either}.")
    [way] = ways
    found = TokenSource(way, table[way], folder)
    if why := found.mistake():  # before a path is made of it, which hides how it begins
        raise ToolkitError(f"{where}: {why}.")
    return replace(found, value=str(folder / found.value)) if way is Way.FILE else found


def _no_secret(where: str, name: str) -> str:
    named = "it" if holds_token(name) else visible(repr(name))
    return (
        f"{where} must hold no token or password: remove {named}, and say where the token comes "
        f"from with one of {', '.join(Way)}."
    )
