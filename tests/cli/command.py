"""A command that was run, and how it ended."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.bench import Bench, small_rows

TOKEN = "syt_very_secret"
ROOT = Path(__file__).parent.parent.parent
Md = Callable[..., "Done"]


class Done:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    def said(self, *words: str) -> bool:
        return all(word in self.err for word in words)


def mend(bench: Bench) -> None:
    bench.world.name("!a2", "Чат 2")
    bench.put(small_rows())
