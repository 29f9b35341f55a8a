"""Where homeserver, database and convention come from when nobody names them: `matrix-drift.toml`.

And the access token, which comes from the environment alone: in a file that is kept with the bot's
code it would be published sooner or later.
"""

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.database.address import is_server
from toolkit.errors import ConventionError, ToolkitError
from toolkit.text.visible import visible

if TYPE_CHECKING:
    from toolkit.layout import Layout

FILE = "matrix-drift.toml"
TOKEN, TOKEN_FILE = "MATRIX_ACCESS_TOKEN", "MATRIX_ACCESS_TOKEN_FILE"
CONVENTION: Mapping[str, type] = {
    "room_name_patterns": list,
    "default_room_name": str,
    "state_event_type": str,
    "helper_accounts": list,
    "former_accounts": list,
    "platform": str,
}
"""Settings that make the `Convention`, under its own names."""

KNOWN: Mapping[str, type] = {
    "homeserver": str,
    "database": str,
    "table": str,
    "key_column": str,
    "value_column": str,
    "backup_dir": str,
    "allow_empty": bool,
    "sliding_sync": bool,
    "lower_counters": bool,
    "deadline": float,
    **CONVENTION,
}
TABLE = ("table", "key_column", "value_column")
"""Settings that say where in the database the rows are, if they are in a key-value table."""

TABLES = ("shape", "rows", "evidence")
"""What makes a `Layout`, in tables of the file's own."""

PATHS = {"database", "backup_dir"}
"""Settings that are paths, seen from the file's folder; a database may be a server's address instead."""

_WORDS = {str: "a text", bool: "true or false", float: "a number above 0", list: "a list of texts"}


def load_settings() -> dict[str, Any]:
    """What the file here, or in the nearest folder above that has one, sets; nothing without one.

    Raises `ToolkitError`.
    """
    file = find_settings()
    found = read_settings(file) if file else {}
    if file and file.parent != Path.cwd():  # here they can stay as short as they are
        paths = [name for name in PATHS & found.keys() if not is_server(found[name])]
        found |= {name: str(file.parent / found[name]) for name in paths}
    return found


def find_settings(folder: Path | None = None) -> Path | None:
    """The file in this folder (the current one) or in the nearest above that has one."""
    start = (folder or Path()).resolve()
    return next((path for up in (start, *start.parents) if (path := up / FILE).is_file()), None)


def read_settings(path: Path) -> dict[str, Any]:
    """What the file sets, checked; nothing if there is no such file. Raises `ToolkitError`.

    What its tables say of the bot's rows is a `Layout`, under `layout`.
    """
    found = parse_toml(path)
    return {} if found is None else check_settings(str(path), found)


def parse_toml(path: Path) -> dict[str, Any] | None:
    """What stands in the file; None if there is no such file. Raises `ToolkitError`, which repeats none of it."""
    found: dict[str, Any] = {}
    why = ""
    try:
        found = tomllib.loads(path.read_bytes().decode())
    except FileNotFoundError:
        return None
    except OSError as error:
        why = f"{error.strerror}"
    except UnicodeDecodeError:
        why = "it is not UTF-8"
    except tomllib.TOMLDecodeError as error:
        # Only the place is repeated: the message may quote the line, and a token with it.
        _, found_place, place = str(error).rpartition("(at ")
        why = f"it is no TOML{f' (at {place}' if found_place else ''}"
    if why:  # out here, without the error itself: it may hold the file
        raise ToolkitError(f"Can't read {path}: {why}.")
    return found


def check_settings(where: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of one bot, `layout` among them; `where` they stand is said in what is wrong with them."""
    plain = {name: value for name, value in found.items() if name not in TABLES}
    tables = {name: found[name] for name in TABLES if name in found}
    for name, value in plain.items():
        _check(where, name, value)
    return plain | ({"layout": _read_layout(where, tables)} if tables else {})


def _read_layout(where: str, tables: Mapping[str, Any]) -> "Layout":
    from toolkit.layout import Layout  # only then: help and completion load no decoder

    try:
        return Layout.of(**tables)
    except ConventionError as error:
        why = str(error)
    raise ToolkitError(f"{where}: {why}")  # out here, without what the file held


def read_token(environment: Mapping[str, str]) -> str | None:
    """The access token, from the variable or from the file that the other one names."""
    if token := environment.get(TOKEN, "").strip():
        return token
    if not (file := environment.get(TOKEN_FILE)):
        return None
    why = ""
    try:
        token = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
    if why:  # out here, without the error itself: it may hold the file
        raise ToolkitError(f"Can't read the access token from {file}: {why}.")
    if not token:
        raise ToolkitError(f"The file {file}, which {TOKEN_FILE} names, is empty.")
    return token


def tell_missing(ways: Mapping[str, str], **found: object) -> None:
    """Raise `ToolkitError` if something isn't there, all of it at once with where it can be set.

    `ways` says how a caller names each: `homeserver` and `database`. What isn't asked for isn't missed.
    """
    texts = {
        name: f"No {name} is named: give {way}, or `{name}` in {FILE}."
        for name, way in ways.items()
    }
    texts["token"] = (
        f"There is no access token: set {TOKEN}, or {TOKEN_FILE} to a file that holds it."
    )
    missing = [text for name, text in texts.items() if not found.get(name, True)]
    if len(missing) > 1:
        missing.append("To see first what it does: `matrix-drift demo` needs none of that.")
    if missing:
        raise ToolkitError(" ".join(missing))


def _check(where: str, name: str, value: Any) -> None:
    if any(word in name.lower() for word in ("token", "password", "secret")):
        raise ToolkitError(
            f"{where} must hold no token or password: remove {name!r}, and give the token in "
            f"{TOKEN} or in a file that {TOKEN_FILE} names, a database's password in PGPASSWORD or a passfile."
        )
    if name not in KNOWN:
        raise ToolkitError(say_unknown(where, name, KNOWN))
    if not _fits(value, KNOWN[name]):
        raise ToolkitError(f"{where}: {name} must be {_WORDS[KNOWN[name]]}.")


def say_unknown(where: str, name: str, known: Iterable[str]) -> str:
    """That there is no such setting, with the one that was most likely meant, else with all that there are."""
    known = [*known]
    near = get_close_matches(name, known, n=1, cutoff=0.75)
    meant = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}."
    return f"{where}: there is no setting {visible(repr(name))}; {meant}"


def _fits(value: Any, kind: type) -> bool:
    if kind is list:
        return isinstance(value, list) and all(isinstance(item, str) for item in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and value > 0
    return isinstance(value, kind)
