"""Tokens and addresses that don't work: one sentence each, and no false statement."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.clients import TOKEN, any_client, is_one_sentence
from tests.homeserver.illness import BOT, DEAD, JOINED, ROOMS, STATE, WHOAMI, asked, failure
from toolkit.convention import Convention
from toolkit.errors import HomeserverError, RemoteIncomplete, TokenRefused
from toolkit.homeserver.reading import load_remote
from toolkit.homeserver.transport import PlainClient
from toolkit.testing import FakeHomeserver, Fault, Garbage, Status

pytestmark = pytest.mark.usefixtures("transport", "quick", "impatient", "discreet")


# -- tokens ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("body", [DEAD, {**DEAD, "soft_logout": True}, "<html>Login</html>", b""])
@pytest.mark.parametrize("path", [JOINED, WHOAMI])
async def test_a_dead_token_is_one_sentence_and_one_request(
    server: FakeHomeserver, path: str, body: Any
) -> None:
    server.fault(Fault(path, Status(401, body)))
    said = await failure(server.url, TokenRefused)
    assert "access token" in said and "Log the bot in again" in said
    assert asked(server, path[:-1]) == 1


async def test_a_token_that_dies_in_the_middle_decides_nothing(server: FakeHomeserver) -> None:
    server.fault(Fault(STATE, Status(401, {**DEAD, "soft_logout": True}), after=3))
    said = await failure(server.url, RemoteIncomplete)
    assert "stopped accepting the access token" in said


async def test_a_deactivated_account_is_told_from_a_foreign_server(server: FakeHomeserver) -> None:
    server.fault(Fault(WHOAMI, Status(403, {"errcode": "M_USER_DEACTIVATED"}), times=1))
    assert "M_USER_DEACTIVATED" in await failure(server.url, TokenRefused)
    server.fault(Fault(WHOAMI, Status(403, "<html>Forbidden</html>")))
    assert "Matrix homeserver" in await failure(server.url, HomeserverError)


@pytest.mark.parametrize("token", ["", "two\nlines", "tail\n", "токен"])
async def test_what_is_no_token_is_said_before_anything_is_asked(
    server: FakeHomeserver, token: str
) -> None:
    async with any_client(server.url, token=token) as client:
        with pytest.raises(HomeserverError, match="token") as caught:
            await load_remote(client, Convention(), local_rows=True)
    assert is_one_sentence(str(caught.value)) and (not token or token not in str(caught.value))
    assert server.requests == []


async def test_the_account_is_asked_for_and_never_assumed(server: FakeHomeserver) -> None:
    async with any_client(server.url, "@somebody:else.org") as client:
        remote = await load_remote(client, Convention(), local_rows=True)
    assert remote.account == BOT


async def test_a_client_that_only_carries_the_token_is_enough(server: FakeHomeserver) -> None:
    async with PlainClient(f"{server.url}/", TOKEN) as client:
        remote = await load_remote(client, Convention(), local_rows=True)
    assert sorted(remote.rooms) == ROOMS


# -- addresses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    ["matrix.example.org", "localhost:8008", "not a url", "", "ftp://x", "http://", "https://[::1"],
)
async def test_what_is_no_address_is_said_so(url: str) -> None:
    assert "https://matrix.example.org" in await failure(url, HomeserverError)


async def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    said = await failure(f"http://bot:{TOKEN}@127.0.0.1:1", HomeserverError)
    assert "'http://***@127.0.0.1:1' is no address" in said


@pytest.mark.parametrize(
    "answer",
    [
        Status(404, {"errcode": "M_UNRECOGNIZED"}),
        Status(404, "<html>Not Found</html>"),
        Garbage(b"{}"),
        Garbage(b'{"joined_rooms": "!r", "user_id": 7}'),
        Garbage(b'{"joined_rooms": ["!r", null], "user_id": null}'),
        Status(200, "<html>Welcome</html>"),
    ],
    ids=["matrix 404", "html 404", "object", "text", "null", "html"],
)
@pytest.mark.parametrize("path", [JOINED, WHOAMI])
async def test_a_server_that_is_no_homeserver_is_said_so(
    server: FakeHomeserver, path: str, answer: Any
) -> None:
    server.fault(Fault(path, answer))
    said = await failure(server.url, HomeserverError)
    assert "address" in said and server.url in said


async def test_tls_to_a_server_without_it_is_one_sentence(server: FakeHomeserver) -> None:
    said = await failure(server.url.replace("http:", "https:"), HomeserverError)
    assert "TLS" in said


async def test_a_certificate_that_nobody_vouches_for_is_one_sentence(tmp_path: Path) -> None:
    async with self_signed(tmp_path) as url:
        said = await failure(url, HomeserverError)
    assert "certificate" in said and "isn't accepted (self-signed certificate)" in said


@asynccontextmanager
async def self_signed(folder: Path) -> AsyncIterator[str]:
    """A server on loopback that has made its own certificate."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    certificate = folder / "certificate.pem"
    certificate.write_bytes(
        builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def answer(request: web.BaseRequest) -> web.Response:
        return web.json_response({})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
