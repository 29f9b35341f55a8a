"""The world that the lessons are about: the recorded demo, or the reader's own bot; in the last two
a help desk, and a fleet.

A lesson's first cell awaits `use_demo_world()`; what follows is what one does with a real bot.
"""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from toolkit.convention import Convention
from toolkit.demo.help_desk import HelpDesk, serve_help_desk
from toolkit.demo.recorded import Recorded, Served, serve_recorded
from toolkit.demo.small_fleet import SmallFleet, serve_fleet
from toolkit.demo.watchdog import Watchdog
from toolkit.sources.settings import FILE, TOKEN, find_settings, load_settings

HOMESERVER, DATABASE = "MATRIX_HOMESERVER", "BOT_DATABASE"
PRACTICE = "MATRIX_DRIFT_PRACTICE"
"""Names the account on whose rows the lessons may try everything: the demo's, unless one is named."""

DEMO = "MATRIX_DRIFT_DEMO"
"""Names the folder of `matrix-drift demo` to its notebooks, where `PRISTINE` lies."""

PRISTINE = "pristine.db"
_BOT = "@bot:example.org"
_PREFIX = "matrix-drift-lesson-"
_MARK = "MATRIX_DRIFT_LESSON"


@dataclass(frozen=True, slots=True)
class DemoNote:
    """One line on whose world it is; without paths and ports, so that it is the same every time."""

    words: str

    def __repr__(self) -> str:
        return self.words


async def use_demo_world(directory: Path | None = None) -> DemoNote:
    """Serve the demo's world and name it in the environment, unless your own bot is named there.

    `Session.open()` then finds it by MATRIX_HOMESERVER, MATRIX_ACCESS_TOKEN and BOT_DATABASE. Every
    call starts afresh, with the database as broken as it was; the files lie in a new folder below
    `directory`, by default the system's temporary one, and are gone when Python ends.

    >>> async def example():
    ...     await use_demo_world()
    ...     return await toolkit.Session.open()
    """
    _leave()
    if (demo := os.environ.get(DEMO)) and Path(os.environ.get(DATABASE, "")).is_relative_to(demo):
        _repeat_demo(Path(demo))
        return DemoNote(
            "The demo's world, as `matrix-drift demo` serves it; its database is fresh."
        )
    if os.environ.get(HOMESERVER):
        return DemoNote(f"Your bot, as {HOMESERVER} says.")
    if find_settings():
        _set(_own_bot(load_settings()))
        return DemoNote(f"Your bot, as {FILE} says.")
    recorded = Recorded.load()
    _enter(_entered.enter_context(serve_recorded(_new_folder(directory), recorded)))
    return DemoNote(_describe(recorded))


async def use_help_desk(directory: Path | None = None) -> HelpDesk:
    """Serve a help desk whose rows stand in a table of its own, whatever bot the environment names.

    Every call starts afresh; the files lie and end as those of `use_demo_world`.
    """
    _leave()
    return _entered.enter_context(serve_help_desk(_new_folder(directory)))


async def use_fleet(directory: Path | None = None) -> SmallFleet:
    """Serve six small bots with a `fleet.toml`, whatever bot the environment names.

    Every call starts afresh; the files lie and end as those of `use_demo_world`.
    """
    _leave()
    return _entered.enter_context(serve_fleet(_new_folder(directory)))


_entered = ExitStack()
"""What the last call started and changed; module-level, because nothing else would keep it alive."""


@atexit.register
def _leave() -> None:
    _entered.close()


def _own_bot(known: dict[str, str]) -> dict[str, str]:
    """What a bot's code finds in its environment; there, a variable goes before the file."""
    found = {HOMESERVER: known.get("homeserver")}
    if "database" in known:
        found[DATABASE] = str(Path(known["database"]).absolute())
    return {name: value for name, value in found.items() if value and not os.environ.get(name)}


def _repeat_demo(folder: Path) -> None:
    """What an earlier lesson repaired must not be missing in this one."""
    database = _new_folder(folder) / "bot.db"
    shutil.copy(folder / PRISTINE, database)
    _set({DATABASE: str(database), PRACTICE: os.environ.get(PRACTICE, _BOT)})


def _new_folder(directory: Path | None) -> Path:
    """Gone when the lesson is, also if its kernel is killed."""
    folder = Path(directory or tempfile.gettempdir(), f"{_PREFIX}{secrets.token_hex(8)}")
    _entered.enter_context(Watchdog.start(folder, f"{_MARK}={folder}"))
    return folder


def _enter(served: Served) -> None:
    _set(
        {
            HOMESERVER: served.url,
            TOKEN: served.token,
            DATABASE: str(served.database),
            PRACTICE: os.environ.get(PRACTICE, _BOT),
        }
    )


def _set(variables: dict[str, str]) -> None:
    """Until the next call: what is still as it was set here is no word of the reader's."""
    before = {name: os.environ.get(name) for name in variables}

    def put_back() -> None:
        for name, value in variables.items():
            if os.environ.get(name) != value:
                continue
            del os.environ[name]
            if (old := before[name]) is not None:
                os.environ[name] = old

    os.environ.update(variables)
    _entered.callback(put_back)


def _describe(recorded: Recorded) -> str:
    rooms = recorded.snapshot.remote(Convention()).rooms.values()
    spaces = sum(room.is_space for room in rooms)
    return (
        f"The demo's world: {spaces} Spaces, {len(rooms) - spaces} other rooms, "
        f"{len(recorded.snapshot.rows)} rows, recorded on a real Synapse."
    )
