"""Who wants to hear of a review, and the thread on which it lives."""

import asyncio
import threading
from collections.abc import Callable
from enum import StrEnum


class Event(StrEnum):
    """What is new for a view."""

    ITEMS = "items"
    PROGRESS = "progress"
    MESSAGE = "message"


Listener = Callable[[Event], object]


class Listeners:
    """Views by what they want to be called with; a broken one is left out and spoils nothing."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` with what is new; returns how to stop that."""
        self._listeners.append(listener)

        def stop() -> None:
            if listener in self._listeners:
                self._listeners.remove(listener)

        return stop

    def notify(self, *events: Event) -> Exception | None:
        """Tell everybody; returns what the last view broke with, if one did."""
        broken: Exception | None = None
        for listener in list(self._listeners):
            try:
                for event in events:
                    listener(event)
            except Exception as error:
                self._listeners.remove(listener)
                broken = error
        return broken


class Home:
    """The thread and the event loop that a session lives on.

    JupyterLab may call a widget's handler on another thread, with another loop (jupyterlab#17363);
    neither the session nor its database may be touched from there.
    """

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.get_ident()
        self.loop()

    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop; the one that runs here, if none is known yet that is still open."""
        if self._loop is None or self._loop.is_closed():
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:
                self._loop = None
            self._thread = threading.get_ident()
        return self._loop

    def soon(self, action: Callable[[], object]) -> None:
        """Do this at home: at once if we are there, else as soon as the loop is free."""
        if self._loop is None or threading.get_ident() == self._thread:
            action()
        else:
            self._loop.call_soon_threadsafe(action)
