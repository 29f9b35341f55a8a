"""Which transactions the running task is in, so that what it asks of a store becomes part of them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Generic, Protocol, TypeVar

C_co = TypeVar("C_co", covariant=True)


class Joinable(Protocol[C_co]):
    """A transaction on a connection, which ends as a whole."""

    def connection(self) -> C_co:
        """The connection, if the transaction is still on."""

    def is_open_on(self, connection: object) -> bool:
        """Whether it runs on this very connection."""

    async def begin(self) -> None:
        """Take the right to write."""

    async def commit(self) -> None:
        """Make everything last, even if we are cancelled meanwhile."""

    async def roll_back(self) -> None:
        """Undo everything, even if we are cancelled meanwhile; nothing if nothing was begun."""


T = TypeVar("T", bound=Joinable[Any])


class Running(Generic[T]):
    """The transactions of one kind that the running task is in, one for each store."""

    def __init__(self, name: str) -> None:
        self._open_ones: ContextVar[tuple[T, ...]] = ContextVar(name, default=())

    def on(self, connection: object) -> T | None:
        """The running task's transaction on this very connection, if it is in one."""
        return next((each for each in self._open_ones.get() if each.is_open_on(connection)), None)

    @asynccontextmanager
    async def begun(self, transaction: T) -> AsyncIterator[T]:
        """One of the running task, committed on normal exit and rolled back on any other."""
        outer = self._open_ones.get()
        self._open_ones.set((*outer, transaction))
        try:
            await transaction.begin()
            yield transaction
            await transaction.commit()
        except BaseException:
            await transaction.roll_back()
            raise
        finally:
            self._open_ones.set(outer)
