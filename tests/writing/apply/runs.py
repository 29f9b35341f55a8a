"""What tests of the writer ask of rows and journal."""

from typing import Any

from tests.bench import Bench
from toolkit.database.journal import Journal


def without(rows: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: row for key, row in rows.items() if key not in keys}


def outcomes(bench: Bench) -> dict[str, str]:
    """What the journal says about the units of the last run."""
    run = Journal(bench.path).runs()[-1]
    return {entry.unit: entry.outcome for entry in run.entries}
