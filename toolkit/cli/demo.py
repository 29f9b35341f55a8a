"""`matrix-drift demo`: the drift of a small bot's world on a throw-away Synapse.

Whatever ends it, Ctrl+C and SIGTERM included, no process and no file stays.
"""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

from toolkit.cli.look import exit_code, look
from toolkit.cli.results import show
from toolkit.cli.where import Where
from toolkit.cli.words import Cancelled, keep_secret, say
from toolkit.errors import ToolkitError
from toolkit.model import Plan
from toolkit.render import render_check
from toolkit.testing.demo import open_demo
from toolkit.testing.synapse import Synapse, SynapseError

_ENDS = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_TRY = (
    "That was a world of its own, and it is gone. Now your bot's: set MATRIX_HOMESERVER, "
    "MATRIX_ACCESS_TOKEN and BOT_DATABASE, and run `matrix-drift check`, which only reads."
)


def demo(*, only_check: bool) -> int:
    """Start the world, print its drift, take it away; `check`'s exit code."""
    if not Synapse.available():
        raise ToolkitError(
            "The demo needs a Synapse of its own: pip install 'matrix-drift[demo]' and try again."
        )
    with _ended_once() as end:
        try:
            plan = _look_at_demo(end)
        except KeyboardInterrupt:
            raise Cancelled("the demo's Synapse and its files are gone.") from None
        except SynapseError as error:
            *log, last = str(error).splitlines()
            for line in log:
                say(line)
            raise ToolkitError(f"The demo's Synapse failed: {last}") from error
    show(render_check(plan))
    if not only_check:
        say(_TRY)
    return exit_code(plan, strict=False)


def _look_at_demo(end: "_End") -> Plan:
    def started(synapse: Synapse) -> None:
        end.synapse = synapse
        say("Making a small bot's world in it …")

    say("Starting a throw-away Synapse on loopback …")
    with open_demo(started=started) as (_, world):
        say("Reading its rooms and rows …")
        where = Where(
            homeserver=world.url,
            database=str(world.database),
            token=keep_secret(world.account.access_token),
        )
        plan = look(where)
        say("Stopping it …")
    return plan


class _End:
    """What a signal to end does: the first unwinds everything, more must not cut that short."""

    def __init__(self) -> None:
        self.synapse: Synapse | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for name in _ENDS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        if self.synapse is not None:
            self.synapse.stop()  # the threads that make the world would go on until it is whole
        raise KeyboardInterrupt


@contextlib.contextmanager
def _ended_once() -> Iterator[_End]:
    end = _End()
    before = {name: signal.signal(getattr(signal, name), end) for name in _ENDS}
    try:
        yield end
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)
