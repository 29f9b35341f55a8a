"""What the toolkit needs of a store, whatever keeps its rows: free of files and of any database's own words.

A bot's plain store gets and sets. What backs up, keeps a journal and is taken back is a `TransactionalStore`;
everything above this layer speaks to that, and never asks which one it is.
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, TypeGuard, runtime_checkable

from toolkit.database.journal import Run
from toolkit.database.sql import RowChange
from toolkit.layout import Layout, TableFacts
from toolkit.records import Names, Raw

BUSY = (
    "Another notebook or command is writing to this database now; wait until it has ended. "
    "Nothing was written."
)
"""What `alone` says to whoever comes second."""

Place = str | PathLike[str]
"""Where a backup is: a file, or the name of a table."""


@runtime_checkable
class Store(Protocol):
    """What the toolkit needs of any store; a bot may bring its own."""

    async def get(self, key: str) -> dict[str, Any] | None:
        """The row's object, None if there is no such row; StoreError if it can't be read."""

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Write the whole row, new or not."""

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, sorted."""


class StoreJournal(Protocol):
    """What was written to a database, by whom and why. Raises `StoreError`.

    It may be asked while the store isn't open, and from any event loop. A `RunJournal` is one over lines of text.
    """

    async def begin(self, run: Run) -> None:
        """Put the intent there; a second time for texts that only became known in between. It lasts once this
        has returned, whatever is rolled back since."""

    async def finish(self, run: Run) -> None:
        """Put the outcome there, with the texts that were really written."""

    async def runs(self, rows: Mapping[str, Raw] | None = None) -> list[Run]:
        """All runs but those that wrote nothing, oldest first, of whatever database had the name.

        With `rows`, what became of an interrupted one is worked out.
        """


class StoreTransaction(Protocol):
    """Reads and writes as one: all that is written is committed, or nothing. Raises `StoreError`."""

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows, or those about some names, with what this transaction wrote."""

    async def version(self) -> Hashable:
        """The store's token; equal to one from before the transaction if nobody wrote since."""

    async def rows_of(self, keys: Sequence[str]) -> dict[str, Raw]:
        """The rows of these keys, with what this transaction wrote, and those of keys that the table
        takes for the same."""

    async def has_triggers(self) -> bool:
        """Whether a row may not be as it was written, so that it has to be read back."""

    async def write(self, rows: Sequence[RowChange]) -> bool:
        """Write each row if it still is as in `before`; False if one isn't, and then roll back.

        `before` None inserts, `after` None deletes. A False leaves some rows written: call it in a
        `savepoint()` and leave that by an exception. A key that occurs twice is a ValueError.
        """

    def savepoint(self) -> AbstractAsyncContextManager[None]:
        """What is written in here stays if it ends normally and is undone if it raises. They nest."""

    @property
    def given_up(self) -> bool:
        """Whether the database has rolled back everything by itself, because of what was written last."""

    async def note(self, run: str, outcome: Callable[[], str]) -> bool:
        """Put a run's last line into the journal as part of this transaction; whether that was done.

        Where the journal isn't in the database it can't be, and `outcome`, which makes the line, isn't called.
        """

    async def committed(self) -> bool:
        """Whether it was committed, once it has ended.

        After `OutcomeUnknown` the database is asked, over a new connection; `StoreError` if that can't
        be had in good time.
        """


@runtime_checkable
class TransactionalStore(Store, Protocol):
    """A store that can write several rows as one, go back, and tell what was written.

    All but reading and writing may be asked while it isn't open. `open` raises `NoDatabase` where there
    is none to look at.
    """

    @property
    def name(self) -> str:
        """How it is called before people; never with a password."""

    @property
    def identity(self) -> Hashable:
        """The same for all stores on one file, or on one bot's table of a server: what two runs must not
        write at once, as `alone` sees to."""

    @property
    def address(self) -> Path | str:
        """What `store_at` opens it by, with `settings`. It may hold a password, and is never shown."""

    @property
    def settings(self) -> dict[str, Any]:
        """With which names and patience another store on the same rows is made."""

    @property
    def beside(self) -> Path | None:
        """The path beside which decisions are kept unless they are named; None: they must be."""

    @property
    def file(self) -> Path | None:
        """The one file that is the whole database, which a backup can take the place of; None: there is
        no such way back."""

    @property
    def backup_dir(self) -> Path | None:
        """Where backups go that name no folder."""

    @property
    def layout(self) -> Layout:
        """Where its rows stand."""

    @property
    def facts(self) -> TableFacts:
        """What the open database says of a table of links; nothing for other rows."""

    @property
    def read_only(self) -> bool:
        """Whether it was asked never to write."""

    @property
    def made(self) -> bool:
        """Whether opening it made the database, or the first table in it."""

    async def open(self, *, make: bool = True) -> None:
        """Connect and look at the table; nothing if it is open already.

        Without `make`, a database that isn't there is refused, where a bot's first start would make it.
        """

    async def close(self) -> None:
        """Disconnect, after the other tasks' transactions; nothing if it is closed already."""

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows of the three families as stored, of one moment, in no particular order.

        With `about`, those that concern these rooms and users; some more may come along.
        """

    async def version(self) -> Hashable:
        """A token that differs from an earlier one if anybody, also this store, wrote in between.

        Take it *before* `load_rows`. It may differ without a change, and is compared with `==` only.
        """

    def transaction(self) -> AbstractAsyncContextManager[StoreTransaction]:
        """Committed on normal exit, rolled back on any exception; nobody else can write meanwhile.

        The running task, and tasks started in here, join it when they use the store; others wait. Inside
        another one of this store it is a savepoint of it. No lock is waited for past `waiting_until`.
        Cancelled while the commit is running, it is committed nevertheless. Raises `OutcomeUnknown` if
        nobody can tell whether it was.
        """

    async def backup(
        self, directory: Path | None = None, *, name: str, by_bot: bool = False
    ) -> Place:
        """Keep all rows as of one moment, under the name of a run; returns where, for the journal.

        `by_bot` says whether the bot began it by itself. It removes no other: `remove_older` does.
        """

    async def remove_older(self, backup: Place) -> None:
        """Once its run has written: of the backups of its kind only the latest few stay. Raises nothing:
        one that can't be removed stays too."""

    async def discard_backup(self, backup: Place) -> None:
        """Its run wrote nothing, so that there is nothing to go back to."""

    @property
    def journal(self) -> StoreJournal:
        """What was written to this database, by whom and why."""

    async def birthmark(self) -> str | None:
        """What tells this database from another that takes its name later; None if nothing does.

        Runs of a journal that outlives its database are told apart by it (`toolkit.database.identity`).
        """

    def alone(self) -> AbstractAsyncContextManager[None]:
        """Be the only one who writes for a person, across processes; `ToolkitError` at once if somebody
        else does. The bot's own functions don't ask for it."""


def transactional(store: Store) -> TypeGuard[TransactionalStore]:
    """Whether a store has transactions, and all that goes with them; a mock, which has everything, has no real name.

    Python's own check of a protocol would ask for each property, of which some ask the disk; a bot is asked
    this for every message.
    """
    if not isinstance(getattr(store, "name", None), str):
        return False
    kind = type(store)
    return all(hasattr(kind, member) or hasattr(store, member) for member in _MEMBERS)


_MEMBERS = tuple(name for name in vars(TransactionalStore) if not name.startswith("_"))
