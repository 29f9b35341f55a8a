"""Whether the database took what it was told to write, and if not, what came in between. Pure.

A table of the bot's own may ignore a write (a trigger's `RAISE(IGNORE)`), change the row, or take two
keys for the same. "Somebody wrote it meanwhile" is said only where somebody did.
"""

import json
from collections.abc import Mapping, Sequence

from toolkit.database.journal import State
from toolkit.database.sql import RowChange
from toolkit.quotes import quote_odd
from toolkit.records import NULL, Raw, decode_object
from toolkit.writing.job import Outcome


class NotTaken(Exception):
    """A row isn't as it was written; the savepoint rolls back. Of many rows, it isn't known which."""

    def __init__(
        self, row: RowChange | None = None, *, changed: Sequence[str] | None = None
    ) -> None:
        super().__init__("a row was not taken")
        self.row, self.changed = row, changed


def holds(stored: Raw, wanted: Raw) -> bool:
    """Whether a row is what it was to be, but for fields that a trigger added.

    >>> holds('{"n": 1, "seen": true}', '{"n":1}'), holds('{"n": 2}', '{"n":1}'), holds(None, "{}")
    (True, False, False)
    """
    if stored == wanted:
        return True
    if None in (stored, wanted) or NULL in (stored, wanted):
        return False
    try:
        found, fields = decode_object(stored), decode_object(wanted)
    except ValueError:
        return False
    # As JSON, which tells 1 from true, and in which NaN is itself.
    return all(f in found and json.dumps(found[f]) == json.dumps(fields[f]) for f in fields)


def changed_fields(stored: Raw, wanted: Raw) -> list[str]:
    """The fields of a row that aren't as they were to be; none where it is no row any more."""
    try:
        found, fields = decode_object(stored), decode_object(wanted)
    except ValueError:
        return []
    return [f for f in fields if f not in found or json.dumps(found[f]) != json.dumps(fields[f])]


def why_not_taken(error: NotTaken, now: Mapping[str, Raw]) -> Outcome:
    """What to say of a unit, from the rows as they are once its own writes are taken back."""
    row = error.row
    if row is None:
        return Outcome(State.STALE, "a row was written meanwhile; look again")
    if now.get(row.key) != row.before:
        return Outcome(State.STALE, f"row {quote_odd(row.key)} was written meanwhile; look again")
    start = f"the database did not take the row {quote_odd(row.key)}"
    if error.changed:
        fields = ", ".join(map(quote_odd, error.changed))
        return Outcome(
            State.FAILED, f"{start}: a trigger, or the column's own type, changed {fields}"
        )
    if error.changed is not None:
        return Outcome(State.FAILED, f"{start}: a trigger changed it, or took it away")
    if other := next((key for key in now if key != row.key), None):
        return Outcome(
            State.FAILED,
            f"{start}: it has the row {quote_odd(other)}, and takes both keys for the same",
        )
    return Outcome(
        State.FAILED, f"{start}: a trigger, constraint or conflicting column ignored the write"
    )
