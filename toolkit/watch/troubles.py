"""What is in the way of a watch: told once when it begins, and once when it is over."""

import asyncio
from collections.abc import Callable

FIRST, LONGEST = 0.5, 15.0  # seconds until what has failed is tried again
OVER = "That is over: both sides are looked at again."


class Troubles:
    """By what was being done, so that one that ends isn't taken for the end of another."""

    def __init__(self, tell: Callable[[str], object]) -> None:
        self._tell = tell
        self._failures: dict[str, int] = {}
        self._better = asyncio.Event()

    @property
    def there(self) -> bool:
        """Whether anything is in the way now."""
        return bool(self._failures)

    async def sit_out(self, doing: str, words: str, least: float = 0.0) -> None:
        """It failed. Returns when it may be tried again: each time later, or as soon as `hurry` says so."""
        if not self._failures:
            self._tell(words)
        count = self._failures[doing] = self._failures.get(doing, 0) + 1
        pause = max(least, min(FIRST * 2.0 ** min(count - 1, 10), LONGEST))
        if least:  # the homeserver's own word counts, whatever works
            await asyncio.sleep(pause)
            return
        self._better.clear()
        alarm = asyncio.get_running_loop().call_later(pause, self._better.set)
        await self._better.wait()
        alarm.cancel()

    def end(self, doing: str) -> None:
        """It works."""
        if self._failures.pop(doing, 0) and not self._failures:
            self._tell(OVER)

    def hurry(self) -> None:
        """Something has worked that whatever else fails may depend on."""
        self._better.set()
