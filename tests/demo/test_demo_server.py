"""`matrix-drift demo` serves its lessons, and takes everything away; `matrix-drift notebook` copies them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import ProxyHandler, Request, build_opener

import pytest

import toolkit.cli
import toolkit.cli.demo
import toolkit.cli.jupyterlab
import toolkit.cli.notebook
from toolkit.cli.jupyterlab import Lab
from toolkit.demo import lessons as practice
from toolkit.demo import watchdog
from toolkit.errors import ToolkitError
from toolkit.testing import Synapse

ROOT = Path(__file__).parent.parent.parent
NAME = "1-inspect-the-drift.ipynb"
DRIFT = "Chats:      1 in sync, 4 missing, 4 mismatched, 4 conflict"
NEEDS_LAB = pytest.mark.skipif(
    not toolkit.cli.notebook.jupyterlab_available(), reason="jupyterlab is not installed"
)
# The lessons are a test's own, and Synapse is there or not as the first argument says.
RUNNER = """
import sys
from pathlib import Path
import toolkit.cli, toolkit.cli.notebook
from toolkit.testing import Synapse
synapse, lesson, *arguments = sys.argv[1:]
if synapse == "recorded":
    Synapse.available = staticmethod(lambda: False)
toolkit.cli.notebook.lessons = lambda: [Path(lesson)]
sys.exit(toolkit.cli.run(arguments))
"""
_OPENER = build_opener(ProxyHandler({}))  # loopback only, whatever proxy the environment names


@pytest.fixture
def lesson(tmp_path: Path) -> Path:
    """A notebook of one cell."""
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": "1 + 1"}
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3"}}
    content = {"cells": [cell | {"outputs": [], "execution_count": None}], "metadata": kernel}
    path = tmp_path / "lessons" / NAME
    path.parent.mkdir()
    path.write_text(json.dumps(content | {"nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture
def lessons(lesson: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Path]:
    """The same and another one, as the package's own; the reader is in an empty folder."""
    found = [lesson, lesson.with_name("2-repair.ipynb")]
    found[1].write_text("{}")
    monkeypatch.setattr(toolkit.cli.notebook, "lessons", lambda: found)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return found


