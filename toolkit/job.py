"""One run of the writer: the look that it starts from, what it shall write, and what came of it.

Only values, and what every run begins with; the writing is in `apply`.
"""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from weakref import WeakKeyDictionary, WeakValueDictionary

import msgspec

from toolkit.errors import StoreError
from toolkit.foreign_table import refusal, why_no_objects
from toolkit.matrix import within
from toolkit.model import Plan, Unit
from toolkit.progress import Progress, watcher
from toolkit.records import FAMILIES, Raw, encode_row
from toolkit.store import Store, transactional


class Look(msgspec.Struct, frozen=True):
    """The local rows at one moment.

    `token` tells whether anybody wrote since, while the same store stays open; None can't tell.
    """

    rows: dict[str, Raw]
    token: tuple[int, int] | None = None


class Outcome(msgspec.Struct, frozen=True):
    """What became of one unit: `applied`, `stale`, or `failed`, and why."""

    state: str
    detail: str = ""

    @property
    def applied(self) -> bool:
        return self.state == "applied"


APPLIED = Outcome("applied")
LATE = Outcome("stale", "the deadline passed before it was written")


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What to write, from which look it was planned, and what the journal shall say about it."""

    plan: Plan
    units: tuple[Unit, ...]
    look: Look
    action: str
    run: str
    now: datetime
    by: Mapping[str, str] = {}
    undoes: str | None = None
    backup_dir: Path | None = None
    until: float | None = None  # time.monotonic() past which no further unit is begun
    progress: Progress | None = None

    @property
    def late(self) -> bool:
        return self.until is not None and time.monotonic() > self.until

    def report(self, done: int, word: str = "") -> None:
        """Tell whoever waits how many units are done."""
        if self.progress:
            self.progress(done, len(self.units), word)


class Result(msgspec.Struct, frozen=True):
    """Outcome by unit id; where the backup is, and the run's name for `undo`.

    `warning` is set where the rows are written and the journal could not be told.
    """

    outcomes: dict[str, Outcome]
    run: str | None = None
    backup: Path | None = None
    warning: str = ""


def new_job(
    plan: Plan,
    units: Sequence[Unit],
    look: Look,
    action: str,
    now: datetime,
    *,
    by: Mapping[str, str] | None = None,
    until: float | None = None,
    undoes: str | None = None,
    backup_dir: Path | None = None,
    progress: Progress | None = None,
) -> Job:
    """A job with a name of its own: the time, and four digits against two in one second."""
    return Job(
        plan=plan,
        units=tuple(units),
        look=look,
        action=action,
        run=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
        now=now,
        by=by or {},
        until=until,
        undoes=undoes,
        backup_dir=backup_dir,
        progress=progress or watcher(),
    )


async def load_look(store: Store) -> Look:
    """Read all rows of the three families as of one moment (a plain store: as near as it can).

    Raises `StoreError` where nothing can be read, also for rows that aren't JSON objects at all.
    """
    if transactional(store):
        token = await store.version()  # before the rows: a write in between shows
        return Look(dict(await store.load_rows()), token)
    try:
        keys = [key for family in FAMILIES for key in sorted(await store.keys(family))]
        rows = {key: await load_row(store, key) for key in keys}
    except Exception as error:  # the bot's own code may raise anything
        raise StoreError(
            f"The bot's store raised {type(error).__name__} while it was read; nothing was written."
        ) from error
    if why := why_no_objects((key, raw) for key, raw in rows.items() if raw is not None):
        raise StoreError(refusal("the bot's store", why))
    return Look(rows)


async def load_row(store: Store, key: str) -> Raw:
    """A plain store's row as text; one that it can't read as a text that is no JSON, so it shows.

    A store of the bot's own says so in its own way, most likely with json's ValueError.
    """
    try:
        row = await store.get(key)
        return None if row is None else encode_row(row)
    except (StoreError, ValueError) as error:
        return f"unreadable: {error}"


_locks: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakValueDictionary[object, asyncio.Lock]] = (
    WeakKeyDictionary()
)


@asynccontextmanager
async def one_at_a_time(store: Store, deadline: float | None = None) -> AsyncIterator[None]:
    """Calls for one database in one process run one after the other (domain.md 5)."""
    locks = _locks.setdefault(asyncio.get_running_loop(), WeakValueDictionary())
    path = getattr(store, "path", None)
    key = path.resolve() if isinstance(path, Path) else id(store)
    lock = locks.get(key) or locks.setdefault(key, asyncio.Lock())
    async with within(deadline, "waiting for another run on this database"):
        await lock.acquire()
    try:
        yield
    finally:
        lock.release()
