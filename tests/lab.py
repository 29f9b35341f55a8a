"""A real JupyterLab on loopback, stopped with its kernels, and a way to ask a kernel.

The browser's side is in tests/browser.py. Starting takes some seconds, a kernel two: tests share both.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import secrets
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener
from uuid import uuid4

import psutil  # type: ignore[import-untyped]  # ipykernel brings it; it has no types
import websocket  # jupyter_server brings it

from toolkit.testing.child_process import ChildProcess, Server, free_port, last_lines

_START_SECONDS = 60.0
_STOP_SECONDS = 15.0
_ORPHAN_SECONDS = 2.0  # a kernel looks for its server once a second
_KERNEL_SECONDS = 60.0
_LOG_LINES = 30
# What the developer's own shell says must not reach a test's kernel.
_NOT_INHERITED = ("JUPYTER", "IPYTHON", "MATRIX_")
_SPARE = "a-spare-kernel"
# What a test has left in a kernel: its names, its widgets.
_FORGET = """import sys
if "ipywidgets" in sys.modules: sys.modules["ipywidgets"].Widget.close_all()
get_ipython().reset()"""
# Loopback only, whatever proxy the environment names.
_OPENER = build_opener(ProxyHandler({}))


class LabError(RuntimeError):
    """JupyterLab did not come up, or a kernel refused."""


class Lab(Server):
    """A running JupyterLab: all it writes lies in `directory`, its notebooks in `root`."""

    def __init__(self, directory: Path, root: Path, env: Mapping[str, str], port: int) -> None:
        self.directory = directory
        self.root = root
        self.env = dict(env)
        self.token = secrets.token_hex(16)
        self.url = f"http://127.0.0.1:{port}"
        self._port = port

    @staticmethod
    def available() -> bool:
        """Say whether JupyterLab is installed, without importing it."""
        return importlib.util.find_spec("jupyterlab") is not None

    @classmethod
    def start(
        cls, directory: Path, *, root: Path | None = None, env: Mapping[str, str] | None = None
    ) -> Self:
        """Start JupyterLab; its kernels see `env` besides this process's environment."""
        directory = directory.resolve()
        root = (root or directory / "notebooks").resolve()
        root.mkdir(parents=True, exist_ok=True)
        lab = cls(directory, root, env or {}, free_port())
        lab._configure()
        lab._launch()
        return lab

    @property
    def log(self) -> Path:
        """The file with everything that the server and its kernels said."""
        return self.directory / "jupyterlab.log"

    def write(self, name: str, cells: Sequence[str]) -> Path:
        """Write a notebook of code cells into `root`."""
        notebook = {
            "nbformat": 4,
            "nbformat_minor": 5,
            "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
            "cells": [_code_cell(number, source) for number, source in enumerate(cells)],
        }
        path = self.root / name
        _write_json(path, notebook)
        return path

    def call(self, method: str, path: str, content: object = None) -> Any:
        """Make one request to the server's REST API and return its JSON."""
        headers = {"Authorization": f"token {self.token}", "Content-Type": "application/json"}
        data = None if content is None else json.dumps(content).encode()
        request = Request(self.url + path, data, headers, method=method)  # noqa: S310  # ours
        with _OPENER.open(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def session(self, notebook: str) -> dict[str, Any] | None:
        """Return the notebook's session with its kernel's state, None while there is none."""
        return next((s for s in self.sessions() if s["path"] == notebook), None)

    def sessions(self) -> list[dict[str, Any]]:
        """Return all notebooks' sessions, none while a kernel starts."""
        try:
            found: list[dict[str, Any]] = self.call("GET", "/api/sessions")
        except OSError:  # 500 while a kernel starts
            return []
        return found

    def kernel(self, notebook: str) -> Kernel:
        """Return the kernel that runs a notebook."""
        session = self.session(notebook)
        if session is None:
            raise LabError(f"{notebook} has no kernel")
        return Kernel(self, session["kernel"]["id"])

    def end_session(self, notebook: str) -> None:
        """Shut the notebook's kernel down, if it has one."""
        if session := self.session(notebook):
            self.call("DELETE", f"/api/sessions/{session['id']}")

    def start_kernel(self, notebook: str) -> Kernel:
        """Start a kernel as for a notebook that nobody has open."""
        kernel = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": ""}}
        return Kernel(self, self.call("POST", "/api/sessions", kernel)["kernel"]["id"])

    def spare_kernel(self, notebook: str) -> None:
        """Keep the notebook's kernel for another one, without what it remembers."""
        session = self.session(notebook)
        if session and session["kernel"]["execution_state"] == "idle":
            self.kernel(notebook).execute(_FORGET)
            self._move(session, f"{_SPARE}-{session['id']}")
        else:
            self.end_session(notebook)

    def use_spare_kernel(self, notebook: str) -> None:
        """Let a notebook without a kernel find a spare one when it is opened."""
        spare = next((s for s in self.sessions() if s["path"].startswith(_SPARE)), None)
        if spare and not self.session(notebook):
            self._move(spare, notebook)

    def stop(self) -> None:
        """End the server and its kernels: politely, and by force only if they do not listen."""
        process, self._process = self._process, None
        if process is None:
            return
        # Kernels lead process groups of their own, so a signal to the server's would miss them.
        kernels = [] if process.poll() is not None else _descendants(process.pid)
        process.end(_STOP_SECONDS)
        end = time.monotonic() + _ORPHAN_SECONDS
        while (alive := running(kernels)) and time.monotonic() < end:
            time.sleep(0.02)
        for kernel in alive:
            kernel.kill()

    def _move(self, session: Mapping[str, Any], notebook: str) -> None:
        where = {"path": notebook, "name": notebook}
        self.call("PATCH", f"/api/sessions/{session['id']}", where)

    def _configure(self) -> None:
        """Write a config that talks to nobody and asks no questions."""
        config = {
            "ServerApp": {
                "ip": "127.0.0.1",
                "port": self._port,
                "port_retries": 0,
                "open_browser": False,
                "root_dir": str(self.root),
                "allow_root": True,
            },
            "LabApp": {
                "expose_app_in_browser": True,
                "news_url": None,
                "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
                "extension_manager": "readonly",
            },
            "JupyterNotebookApp": {"expose_app_in_browser": True},
            "LanguageServerManager": {"autodetect": False},  # it would call npm
        }
        settings = {
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
            "docmanager-extension/plugin": {"autosave": False},
            # By default what is scrolled out of sight has no text that could be read.
            "notebook-extension/tracker": {"windowingMode": "none"},
        }
        folder = self.directory / "config"
        _write_json(folder / "jupyter_lab_config.json", config)
        for name, values in settings.items():
            path = folder / "lab/user-settings/@jupyterlab" / f"{name}.jupyterlab-settings"
            _write_json(path, values)

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
        folders = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
        }
        own = {name: str(self.directory / folder) for name, folder in folders.items()}
        return kept | own | self.env | {"JUPYTER_TOKEN": self.token}

    def _launch(self) -> None:
        process = self._process = ChildProcess(
            [sys.executable, "-m", "jupyterlab"],
            self.log,
            cwd=self.root,
            env=self._environment(),
            start_new_session=True,  # Ctrl-C is pytest's, which then stops us
            ends_with_us=True,
        )
        try:
            if why := process.why_not_up(lambda: self.call("GET", "/api/status"), _START_SECONDS):
                lines = [f"JupyterLab {why}; its log ends with:", *last_lines(self.log, _LOG_LINES)]
                raise LabError("\n".join(lines))
        except BaseException:
            self.stop()
            raise


