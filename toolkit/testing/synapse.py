"""A real, throw-away Synapse on loopback, and users who act on it through the API.

Slow to start (about three seconds), so share one per test session. Needs the
package matrix-synapse in this Python's environment; nothing of it is imported here.
"""

from __future__ import annotations

import hashlib
import hmac
import importlib.util
import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from toolkit.testing.child_process import ChildProcess, Server, free_port, last_lines

_START_SECONDS = 60.0
_STOP_SECONDS = 10.0
_REQUEST_SECONDS = 60.0
_ATTEMPTS = 8  # of one request, while the server asks for patience
_LOG_LINES = 20
_SECRET = "throw-away"
_UNLIMITED = {"per_second": 1_000_000, "burst_count": 1_000_000}
_LIMITS = (
    "rc_3pid_validation",
    "rc_admin_redaction",
    "rc_delayed_event_mgmt",
    "rc_joins_per_room",
    "rc_key_requests",
    "rc_media_create",
    "rc_message",
    "rc_profile",
    "rc_registration",
    "rc_registration_token_validity",
    "rc_reports",
    "rc_room_creation",
    "rc_third_party_invite",
    "rc_user_directory",
)
_SPLIT_LIMITS = {
    "rc_invites": ("per_issuer", "per_room", "per_user"),
    "rc_joins": ("local", "remote"),
    "rc_login": ("account", "address", "failed_attempts"),
    "rc_presence": ("per_user",),
}
# Loopback only, whatever proxy the environment names.
_OPENER = build_opener(ProxyHandler({}))


