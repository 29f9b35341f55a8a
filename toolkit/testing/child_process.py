"""A server as a child process: its log in a file, bounds on its start and end, and why it isn't up.

Which server, what it reads and how one asks whether it is up, know those who start it.
"""

from __future__ import annotations

import ctypes
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

_PR_SET_PDEATHSIG = 1


class ChildProcess(subprocess.Popen[bytes]):
    """A process that adds what it says to a log."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
        start_new_session: bool = False,
        ends_with_us: bool = False,
    ) -> None:
        """Start it. `user`: as whom, where we are root; `ends_with_us`: also where we are killed."""
        with log.open("ab") as out:
            super().__init__(
                command,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                user=user,
                start_new_session=start_new_session,
                preexec_fn=_die_with_parent() if ends_with_us else None,
            )

    def why_not_up(self, ask: Callable[[], object], seconds: float) -> str | None:
        """Wait until asking raises neither OSError nor ValueError; None, or why that didn't come."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.poll() is not None:
                return f"ended with {self.returncode}"
            with suppress(OSError, ValueError):
                ask()
                return None
            time.sleep(0.05)
        return f"was not up after {seconds:.0f} s"

    def end(self, seconds: float) -> None:
        """End it: politely, and by force only if it does not listen. Once more does nothing."""
        self.terminate()
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            self.wait()


class Server(ABC):
    """What runs in one until it is stopped, at the latest at the end of a `with` block."""

    _process: ChildProcess | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        """The process id, None once stopped."""
        return None if self._process is None else self._process.pid

    @abstractmethod
    def stop(self) -> None:
        """End it; once more does nothing."""


def last_lines(log: Path, count: int, secret: str = "") -> list[str]:
    """How a log ends, without the secret."""
    lines = log.read_text("utf-8", "replace").splitlines()[-count:]
    return [line.replace(secret, "***") for line in lines] if secret else lines


def free_port() -> int:
    """A port of loopback on which nobody listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> Callable[[], object] | None:
    """Return what the child does before it becomes the server, None where it can't be done.

    A test run that is killed cannot stop its servers, so the kernel does: Linux sends the
    child this signal when the *thread* that started it ends. Start from one that stays.
    """
    if not sys.platform.startswith("linux"):
        return None
    # Looked up here: after a fork, only calls that take no locks are safe.
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
