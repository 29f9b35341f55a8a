"""A folder with a `fleet.toml` and the bots of it, for tests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.bench import A1, B1, Bench, small_rows

TOKEN = "syt_Ym90_fleetSecretOfThisTest"


def adrift_rows() -> dict[str, Any]:
    """Of the small world: one room row is gone, another can't be read."""
    rows = small_rows()
    del rows[A1]
    return {**rows, B1: "{"}


@dataclass
class Yard:
    """`add` makes a bot's database and its table; `file` is written anew each time."""

    folder: Path
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.folder / "token").write_text(f"{TOKEN}\n")

    @property
    def file(self) -> Path:
        return self.folder / "fleet.toml"

    @property
    def results(self) -> Path:
        return self.folder / "fleet-results"

    def add(
        self, name: str, url: str, rows: Mapping[str, Any] | None = None, **settings: Any
    ) -> Bench:
        """A bot with these rows, all of them right unless told otherwise."""
        bench = Bench(self.folder / f"{name}.db")
        bench.fill(small_rows() if rows is None else rows)
        token = {} if _names_token(settings) else {"access_token_file": "token"}
        self.tables[name] = {
            "homeserver": url,
            "database": f"{name}.db",
            **token,
            **settings,
        }
        self.write()
        return bench

    def write(self) -> None:
        tables = [
            "\n".join([f"[bots.{name}]", *(f"{k} = {_toml(v)}" for k, v in table.items()), ""])
            for name, table in self.tables.items()
        ]
        self.file.write_text("\n".join(tables), encoding="utf-8")


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)


def _names_token(settings: Mapping[str, Any]) -> bool:
    return any(name.startswith("access_token") for name in settings)
