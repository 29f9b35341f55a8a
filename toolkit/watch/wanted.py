"""What is to be looked at and why, gathered until somebody looks. Pure but for who waits."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum


class Cause(StrEnum):
    """Why there was a look, in the word that is shown."""

    START = "start"
    ROWS = "rows"
    ROOMS = "rooms"
    TIME = "time"


@dataclass(frozen=True)
class Wanted:
    """Of the rows all are read, of the rooms these, and those that are joined since; or `whole`, all of them."""

    causes: frozenset[Cause] = frozenset()
    rooms: frozenset[str] = frozenset()
    whole: bool = False

    def __or__(self, other: "Wanted") -> "Wanted":
        """Both at once."""
        return Wanted(
            self.causes | other.causes, self.rooms | other.rooms, self.whole or other.whole
        )

    def __bool__(self) -> bool:
        return bool(self.causes)


NOTHING = Wanted()


class Pending:
    """Whatever was wanted since the last look."""

    def __init__(self) -> None:
        self._wanted = NOTHING
        self._there = asyncio.Event()

    def add(self, wanted: Wanted) -> None:
        """Have it looked at, with what waits already."""
        self._wanted |= wanted
        if self._wanted:
            self._there.set()

    async def wait(self, seconds: float) -> bool:
        """Until something is wanted; False if nothing is after so long."""
        alarm = asyncio.get_running_loop().call_later(seconds, self._there.set)
        await self._there.wait()
        alarm.cancel()
        return bool(self._wanted)

    def take(self) -> Wanted:
        """All of it, which then is wanted no more."""
        wanted, self._wanted = self._wanted, NOTHING
        self._there.clear()
        return wanted
