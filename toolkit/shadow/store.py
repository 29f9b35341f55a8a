"""A copy-on-write view of a store: reads come from the bot's rows, writes stay in memory.

Rows of the three families are as of one look; other rows are read when they are asked for. It offers
what a bot uses of a `SQLiteStore`, but no path: there is no second way to the file.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from copy import deepcopy
from typing import Any, NoReturn

from toolkit.database.contract import Store, transactional
from toolkit.database.look import Look, load_row
from toolkit.database.sql import RowChange, encode
from toolkit.errors import RefusedCall, StoreError
from toolkit.homeserver.refused_calls import HiddenAttribute, told_call
from toolkit.model import RowWrite
from toolkit.records import Names, Raw, decode_object, encode_row, parse_key


class ShadowStore:
    """What a function meets in place of the bot's store; nothing that it writes gets there.

    Deletions count here as they would, and are appended to `refused`: they are never carried out.
    """

    def __init__(self, store: Store, look: Look, refused: list[str]) -> None:
        self._store, self._rows, self._refused = store, look.rows, refused
        self._others: dict[str, Raw] = {}  # of no family, as they were before they were written
        self._written: dict[str, Raw] = {}  # None: deleted
        self._writes = 0
        self._lock = asyncio.Lock()

    async def get(self, key: str) -> dict[str, Any] | None:
        """The row's object, None if there is no such row; raises like the bot's store."""
        async with self._turn():
            if key in self._written:
                raw = self._written[key]
                return None if raw is None else _decoded(key, raw)
            if not parse_key(key).family:
                return deepcopy(await self._store.get(key))  # a store may hand out what it holds
            if key not in self._rows:
                return None
            try:
                return decode_object(self._rows[key])
            except ValueError:
                if transactional(self._store):
                    return _decoded(key, self._rows[key])
                return deepcopy(await self._store.get(key))

    async def set(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep the whole row, as compact JSON; a BLOB stays one, as in the bot's store."""
        try:
            text = encode_row(value)
        except ValueError as error:
            raise StoreError(f"Can't write the row {key!r}: {error}.") from None
        encode(key), encode(text)  # raises for what no database could hold
        async with self._turn():
            before = self._written.get(key) or self._rows.get(key)
            await self._keep(key, text.encode() if isinstance(before, bytes) else text)

    async def keys(self, prefix: str) -> list[str]:
        """All keys that begin with exactly this text, sorted."""
        async with self._turn():
            found = {key for key in self._rows if key.startswith(prefix)}
            if not parse_key(prefix).family:
                others = await self._store.keys(prefix)
                found |= {key for key in others if not parse_key(key).family}
            for key, raw in self._written.items():
                if key.startswith(prefix):
                    (found.discard if raw is None else found.add)(key)
            return sorted(found)

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows of the three families, with what was written here, whatever they are about."""
        async with self._turn():
            written = {key: r for key, r in self._written.items() if parse_key(key).family}
            gone = {key for key, raw in written.items() if raw is None}
            return [(key, raw) for key, raw in (self._rows | written).items() if key not in gone]

    async def version(self) -> tuple[int, int]:
        """A token that differs from an earlier one if anything was written here in between."""
        async with self._turn():
            return 0, self._writes

    @asynccontextmanager
    async def transaction(self) -> "AsyncIterator[ShadowTransaction]":
        """Several writes as one, undone on any exception; other tasks wait meanwhile."""
        transaction = ShadowTransaction(self)
        if self in _inside.get():
            async with transaction.savepoint():
                yield transaction
            return
        async with self._lock:
            outer = _inside.get()
            _inside.set((*outer, self))
            try:
                async with transaction.savepoint():
                    yield transaction
            finally:
                _inside.set(outer)

    def changes(self) -> tuple[RowWrite, ...]:
        """The rows that would be otherwise than they are, by key."""
        return tuple(write for write in self._all() if not same_row(write.before, write.after))

    def rewritten(self) -> int:
        """How many rows were written with what they hold already."""
        return len(self._all()) - len(self.changes())

    def _all(self) -> list[RowWrite]:
        before = self._rows | self._others
        kept = sorted((key, raw) for key, raw in self._written.items() if raw is not None)
        return [RowWrite(key, before.get(key), raw) for key, raw in kept]

    def __getattr__(self, name: str) -> Any:
        """What else the bot's store can do is refused; what else it holds isn't shown."""
        if name.startswith("_"):
            raise AttributeError(name)
        value = getattr(self._store, name)
        if not callable(value):
            raise HiddenAttribute(f"A shadow of a store doesn't show `{name}`.")
        if name == "delete":
            return self._delete
        return self._refusing(name, value)

    def __repr__(self) -> str:
        return f"<shadow of a {type(self._store).__name__}>"

    def _refusing(self, name: str, method: Callable[..., Any]) -> Callable[..., NoReturn]:
        def refuse(*args: Any, **named: Any) -> NoReturn:
            call = told_call(f"store.{name}", method, args, named)
            self._refused.append(call)
            raise RefusedCall(f"Refused, as this is a shadow of the store: {call}.")

        return refuse

    async def _delete(self, key: str) -> None:
        async with self._turn():
            await self._keep(key, None)

    async def _keep(self, key: str, raw: Raw) -> None:
        if not parse_key(key).family and key not in self._others:
            self._others[key] = await load_row(self._store, key)
        if raw is None:
            self._refused.append(f"store.delete({key!r})")
        self._written[key] = raw
        self._writes += 1

    async def _now(self, key: str) -> Raw:
        if key in self._written:
            return self._written[key]
        return self._rows.get(key) if parse_key(key).family else await load_row(self._store, key)

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """At once inside our own transaction, else after those of other tasks."""
        if self in _inside.get():
            yield
        else:
            async with self._lock:
                yield


class ShadowTransaction:
    """Writes to a `ShadowStore` that count together or not at all."""

    def __init__(self, store: ShadowStore) -> None:
        self._store = store

    async def load_rows(self, about: Names | None = None) -> list[tuple[str, Raw]]:
        """All rows of the three families, with what was written here, whatever they are about."""
        return await self._store.load_rows()

    async def version(self) -> tuple[int, int]:
        """The store's token."""
        return await self._store.version()

    async def write(self, rows: Sequence[RowChange]) -> bool:
        """Write each row if it still is as in `before`; False if one isn't."""
        for row in rows:
            if await self._store._now(row.key) != row.before:
                return False
            await self._store._keep(row.key, row.after)
        return True

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is written in here is forgotten if it raises."""
        before = dict(self._store._written)
        try:
            yield
        except BaseException:
            self._store._written = before
            self._store._writes += 1
            raise


_inside: ContextVar[tuple[ShadowStore, ...]] = ContextVar("shadow_transactions", default=())
"""The shadows whose transaction the running task is in."""


def _decoded(key: str, raw: Raw) -> dict[str, Any]:
    try:
        return decode_object(raw)
    except ValueError as error:
        raise StoreError(f"Can't read the row {key!r}: {error}; repair it first.") from None


def same_row(before: Raw, after: Raw) -> bool:
    """Whether a bot reads the same in both; JSON tells 1 from true, unlike Python."""
    try:
        both = [json.dumps(decode_object(raw), sort_keys=True) for raw in (before, after)]
    except (ValueError, RecursionError):
        return before == after
    return both[0] == both[1]
