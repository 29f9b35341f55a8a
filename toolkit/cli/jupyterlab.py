"""A JupyterLab of the demo's own: on loopback, behind a token, and with nothing of the user's settings.

Whatever it and its kernels write lies in one folder, and it asks nobody on the internet for anything.
"""

import json
import os
import secrets
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote, urlsplit

from toolkit.cli.output import say_lines
from toolkit.errors import ToolkitError
from toolkit.testing.child_process import ChildProcess, free_port, last_lines

_START_SECONDS = 90.0
_STOP_SECONDS = 10.0
_LOG_LINES = 20
_COMMAND = [sys.executable, "-m", "jupyterlab"]
_NOT_INHERITED = ("JUPYTER", "IPYTHON", "MATRIX_")
_CONFIG: dict[str, dict[str, Any]] = {
    "ServerApp": {
        "ip": "127.0.0.1",
        "base_url": "/",
        "open_browser": False,
        "terminals_enabled": False,
        "allow_root": True,  # a container's root has nothing else to be
    },
    "LabApp": {
        "news_url": None,
        "check_for_updates_class": "jupyterlab.NeverCheckForUpdate",
        "extension_manager": "readonly",
    },
    "LanguageServerManager": {"autodetect": False},  # which would run npm
}
_SETTINGS = {
    "@jupyterlab/apputils-extension:notification": {
        "fetchNews": "false",
        "checkForUpdates": False,
    },
    "@jupyterlab/extensionmanager-extension:plugin": {"enabled": False},
}


class Lab:
    """A running JupyterLab."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._token = secrets.token_hex(24)
        self._process: ChildProcess | None = None
        self._url = ""

    @classmethod
    @contextmanager
    def start(
        cls,
        folder: Path,
        notebooks: Path,
        variables: Mapping[str, str],
        started: Callable[[int], object],
    ) -> Iterator[Self]:
        """Serve the notebooks until the end of the block; all else lies in `folder`.

        `started` is given the process id before anything can be served.
        """
        lab = cls(folder)
        lab._configure(notebooks)
        try:
            lab._launch(variables)
            started(lab.pid)
            lab._await_address()
            yield lab
        finally:
            if lab._process:
                lab._process.end(_STOP_SECONDS)  # it ends its kernels itself

    @property
    def pid(self) -> int:
        """The server's process id; its kernels are processes of their own."""
        assert self._process
        return self._process.pid

    def address(self, notebook: str) -> str:
        """What a person opens."""
        return f"{self._url}lab/tree/{quote(notebook)}?token={self._token}"

    def wait(self) -> None:
        """Until somebody shuts it down. Raises `ToolkitError` if it fails."""
        assert self._process
        if self._process.wait():
            self._fail()

    def _configure(self, notebooks: Path) -> None:
        for name in ("config/labconfig", "tmp"):
            (self._folder / name).mkdir(parents=True)
        server = {**_CONFIG["ServerApp"], "port": free_port(), "root_dir": str(notebooks)}
        config = {**_CONFIG, "ServerApp": server}
        for name, content in (
            ("jupyter_server_config.json", config),
            ("jupyter_lab_config.json", config),
            ("labconfig/default_setting_overrides.json", _SETTINGS),
        ):
            (self._folder / "config" / name).write_text(json.dumps(content, indent=1), "utf-8")

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        own = {k: v for k, v in os.environ.items() if not k.startswith(_NOT_INHERITED)}
        places = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "IPYTHONDIR": "ipython",
            "MPLCONFIGDIR": "matplotlib",
            "TMPDIR": "tmp",
        }
        return {
            **own,
            **{name: str(self._folder / place) for name, place in places.items()},
            "JUPYTER_PLATFORM_DIRS": "1",
            "JUPYTER_TOKEN": self._token,  # not an argument, which every user of the machine could read
            **variables,
        }

    def _launch(self, variables: Mapping[str, str]) -> None:
        self._process = ChildProcess(
            _COMMAND,
            self._log,
            cwd=self._folder,
            env=self._environment(variables),
            start_new_session=True,  # Ctrl+C in the terminal is for us, who then end it in order
        )

    def _await_address(self) -> None:
        assert self._process
        if self._process.why_not_up(self._find_address, _START_SECONDS):
            self._fail()

    def _find_address(self) -> None:
        """It writes down where, if our port was taken meanwhile another one, and listens there soon after."""
        found = self._folder / "runtime" / f"jpserver-{self.pid}.json"
        url: str = json.loads(found.read_bytes())["url"]
        address = urlsplit(url)
        assert address.hostname
        assert address.port
        socket.create_connection((address.hostname, address.port)).close()
        self._url = url

    def _fail(self) -> None:
        for line in last_lines(self._log, _LOG_LINES, self._token):
            say_lines(line)
        raise ToolkitError("JupyterLab failed; the lines above are the last that it said.")

    @property
    def _log(self) -> Path:
        return self._folder / "jupyterlab.log"
