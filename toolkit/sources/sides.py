"""Where the two sides are, and how each is opened for as long as it is needed.

A bot's own objects are used as they are and stay open; what is only named is opened for one look or
one run, so that a session that nobody closes holds nothing.
"""

import os
from collections.abc import AsyncIterator, Callable, Collection, Hashable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolkit.convention import Convention
from toolkit.database.address import read_address
from toolkit.database.chat_manager import ChatManager, ChatManagerLike
from toolkit.database.contract import Store, TransactionalStore, transactional
from toolkit.database.look import load_look
from toolkit.database.opening import store_at
from toolkit.database.restore import check_unused
from toolkit.deadline import within
from toolkit.errors import NoDatabase, ToolkitError
from toolkit.homeserver.belonging import check_belonging, check_named
from toolkit.homeserver.gathering import Gathered
from toolkit.homeserver.reading import ClientLike, load_remote
from toolkit.homeserver.transport import PlainClient
from toolkit.layout import Layout, TableFacts
from toolkit.model import RemoteState
from toolkit.planning.links.rows import load_links
from toolkit.progress import Progress
from toolkit.records import Raw, load_records
from toolkit.secrecy import StaysHere
from toolkit.sources.settings import (
    CONVENTION,
    PATHS,
    TABLE,
    load_settings,
    read_token,
    tell_missing,
)
from toolkit.sources.snapshot import Snapshot, load_convention, load_layout, load_snapshot

OFFLINE = (
    "This session looks at a snapshot, and there is nothing to write to: where the database is, run "
    "`matrix-drift apply --decisions {}`."
)


_LOST = (
    "If it was lost, `check`, `plan` and `apply` look at it as empty with --new-database, a session "
    "with `allow_new=True`."
)


