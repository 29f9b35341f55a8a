"""Results on disk: a folder with one Parquet file per bot, each of which holds its findings and its line.

A file is written under a name that no reader takes for one, then renamed: it is the whole of one look or
the whole of the one before. Together they are a dataset for whatever reads Parquet.
"""

import json
import os
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from toolkit.errors import ToolkitError
from toolkit.fleet.outcome import Line, Outcome, State, failure
from toolkit.frames import FLEET_COLUMNS

FOLDER = "fleet-results"
_LINE = b"matrix-drift.bot"
"""Where in the file's own metadata the bot's line stands, as JSON."""

_TO_UNDO = b"matrix-drift.to-undo"
"""And which run `undo` takes back, if one."""

_SCHEMA = pa.schema(
    pa.field(name, pa.bool_() if name == "approvable" else pa.string())
    for name in [*FLEET_COLUMNS["drift"]][1:]
)
_FINDINGS = [name for name in _SCHEMA.names if name != "bot"]


@dataclass(frozen=True)
class Kept:
    """What a file says of a bot."""

    line: Line
    drift: Mapping[str, Sequence[Any]]
    to_undo: str | None = None


def save_outcome(folder: Path, outcome: Outcome) -> None:
    """Write a bot's file anew, for this account's eyes alone. Raises `ToolkitError`."""
    partial = folder / f".{outcome.line.bot}.{secrets.token_hex(4)}.partial"
    path = folder / f"{outcome.line.bot}.parquet"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            with open(handle, "wb") as file:
                file.write(_dump(outcome, outcome.to_undo(_to_undo(path))))
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ToolkitError(f"Can't write the results {folder}: {error.strerror}.") from None


def load_outcomes(folder: Path) -> list[Kept]:
    """What the files say, by name; of one that can't be read, its bot failed.

    Raises `ToolkitError` where nothing is a result.
    """
    if not folder.is_dir():
        raise ToolkitError(f"There are no results {folder}; `matrix-drift fleet check` makes some.")
    paths = [path for path in sorted(folder.glob("*.parquet")) if path.name[0] != "."]
    found = [_load(path) for path in paths]
    if paths and not any(found):
        raise ToolkitError(f"{paths[0]} {_STRANGE}, or name another folder.")
    return [kept or _damaged(path) for path, kept in zip(paths, found, strict=True)]


def _to_undo(path: Path) -> str | None:
    """What a file says of that; nothing if it is none."""
    try:
        return _read_to_undo(pq.read_schema(path))
    except (OSError, pa.ArrowException):
        return None


def _read_to_undo(schema: pa.Schema) -> str | None:
    run = (schema.metadata or {}).get(_TO_UNDO)
    return run.decode() if run else None


def _dump(outcome: Outcome, to_undo: str | None) -> bytes:
    drift = outcome.drift or dict.fromkeys(_FINDINGS, ())
    columns: dict[str, Any] = {name: [_stored(v) for v in drift[name]] for name in _FINDINGS}
    columns["bot"] = [outcome.line.bot] * len(columns["unit"])
    line = json.dumps(outcome.line.told()).encode()
    schema = _SCHEMA.with_metadata({_LINE: line, _TO_UNDO: (to_undo or "").encode()})
    made = BytesIO()
    pq.write_table(pa.Table.from_pydict(columns, schema=schema), made)
    return made.getvalue()


def _stored(value: Any) -> Any:
    """Rows may hold what is no UTF-8, which Parquet refuses: that is written as escapes."""
    if isinstance(value, str):
        return str(value).encode("utf-8", "backslashreplace").decode()
    return value


def _load(path: Path) -> Kept | None:
    """None for a file that isn't what its name says."""
    try:
        table = pq.read_table(path)
        told = json.loads((table.schema.metadata or {})[_LINE])
        line = Line(**{**told, "state": State(told["state"])})
        drift = {name: table[name].to_pylist() for name in _FINDINGS}
        to_undo = _read_to_undo(table.schema)
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    return Kept(line, drift, to_undo) if line.bot == path.stem else None


def _damaged(path: Path) -> Kept:
    return Kept(failure(path.stem, f"{path} {_STRANGE}.").line, dict.fromkeys(_FINDINGS, ()))


_STRANGE = "is no result of a fleet, or not of this bot: delete it"
