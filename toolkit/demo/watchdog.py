"""A process that outlives the demo, and takes away what is left of it.

`python watchdog.py FOLDER NAME=VALUE` reads process ids from stdin, one a line, until whoever writes them
is gone, however that came: then it ends these processes and removes the folder. On Linux it goes by the
variable instead, which all children inherit. Only the standard library is used, so that it starts at once.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_PATIENCE = 15.0  # JupyterLab's own, when it waits for its kernels, is 5 s
_PROC = Path("/proc")
_ALL_ENDED = 0  # is no process id


class Watchdog:
    """The end of the pipe that the demo holds; the kernel closes it, should the demo be killed."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process

    @classmethod
    @contextmanager
    def start(cls, folder: Path, mark: str) -> Iterator["Watchdog"]:
        """Make the folder, and take it away at the end of the block or of this process."""
        # Named before it is there: between the two steps nothing can be left behind.
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__, str(folder), mark],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/" if os.name == "posix" else None,
            start_new_session=True,  # Ctrl+C in the terminal is not for it
        )
        watchdog = cls(process)
        folder.mkdir(0o700)
        try:
            yield watchdog
        finally:
            watchdog.watch(_ALL_ENDED)  # by those who started them
            watchdog._wait()
            shutil.rmtree(folder, ignore_errors=True)  # somebody may have ended the watchdog

    def watch(self, pid: int) -> None:
        """End this process too."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.write(b"%d\n" % pid)
            self._process.stdin.flush()

    def _wait(self) -> None:
        """Let it do its work; what couldn't be written to it comes up again here."""
        assert self._process.stdin
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.wait()


def end_all(pids: set[int], mark: str) -> None:
    """End the processes, and all that are marked, until none is left: politely, then by force."""
    end = time.monotonic() + _PATIENCE
    told: set[int] = set()
    while left := _living(pids, mark):
        late = time.monotonic() > end
        for pid in left if late else left - told:
            with suppress(OSError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        told |= left
        time.sleep(0.05)


def _living(pids: set[int], mark: str) -> set[int]:
    """By the mark, which is sure; where there is no /proc by id, which may have been given anew."""
    if not (_PROC / "self" / "environ").exists():
        return {pid for pid in pids if _answers(pid)}
    wanted = mark.encode()
    found = {int(path.name) for path in _PROC.glob("[0-9]*") if wanted in _environment(path)}
    return found - {os.getpid()}


def _environment(process: Path) -> list[bytes]:
    """Variables that it was started with; none of a process that has ended or is another user's."""
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _main(folder: str, mark: str) -> None:
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    pids: set[int] = set()
    for line in sys.stdin:
        pids = pids | {int(line)} if int(line) != _ALL_ENDED else set()
    end_all(pids, mark)
    for _ in range(20):  # what has just ended may have left an open file behind, on some systems
        shutil.rmtree(folder, ignore_errors=True)
        if not os.path.exists(folder):
            return
        time.sleep(0.1)


if __name__ == "__main__":
    _main(*sys.argv[1:])
