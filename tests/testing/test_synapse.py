"""The throw-away Synapse: it starts, serves real rooms, restarts, and leaves nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import nio
import pytest

from toolkit.testing import Account, ApiUser, RecordingProxy, Synapse, SynapseError, World

pytestmark = [
    pytest.mark.synapse,
    pytest.mark.skipif(not Synapse.available(), reason="matrix-synapse is not installed"),
]


@pytest.fixture(scope="module")
def hs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Synapse]:
    with Synapse.start(tmp_path_factory.mktemp("synapse")) as hs:
        yield hs


@pytest.fixture(scope="module")
def bot(hs: Synapse) -> ApiUser:
    return ApiUser(hs.url, hs.register("bot"))


@pytest.fixture(scope="module")
def alice(hs: Synapse) -> ApiUser:
    return ApiUser(hs.url, hs.register("alice"))


def client_of(url: str, account: Account) -> nio.AsyncClient:
    client = nio.AsyncClient(url, account.user_id)
    client.restore_login(account.user_id, account.device_id, account.access_token)
    return client


def alive(pid: int) -> bool:
    """Say whether a process runs; a zombie that nobody reaps doesn't."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("utf-8")
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def shape(events: list[dict[str, object]]) -> set[tuple[object, object]]:
    """Return type and key of the state that a `World` models."""
    modelled = ("m.room.create", "m.room.member", "m.room.name", "m.space.child", "m.space.parent")
    return {(e["type"], e["state_key"]) for e in events if e["type"] in modelled}


def test_an_account_hides_its_token(bot: ApiUser) -> None:
    assert bot.user_id == "@bot:example.org"
    assert bot.account.access_token not in repr(bot.account)


def test_users_seed_rooms_by_real_calls(bot: ApiUser, alice: ApiUser) -> None:
    room = bot.create_room(name="Чат 1", invite=[alice.user_id])
    alice.join(room)
    bot.redact(room, bot.put_state(room, "org.example.chat", {"chat_id": "C1"}, "key/а"))
    bot.send_text(room, "привет")
    alice.leave(room)
    bot.invite(room, alice.user_id)
    bot.kick(room, alice.user_id)
    state = {(e["type"], e["state_key"]): e for e in bot.state(room)}
    assert state["org.example.chat", "key/а"]["content"] == {}
    assert state["m.room.member", alice.user_id]["content"]["membership"] == "leave"
    assert state["m.room.name", ""]["content"] == {"name": "Чат 1"}


def test_many_rooms_meet_no_rate_limit(bot: ApiUser) -> None:
    assert len({bot.create_room() for _ in range(15)}) == 15


def test_a_refused_call_says_which_and_why(alice: ApiUser) -> None:
    with pytest.raises(SynapseError, match=r"POST /_matrix.*join.*was answered 40\d"):
        alice.join("!nowhere:example.org")


def test_the_world_upgrades_as_synapse_does(bot: ApiUser) -> None:
    via = {"via": ["example.org"]}
    space = bot.create_room(name="S", creation_content={"type": "m.space"})
    chat = bot.create_room(name="Чат 1")
    bot.put_state(space, "m.space.child", via, chat)
    bot.put_state(chat, "m.space.parent", via, space)
    new_space, new_chat = bot.upgrade(space), bot.upgrade(chat)

    world = World(bot.user_id)
    world.space(space, name="S")
    world.chat(chat, space, "Чат 1")
    world.upgrade(space, new_space)
    world.upgrade(chat, new_chat)

    for room in (space, chat, new_space, new_chat):
        assert shape(bot.state(room)) == shape(world.rooms[room])
    create = bot.state(new_space)
    (real,) = [e["content"] for e in create if e["type"] == "m.room.create"]
    assert real == world.rooms[new_space][0]["content"]


async def test_nio_reads_it_through_the_proxy(hs: Synapse, bot: ApiUser) -> None:
    room = bot.create_room(name="Ч" * 50)
    async with RecordingProxy(hs.url) as proxy:
        client = client_of(proxy.url, bot.account)
        joined = await client.joined_rooms()
        state = await client.room_get_state(room)
        await client.close()
    assert isinstance(joined, nio.JoinedRoomsResponse)
    assert isinstance(state, nio.RoomGetStateResponse)
    # Whole events can't be compared: each answer tells their age.
    assert [e["event_id"] for e in state.events] == [e["event_id"] for e in bot.state(room)]
    assert {"name": "Ч" * 50} in [e["content"] for e in state.events]
    assert [r.path.removeprefix("/_matrix/client/v3") for r in proxy.requests] == [
        "/joined_rooms",
        f"/rooms/{room}/state",
    ]


def test_rooms_and_tokens_survive_a_restart_and_no_process_is_left(tmp_path: Path) -> None:
    with Synapse.start(tmp_path, server_name="hs.test") as hs:
        bot = ApiUser(hs.url, hs.register("bot"))
        room = bot.create_room()
        first = hs.pid
        hs.restart()
        second = hs.pid
        assert bot.state(room)
    assert bot.user_id == "@bot:hs.test"
    assert first is not None
    assert second is not None
    assert not alive(first)
    assert not alive(second)
    hs.stop()  # once more does nothing


def test_a_failed_start_shows_the_log(tmp_path: Path) -> None:
    with pytest.raises(SynapseError, match=r"(?s)its log ends with:.*no-such-engine"):
        Synapse.start(tmp_path, config={"database": {"name": "no-such-engine"}})


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's prctl")
def test_synapse_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    script = (
        "import sys, time; from pathlib import Path; from toolkit.testing import Synapse\n"
        "print(Synapse.start(Path(sys.argv[1])).pid, flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert alive(pid)
        parent.send_signal(signal.SIGKILL)
    end = time.monotonic() + 10
    while alive(pid) and time.monotonic() < end:
        time.sleep(0.05)
    assert not alive(pid)
