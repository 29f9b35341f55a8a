"""A session on a store that is no file: nothing lies beside it unless somebody says where."""

from pathlib import Path

import pytest

from tests.bench import A1, TOKEN, Bench, small_rows
from toolkit import Session, SQLiteStore, ToolkitError
from toolkit.cli.decide import look_to_decide
from toolkit.repairs import plan_going_back, road_to
from toolkit.sources.sides import find_sides
from toolkit.testing import FakeHomeserver


class Elsewhere(SQLiteStore):
    """The same rows, as if a server kept them."""

    @property
    def beside(self) -> None:  # type: ignore[override]
        return None

    @property
    def file(self) -> None:  # type: ignore[override]
        return None


async def open_session(
    store: Elsewhere, server: FakeHomeserver, decisions: Path | None = None
) -> Session:
    return await Session.open(
        homeserver=server.url, access_token=TOKEN, store=store, decisions=decisions
    )


async def test_decisions_are_kept_in_memory_or_where_it_is_said(
    bench: Bench, server: FakeHomeserver, tmp_path: Path
) -> None:
    before = bench.bytes()
    async with Elsewhere(bench.path) as store:
        session = await open_session(store, server)
        assert session.decisions_file is None
        session.approve("!a1")
        assert not list(tmp_path.glob("*.decisions.json"))
        named = await open_session(store, server, decisions=tmp_path / "mine.json")
        named.approve("!a1")
        assert (tmp_path / "mine.json").exists()
        done = await named.apply()
        assert done.rows and bench.row(A1) == small_rows()[A1]
        assert len(named.history()) == 1 and (await named.undo()).rows == done.rows
    assert bench.bytes() == before


async def test_a_command_that_decides_says_where_it_is_done(
    bench: Bench, server: FakeHomeserver
) -> None:
    async with Elsewhere(bench.path) as store:
        sides = find_sides(homeserver=server.url, access_token=TOKEN, store=store, environment={})
        with pytest.raises(ToolkitError, match="in a session with `decisions=`"):
            await look_to_decide(road_to(sides))


async def test_no_backup_takes_the_place_of_it(bench: Bench, server: FakeHomeserver) -> None:
    async with Elsewhere(bench.path) as store:
        sides = find_sides(homeserver=server.url, access_token=TOKEN, store=store, environment={})
        with pytest.raises(ToolkitError, match="Only a database that is one file"):
            await plan_going_back(sides, "r1")