class SynapseError(RuntimeError):
    """Synapse did not come up, or refused a request."""


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user, with the device that registration made."""

    user_id: str
    device_id: str
    access_token: str = field(repr=False)


class Synapse(Server):
    """A running Synapse whose files, log included, lie in one directory.

    >>> def example(directory):
    ...     with Synapse.start(directory) as hs:
    ...         bot = ApiUser(hs.url, hs.register("bot"))
    ...         return bot.create_room(name="Чат 1")
    """

    def __init__(self, directory: Path, server_name: str, port: int) -> None:
        self.directory = directory
        self.server_name = server_name
        self.url = f"http://127.0.0.1:{port}"

    @staticmethod
    def available() -> bool:
        """Say whether matrix-synapse is installed, without importing it."""
        return importlib.util.find_spec("synapse") is not None

    @classmethod
    def start(
        cls,
        directory: Path,
        *,
        server_name: str = "example.org",
        config: Mapping[str, object] | None = None,
    ) -> Self:
        """Start a Synapse in `directory`, new or kept from an earlier one; `config` adds keys.

        Rooms, users and tokens live on in a kept directory under the same server name.
        """
        if not cls.available():
            raise SynapseError("matrix-synapse is not installed: pip install matrix-synapse")
        directory = directory.resolve()
        directory.mkdir(parents=True, exist_ok=True)
        port = free_port()
        settings = _config(directory, server_name, port) | dict(config or {})
        # JSON is YAML, so no YAML library is needed.
        (directory / "homeserver.json").write_text(json.dumps(settings, indent=2), "utf-8")
        server = cls(directory, server_name, port)
        server._launch()
        return server

    @property
    def log(self) -> Path:
        """The file with everything that Synapse said."""
        return self.directory / "homeserver.log"

    def stop(self) -> None:
        """End the process: politely, and by force only if it does not listen."""
        process, self._process = self._process, None
        if process is not None:
            process.end(_STOP_SECONDS)

    def restart(self) -> None:
        """Stop and start again, on the same port and with the same rooms."""
        self.stop()
        self._launch()

    def register(self, localpart: str, password: str = "throw-away") -> Account:
        """Register a user with the shared secret."""
        path = "/_synapse/admin/v1/register"
        nonce = _call(self.url, "GET", path)["nonce"]
        proof = "\0".join((nonce, localpart, password, "notadmin")).encode()
        body = {
            "nonce": nonce,
            "username": localpart,
            "password": password,
            "admin": False,
            "mac": hmac.new(_SECRET.encode(), proof, hashlib.sha1).hexdigest(),
        }
        answer = _call(self.url, "POST", path, body)
        return Account(answer["user_id"], answer["device_id"], answer["access_token"])

    def _launch(self) -> None:
        command = [sys.executable, "-m", "synapse.app.homeserver"]
        command += ["--config-path", str(self.directory / "homeserver.json")]
        process = ChildProcess(command, self.log, cwd=self.directory, ends_with_us=True)
        self._process = process
        try:
            if why := process.why_not_up(self._ask_health, _START_SECONDS):
                lines = [f"Synapse {why}; its log ends with:", *last_lines(self.log, _LOG_LINES)]
                raise SynapseError("\n".join(lines))
        except BaseException:
            self.stop()
            raise

    def _ask_health(self) -> None:
        with _OPENER.open(f"{self.url}/health", timeout=5):
            pass


class ApiUser:
    """A user who acts on a homeserver by real API calls, one after the other."""

    def __init__(self, url: str, account: Account) -> None:
        self.url = url
        self.account = account

    @property
    def user_id(self) -> str:
        """The user's Matrix id."""
        return self.account.user_id

    def create_room(self, **body: object) -> str:
        """Create a room; `body` is that of `/createRoom`."""
        return str(self._post("/createRoom", body)["room_id"])

    def put_state(self, room: str, type: str, content: Mapping[str, object], key: str = "") -> str:
        """Set one piece of state and return the event id."""
        path = f"{_room(room)}/state/{_q(type)}/{_q(key)}"
        return str(self._call("PUT", path, content)["event_id"])

    def state(self, room: str) -> list[dict[str, Any]]:
        """Return the room's whole state, raw."""
        events: list[dict[str, Any]] = self._call("GET", f"{_room(room)}/state")
        return events

    def invite(self, room: str, user: str) -> None:
        """Invite a user."""
        self._post(f"{_room(room)}/invite", {"user_id": user})

    def join(self, room: str) -> None:
        """Join a room."""
        self._post(f"/join/{_q(room)}", {})

    def knock(self, room: str) -> None:
        """Ask to be let into a room whose join rule is `knock`."""
        self._post(f"/knock/{_q(room)}", {})

    def leave(self, room: str) -> None:
        """Leave a room, or decline an invite."""
        self._post(f"{_room(room)}/leave", {})

    def kick(self, room: str, user: str) -> None:
        """Kick a user."""
        self._post(f"{_room(room)}/kick", {"user_id": user})

    def upgrade(self, room: str, version: str = "12") -> str:
        """Upgrade a room and return the id of its replacement."""
        return str(
            self._post(f"{_room(room)}/upgrade", {"new_version": version})["replacement_room"]
        )

    def send_text(self, room: str, text: str) -> str:
        """Send a message and return the event id."""
        body = {"msgtype": "m.text", "body": text}
        return self._send(f"{_room(room)}/send/m.room.message", body)

    def redact(self, room: str, event_id: str) -> str:
        """Redact an event and return the redaction's id."""
        return self._send(f"{_room(room)}/redact/{_q(event_id)}", {})

    def _send(self, path: str, body: Mapping[str, object]) -> str:
        """Send an event that needs a transaction id, one never used before."""
        return str(self._call("PUT", f"{path}/{time.time_ns()}", body)["event_id"])

    def _post(self, path: str, body: Mapping[str, object]) -> Any:
        return self._call("POST", path, body)

    def _call(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        path = f"/_matrix/client/v3{path}"
        return _call(self.url, method, path, body, self.account.access_token)


def _config(directory: Path, server_name: str, port: int) -> dict[str, object]:
    """Return a config that talks to nobody, limits nothing, and listens on loopback."""
    listener = {
        "port": port,
        "type": "http",
        "bind_addresses": ["127.0.0.1"],
        "resources": [{"names": ["client"], "compress": False}],
    }
    return {
        "server_name": server_name,
        "report_stats": False,
        "database": {"name": "sqlite3", "args": {"database": str(directory / "hs.db")}},
        "listeners": [listener],
        "signing_key_path": str(directory / "signing.key"),
        "media_store_path": str(directory / "media"),
        "pid_file": str(directory / "homeserver.pid"),
        "registration_shared_secret": _SECRET,
        "bcrypt_rounds": 4,
        "trusted_key_servers": [],
        "federation_domain_whitelist": [],
        "push": {"enabled": False},
        "presence": {"enabled": False},
        "url_preview_enabled": False,
        **_no_limits(),
    }


def _no_limits() -> dict[str, object]:
    """Lift every rate limit: with the defaults a seed stops at ten rooms."""
    return {
        **dict.fromkeys(_LIMITS, _UNLIMITED),
        **{name: dict.fromkeys(parts, _UNLIMITED) for name, parts in _SPLIT_LIMITS.items()},
    }


def _call(
    url: str,
    method: str,
    path: str,
    body: Mapping[str, object] | None = None,
    token: str | None = None,
) -> Any:
    """Make one request and return its JSON; a server that asks for patience gets some."""
    headers = {"Content-Type": "application/json"}
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    data = None if body is None else json.dumps(body).encode()
    request = Request(url + path, data=data, headers=headers, method=method)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            with _OPENER.open(request, timeout=_REQUEST_SECONDS) as answer:
                return json.load(answer)
        except HTTPError as error:
            with error:
                text = error.read().decode("utf-8", "replace")
            if error.code != 429 or attempt == _ATTEMPTS:
                message = f"{method} {path} was answered {error.code}: {text}"
                raise SynapseError(message) from error
            time.sleep(0.2 * attempt)
    raise AssertionError("the last attempt returns or raises")


def _q(part: str) -> str:
    return quote(part, safe="")


def _room(room: str) -> str:
    return f"/rooms/{_q(room)}"
