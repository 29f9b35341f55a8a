"""A homeserver with one user's rooms, how it ails, and how a look at it fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.clients import TOKEN, any_client, assert_discreet, is_one_sentence
from toolkit.convention import Convention
from toolkit.errors import ToolkitError
from toolkit.homeserver.reading import load_remote
from toolkit.model import RemoteState
from toolkit.testing import FakeHomeserver

ALICE, BOT, STRANGER = "@alice:example.org", "@bot:example.org", "@mallory:example.org"
SPACE = "!space"
CHATS = [f"!chat{n}" for n in range(1, 6)]
ROOMS = sorted([SPACE, *CHATS])

JOINED, WHOAMI, STATE = "/joined_rooms$", "/whoami$", "/state$"
LIMITED = {"errcode": "M_LIMIT_EXCEEDED", "error": "Too Many Requests"}
BROKEN = {"errcode": "M_UNKNOWN", "error": f"Internal error near {TOKEN}"}
DEAD = {"errcode": "M_UNKNOWN_TOKEN", "error": f"Unknown token {TOKEN}"}

Words = list[tuple[int, int, str]]


async def look(
    url: str, words: Words | None = None, *, allow_empty: bool = False, local: bool = True
) -> RemoteState:
    """The toolkit's own look through a fresh nio client; it leaves no task behind."""
    heard = [] if words is None else words
    before = asyncio.all_tasks()
    async with any_client(url) as client:
        try:
            return await load_remote(
                client,
                Convention(),
                local_rows=local,
                allow_empty=allow_empty,
                progress=lambda *word: heard.append(word),
            )
        finally:
            left = [t for t in asyncio.all_tasks() - before if "_read_room" in repr(t.get_coro())]
            assert left == []


async def failure(url: str, kind: type[ToolkitError], **options: Any) -> str:
    """The sentence with which a look fails."""
    with pytest.raises(ToolkitError) as caught:
        await look(url, **options)
    assert type(caught.value) is kind, repr(caught.value)
    assert is_one_sentence(str(caught.value)), str(caught.value)
    assert TOKEN not in repr(caught.value) and TOKEN not in repr(caught.getrepr(style="long"))
    assert_discreet(caught.value)
    return str(caught.value)


def asked(server: FakeHomeserver, ending: str) -> int:
    return sum(request.path.endswith(ending) for request in server.requests)
