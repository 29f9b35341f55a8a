"""Real nio clients for tests, and what must hold after every one of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import nio

TOKEN = "syt_c2VjcmV0_never_shown"


@asynccontextmanager
async def nio_client(
    url: str, user_id: str = "@bot:example.org", token: str = TOKEN, device: str = "TEST"
) -> AsyncIterator[nio.AsyncClient]:
    """A client that is logged in and has not synced."""
    client = nio.AsyncClient(url, user_id)
    client.restore_login(user_id, device, token)
    try:
        yield client
    finally:
        await client.close()


def is_one_sentence(text: str) -> bool:
    """For a person: it ends, has no line breaks or markup, and shows no objects and no secret."""
    marks = ("\n", "<", "object at", "Traceback", "Bearer", TOKEN, "ClientResponse")
    return text.rstrip().endswith(".") and not any(mark in text for mark in marks)
