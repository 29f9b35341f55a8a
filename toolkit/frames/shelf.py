"""Frames that are asked for again: each is built once, and a copy of it handed out every time."""

from collections.abc import Callable
from operator import is_not

from toolkit.frames.display import Frame


class Shelf:
    """The last frame of each kind, as long as it is of the same values.

    Those are frozen, so the same objects always give the same frame.
    """

    def __init__(self) -> None:
        self._built: dict[Callable[..., Frame], tuple[tuple[object, ...], Frame]] = {}

    def take(self, build: Callable[..., Frame], *values: object) -> Frame:
        """What `build` makes of the values; the caller may write to it."""
        known = self._built.get(build)
        if known is None or any(map(is_not, known[0], values)):
            known = self._built[build] = values, build(*values)
        return known[1].copy()
