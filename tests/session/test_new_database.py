"""`allow_new`: a session on a database that was lost."""

from pathlib import Path

import pytest

from tests.bench import A1, TOKEN, UA, Bench, small_rows
from tests.boards import look
from toolkit import Session, SQLiteStore, StoreError
from toolkit.testing import FakeHomeserver


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Rooms, and no database."""
    return Bench(tmp_path / "bot.db")


async def test_it_is_looked_at_as_empty_and_named_with_what_comes_back(
    bench: Bench, server: FakeHomeserver
) -> None:
    session = await look(bench, server, allow_new=True)
    assert len(session.rows) == 0 and not bench.path.exists()
    for said in (repr(session), session._repr_html_()):
        assert f"New database: {bench.path} is looked at as empty." in said
        assert "2 user rows, 3 room rows and 3 chat rows" in said
    [note] = session.drift.query("code == 'new_database'").to_dict("records")
    assert (note["key"], note["status"]) == (str(bench.path), "orphaned")
    await session.reload()
    assert not bench.path.exists()


async def test_apply_makes_it(bench: Bench, server: FakeHomeserver) -> None:
    session = await look(bench, server, allow_new=True)
    session.approve("!a1")
    report = await session.apply()
    assert report["restored_room_meta"] == ["!a1"]
    assert [note["key"] for note in report["notes"]] == [str(bench.path)]
    assert bench.row(A1)["chat_id"] == "C1" and bench.row(UA)
    assert "New database" not in repr(session)
    assert session.drift.query("code == 'new_database'").empty


async def test_without_it_the_refusal_names_it(bench: Bench, server: FakeHomeserver) -> None:
    with pytest.raises(StoreError, match="a session with `allow_new=True`"):
        await look(bench, server)
    assert not bench.path.exists()


async def test_a_store_for_reading_only_may_be_new_as_well(
    bench: Bench, server: FakeHomeserver
) -> None:
    store = SQLiteStore(bench.path, read_only=True)
    session = await Session.open(
        homeserver=server.url, access_token=TOKEN, store=store, allow_new=True
    )
    assert str(bench.path) in repr(session)
    assert not bench.path.exists()


async def test_a_database_that_was_there_when_it_was_shown_is_not_made_anew(
    bench: Bench, server: FakeHomeserver
) -> None:
    bench.fill({key: row for key, row in small_rows().items() if key != A1})
    session = await look(bench, server, allow_new=True)
    assert "New database" not in repr(session)
    session.approve("!a1")
    bench.path.unlink()
    with pytest.raises(StoreError, match="there is no such file"):
        await session.apply()
    assert not bench.path.exists()
