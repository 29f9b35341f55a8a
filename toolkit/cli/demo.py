"""`matrix-drift demo`: a small bot's world on a throw-away Synapse, its drift, and the lessons on it.

Whatever ends it, SIGKILL included, no process and no file stays.
"""

import contextlib
import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from toolkit.cli.jupyterlab import Lab
from toolkit.cli.look import IN_SYNC, exit_code, look_decided
from toolkit.cli.notebook import copy_lessons, jupyterlab_available
from toolkit.cli.options import Where
from toolkit.cli.output import Cancelled, keep_secret, say, say_lines, show
from toolkit.cli.render import render_check
from toolkit.demo.lessons import DATABASE, DEMO, HOMESERVER, PRISTINE
from toolkit.demo.recorded import Served, serve_recorded
from toolkit.demo.watchdog import Watchdog
from toolkit.demo.world import open_demo
from toolkit.errors import ToolkitError
from toolkit.sources.settings import TOKEN
from toolkit.testing.synapse import Synapse, SynapseError

_ENDS = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_GET = "pip install 'matrix-drift[demo]'"
_NEXT = (
    "That was a world of its own, and it is gone. Now your bot's: set MATRIX_HOMESERVER, "
    "MATRIX_ACCESS_TOKEN and BOT_DATABASE, and run `matrix-drift check`, which only reads."
)


def demo(*, only_check: bool) -> int:
    """Start the world, print its drift, serve the lessons until it is ended, take it all away.

    `check`'s exit code if that is all, else 0: to be ended is what a served demo waits for.
    """
    with _ended_once() as end:
        try:
            code = _check(end) if only_check else _teach(end)
        except KeyboardInterrupt:
            if not end.serving:
                what = "world" if end.stop is None else "Synapse"
                raise Cancelled(f"the demo's {what} and its files are gone.") from None
            code = IN_SYNC
        except SynapseError as error:
            *log, last = str(error).splitlines()
            for line in log:
                say_lines(line)
            raise ToolkitError(f"The demo's Synapse failed: {last}") from error
    if not only_check:
        say(_NEXT)
    return code


def _check(end: "_End") -> int:
    with _open_folder() as (folder, watchdog), _open_world(folder, watchdog, end) as served:
        found = look_decided(_where(served))
        say("Stopping it …")
    show(render_check(found.plan, cases=found.cases))
    return exit_code(found.plan, strict=False)


def _teach(end: "_End") -> int:
    with _open_folder() as (folder, watchdog), _open_world(folder, watchdog, end) as served:
        found = look_decided(_where(served))
        show(render_check(found.plan, cases=found.cases))
        if not jupyterlab_available():
            raise ToolkitError(f"There is no JupyterLab for the lessons: {_GET} and try again.")
        shutil.copy(served.database, folder / PRISTINE)
        first, _ = copy_lessons(folder / "notebooks")
        say("Starting JupyterLab …")
        with Lab.start(folder / "lab", first.parent, _variables(served), watchdog.watch) as lab:
            _say_what_to_do(lab, first)
            end.serving = True
            lab.wait()
    return IN_SYNC


def _say_what_to_do(lab: Lab, first: Path) -> None:
    say(f"Open {lab.address(first.name)}")
    say(f"and run {first.stem} from the top, cell by cell, with Shift+Enter.")
    say("The commands above are for your own bot; the lessons do the same with this one.")
    say("Nothing that you try there touches a real bot. Ctrl+C here ends and removes it all.")


@contextlib.contextmanager
def _open_folder() -> Iterator[tuple[Path, Watchdog]]:
    """A new folder, and who takes it away with all processes started here, should we be killed."""
    folder = Path(tempfile.gettempdir()).resolve() / f"matrix-drift-demo-{secrets.token_hex(4)}"
    with Watchdog.start(folder, f"{DEMO}={folder}") as watchdog:
        before = os.environ.get(DEMO)
        os.environ[DEMO] = str(folder)  # which every process started from here inherits
        try:
            yield folder, watchdog
        finally:
            del os.environ[DEMO]
            if before is not None:
                os.environ[DEMO] = before


@contextlib.contextmanager
def _open_world(folder: Path, watchdog: Watchdog, end: "_End") -> Iterator[Served]:
    """The world on a Synapse, or where there is none, as it was recorded on one."""
    if not Synapse.available():
        say(f"Synapse isn't installed ({_GET}); here is the same world, recorded on one.")
        with serve_recorded(folder) as served:
            yield served
        return

    def started(synapse: Synapse) -> None:
        end.stop = synapse.stop
        assert synapse.pid
        watchdog.watch(synapse.pid)
        say("Making a small bot's world in it …")

    say("Starting a throw-away Synapse on loopback …")
    with open_demo(folder, started=started) as (_, world):
        say("Reading its rooms and rows …")
        yield Served(world.url, world.account.access_token, world.database)


def _where(served: Served) -> Where:
    return Where(
        homeserver=served.url, database=str(served.database), token=keep_secret(served.token)
    )


def _variables(served: Served) -> dict[str, str]:
    """What the lessons go by, as with a real bot, and the mark."""
    bot = {HOMESERVER: served.url, TOKEN: served.token, DATABASE: str(served.database)}
    return {**bot, DEMO: os.environ[DEMO]}


class _End:
    """What a signal to end does: the first unwinds everything, more must not cut that short."""

    def __init__(self) -> None:
        self.stop: Callable[[], object] | None = None
        self.serving = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for name in _ENDS:
            signal.signal(getattr(signal, name), signal.SIG_IGN)
        if self.stop is not None:
            self.stop()  # the threads that make the world would go on until it is whole
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
