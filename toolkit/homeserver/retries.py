"""How long a homeserver is asked again, and how slowly: the only module that knows the retry library.

A throttled request waits as long as the server wants; what may be better next time (5xx, broken
bodies, cut connections) is tried a few times. Both are bounded. What comes at once, as nearly all of a
thousand rooms do, pays for none of that.
"""

import email.utils
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import tenacity

ATTEMPTS = 4
PATIENCE_SECONDS = 90.0  # for all attempts of one request, and the waiting that a server asks for
FIRST_WAIT, LONGEST_WAIT = 0.1, 5.0  # seconds between attempts, where the server asks for none

T = TypeVar("T")


class Again(Exception):
    """An answer that may be better next time; `wait` in seconds where the server said how long.

    `slow`: it took so long to fail that once more is enough.
    """

    def __init__(
        self,
        reason: str,
        wait: float | None = None,
        *,
        throttled: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(reason)
        self.reason, self.wait, self.throttled, self.slow = reason, wait or 0.0, throttled, slow


async def persist(once: Callable[[], Awaitable[T]], tell: Callable[[str, float], None]) -> T:
    """Await `once()` until it raises no `Again`, or patience ends: then that `Again`.

    `tell` hears the reason and the seconds of every wait.
    """
    patience = _Patience()
    try:
        return await once()
    except Again as error:
        failures = [error]
    import tenacity  # here, not above: a homeserver that is well doesn't need it

    async def attempt() -> T:
        if failures:
            raise failures.pop()  # the first attempt is over; the library counts from it
        return await once()

    retrying = tenacity.AsyncRetrying(
        retry=tenacity.retry_if_exception_type(Again),
        stop=patience.stop,
        wait=_wait,
        before_sleep=lambda state: tell(_failure(state).reason, _wait(state)),
        reraise=True,
    )
    return await retrying(attempt)


class _Patience:
    """What is left of it for one request."""

    def __init__(self) -> None:
        self._failures, self._until = 0, time.monotonic() + PATIENCE_SECONDS

    def stop(self, state: "tenacity.RetryCallState") -> bool:
        failure = _failure(state)
        self._failures += 0 if failure.throttled else ATTEMPTS // 2 if failure.slow else 1
        return self._failures >= ATTEMPTS or time.monotonic() + _wait(state) > self._until


def _wait(state: "tenacity.RetryCallState") -> float:
    """As long as the server asks, but never at once and never faster than before."""
    own = FIRST_WAIT * 4.0 ** min(state.attempt_number - 1, 10)
    return max(_failure(state).wait, min(own, LONGEST_WAIT))


def _failure(state: "tenacity.RetryCallState") -> Again:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, Again)
    return error


def asked_to_wait(body: bytes, headers: Mapping[str, str]) -> float | None:
    """Seconds from the body's `retry_after_ms`, or from `Retry-After` (spec, "Rate limiting").

    >>> asked_to_wait(b'{"retry_after_ms": 1500}', {})
    1.5
    >>> asked_to_wait(b"", {"Retry-After": "3"})
    3.0
    """
    asked = _retry_after_ms(body)
    if isinstance(asked, int | float) and not isinstance(asked, bool) and asked >= 0:
        return float(min(asked, _ENDLESS)) / 1000
    text = headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None


def _retry_after_ms(body: bytes) -> Any:
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return answer.get("retry_after_ms") if isinstance(answer, dict) else None


_ENDLESS = 1_000_000_000
