"""Ports that speak another scheme, or nothing: said within seconds, with the likely cause; both transports."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from tests.clients import TOKEN, any_client, is_one_sentence
from tests.homeserver.illness import failure
from toolkit.convention import Convention
from toolkit.demo.world import DemoWorld
from toolkit.errors import HomeserverError
from toolkit.homeserver import server as matrix
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.retries import Again
from toolkit.homeserver.unanswered import meaning_of
from toolkit.testing import FakeHomeserver, Fault, Reset

pytestmark = pytest.mark.usefixtures("transport", "brief", "discreet")

TIMEOUT = aiohttp.ClientTimeout(total=30.0)


@contextlib.asynccontextmanager
async def port(answer: bytes | None) -> AsyncIterator[tuple[str, list[bytes]]]:
    """A port that gives this answer to whatever it hears and hangs up, or stays silent."""
    heard: list[bytes] = []
    calls: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        calls.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError):
            heard.append(await reader.read(8))
            writer.write(answer or b"")
            if answer is None:
                await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", heard
        await asyncio.gather(*filter(None, calls))


async def test_https_on_a_port_that_answers_in_http_is_said_after_one_try() -> None:
    async with port(b"HTTP/1.1 400 Bad Request\r\n\r\n") as (place, heard):
        said = await failure(f"https://{place}", HomeserverError)
    assert f"https://{place}" in said and "the address must begin with http://" in said
    assert len(heard) == 1


async def test_https_on_a_silent_port_is_said_after_two_tries(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(matrix, "CONNECT_SECONDS", 0.3)
    started = time.monotonic()
    async with port(None) as (place, heard):
        said = await failure(f"https://{place}", HomeserverError)
    assert "could not be reached within 0.3 s, as happens where the port speaks http://" in said
    assert len(heard) == 2 and time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("scheme", "answer", "words"),
    [
        ("https", b"", "broke the connection before it was made"),
        ("http", b"", "broke the connection (ServerDisconnectedError)"),
        ("http", b"\x15\x03\x01\x00\x02\x02\x46", "sent what is no answer of HTTP"),
        ("http", b"HTTP/1.1 400 Bad Request\r\n\r\n", "answered 400"),
    ],
    ids=["https hung up", "http hung up", "alert", "400"],
)
async def test_a_port_that_answers_in_another_language_most_likely_speaks_the_other_scheme(
    scheme: str, answer: bytes, words: str
) -> None:
    async with port(answer) as (place, heard):
        said = await failure(f"{scheme}://{place}", HomeserverError)
    other = {"http": "https", "https": "http"}[scheme]
    assert f"{scheme}://{place} {words}, as happens where the port speaks {other}://" in said
    assert len(heard) == 1 if words == "answered 400" else len(heard) >= 4


async def test_tls_that_fails_otherwise_is_said_in_the_words_of_openssl() -> None:
    async with port(b"\x15\x03\x01\x00\x02\x02\x46") as (place, heard):
        said = await failure(f"https://{place}", HomeserverError)
    assert "failed (tlsv1 alert protocol version); check the address and what TLS" in said
    assert len(heard) == 1


async def test_a_server_that_has_answered_once_speaks_the_right_scheme(
    server: FakeHomeserver,
) -> None:
    server.fault(Fault("/joined_rooms$", Reset()))
    said = await failure(server.url, HomeserverError)
    assert "broke the connection" in said and "speaks" not in said


async def test_https_to_a_real_homeserver_without_it_is_said_in_time(
    demo_template: DemoWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(matrix, "CONNECT_SECONDS", 1.0)
    started = time.monotonic()
    async with any_client(demo_template.url.replace("http:", "https:")) as client:
        with pytest.raises(HomeserverError, match="http://") as caught:
            await load_remote(client, Convention(), local_rows=True)
    assert is_one_sentence(str(caught.value)) and time.monotonic() - started < 8


async def test_a_proxy_may_take_its_time(
    server: FakeHomeserver, monkeypatch: pytest.MonkeyPatch, transport: str
) -> None:
    asked: list[aiohttp.ClientTimeout] = []
    async with any_client(server.url, token=TOKEN) as client:
        if transport == "nio":
            client.proxy = "socks5://127.0.0.1:9050"
        send = type(client).send

        async def watch(self: Any, *args: Any, **named: Any) -> Any:
            asked.append(named["timeout"])
            return await send(self, *args, **named)

        monkeypatch.setattr(type(client), "send", watch)
        if transport == "nio":  # the proxy itself isn't there, and isn't needed for the question
            client.client_session = aiohttp.ClientSession()
        await load_remote(client, Convention(), local_rows=True)
    assert {timeout.sock_connect for timeout in asked} == {None if transport == "nio" else 5.0}


# -- words ----------------------------------------------------------------------------------------


def test_words_about_tls_do_without_what_openssl_did_not_say() -> None:
    said = meaning_of(ssl.SSLError(), "https://hs", TIMEOUT, first=True)
    assert str(said).startswith("The TLS connection to https://hs failed; check")


def test_an_address_that_takes_no_connection_says_nothing_of_the_scheme_of_plain_http() -> None:
    said = meaning_of(aiohttp.ConnectionTimeoutError(), "http://hs", TIMEOUT, first=True)
    assert isinstance(said, Again) and said.slow
    assert said.reason == "could not be reached within 30 s"
