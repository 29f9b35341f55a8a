"""One process against a Dask cluster: `python -m toolkit.benchmark.fleet`.

The same bots, whose homeserver's answers are ready and come after 20 ms, are looked at in one process, with others
beside it that decode and plan, and on a cluster of one worker and of two, all on this machine; each room by a request
of its own, or by sliding sync. Wall time is that of the whole command; CPU that of its processes, and of the
workers from their first bot on. Beside it, what decoding and planning are of one bot's CPU, and what it takes to
send that elsewhere.
"""

import argparse
import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from toolkit.benchmark.baked import TOKEN
from toolkit.benchmark.lines import cpu, cpu_of
from toolkit.benchmark.stages import fill
from toolkit.benchmark.worlds import BOT, scale_rooms, scale_rows
from toolkit.convention import Convention
from toolkit.homeserver.room_state import decode_room
from toolkit.model import RemoteState
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records

AT_ONCE = 8
_COMMAND = "import sys; from toolkit.cli import main; main()"


class Ran(NamedTuple):
    """How a fleet was looked at, and what that took in seconds: `workers_cpu` of `cpu` in other processes."""

    how: str
    wall: float
    cpu: float
    peak: float
    workers_cpu: float = 0.0


def measure_fleet(
    bots: int, chats: int, latency: float, rounds: int, *, sliding_sync: bool = False
) -> Iterator[Ran]:
    """Each way in turn, so often."""
    serving = [f"--chats={chats}", f"--latency={latency}", *["--sliding-sync"] * sliding_sync]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with _process("toolkit.benchmark.baked", *serving) as server:
            assert server.stdout
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            write_fleet(folder, bots, chats, url)
            for _ in range(rounds):
                yield _check(folder, f"one process, {AT_ONCE} at once", "--processes=0")
                for beside in (1, 2):
                    yield _check(folder, f"and {beside} beside it", f"--processes={beside}")
                for workers in (1, 2):
                    yield _on_dask(folder, workers)


def write_fleet(folder: Path, bots: int, chats: int, url: str) -> None:
    """A `fleet.toml` of bots that have a database each and one homeserver."""
    fill(folder / "bot.db", chats)
    (folder / "token").write_text(TOKEN)
    tables = []
    for number in range(bots):
        shutil.copy(folder / "bot.db", folder / f"bot{number}.db")
        tables.append(
            f'[bots.bot{number}]\nhomeserver = "{url}"\ndatabase = "bot{number}.db"\n'
            'access_token_file = "token"\n'
        )
    (folder / "fleet.toml").write_text("\n".join(tables))


def _check(folder: Path, how: str, *options: str) -> Ran:
    command = [sys.executable, "-c", _COMMAND, "fleet", "check", *options]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall, own = time.perf_counter() - began, cpu_of(process.pid)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 2  # drift in each, and none failed
    took = used.ru_utime + used.ru_stime
    return Ran(how, wall, took, used.ru_maxrss / 1000, took - own)


def _on_dask(folder: Path, workers: int) -> Ran:
    """Eight bots at once in all, as in one process."""
    file = folder / "scheduler.json"
    file.unlink(missing_ok=True)
    quiet = ["--scheduler-file", str(file), "--no-dashboard"]
    threads = AT_ONCE // workers
    begun: list[subprocess.Popen[str]] = []
    with ExitStack() as stack:
        start = "distributed.cli.dask_scheduler", "--port", "0", "--host", "127.0.0.1", *quiet
        stack.enter_context(_process(*start))
        while not file.exists():
            time.sleep(0.05)
        address = json.loads(file.read_text())["address"]
        for _ in range(workers):
            worker = "distributed.cli.dask_worker", "--nthreads", str(threads), "--no-nanny", *quiet
            begun.append(stack.enter_context(_process(*worker)))
        some = [option for number in range(2 * workers) for option in ("--only", f"bot{number}")]
        _check(folder, "with all libraries loaded", "--scheduler", address, *some)
        before = sum(cpu_of(process.pid) for process in begun)
        ran = _check(folder, f"Dask, {workers} × {threads} at once", "--scheduler", address)
        theirs = sum(cpu_of(process.pid) for process in begun) - before
        return ran._replace(cpu=ran.cpu + theirs, workers_cpu=theirs)


@contextmanager
def _process(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate()


def measure_shares(chats: int) -> dict[str, float]:
    """CPU seconds of what could be done in another process, and of carrying it there and back."""
    bodies = dict(scale_rooms(chats))
    local = load_records(scale_rows(chats))
    rooms = {room_id: decode_room(room_id, body, None) for room_id, body in bodies.items()}
    remote = RemoteState(BOT, rooms)
    plan = plan_repairs(remote, local, Convention())
    work: dict[str, Callable[[], object]] = {
        "decode": lambda: [decode_room(room_id, body, None) for room_id, body in bodies.items()],
        "plan": lambda: plan_repairs(remote, local, Convention()),
        "pickle rooms and rows": lambda: pickle.dumps((bodies, local.rows)),
        "pickle the plan": lambda: pickle.dumps(plan),
    }
    return {what: min(cpu(run) for _ in range(5)) for what, run in work.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bots", type=int, default=30)
    parser.add_argument("--chats", type=int, default=1_000)
    parser.add_argument("--latency", type=float, default=20, help="milliseconds")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    console = Console(width=100)
    for sliding_sync in (False, True):
        _print_runs(console, options, sliding_sync=sliding_sync)
    shares = Table("of one bot", "CPU")
    for what, seconds in measure_shares(options.chats).items():
        shares.add_row(what, f"{1000 * seconds:.0f} ms")
    console.print(shares)
    console.print(
        f"load of this machine meanwhile: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores"
    )


def _print_runs(console: Console, options: argparse.Namespace, *, sliding_sync: bool) -> None:
    how = "by sliding sync" if sliding_sync else "each room by a request"
    title = f"{options.bots} bots × {options.chats:,} chats, {options.latency:g} ms, {how}"
    table = Table(
        "how",
        "wall",
        "bots a second",
        "CPU",
        "of workers",
        "peak",
        title=title,
        title_justify="left",
    )
    for ran in measure_fleet(
        options.bots, options.chats, options.latency, options.rounds, sliding_sync=sliding_sync
    ):
        workers = f"{ran.workers_cpu:.1f} s" if ran.workers_cpu > 0.1 else ""
        rate = f"{options.bots / ran.wall:.2f}"
        took, peak = f"{ran.cpu:.1f} s", f"{ran.peak:.0f} MB"
        table.add_row(ran.how, f"{ran.wall:.1f} s", rate, took, workers, peak)
    console.print(table)


if __name__ == "__main__":
    main()