@dataclass(frozen=True)
class Sides(StaysHere):
    """A homeserver and a database, or the bot's own objects for them, or a snapshot of both."""

    convention: Convention
    homeserver: str | None = None
    token: str = field(default="", repr=False)
    database: Path | str | None = field(default=None, repr=False)
    table: Mapping[str, Any] = field(default_factory=dict)
    backup_dir: Path | None = None
    client: ClientLike | None = None
    store: Store | None = None
    chat_mgr: ChatManagerLike | None = None
    snapshot: Path | None = None
    allow_empty: bool = False
    allow_new: bool = False
    sliding_sync: bool = True
    deadline: float | None = None
    _known: dict[str, TableFacts | None] = field(default_factory=dict, compare=False, repr=False)

    @property
    def target(self) -> TransactionalStore | None:
        """The store that the local rows come from, open or not; None for a snapshot, and for a store of
        another make."""
        if self.snapshot is not None:
            return None
        if self.store is not None:
            return self.store if transactional(self.store) else None
        return None if self.database is None else self._store(read_only=True)

    @property
    def beside(self) -> Path | None:
        """The path beside which decisions are kept, if there is one."""
        return self.snapshot or (target.beside if (target := self.target) else None)

    @property
    def identity(self) -> Hashable:
        """The same for all sides on one file or one bot's table of a server: what two runs must not write at once."""
        if self.snapshot is not None:
            return self.snapshot.resolve()
        return target.identity if (target := self.target) else id(self.store)

    def _store(self, *, read_only: bool) -> TransactionalStore:
        assert self.database is not None
        return store_at(
            self.database, read_only=read_only, backup_dir=self.backup_dir, **self.table
        )

    async def look(self, progress: Progress | None = None) -> tuple[RemoteState, dict[str, Raw]]:
        """Read both sides whole, the rows first; writes nothing.

        Raises `HomeserverError`, `RemoteIncomplete`, `StoreError` or `SnapshotError`.
        """
        if self.snapshot is not None:
            taken = self._load_snapshot(self.snapshot)
            return taken.remote(self.convention), dict(taken.rows)
        return await self._look(progress)

    async def look_again(
        self, known: RemoteState, changed: Collection[str]
    ) -> tuple[RemoteState, dict[str, Raw]]:
        """The same, but of the rooms only those that `changed` since these were known, or are new."""
        return await self._look(known=known, changed=changed)

    async def gather(self, progress: Progress | None = None) -> tuple[Gathered, dict[str, Raw]]:
        """Read what `look` reads, and leave to `take_in` what computes. Raises as `look` does.

        Of a homeserver and a database that are named, not of a bot's own objects.
        """
        self._check_layout()
        async with within(self.deadline, "reading the rooms and rows"):
            rows = await self.load_rows()
            async with self.open_client() as client:
                gathered = await Gathered.load(
                    client,
                    self.convention,
                    self._evidence,
                    may_be_empty=self.allow_empty or not rows,
                    progress=progress,
                    sliding_sync=self.sliding_sync,
                )
        return gathered, rows

    def take_in(
        self, gathered: Gathered, rows: dict[str, Raw], facts: TableFacts | None
    ) -> RemoteState:
        """The homeserver's side of what was gathered, perhaps in another process; writes nothing.

        Raises `HomeserverError`, or `Doubtful`: then look again.
        """
        self._known["facts"] = facts
        remote = gathered.decode(self.convention, self._evidence)
        if not self.allow_empty:
            self._check_belonging(rows, remote)
        return remote

    async def take(self, settings: Mapping[str, Any], progress: Progress | None = None) -> Snapshot:
        """Both sides as a look finds them, for a file; `settings` are those of the convention."""
        bodies: dict[str, bytes] = {}
        remote, rows = await self._look(progress, bodies.__setitem__)
        read = {room_id: bodies[room_id] for room_id in remote.rooms}
        links = self.layout.links
        return Snapshot(
            remote.account,
            read,
            remote.unreadable,
            rows,
            settings=dict(settings),
            layout=self.layout if links else None,
            facts=self.facts if links else None,
        )

    @property
    def facts(self) -> TableFacts | None:
        """What the database said of a table of links when its rows were last read."""
        return self._known.get("facts")

    @property
    def layout(self) -> Layout:
        """Where the rows stand."""
        if self.store is not None and transactional(self.store):
            return self.store.layout
        found: Layout = self.table.get("layout", Layout())
        return found

    async def _look(
        self,
        progress: Progress | None = None,
        seen: Callable[[str, bytes], None] | None = None,
        known: RemoteState | None = None,
        changed: Collection[str] = (),
    ) -> tuple[RemoteState, dict[str, Raw]]:
        """A room that the bot makes while we read is in neither side, as the rows come first."""
        self._check_layout()
        async with within(self.deadline, "reading the rooms and rows"):
            rows = await self.load_rows()
            async with self.open_client() as client:
                remote = await load_remote(
                    client,
                    self.convention,
                    local_rows=bool(rows),
                    allow_empty=self.allow_empty,
                    progress=progress,
                    seen=seen,
                    sliding_sync=self.sliding_sync,
                    layout=self._evidence,
                    known=known,
                    changed=changed,
                )
        if not self.allow_empty:
            self._check_belonging(rows, remote)
        return remote, rows

    @property
    def _evidence(self) -> Layout:
        """What of the rooms is kept: of a bot of shape links, what its layout asks for."""
        return self.layout if self.layout.links else Layout()

    def _check_layout(self) -> None:
        """Raise `ToolkitError` if rows can't be read by the layout."""
        layout = self.layout
        if layout.links and self.store is not None and not transactional(self.store):
            raise ToolkitError(
                f"The mapping is of shape links, and the store ({type(self.store).__name__}) doesn't show "
                "such rows: open it with SQLiteStore(path, layout=layout)."
            )

    def _check_belonging(self, rows: dict[str, Raw], remote: RemoteState) -> None:
        if self.layout.links:
            check_named(load_links(rows, self.layout, self.facts).pointing, remote)
        else:
            check_belonging(load_records(rows), remote)

    async def load_rows(self) -> dict[str, Raw]:
        """All rows of the three families as of one moment; with `allow_new`, none of a new database."""
        if self.snapshot is not None:
            return dict(self._load_snapshot(self.snapshot).rows)
        try:
            async with self.open_store(read_only=True) as store:
                look = await load_look(store)
            self._known["facts"] = look.facts
            return look.rows
        except NoDatabase as error:
            if self.layout.links:  # its tables are the bot's own to make
                raise
            if self.allow_new:
                return {}
            raise NoDatabase(f"{error} {_LOST}") from None

    def _load_snapshot(self, path: Path) -> Snapshot:
        taken = load_snapshot(path)
        if taken.facts is not None:
            self._known["facts"] = taken.facts
        return taken

    @asynccontextmanager
    async def open_store(self, *, read_only: bool, new: bool = False) -> AsyncIterator[Store]:
        """The bot's own store as it is, or its database for as long as this lasts.

        Who writes there is the only one who does so for a person; raises `ToolkitError` if another is.
        A database that isn't there is made only if it was shown as a `new` one.
        """
        if self.snapshot is not None:
            raise ToolkitError(OFFLINE.format("FILE"))
        if self.store is not None and not transactional(self.store):
            yield self.store
            return
        store = self._store(read_only=read_only) if self.store is None else self.store
        async with AsyncExitStack() as stack:
            if not read_only:
                if store.file is not None and self.layout.shape.stopped:
                    check_unused(store.file, ours=self.store is not None)
                await stack.enter_async_context(store.alone())
            await store.open(make=read_only or new or self.store is not None)
            if self.store is None:
                stack.push_async_callback(store.close)
            yield store

    @asynccontextmanager
    async def open_client(self) -> AsyncIterator[ClientLike]:
        """The bot's own client as it is, or one that only carries the token."""
        if self.client is not None:
            yield self.client
            return
        assert self.homeserver
        async with PlainClient(self.homeserver, self.token) as client:
            yield client

    def manager(self, store: Store) -> ChatManagerLike:
        """Who restores missing chat rows: the bot's own chat manager, or ours on this store."""
        return ChatManager(store) if self.chat_mgr is None else self.chat_mgr


