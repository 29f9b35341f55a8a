"""What holds an access token can't be pickled, so that it stays in its process."""

import copy
import pickle
from collections.abc import Callable
from importlib import import_module

import pytest

from tests.bench import BOT, Bench
from toolkit import Convention, PostgresStore, Session
from toolkit.cli.options import Where
from toolkit.homeserver.reading import Source
from toolkit.homeserver.server import Homeserver
from toolkit.homeserver.transport import PlainClient
from toolkit.repairs import road_to
from toolkit.shadow.session import ShadowRoad
from toolkit.sources.sides import Sides
from toolkit.testing import FakeHomeserver

TOKEN = "syt_pickled_secret"


def _cloudpickle(value: object) -> object:
    """What Dask tries where pickle fails."""
    return import_module("cloudpickle").dumps(value)


def client() -> PlainClient:
    return PlainClient("https://hs.example", TOKEN)


def sides() -> Sides:
    return Sides(Convention(), homeserver="https://hs.example", token=TOKEN)


HOLDERS: dict[str, Callable[[], object]] = {
    "Sides": sides,
    "Repairs": lambda: road_to(sides()),
    "PlainClient": client,
    "Homeserver": lambda: Homeserver(client()),
    "Source": lambda: Source(client(), Convention()),
    "PostgresStore": lambda: PostgresStore(f"postgresql://bot:{TOKEN}@db.example/state"),
    "Where": lambda: Where(token=TOKEN),
    "ShadowRoad": lambda: ShadowRoad(None),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", HOLDERS)
@pytest.mark.parametrize("dump", [pickle.dumps, _cloudpickle, copy.deepcopy])
def test_what_may_hold_a_token_refuses_to_be_pickled(
    name: str, dump: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError, match=f"{name} may hold an access token") as raised:
        dump(HOLDERS[name]())
    assert TOKEN not in str(raised.value)


async def test_a_session_refuses_too_and_its_values_do_not(
    bench: Bench, server: FakeHomeserver
) -> None:
    session = await Session.open(
        homeserver=server.url, access_token=server.access_token, database=bench.path
    )
    with pytest.raises(TypeError, match="Session may hold an access token"):
        pickle.dumps(session)
    state = session.state
    values = (state.plan, state.remote, state.local, session.drift)
    packed = pickle.dumps(values)
    assert server.access_token.encode() not in packed
    plan, remote, local, drift = pickle.loads(packed)  # noqa: S301 - it is our own
    assert (plan, remote, local) == (state.plan, state.remote, state.local)
    assert drift.equals(session.drift)
    assert plan.account == BOT