@dataclass(frozen=True, slots=True)
class Kernel:
    """A kernel of a Lab, asked beside the notebook: no cell, no count, no history.

    It answers when it is idle. A cell that awaits something makes it wait.
    """

    lab: Lab
    id: str

    def execute(self, code: str) -> None:
        """Run code in the notebook's namespace; `await` works as in a cell."""
        self._ask(code, {})

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression, which must be JSON."""
        dumped = f"__import__('json').dumps({expression})"
        answer = self._ask("", {"value": dumped})["user_expressions"]["value"]
        if answer["status"] != "ok":
            raise LabError(f"{expression}: {answer['ename']}: {answer['evalue']}")
        return json.loads(ast.literal_eval(answer["data"]["text/plain"]))

    def _ask(self, code: str, expressions: Mapping[str, str]) -> dict[str, Any]:
        session = uuid4().hex
        url = f"ws{self.lab.url.removeprefix('http')}/api/kernels/{quote(self.id)}/channels"
        connection = websocket.create_connection(
            f"{url}?session_id={session}",
            timeout=_KERNEL_SECONDS,
            header=[f"Authorization: token {self.lab.token}"],
            http_no_proxy=["127.0.0.1"],
        )
        with closing(connection):
            request = _execute_request(session, code, expressions)
            connection.send(json.dumps(request))
            while True:
                message = json.loads(connection.recv())
                if message["parent_header"].get("msg_id") != request["header"]["msg_id"]:
                    continue
                if message["header"]["msg_type"] == "execute_reply":
                    break
        content: dict[str, Any] = message["content"]
        if content["status"] != "ok":
            raise LabError("\n".join(content.get("traceback", [str(content)])))
        return content


def descendants(besides: Collection[Any] = ()) -> list[Any]:
    """Return the processes that this one started, but for some, and what those started."""
    children = [child for child in psutil.Process().children() if child not in besides]
    return children + [found for child in children for found in _descendants(child.pid)]


def running(processes: Sequence[Any]) -> list[Any]:
    """Return the processes that still run; a zombie does not, it waits to be counted."""
    return [process for process in processes if _runs(process)]


def _runs(process: Any) -> bool:
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _descendants(pid: int) -> list[Any]:
    return list(psutil.Process(pid).children(recursive=True))


def _code_cell(number: int, source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "id": f"cell-{number}",
        "metadata": {},
        "source": source,
        "execution_count": None,
        "outputs": [],
    }


def _execute_request(session: str, code: str, expressions: Mapping[str, str]) -> dict[str, Any]:
    header = {
        "msg_id": uuid4().hex,
        "session": session,
        "username": "test",
        "msg_type": "execute_request",
        "version": "5.3",
    }
    content = {
        "code": code,
        "silent": True,
        "store_history": False,
        "user_expressions": dict(expressions),
        "allow_stdin": False,
        "stop_on_error": False,
    }
    return {
        "channel": "shell",
        "header": header,
        "parent_header": {},
        "metadata": {},
        "content": content,
        "buffers": [],
    }


def _write_json(path: Path, value: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value), "utf-8")