def find_sides(
    *,
    homeserver: str | None = None,
    access_token: str | None = None,
    database: str | os.PathLike[str] | None = None,
    client: ClientLike | None = None,
    store: Store | None = None,
    chat_mgr: ChatManagerLike | None = None,
    convention: Convention | None = None,
    snapshot: str | os.PathLike[str] | None = None,
    allow_empty: bool | None = None,
    allow_new: bool = False,
    sliding_sync: bool | None = None,
    deadline: float | None = None,
    environment: Mapping[str, str] | None = None,
) -> Sides:
    """What is given; then what the environment says; then `matrix-drift.toml`, here or above.

    Raises `ToolkitError` if a side is named nowhere, or twice.
    """
    environment = os.environ if environment is None else environment
    _refuse_both(snapshot=snapshot, homeserver=homeserver, client=client)
    _refuse_both(snapshot=snapshot, database=database, store=store)
    known = load_settings()
    kept = {name: value for name, value in known.items() if name in CONVENTION}
    if snapshot is not None:
        return snapshot_sides(Path(snapshot), kept, known.get("layout"), convention)
    homeserver = homeserver or environment.get("MATRIX_HOMESERVER") or known.get("homeserver")
    # The same file also when somebody changes the folder in a notebook.
    named = {name: read_address(known[name]) for name in PATHS & known.keys()}
    paths = {name: path.absolute() for name, path in named.items() if isinstance(path, Path)}
    found = (
        database or environment.get("BOT_DATABASE") or paths.get("database", named.get("database"))
    )
    token = "" if client is not None else access_token or read_token(environment)
    tell_missing(
        _WAYS,
        homeserver=client is not None or homeserver,
        database=store is not None or found,
        token=client is not None or token,
    )
    return Sides(
        convention=convention or Convention(**kept),
        homeserver=homeserver,
        token=token or "",
        database=None if store is not None else read_address(found or ""),
        table={name: known[name] for name in (*TABLE, "layout") if name in known},
        backup_dir=paths.get("backup_dir"),
        client=client,
        store=store,
        chat_mgr=chat_mgr,
        allow_empty=known.get("allow_empty", False) if allow_empty is None else allow_empty,
        allow_new=allow_new,
        sliding_sync=known.get("sliding_sync", True) if sliding_sync is None else sliding_sync,
        deadline=known.get("deadline") if deadline is None else deadline,
    )


def snapshot_sides(
    path: Path,
    settings: Mapping[str, Any],
    layout: Layout | None,
    convention: Convention | None = None,
) -> Sides:
    """A snapshot instead of both sides, looked at with what is set here before what it was taken with."""
    return Sides(
        convention=convention or load_convention(path, settings),
        table={"layout": load_layout(path, layout)},
        snapshot=path,
    )


def _refuse_both(**given: object) -> None:
    names = [name for name, value in given.items() if value is not None]
    if len(names) > 1:
        raise ToolkitError(f"Give {names[0]} or {names[1]}, not both.")


_WAYS = {
    "homeserver": "homeserver= or client=, or set MATRIX_HOMESERVER",
    "database": "database= or store=, or set BOT_DATABASE",
}