class Demo:
    """A running `matrix-drift demo`; all that it may write lies in `files` and `home`."""

    def __init__(self, directory: Path, lesson: Path, world: str) -> None:
        self.files, self.home = directory / "tmp", directory / "home"
        self.files.mkdir()
        self.home.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUNNER, world, str(lesson), "demo"],
            cwd=ROOT,
            env={**os.environ, "TMPDIR": str(self.files), "HOME": str(self.home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said = ""

    def wait_for(self, start: str) -> str:
        """The line that begins so."""
        assert self.process.stderr
        for line in self.process.stderr:
            self.said += line
            if line.startswith(start):
                return line
        raise AssertionError(self.said)

    def wait_until_served(self) -> None:
        address = urlsplit(self.wait_for("Open http").split()[1])
        assert address.path == f"/lab/tree/{NAME}"
        self.url = f"{address.scheme}://{address.netloc}"
        self.token = address.query.removeprefix("token=")
        self.wait_for("Nothing that you try")

    def call(self, method: str, path: str, body: object = None, token: str = "") -> bytes:
        headers = {"Authorization": f"token {token or self.token}"}
        data = None if body is None else json.dumps(body).encode()
        request = Request(self.url + path, data, headers, method=method)  # noqa: S310  # loopback
        with _OPENER.open(request, timeout=60) as answer:
            content: bytes = answer.read()
            return content

    def start_kernel(self) -> int:
        """Run the lesson's kernel and return its process id."""
        before = self.processes()
        session = {"path": NAME, "name": "", "type": "notebook", "kernel": {"name": "python3"}}
        self.call("POST", "/api/sessions", session)
        wait_until(lambda: any(b"ipykernel" in read(p, "cmdline") for p in self.processes()))
        (kernel,) = (p for p in self.processes() - before if b"ipykernel" in read(p, "cmdline"))
        return kernel

    def processes(self) -> set[int]:
        """Of the demo: they all have its folder in their environment or command line."""
        folder = os.fsencode(self.files)
        pids = {int(path.name) for path in Path("/proc").glob("[0-9]*")}
        return {p for p in pids if folder in read(p, "environ") + read(p, "cmdline")}

    def is_gone(self) -> bool:
        return not self.processes() and not os.listdir(self.files)


def read(pid: int, name: str) -> bytes:
    """What /proc says; nothing of a process that has ended."""
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""


def wait_until(condition: Callable[[], bool]) -> None:
    """For what must come, however long a busy machine takes; in vain, a failure."""
    end = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


@contextmanager
def started(directory: Path, lesson: Path, world: str = "recorded") -> Iterator[Demo]:
    demo = Demo(directory, lesson, world)
    with demo.process:  # which waits for its end
        try:
            yield demo
        finally:
            for pid in demo.processes():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


# What is served

needs_proc = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")


@NEEDS_LAB
@needs_proc
@pytest.mark.slow
def test_the_lessons_are_served_to_who_has_the_token_alone(tmp_path: Path, lesson: Path) -> None:
    with started(tmp_path, lesson) as demo:
        demo.wait_until_served()
        content = json.loads(demo.call("GET", f"/api/contents/{NAME}"))["content"]
        assert content["cells"][0]["source"] == "1 + 1"
        with pytest.raises(HTTPError, match="403") as refused:
            demo.call("GET", f"/api/contents/{NAME}", token="wrong")
        refused.value.close()

        kernel = demo.start_kernel()
        variables = dict(
            pair.split("=", 1) for pair in read(kernel, "environ").decode().split("\0") if pair
        )
        assert variables["MATRIX_HOMESERVER"].startswith("http://127.0.0.1:")
        assert Path(variables["BOT_DATABASE"]).is_relative_to(demo.files)
        commands = b"".join(read(pid, "cmdline") for pid in demo.processes())
        for token in (demo.token, variables["MATRIX_ACCESS_TOKEN"]):
            assert token.encode() not in commands

        # The page itself is told to ask nobody for news or updates.
        page = demo.call("GET", "/lab").decode()
        assert '"news": {"disabled": true}' in page
        settings = "/lab/api/settings/@jupyterlab/apputils-extension:notification"
        overridden = json.loads(demo.call("GET", settings))["schema"]["properties"]
        assert overridden["fetchNews"]["default"] == "false"
        assert overridden["checkForUpdates"]["default"] is False

        demo.call("POST", "/api/shutdown")  # File, Shut Down
        assert demo.process.wait() == 0
        assert demo.is_gone()
        assert list(demo.home.rglob("*")) == []  # nothing of the user's is touched


# How it ends


@NEEDS_LAB
@needs_proc
@pytest.mark.slow
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_to_be_ended_is_the_good_end_of_a_served_demo(
    tmp_path: Path, lesson: Path, ending: signal.Signals
) -> None:
    with started(tmp_path, lesson) as demo:
        demo.wait_until_served()
        demo.start_kernel()
        demo.process.send_signal(ending)
        demo.process.send_signal(ending)  # impatience changes nothing
        demo.wait_for("That was a world of its own, and it is gone.")
        assert demo.process.wait() == 0
        assert demo.process.stdout
        assert DRIFT in demo.process.stdout.read()
        assert demo.is_gone()


@NEEDS_LAB
@needs_proc
@pytest.mark.slow
def test_a_killed_demo_leaves_nothing(tmp_path: Path, lesson: Path) -> None:
    with started(tmp_path, lesson) as demo:
        demo.wait_until_served()
        demo.start_kernel()
        demo.process.kill()
        assert demo.process.wait() == -signal.SIGKILL
        wait_until(demo.is_gone)


@NEEDS_LAB
@needs_proc
@pytest.mark.slow
@pytest.mark.synapse
@pytest.mark.skipif(not Synapse.available(), reason="matrix-synapse is not installed")
def test_a_demo_that_is_killed_on_a_real_synapse_leaves_nothing(
    tmp_path: Path, lesson: Path
) -> None:
    with started(tmp_path, lesson, "real") as demo:
        demo.wait_until_served()
        assert any(b"synapse" in read(pid, "cmdline") for pid in demo.processes())
        demo.process.kill()
        wait_until(demo.is_gone)


@needs_proc
def test_who_ignores_the_watchdog_is_ended_by_force(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watchdog, "_PATIENCE", 0.1)
    with deaf(MARK="of-this-test") as process:
        watchdog.end_all(set(), "MARK=of-this-test")
        assert process.wait() == -signal.SIGKILL


def test_where_there_is_no_proc_the_watchdog_ends_what_it_was_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(watchdog, "_PATIENCE", 0.1)
    monkeypatch.setattr(watchdog, "_PROC", tmp_path)
    with deaf() as process:
        reaper = threading.Thread(target=process.wait)  # as init does, once we were killed
        reaper.start()
        watchdog.end_all({process.pid}, "MARK=another")
        reaper.join()
        assert process.returncode == -signal.SIGKILL


@contextmanager
def deaf(**variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process that ignores SIGTERM."""
    code = (
        "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "sys.stdout.write('deaf'); sys.stdout.flush(); time.sleep(600)"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, **variables}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.read(4)
        try:
            yield process
        finally:
            process.kill()


# What is missing, and what fails


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: its exit code, stdout and stderr."""
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "tmp").mkdir()

    def run(*arguments: str) -> tuple[int, str, str]:
        code = toolkit.cli.run(arguments)
        assert list((tmp_path / "tmp").iterdir()) == []
        return code, *capsys.readouterr()

    return run


def test_without_synapse_the_demo_is_a_recorded_one(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Synapse, "available", staticmethod(lambda: False))
    code, out, err = run("demo", "--check")
    assert code == 2
    assert DRIFT in out
    assert "Synapse isn't installed (pip install 'matrix-drift[demo]')" in err
    assert practice.DEMO not in os.environ


def test_without_jupyterlab_the_demo_shows_the_drift_and_says_how_to_get_it(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Synapse, "available", staticmethod(lambda: False))
    monkeypatch.setattr(toolkit.cli.demo, "jupyterlab_available", lambda: False)
    code, out, err = run("demo")
    assert code == 1
    assert DRIFT in out
    assert "There is no JupyterLab for the lessons: pip install 'matrix-drift[demo]'" in err


def test_a_jupyterlab_that_fails_is_quoted_without_its_token(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "import os, sys; sys.exit(f'boom: {os.environ[\"JUPYTER_TOKEN\"]}')"
    monkeypatch.setattr(toolkit.cli.jupyterlab, "_COMMAND", [sys.executable, "-c", code])
    pids: list[int] = []
    with (
        pytest.raises(ToolkitError, match="JupyterLab failed"),
        Lab.start(tmp_path / "lab", tmp_path, {}, pids.append),
    ):
        pass
    assert capsys.readouterr().err == "boom: ***\n"
    assert len(pids) == 1


LATE = """
import json, os, socket, time
with socket.socket() as server:
    server.bind(("127.0.0.1", 0))
    port = server.getsockname()[1]
    os.makedirs(os.environ["JUPYTER_RUNTIME_DIR"])
    path = f"{os.environ['JUPYTER_RUNTIME_DIR']}/jpserver-{os.getpid()}.json"
    with open(path, "w") as file:
        json.dump({"url": f"http://127.0.0.1:{port}/"}, file)
    time.sleep(0.5)
    server.listen()
    time.sleep(60)
"""


def test_a_jupyterlab_that_writes_its_address_before_it_listens_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(toolkit.cli.jupyterlab, "_COMMAND", [sys.executable, "-c", LATE])
    with Lab.start(tmp_path / "lab", tmp_path, {}, int) as lab:
        port = urlsplit(lab.address("a.ipynb")).port
        socket.create_connection(("127.0.0.1", port)).close()


# matrix-drift notebook


def test_the_lessons_are_copied_and_jupyterlab_is_named(run: Any, lessons: list[Path]) -> None:
    code, out, err = run("notebook", "--no-open")
    assert (code, out) == (0, "")
    assert err.splitlines() == [
        "The lessons are in matrix-drift-notebooks.",
        f"Open them with: jupyter lab matrix-drift-notebooks/{NAME}",
    ]
    copies = sorted(Path("matrix-drift-notebooks").iterdir())
    assert [copy.read_bytes() for copy in copies] == [path.read_bytes() for path in lessons]


def test_a_changed_notebook_stays_as_it_is(run: Any, lessons: list[Path], tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "deep"
    run("notebook", "--no-open", str(folder))
    (folder / NAME).write_text("mine")
    (folder / "2-repair.ipynb").unlink()
    _, _, err = run("notebook", "--no-open", str(folder))
    assert f"You have changed these, so they stay as they are: {NAME}." in err
    assert (folder / NAME).read_text() == "mine"
    assert (folder / "2-repair.ipynb").read_bytes() == lessons[1].read_bytes()


def test_a_folder_that_cannot_be_made_is_one_sentence(run: Any, lessons: list[Path]) -> None:
    Path("file").write_text("")
    code, _, err = run("notebook", "--no-open", "file/below")
    assert code == 1
    assert err == "Error: Can't put the notebooks into file/below: Not a directory.\n"


def test_jupyterlab_takes_over_with_paths_that_mean_the_same(
    run: Any, lessons: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Replaced(ToolkitError):
        pass

    def execve(program: str, command: list[str], environment: dict[str, str]) -> None:
        root = ["--allow-root"] if os.geteuid() == 0 else []  # JupyterLab refuses without
        assert command[1:] == ["-m", "jupyterlab", f"matrix-drift-notebooks/{NAME}", *root]
        assert environment["BOT_DATABASE"] == str(Path.cwd() / "bot.db")
        assert environment["MATRIX_ACCESS_TOKEN"] == "secret"
        raise Replaced(program)

    monkeypatch.setenv("BOT_DATABASE", "bot.db")
    monkeypatch.setenv("MATRIX_ACCESS_TOKEN", "secret")
    monkeypatch.setattr(toolkit.cli.notebook, "jupyterlab_available", lambda: True)
    monkeypatch.setattr(os, "execve", execve)
    code, _, err = run("notebook")
    assert code == 1
    assert err.splitlines()[-1] == f"Error: {sys.executable}"


def test_without_jupyterlab_the_lessons_are_there_all_the_same(
    run: Any, lessons: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolkit.cli.notebook, "jupyterlab_available", lambda: False)
    code, _, err = run("notebook")
    assert code == 1
    assert "pip install 'matrix-drift[notebook]'" in err
    assert (Path("matrix-drift-notebooks") / NAME).exists()


def test_settings_here_are_found_from_below_and_missed_elsewhere(
    run: Any, lessons: list[Path], tmp_path: Path
) -> None:
    Path("matrix-drift.toml").write_text("")
    _, _, err = run("notebook", "--no-open")
    assert "matrix-drift.toml" not in err
    _, _, err = run("notebook", "--no-open", str(tmp_path / "elsewhere"))
    assert "They won't find" in err


@pytest.mark.parametrize("place", ["toolkit/notebooks", "notebooks"])
def test_the_lessons_are_found_in_a_wheel_and_in_a_working_copy(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    assert wheel["targets"]["wheel"]["force-include"] == {"notebooks": "toolkit/notebooks"}
    for name in ("2-b.ipynb", "1-a.ipynb"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / name).write_text("{}")
    monkeypatch.setattr(toolkit, "__file__", str(tmp_path / "toolkit" / "__init__.py"))
    assert [path.name for path in toolkit.cli.notebook.lessons()] == ["1-a.ipynb", "2-b.ipynb"]


def test_an_installation_without_lessons_is_one_sentence(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(toolkit, "__file__", str(tmp_path / "toolkit" / "__init__.py"))
    code, _, err = run("notebook")
    assert (code, err) == (
        1,
        "Error: The notebooks are missing from this installation of matrix-drift.\n",
    )
