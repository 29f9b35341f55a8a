"""The guarded client: reads pass, everything else is refused, and nothing of it reaches the server."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import nio
import pytest

from tests.bench import BOT, small_rows, small_world
from tests.clients import TOKEN, is_one_sentence, nio_client
from toolkit import ReadOnlyClient, ToolkitError
from toolkit.convention import Convention
from toolkit.database.store import InMemoryStore
from toolkit.errors import RefusedCall
from toolkit.homeserver.reading import Source, load_remote
from toolkit.homeserver.readonly import READS, is_read, read_only
from toolkit.reconcile import reconcile_matrix_state
from toolkit.testing import FakeHomeserver, RecordingProxy, Synapse

API = "/_matrix/client/v3"


def nio_methods() -> list[str]:
    """Whatever a nio client can be told to do, in the version that is installed."""
    names = [name for name in dir(nio.AsyncClient) if not name.startswith("_")]
    return [name for name in names if callable(getattr(nio.AsyncClient, name))]


WRITES = sorted(set(nio_methods()) - READS - {"send"})


def arguments(method: Callable[..., Any]) -> dict[str, Any]:
    """Something for everything that the method needs."""
    needed = [
        parameter.name
        for parameter in inspect.signature(method).parameters.values()
        if parameter.default is parameter.empty and parameter.kind is not parameter.VAR_KEYWORD
    ]
    return {name: _something(name) for name in needed if name != "self"}


def _something(name: str) -> Any:
    return {
        "limit": 1,
        "rel_type": None,
        "auth_dict": {"type": "m.login.password", "password": TOKEN},
        "content": {"body": "hello"},
    }.get(name, f"!{name}:hs")


async def call(client: Any, name: str) -> Any:
    """Call it and use up what it gives."""
    result = getattr(client, name)(**arguments(getattr(nio.AsyncClient, name)))
    if inspect.isawaitable(result):
        return await result
    return [each async for each in result]


@pytest.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    async with FakeHomeserver(small_world().rooms, user_id=BOT, access_token=TOKEN) as found:
        yield found


@pytest.fixture
async def client(server: FakeHomeserver) -> AsyncIterator[nio.AsyncClient]:
    async with nio_client(server.url, BOT) as found:
        found.config = nio.AsyncClientConfig(max_limit_exceeded=0, max_timeouts=0)
        yield found


# What nio can do


def test_the_writing_methods_of_domain_md_are_among_those_that_are_refused() -> None:
    named = {"room_create", "room_invite", "join", "room_put_state", "room_send", "room_leave"}
    named |= {"room_forget", "sync", "sync_forever", "set_presence", "upload_filter", "close"}
    named |= {"keys_upload", "room_read_markers", "update_receipt_marker", "logout", "login"}
    assert named <= set(WRITES)
    assert set(nio_methods()) >= READS


@pytest.mark.parametrize("name", WRITES)
async def test_every_other_method_of_nio_is_refused_and_sends_nothing(
    name: str, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    refused: list[str] = []
    guarded = ReadOnlyClient(client, refused)
    with pytest.raises(RefusedCall) as caught:
        await call(guarded, name)
    assert server.requests == []
    assert is_one_sentence(str(caught.value))
    assert len(refused) == 1
    assert refused[0].startswith(f"{name}(")
    assert TOKEN not in refused[0]


@pytest.mark.parametrize("name", sorted(READS))
async def test_every_read_of_nio_sends_nothing_but_get(
    name: str, server: FakeHomeserver, client: nio.AsyncClient
) -> None:
    # nio stumbles over some answers that say no; it has asked by then.
    with contextlib.suppress(AttributeError, TypeError, KeyError):
        await call(ReadOnlyClient(client), name)
    assert server.requests
    assert {request.method for request in server.requests} == {"GET"}
    asked = [request.path + str(dict(request.query)) for request in server.requests]
    assert not any("sync" in path or "since" in path for path in asked)


async def test_a_method_that_a_newer_nio_or_a_bots_own_client_adds_is_refused(
    server: FakeHomeserver,
) -> None:
    class Bot(nio.AsyncClient):  # type: ignore[misc]  # nio has no types
        async def ensure_space(self, user: str) -> Any:
            return await self.room_create(name=user, space=True)

    bot = Bot(server.url, BOT)
    bot.restore_login(BOT, "TEST", TOKEN)
    with pytest.raises(RefusedCall, match="ensure_space"):
        await ReadOnlyClient(bot).ensure_space("@alice:hs")
    await bot.close()
    assert server.requests == []


async def test_nios_own_sending_is_refused(client: nio.AsyncClient, server: FakeHomeserver) -> None:
    guarded = ReadOnlyClient(client)
    with pytest.raises(RefusedCall):
        await guarded._send(nio.JoinResponse, "POST", f"{API}/join/!a1")
    assert server.requests == []
    await guarded.joined_rooms()
    assert client.client_session is not None
    for way in ("client_session", "config"):
        assert not hasattr(guarded, way)


# Raw requests


@pytest.mark.parametrize(
    "path",
    [
        "/_matrix/client/versions",
        f"{API}/joined_rooms",
        f"{API}/account/whoami",
        f"{API}/rooms/%21a1/state",
        f"{API}/rooms/%21a1/state/m.room.create/?format=event",
        f"{API}/rooms/%21a1/members?membership=join",
        "/_matrix/client/unstable/org.matrix.msc2946/rooms/!a1/hierarchy",
    ],
)
def test_these_paths_only_read(path: str) -> None:
    assert is_read(path)


@pytest.mark.parametrize(
    "path",
    [
        f"{API}/sync",
        f"{API}/sync?since=s1&set_presence=offline",
        f"{API}/rooms/!a1/../../sync?since=s1",
        f"{API}/rooms/%2e%2E/state",
        f"{API}/events",
        f"{API}/joined_rooms/",
        f"{API}/joined_rooms\n",
        f"{API}/login/sso/redirect",
        "@elsewhere.example/_matrix/client/v3/joined_rooms",
        ".elsewhere.example/_matrix/client/v3/joined_rooms",
        "/_matrix/media/v3/preview_url?url=http://inside",
        "/_synapse/admin/v1/users",
        f"{API}/rooms/!a1#/state",
        f"{API}/rooms/a\\b/state",
        "",
    ],
)
async def test_no_other_path_is_fetched(
    path: str, client: nio.AsyncClient, server: FakeHomeserver
) -> None:
    with pytest.raises(RefusedCall) as caught:
        await ReadOnlyClient(client).send("GET", path)
    assert "since" not in str(caught.value)
    assert server.requests == []


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "post"])
async def test_send_lets_only_get_through(
    method: str, client: nio.AsyncClient, server: FakeHomeserver
) -> None:
    guarded = ReadOnlyClient(client)
    with pytest.raises(RefusedCall, match=method):
        await guarded.send(method, f"{API}/joined_rooms")
    with pytest.raises(RefusedCall):
        await guarded.send("GET", f"{API}/joined_rooms", data="{}")
    assert server.requests == []


async def test_send_uses_the_true_token_whatever_the_caller_has(
    client: nio.AsyncClient, server: FakeHomeserver
) -> None:
    guarded = ReadOnlyClient(client)
    headers = {"Authorization": f"Bearer {guarded.access_token}", "X-Other": "1"}
    async with await guarded.send("get", f"{API}/joined_rooms", headers=headers) as answer:
        assert (await answer.json())["joined_rooms"] == ["!alice", "!a1", "!a2", "!bob", "!b1"]


# What it shows


async def test_the_token_is_never_handed_out(client: nio.AsyncClient) -> None:
    client.homeserver = f"https://bot:{TOKEN}@hs"
    guarded = ReadOnlyClient(client)
    shown = [repr(guarded), str(guarded), guarded.access_token, guarded.homeserver]
    assert not any(TOKEN in text for text in shown)
    assert set(guarded.access_token) == {"*"}


@pytest.mark.parametrize("token", [None, "", "broken\n"])
def test_a_missing_or_malformed_token_still_shows_as_one(token: Any) -> None:
    shown = ReadOnlyClient(SimpleNamespace(access_token=token)).access_token
    assert shown == ("******\n" if token == "broken\n" else token)


async def test_what_reads_need_of_a_client_is_shown(client: nio.AsyncClient) -> None:
    client.rooms["!a1"] = room = nio.MatrixRoom("!a1", BOT)
    client.encrypted_rooms.add("!a1")
    guarded = ReadOnlyClient(client)
    assert (guarded.user_id, guarded.device_id, guarded.logged_in) == (BOT, "TEST", True)
    assert guarded.homeserver == client.homeserver
    assert guarded.next_batch is None or isinstance(guarded.next_batch, str)
    assert guarded.rooms["!a1"] is room
    assert guarded.encrypted_rooms == {"!a1"}


async def test_its_memory_and_attributes_cant_be_written_to(client: nio.AsyncClient) -> None:
    guarded = ReadOnlyClient(client)
    with pytest.raises(TypeError):
        guarded.rooms["!a1"] = nio.MatrixRoom("!a1", BOT)
    with pytest.raises(RefusedCall):
        guarded.access_token = "other"
    with pytest.raises(RefusedCall):
        del guarded.user_id
    assert client.access_token == TOKEN


def test_a_missing_name_is_missing_as_on_the_client_itself() -> None:
    guarded = ReadOnlyClient(SimpleNamespace(user_id=BOT, rooms={}))
    assert not hasattr(guarded, "joined_rooms")
    assert not hasattr(guarded, "room_get_state")
    assert getattr(guarded, "anything", None) is None


def test_a_stand_ins_writes_are_refused_too() -> None:
    mock = MagicMock()
    refused: list[str] = []
    guarded = ReadOnlyClient(mock, refused)
    with pytest.raises(RefusedCall, match="room_create"):
        guarded.room_create(name="Чат 4")
    assert refused == ["room_create(name='Чат 4')"]
    mock.room_create.assert_not_called()


async def test_arguments_are_told_short_and_without_secrets(client: nio.AsyncClient) -> None:
    refused: list[str] = []
    guarded = ReadOnlyClient(client, refused)
    asked: list[Any] = [
        guarded.login("hunter2"),
        guarded.room_send("!a1", "m.room.message", {"body": "x" * 500, "access_token": "t"}),
        guarded.room_invite("!a1", f"@{TOKEN}:hs"),
        guarded.to_device(object()),
        guarded.room_create(invite=[f"@{n}:hs" for n in range(9)], wrong=1),
    ]
    for each in asked:
        with pytest.raises(RefusedCall):
            await each
    assert refused[0] == "login(password=***)"
    assert "'access_token': ***" in refused[1]
    assert refused[2:4] == [
        "room_invite(room_id='!a1', user_id='@***:hs')",
        "to_device(message=(object))",
    ]
    assert refused[4] == "room_create(invite=['@0:hs', '@1:hs', '@2:hs', '@3:hs', …], wrong=1)"
    assert max(map(len, refused)) <= 300


# The toolkit's own reading


async def test_the_toolkit_reads_through_a_guarded_client_as_through_the_real_one(
    client: nio.AsyncClient,
) -> None:
    plain = await load_remote(client, Convention(), local_rows=False)
    guarded = await load_remote(ReadOnlyClient(client), Convention(), local_rows=False)
    assert guarded == plain
    assert guarded.account == BOT


async def test_the_toolkits_own_reading_goes_through_one() -> None:
    client = SimpleNamespace(user_id=BOT, rooms={})
    assert isinstance(Source(client, Convention())._client, ReadOnlyClient)
    guarded = read_only(client)
    assert read_only(guarded) is guarded


async def test_reconciling_with_a_client_that_cant_write_is_the_same(
    client: nio.AsyncClient,
) -> None:
    rows = small_rows()
    rows.pop("matrix_room:!a1")
    one, two = InMemoryStore(rows), InMemoryStore(rows)
    plain = await reconcile_matrix_state(client, one, None)
    assert await reconcile_matrix_state(ReadOnlyClient(client), two, None) == plain
    assert plain["restored_room_meta"] == ["!a1"]
    assert issubclass(RefusedCall, ToolkitError)


# On a real homeserver


async def test_a_real_synapse_gets_nothing_but_reads(synapse: Synapse) -> None:
    bot = synapse.register("bot-readonly")
    async with (
        RecordingProxy(synapse.url) as proxy,
        nio_client(proxy.url, bot.user_id, bot.access_token) as client,
    ):
        guarded = ReadOnlyClient(client)
        assert (await guarded.joined_rooms()).rooms == []
        assert (await guarded.whoami()).user_id == bot.user_id
        for name in WRITES:
            with pytest.raises(RefusedCall):
                await call(guarded, name)
        assert (await guarded.joined_rooms()).rooms == []
    assert [(each.method, each.path) for each in proxy.requests] == [
        ("GET", f"{API}/joined_rooms"),
        ("GET", f"{API}/account/whoami"),
        ("GET", f"{API}/joined_rooms"),
    ]
