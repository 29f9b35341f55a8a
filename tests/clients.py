"""Real clients for tests, nio's and plain ones, and what must hold after every one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import nio

from toolkit.homeserver.transport import PlainClient

TOKEN = "syt_c2VjcmV0_never_shown"


@asynccontextmanager
async def nio_client(
    url: str, user_id: str = "@bot:example.org", token: str = TOKEN, device: str = "TEST"
) -> AsyncIterator[nio.AsyncClient]:
    """A client that is logged in and has not synced."""
    client = nio.AsyncClient(url, user_id)
    client.user_id, client.device_id, client.access_token = user_id, device, token
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def plain_client(
    url: str, user_id: str = "", token: str = TOKEN, device: str = ""
) -> AsyncIterator[PlainClient]:
    """The toolkit's own client, which has no device and needs no user id."""
    async with PlainClient(url, token) as client:
        client.user_id = user_id
        yield client


TRANSPORTS: dict[str, Any] = {"nio": nio_client, "plain": plain_client}
chosen: list[str] = []
"""The transport that the test at hand is about: the fixture `transport` chooses each in turn."""


def any_client(url: str, *args: str, **named: str) -> AbstractAsyncContextManager[Any]:
    """A client of the transport that was chosen; nothing is assumed where none was."""
    found: AbstractAsyncContextManager[Any] = TRANSPORTS[chosen[-1]](url, *args, **named)
    return found


def is_one_sentence(text: str) -> bool:
    """For a person: it ends, has no line breaks or markup, and shows no objects and no secret."""
    marks = ("\n", "<", "object at", "Traceback", "Bearer", TOKEN, "ClientResponse")
    return text.rstrip().endswith(".") and not any(mark in text for mark in marks)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error with all that it came from, shown or not."""
    waiting, seen = [error], set[int]()
    while waiting:
        found = waiting.pop()
        if id(found) not in seen:
            seen.add(id(found))
            yield found
            waiting += [e for e in (found.__cause__, found.__context__) if e is not None]
            waiting += getattr(found, "exceptions", ())


def assert_discreet(error: BaseException, *tokens: str) -> None:
    """Nothing in the error or what it came from holds the token; frames do, and aren't looked at."""
    for each in chain(error):
        held = f"{each} {each!r} {each.args!r} {vars(each)!r} {getattr(each, '__notes__', '')}"
        assert not [token for token in tokens or (TOKEN,) if token in held], type(each)
