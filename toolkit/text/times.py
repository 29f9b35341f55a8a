"""Times as homeservers give them, for a person. Pure."""

from datetime import UTC, datetime

_END = 253_402_300_800_000  # the year 10000, past which Python has no dates


def say_minute(milliseconds: int | None) -> str:
    """UTC, to the minute; a server may claim any number, and one that is no time of ours is unknown.

    >>> say_minute(1_791_234_567_891), say_minute(None), say_minute(-1)
    ('2026-10-05T21:09Z', '', '')
    """
    if milliseconds is None or not 0 <= milliseconds < _END:
        return ""
    time = datetime.fromtimestamp(milliseconds // 1_000, UTC)
    return time.isoformat(timespec="minutes").replace("+00:00", "Z")
