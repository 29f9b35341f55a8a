"""Decisions about a bot of shape links: taken, kept in the file, found again, and told of afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.bench import Bench
from tests.cli.command import TOKEN, Md
from tests.cli.test_cli_links import own, rooms, use
from tests.tables import TICKETS, Desk, tickets
from toolkit import Session
from toolkit.database.journal import Entry, Journal, Run
from toolkit.model import RowWrite, UnitKind
from toolkit.testing import FakeHomeserver

TICKET = "[[evidence]]\nname = 'Ticket #{id} \\(.+\\)'\n"
Open = Callable[[], Session]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Rooms of tickets 1 and 3, and twins that both claim 2; none is the row's."""
    found = Bench(tmp_path / "unused.db")
    found.world.rooms.clear()
    found.world.room("!one", name="Ticket #1 (Anna)")
    found.world.room("!new", name="Ticket #3 (Ben)")
    for twin in ("!a", "!b"):
        found.world.room(twin, name="Ticket #2 (Anna)")
    return found


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> Desk:
    found = Desk(tmp_path / "own.db", TICKETS, tickets())
    link = {"table": "tickets", "id": "id", "room": "user_room_id"}
    use(found, monkeypatch, TICKET, **link)
    return found


@pytest.fixture
def opened(desk: Desk, server: FakeHomeserver) -> Open:
    """A session on the same sides and the same file."""

    def open_session() -> Session:
        return asyncio.run(Session.open(homeserver=server.url, access_token=TOKEN))

    return open_session


def file_of(desk: Desk) -> Path:
    return desk.path.with_name("own.db.decisions.json")


def kept(desk: Desk) -> Any:
    return json.loads(file_of(desk).read_text())


def decisions(md: Md) -> dict[str, str]:
    return {unit["unit"]: unit["decision"] for unit in md("check", "--json").json["units"]}


def test_a_no_stands_until_it_is_taken_back(md: Md, desk: Desk, opened: Open) -> None:
    before = desk.dump()
    assert "!one" in own(md("reject", "!one"))
    own(md("defer", "!new"))
    own(md("ignore", "!a", "--reason", "the older twin"))
    assert decisions(md) == {
        "!a": "ignored",
        "!b": "pending",
        "!new": "deferred",
        "!one": "rejected",
    }
    done = md("apply", "--approve-certain")
    assert "rejected" in own(done) and desk.dump() == before
    session = opened()
    assert dict(session.plan.to_frame()["decision"]) == decisions(md)
    session.withdraw("!new")
    own(md("withdraw", "!one", "!a"))
    assert set(decisions(md).values()) == {"pending"}
    assert md("apply", "--approve-certain").code == 2
    assert rooms(desk) == {1: "!one", 2: "!two", 3: "!new"}


def test_an_approved_pick_is_found_again_and_written(md: Md, desk: Desk, opened: Open) -> None:
    opened().approve("!a", id=2)
    assert kept(desk)["decisions"]["!a"]["choices"] == {"id": "2"}
    session = opened()
    assert dict(session.plan.to_frame()["decision"])["!a"] == "approved"
    assert asyncio.run(session.apply())["repaired_links"][0]["room_id"] == "!a"
    assert rooms(desk)[2] == "!a" and kept(desk)["decisions"] == {}


@pytest.mark.parametrize("name", ["id", "chat_id"])
def test_a_file_of_decisions_is_written_by_either_name_of_the_id(
    md: Md, desk: Desk, tmp_path: Path, name: str
) -> None:
    line = {"!b": {"choices": {name: "2"}}}
    (tmp_path / "mine.json").write_text(json.dumps({"version": 1, "decisions": line}))
    assert "Written: 1 row repaired." in own(md("apply", "--decisions", "mine.json"))
    assert rooms(desk)[2] == "!b"


def test_an_id_under_both_names_is_refused(md: Md, desk: Desk, tmp_path: Path) -> None:
    line = {"!b": {"choices": {"id": "2", "chat_id": "1"}}}
    (tmp_path / "mine.json").write_text(json.dumps({"version": 1, "decisions": line}))
    done = md("apply", "--decisions", "mine.json")
    assert done.code == 1 and done.said("unknown field `id`")


def test_what_a_plan_wrote_down_is_written_and_taken_back_whole(md: Md, desk: Desk) -> None:
    before = desk.dump()
    assert md("plan", "--out", "mine.json").said("2 decisions stand in mine.json")
    assert "Written: 2 rows repaired." in own(md("apply", "--decisions", "mine.json"))
    run = md("history", "--json").json[0]["run"]
    assert own(md("undo", "--yes", run)) and desk.dump() == before


def test_a_backup_is_gone_back_to(md: Md, desk: Desk) -> None:
    before = desk.dump()
    md("apply", "!one")
    run = md("history", "--json").json[0]["run"]
    assert md("restore", "--yes", run).code == 0 and desk.dump() == before
    assert "!one" in own(md("check"))


def test_the_other_twin_says_whose_decision_gave_its_id_away(
    md: Md, desk: Desk, opened: Open
) -> None:
    assert "claims the same id by as much" in md("check", "--room", "!b").out
    assert md("apply", "!a", "--id", "2").code == 0
    run = md("history", "--json").json[0]
    by, day = run["units"][-1]["by"], run["time"][:10]
    told = (
        f"2 is !a by the decision of {by} on {day}; this room claims it too, and gets no row unless"
    )
    [unit] = md("check", "--json", "--room", "!b").json["units"]
    assert told in unit["findings"][0]["cause"]
    session = opened()
    assert told in str(list(session.drift["cause"]))
    desk.sql("UPDATE tickets SET user_room_id = '!b' WHERE id = 2")
    assert "by the decision" not in md("check").out
    desk.sql("UPDATE tickets SET user_room_id = '!a' WHERE id = 2")
    md("undo", "--yes", run["run"])
    assert "by the decision" not in md("check").out


def test_a_run_of_another_mapping_of_the_database_is_taken_back_with_that_one(
    md: Md, desk: Desk, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    desk.sql("CREATE TABLE talks (id INTEGER PRIMARY KEY, room TEXT)")
    desk.sql("INSERT INTO talks VALUES (3, NULL)")
    md("apply", "!one")
    mine = (tmp_path / "matrix-drift.toml").read_text()
    use(desk, monkeypatch, TICKET, table="talks", id="id", room="room")
    assert md("apply", "!new").code == 0 and desk.sql("SELECT room FROM talks") == [("!new",)]
    first, second = (run["run"] for run in md("history", "--json").json)
    done = md("undo", "--yes", first)
    assert done.code == 2 and "take the run back with the one of tickets" in done.out
    assert "Written back: 1 unit." in md("undo", "--yes", second).out
    (tmp_path / "matrix-drift.toml").unlink()
    desk.sql("CREATE TABLE kv (key TEXT PRIMARY KEY, value TEXT)")
    assert "the one of tickets" in md("undo", "--yes", first).out
    (tmp_path / "matrix-drift.toml").write_text(mine)
    assert "Written back: 1 unit." in md("undo", "--yes", first).out
    assert rooms(desk)[1] is None


def test_a_run_over_chats_is_none_of_a_mapping_of_links(md: Md, desk: Desk, tmp_path: Path) -> None:
    row = RowWrite("matrix_user:@a:hs", None, "{}")
    entry = Entry("@a:hs", UnitKind.USER, (row,), "eva", outcome="applied")
    Journal(desk.path).finish(Run("old", "2026-01-01", "approved", (entry,), None, finished=True))
    assert "with the one of the shape chats" in md("undo", "--yes", "old").out
