"""Decoding and planning in processes of their own: the same results, and no token goes there."""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import psutil  # type: ignore[import-untyped]  # ipykernel brings it; it has no types
import pytest

from tests.bench import ALICE, BOT, small_world
from tests.fleet.yard import TOKEN, Yard, adrift_rows
from tests.scenario import right_rows
from toolkit.fleet import judges
from toolkit.fleet.judges import Beside, Here
from toolkit.fleet.outcome import Outcome
from toolkit.fleet.run import Where, run_fleet, tasks_of
from toolkit.fleet.settings import Fleet
from toolkit.fleet.task import Action, Task
from toolkit.looked import look
from toolkit.model import Code
from toolkit.testing import FakeHomeserver, Fault, Hang
from toolkit.testing.world import World

T = TypeVar("T")

ROOT = Path(__file__).parent.parent.parent
SCRIPT = """
import asyncio, sys
from toolkit import fleet

print("once", flush=True)
results = asyncio.run(fleet.check(sys.argv[1], processes=1))
print(len(results))
"""


@contextmanager
def beside(processes: int = 1) -> Iterator[Beside]:
    who = Beside(processes)
    try:
        yield who
    finally:
        who.close()


class Packing(Here):
    """Whatever is judged goes through a pickle, both ways, as it does to a process."""

    def __init__(self) -> None:
        self.packed = b""

    async def judge(self, work: Any, *args: Any, **kwargs: Any) -> Any:
        asked = pickle.dumps((work, args, kwargs))
        work, args, kwargs = pickle.loads(asked)  # noqa: S301 - it is our own
        given = pickle.dumps(await work(*args, **kwargs))
        self.packed += asked + given
        return pickle.loads(given)  # noqa: S301


def plain(outcome: Outcome) -> Outcome:
    """Without what a clock and chance say."""
    written = outcome.written and replace(outcome.written, run=None, backup=None)
    line = replace(outcome.line, looked=None, run=None)
    return replace(outcome, line=line, written=written)


@pytest.mark.parametrize("action", Action)
async def test_processes_of_their_own_find_what_this_one_finds(
    yard: Yard, homeserver: FakeHomeserver, action: Action
) -> None:
    def fill() -> list[Task]:
        for database in yard.folder.glob("*.db*"):
            database.unlink()
        yard.add("adrift", homeserver.url, adrift_rows())
        yard.add("good", homeserver.url)
        others = {f"C{number}": f"!other{number}" for number in range(6)}
        yard.add("foreign", homeserver.url, right_rows(ALICE, "!other", others))
        yard.add("dead", homeserver.url, access_token_env="FLEET_TEST_NO_TOKEN")
        return tasks_of(Fleet.read(yard.file), action, certain=True)

    here = [plain(await task.run()) for task in fill()]
    with beside() as who:
        await who._up
        there = [plain(await task.run(judges=who)) for task in fill()]
    assert there == here
    assert [outcome.failed for outcome in here] == [False, False, True, True]


@pytest.mark.parametrize("action", Action)
async def test_no_token_goes_to_them(
    yard: Yard, homeserver: FakeHomeserver, action: Action
) -> None:
    yard.add("adrift", homeserver.url, adrift_rows())
    [task] = tasks_of(Fleet.read(yard.file), action, certain=True)
    packing = Packing()
    assert not (await task.run(judges=packing)).failed
    assert b"!a1" in packing.packed and TOKEN.encode() not in packing.packed


@pytest.mark.parametrize(
    "spoil",
    [
        lambda world: world.member("!b1", BOT, "leave"),
        lambda world: world.rooms["!b1"].pop(0),  # the create event
    ],
    ids=["left", "not whole"],
)
async def test_a_room_that_is_not_what_was_asked_for_is_judged_as_by_a_single_look(
    yard: Yard, spoil: Callable[[World], object]
) -> None:
    world = small_world()
    spoil(world)
    async with FakeHomeserver(world.rooms, BOT, TOKEN) as server:
        yard.add("desk", server.url, adrift_rows())
        [task] = tasks_of(Fleet.read(yard.file), Action.PLAN)
        outcome = await task.run()
        found = await look(task.bot.road(TOKEN))
    assert outcome.plan == found.plan
    told = [f for unit in found.plan.units if unit.id == "!b1" for f in unit.findings]
    assert [f.code for f in told] == [Code.ROOM_UNREADABLE], found.plan


async def test_killed_processes_leave_the_work_to_this_one(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    yard.add("adrift", homeserver.url, adrift_rows())
    [task] = tasks_of(Fleet.read(yard.file), Action.CHECK)
    with beside() as who:
        process = await asyncio.wrap_future(who._pool.submit(os.getpid))
        os.kill(process, signal.SIGKILL)
        outcomes = [await task.run(judges=who) for _ in range(2)]
    assert [outcome.line.units for outcome in outcomes] == [2, 2]


async def test_they_are_used_where_there_are_cores_and_bots_for_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def processes(bots: int, cores: int, wanted: int | None = None) -> int:
        monkeypatch.setattr(judges, "cpu_count", lambda: cores)
        monkeypatch.setattr(judges, "Beside", Counted)
        async with judges.judges(bots, 8, wanted) as who:
            return who.processes if isinstance(who, Counted) else 0

    class Counted(Here):
        def __init__(self, processes: int) -> None:
            self.processes = processes

        def close(self) -> None:
            """Nothing was started."""

    assert [await processes(25, cores) for cores in (1, 2, 3, 64)] == [0, 1, 2, 2]
    assert await processes(24, 64) == 0
    assert [await processes(1, 1, wanted) for wanted in (0, 3)] == [0, 3]


async def test_a_whole_run_uses_them_and_leaves_none(
    yard: Yard, homeserver: FakeHomeserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(12):
        yard.add(f"bot-{number}", homeserver.url, adrift_rows())
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    where = Where(Fleet.read(yard.file), yard.results, processes=2)
    outcomes = await run_fleet(where, tasks_of(where.fleet, Action.CHECK))
    assert [outcome.line.units for outcome in outcomes] == [2] * 12
    left = [child.cmdline() for child in psutil.Process().children()]
    assert not [command for command in left if "popen_loky" in str(command)]


async def test_a_program_that_calls_it_is_not_run_again_by_them(
    yard: Yard, homeserver: FakeHomeserver
) -> None:
    """Many scripts have no `if __name__ == "__main__"`."""
    yard.add("adrift", homeserver.url, adrift_rows())
    script = yard.folder / "script.py"
    script.write_text(SCRIPT)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        str(yard.file),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    said, _ = await process.communicate()
    assert said.decode().splitlines() == ["once", "1"]


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
async def test_they_end_with_who_started_them(
    yard: Yard, homeserver: FakeHomeserver, end: signal.Signals
) -> None:
    homeserver.fault(Fault("/state", Hang()))
    yard.add("desk", homeserver.url)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *["-c", "from toolkit.cli import main; main()", "fleet", "check", "--processes=1"],
        cwd=yard.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    try:
        begun = await until(lambda: psutil.Process(process.pid).children(recursive=True))
        await asyncio.sleep(0.5)
        begun = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(end)
        _, said = await process.communicate()
        await until(lambda: not any(child.is_running() for child in begun))
    finally:
        for child in begun:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    assert "Traceback" not in said.decode()


async def until(holds: Callable[[], T]) -> T:
    async with asyncio.timeout(20):
        while not (found := holds()):  # noqa: ASYNC110 - of other processes
            await asyncio.sleep(0.05)
    return found
