"""A client whose homeserver answers at once, out of a dict: what is left is the toolkit's own work."""

import json
from collections.abc import AsyncIterator
from typing import Any, Self
from urllib.parse import unquote

from toolkit.benchmark.worlds import BOT


class ServedClient:
    """Never synced; `answers` are the bodies that it was given."""

    homeserver, access_token, user_id = "https://example.org", "benchmark-token", BOT

    def __init__(self, rooms: dict[str, bytes]) -> None:
        self._rooms = rooms
        self._joined = json.dumps({"joined_rooms": list(rooms)}).encode()
        self.answers: list[bytes] = []

    async def send(self, method: str, path: str, **options: Any) -> "_Answer":
        """What a homeserver would say."""
        if path.endswith("/whoami"):
            body = json.dumps({"user_id": BOT}).encode()
        elif path.endswith("/joined_rooms"):
            body = self._joined
        else:
            body = self._rooms[unquote(path.split("/")[5])]
        self.answers.append(body)
        return _Answer(body)


class _Answer:
    """As much of an aiohttp response as is read."""

    status = 200

    def __init__(self, body: bytes) -> None:
        self.headers: dict[str, str] = {}
        self.content, self._body = self, body

    async def iter_chunked(self, size: int) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), size):
            yield self._body[start : start + size]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        """Nothing is open."""
