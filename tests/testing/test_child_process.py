"""A server as a child process: it comes up or it is said why not, and it ends whether it listens or not."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]  # ipykernel brings it; it has no types
import pytest

from tests.children import finding_us
from tests.lab import running
from toolkit.testing.child_process import ChildProcess, free_port, last_lines

Start = Callable[..., ChildProcess]

WAIT = "import time; print('up', flush=True); time.sleep(600)"
DEAF = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"


def lives(pid: int) -> bool:
    """Whether it runs; a zombie that nobody reaps doesn't."""
    try:
        return running([psutil.Process(pid)]) != []
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "server.log"


@pytest.fixture
def start(tmp_path: Path, log: Path) -> Iterator[Start]:
    """Starts a Python; none outlives its test."""
    started: list[ChildProcess] = []

    def run(code: str, **options: Any) -> ChildProcess:
        command = [sys.executable, "-c", code]
        started.append(ChildProcess(command, log, cwd=tmp_path, **options))
        return started[-1]

    yield run
    for process in started:
        process.end(0)


@pytest.fixture
def up(log: Path) -> Callable[[], None]:
    """Asks whether it is up, as of a server that isn't there yet or answers with half a sentence."""

    def ask() -> None:
        if "up" not in (said := log.read_text()):
            raise (ValueError if said else OSError)(said)

    return ask


def test_it_is_waited_for_until_it_is_up(start: Start, up: Callable[[], None]) -> None:
    process = start(f"import time; print('half', flush=True); time.sleep(0.2); {WAIT}")
    assert process.why_not_up(up, 30) is None
    assert process.poll() is None


def test_one_that_ends_is_not_waited_for(start: Start, up: Callable[[], None], log: Path) -> None:
    process = start("import sys; print('said'); sys.exit('boom')")
    assert process.why_not_up(up, 30) == "ended with 1"
    assert sorted(last_lines(log, 20)) == ["boom", "said"]


def test_one_that_never_answers_is_waited_for_no_longer(
    start: Start, log: Path, up: Callable[[], None]
) -> None:
    process = start("import time; time.sleep(600)")
    assert process.why_not_up(up, 0.2) == "was not up after 0 s"
    assert process.poll() is None


def test_what_else_goes_wrong_while_asking_is_told_at_once(start: Start) -> None:
    def ask() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        start(WAIT).why_not_up(ask, 30)


def test_it_ends_politely_and_once_more_does_nothing(start: Start, up: Callable[[], None]) -> None:
    process = start(WAIT)
    process.why_not_up(up, 30)
    process.end(30)
    assert process.returncode == -signal.SIGTERM
    process.end(30)


def test_one_that_does_not_listen_ends_by_force(start: Start, up: Callable[[], None]) -> None:
    process = start(DEAF)
    process.why_not_up(up, 30)
    process.end(0.2)
    assert process.returncode == -signal.SIGKILL


def test_a_log_is_added_to_and_its_end_quoted_without_the_secret(start: Start, log: Path) -> None:
    log.write_text("from an earlier start\n")
    assert start("print('a'); print('the token is abc')").wait(30) == 0
    assert last_lines(log, 9) == ["from an earlier start", "a", "the token is abc"]
    assert last_lines(log, 1, "abc") == ["the token is ***"]


def test_a_session_of_its_own_is_made_if_wanted(start: Start) -> None:
    assert os.getsid(start(WAIT).pid) == os.getsid(0)
    own = start(WAIT, start_new_session=True)
    assert os.getsid(own.pid) == own.pid


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's prctl")
@pytest.mark.parametrize("ends_with_us", [True, False])
def test_whether_it_ends_with_a_parent_that_is_killed(tmp_path: Path, ends_with_us: bool) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from toolkit.testing.child_process import ChildProcess\n"
        f"command = [sys.executable, '-c', {WAIT!r}]\n"
        f"child = ChildProcess(command, Path('log'), cwd=Path(), ends_with_us={ends_with_us})\n"
        "child.why_not_up(lambda: Path('log').read_text().index('up'), 30)\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    command = [sys.executable, "-c", script]
    environment = os.environ | finding_us()
    done = subprocess.run(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE)
    child, end = int(done.stdout), time.monotonic() + (30 if ends_with_us else 0.3)
    while lives(child) and time.monotonic() < end:
        time.sleep(0.02)
    assert lives(child) != ends_with_us
    if not ends_with_us:
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("platform", [sys.platform, "darwin"])
def test_it_starts_also_where_the_kernel_cannot_end_it_with_us(
    start: Start, up: Callable[[], None], monkeypatch: pytest.MonkeyPatch, platform: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert start(WAIT, ends_with_us=True).why_not_up(up, 30) is None


def test_a_free_port_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", free_port())):
        pass
