"""Whether somebody has written rows, by the store's own version and nothing else."""

from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any, Self

from toolkit.database.contract import Store, transactional
from toolkit.errors import NoDatabase, StoreError
from toolkit.sources.sides import Sides


class RowVersions:
    """A store that stays open while it is watched, and is opened again where it is another one by then."""

    def __init__(self, sides: Sides) -> None:
        self._sides = sides
        self._opened = AsyncExitStack()
        self._store: Store | None = None
        self._version: Any = None

    async def __aenter__(self) -> Self:
        """Note how things are. Raises `StoreError`."""
        self._version = await self._ask()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._opened.aclose()

    async def changed(self) -> bool:
        """Whether anybody may have written since this was asked last. Raises `StoreError`."""
        before, self._version = self._version, await self._ask()
        return bool(self._version != before)

    async def _ask(self) -> Any:
        """None of a database that is still to come, and of a store that knows no versions."""
        if self._store is None:
            return await self._open()
        try:
            return await self._version_of(self._store)
        except StoreError:  # busy: then opening fails as well, and this one is asked again
            return await self._open()

    async def _open(self) -> Any:
        fresh = AsyncExitStack()
        try:
            store = await fresh.enter_async_context(self._sides.open_store(read_only=True))
            version = await self._version_of(store)
        except NoDatabase:
            await fresh.aclose()
            if self._sides.allow_new:
                return None
            raise
        except BaseException:
            await fresh.aclose()
            raise
        old, self._opened, self._store = self._opened, fresh, store
        await old.aclose()
        return version

    async def _version_of(self, store: Store) -> Any:
        return await store.version() if transactional(store) else None
