"""Commands for a bot of shape links: its own table and ids, and no word of chats or Spaces."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import toolkit.cli
from tests.bench import BOT, Bench
from tests.cli.command import Done, Md
from tests.cli.test_cli_layout import toml
from tests.tables import PORTALS, TICKETS, Desk, portals, tickets
from toolkit.testing import FakeHomeserver

FOREIGN = re.compile(r"\b([Cc]hats?|Spaces?|[Uu]ser rows?)\b")


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Rooms of all three tickets, of a fourth that has no row, twins, a lobby, and a stranger's."""
    found = Bench(tmp_path / "unused.db")
    world = found.world
    world.rooms.clear()
    world.room("!one", name="Ticket #1 (Anna)")
    world.room("!two", name="renamed")
    world.room("!new", name="Ticket #3 (Ben)")
    world.room("!four", name="Ticket #4 (Eva)")
    world.room("!twin", name="Ticket #2 (Anna)")
    world.room("!lobby", name="Lobby")
    world.room("!eva", name="Ticket #1 (Eva)", creator="@eva:hs")
    return found


def use(desk: Desk, monkeypatch: pytest.MonkeyPatch, evidence: str, **link: object) -> None:
    monkeypatch.setenv("BOT_DATABASE", str(desk.path))
    text = toml("shape", {"kind": "links"}) + toml("rows.link", link) + evidence
    (desk.path.parent / "matrix-drift.toml").write_text(text)


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None) -> Desk:
    found = Desk(tmp_path / "own.db", TICKETS, tickets())
    use(
        found,
        monkeypatch,
        "[[evidence]]\nname = 'Ticket #{id} \\(.+\\)'\n",
        table="tickets",
        id="id",
        room="user_room_id",
        owner="user_id",
    )
    return found


@pytest.fixture
def portal(
    bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: None
) -> Desk:
    bench.world.rooms.clear()
    for room in ("!a", "!b"):
        bench.world.room(room)
    bench.world.event("!b", "m.bridge", {"channel": {"id": "space:b"}}, state_key="x")
    bench.world.event("!b", "m.bridge", {"channel": {"id": "space:c"}}, state_key="y")
    found = Desk(tmp_path / "own.db", PORTALS, portals())
    use(
        found,
        monkeypatch,
        '[[evidence]]\nevent = "m.bridge"\nstate_key = "*"\nid = ["channel.id", "channel.receiver"]\n',
        table="portal",
        id=["gcid", "gc_receiver"],
        room="mxid",
        insert=True,
    )
    return found


def own(done: Done) -> str:
    """What it said, all in the bot's own words."""
    said = done.out + done.err
    assert not FOREIGN.search(said), FOREIGN.findall(said)
    return said


def rooms(desk: Desk) -> dict[int, str | None]:
    return dict(desk.sql("SELECT id, user_room_id FROM tickets"))


def test_check_speaks_of_the_bots_own_table_and_ids(md: Md, desk: Desk) -> None:
    done = md("check")
    said = own(done)
    assert done.code == 2
    assert f"{BOT} is in 7 rooms." in said
    assert "Rooms:      1 in sync, 1 missing, 2 mismatched, 1 conflict" in said
    assert "!new  tickets 3 of 2" in said
    assert 'row of tickets: user_room_id is "!three", should be "!new"' in said
    assert "apply would change the row of tickets" in said
    advice = " ".join(said.split())
    assert "if !two is the right one, ignore this room or have the bot leave it; if this" in advice
    assert "point the row at this room by hand (its column user_room_id), then look" in advice
    assert "if it is of another id, pick that with --id" in advice
    assert "the twin that the row names" in said and "ids offered" not in said
    assert "Skipped rooms, which aren't compared: 1 no_evidence, 1 not_created_by_bot." in said


def test_plan_and_json_name_ids_and_rows(md: Md, desk: Desk) -> None:
    assert "~ change row of tickets link:tickets:1" in own(md("plan"))
    found = md("check", "--json").json
    assert found["table"] == "tickets"
    units = {unit["unit"]: unit for unit in found["units"]}
    assert (units["!new"]["id"], units["!new"]["row"]) == ("3", "link:tickets:3")
    assert "chat_id" not in units["!new"] and "space_id" not in units["!new"]
    twin = units["!twin"]["facts"]
    assert twin["ids_offered"] == []
    assert [room["room_id"] for room in twin["rooms"]] == ["!twin", "!two"]


def test_what_is_certain_is_written_and_taken_back(md: Md, desk: Desk) -> None:
    before = desk.dump()
    done = md("apply", "--approve-certain")
    assert "Written: 2 rows repaired." in own(done) and done.code == 2
    assert rooms(desk) == {1: "!one", 2: "!two", 3: "!new"}
    [run] = md("history", "--json").json
    assert "row of tickets" in own(md("history", run["run"]))
    assert md("undo", run["run"], "--yes").code == 0
    assert desk.dump() == before


def test_a_bot_that_must_be_stopped_is_said_where_nobody_is_asked(
    md: Md, desk: Desk, tmp_path: Path
) -> None:
    settings = tmp_path / "matrix-drift.toml"
    mapped = settings.read_text()
    settings.write_text(mapped.replace('kind = "links"', 'kind = "links"\nstopped = true'))
    done = md("apply", "--approve-certain", "--json")
    assert done.said("The bot must be stopped, else it writes")
    assert not md("apply", "--approve-certain").said("must be stopped")  # nothing to write
    [run] = md("history", "--json").json
    assert md("undo", run["run"], "--yes").said("The bot must be stopped")
    settings.write_text(mapped)
    assert not md("apply", "--approve-certain").said("must be stopped")


def test_a_report_in_json_has_the_links(md: Md, desk: Desk) -> None:
    report = md("apply", "!one", "--json").json["report"]
    assert report["repaired_links"] == [{"id": "1", "room_id": "!one", "previous_room": None}]


def test_a_picked_id_is_written(md: Md, desk: Desk) -> None:
    desk.sql("INSERT INTO tickets (id, user_id) VALUES (9, 1)")
    assert "row of tickets" in own(md("apply", "!twin", "--id", "9"))
    assert rooms(desk)[9] == "!twin"
    assert md("apply", "!new", "!one").code == 0
    desk.sql("INSERT INTO tickets (id, user_id, user_room_id) VALUES (4, 1, '!four')")
    done = md("check")
    assert "In sync: every room has its row of tickets, and it is right." in own(done)
    assert done.code == 0


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--id", "nine"], "nine is no id of tickets: it must be id (a whole number)."),
        (["--id", "1", "--id", "2"], "is no id of tickets"),
        (["--owner", "@a:hs"], "of a row of tickets only its id can be picked"),
        (["--chat-id", "C1"], "--chat-id is for chats: with a mapping of shape links give --id."),
    ],
)
def test_a_pick_that_can_be_none_is_refused(
    md: Md, desk: Desk, options: list[str], why: str
) -> None:
    before = desk.dump()
    done = md("apply", "!twin", *options)
    assert done.code == 1 and done.said(why, "Nothing was written.")
    assert desk.dump() == before


@pytest.mark.parametrize("pick", [["space:c", ""], ['["space:c",""]']])
def test_a_composite_id_is_picked_part_by_part_or_as_json(
    md: Md, portal: Desk, pick: list[str]
) -> None:
    said = own(md("check"))
    assert 'candidates: ["space:b",""], ["space:c",""]' in said
    assert md("apply", "!b", "--id", "x").said("the parts gcid (a text), gc_receiver (a text)")
    assert md("apply", "!b", *(word for part in pick for word in ("--id", part))).code == 0
    told = portal.sql("SELECT gcid, mxid FROM portal WHERE mxid = '!b'")
    assert told == [("space:c", "!b")]


def test_ids_that_the_evidence_tells_are_offered(md: Md, portal: Desk) -> None:
    [unit] = md("check", "--json").json["units"]
    ids = [offered["id"] for offered in unit["facts"]["ids_offered"]]
    assert ids == ['["space:b",""]', '["space:c",""]']
    told = '["space:b",""] (its row names no room), ["space:c",""] (it would get a row)'
    assert f"ids offered: {told}" in own(md("check"))


def test_ids_are_for_links_alone_and_for_one_unit(md: Md, desk: Desk) -> None:
    assert md("apply", "!a", "!b", "--id", "1").said("are for exactly one UNIT")
    (desk.path.parent / "matrix-drift.toml").unlink()
    assert md("apply", "!a", "--id", "1").said("--id is for a mapping of shape links")


def test_a_unit_is_found_by_its_id(md: Md, desk: Desk) -> None:
    assert md("apply", "3").said("Did you mean '!new' (tickets 3 of 2)?")


def test_nothing_in_sync_is_said_in_its_words(md: Md, bench: Bench, desk: Desk) -> None:
    bench.world.rooms.clear()
    bench.world.room("!lobby", name="Lobby")
    desk.sql("UPDATE tickets SET user_room_id = NULL")
    said = own(md("check"))
    assert "In sync: there are no rooms that could lack a row of tickets." in said


def test_rows_of_rooms_elsewhere_are_not_called_in_sync(md: Md, bench: Bench, desk: Desk) -> None:
    bench.world.rooms.clear()
    bench.world.room("!lobby", name="Lobby")
    assert "Rows of tickets name rooms that nothing could be compared with" in own(md("check"))
    for number in range(10, 16):
        desk.sql(
            f"INSERT INTO tickets (id, user_id, user_room_id) VALUES ({number}, 1, '!x{number}')"
        )
    assert md("check").said("another account's database", "--allow-empty")
    assert md("check", "--allow-empty").code == 2


def test_ignored_units_are_counted_in_its_words(md: Md, desk: Desk) -> None:
    assert md("ignore", "!twin", "!four", "--reason", "known").code == 0
    assert md("apply", "--approve-certain").code == 0
    said = own(md("check"))
    assert "In sync but for 2 units ignored: every other room has its row of tickets" in said


def test_a_database_that_is_gone_is_never_made(md: Md, desk: Desk) -> None:
    desk.path.unlink()
    done = md("check", "--new-database")
    assert done.code == 1 and not desk.path.exists()
    assert not FOREIGN.search(done.err)


def test_rows_of_no_unit_and_of_an_odd_room(md: Md, desk: Desk, server: FakeHomeserver) -> None:
    desk.sql("UPDATE tickets SET user_room_id = x'ff' WHERE id = 3")
    desk.sql("INSERT INTO tickets (id, user_id, user_room_id) VALUES (10, 1, x'ff')")
    said = own(md("check"))
    assert "row of tickets can't be read" in said and "it is about no room here" in said
    assert md("apply", "!new", "--overwrite").code == 0
    assert rooms(desk)[3] == "!new"


@pytest.fixture
def settle(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Done]:
    """Press these keys, and type these lines."""
    monkeypatch.setattr("toolkit.cli.settle.someone_there", lambda: True)

    def press(keys: str) -> Done:
        with CliRunner().isolation(input=keys) as (out, err, _):
            code = toolkit.cli.run(["settle"])
        return Done(code, out.getvalue().decode(), err.getvalue().decode())

    return press


def test_settling_asks_for_ids_of_the_bots_own(desk: Desk, settle: Callable[[str], Done]) -> None:
    desk.sql("INSERT INTO tickets (id, user_id) VALUES (9, 1)")
    done = settle("tnine\nt9\nsy")
    said = own(done)
    assert "Id of a row of tickets" in said
    assert "Not settled by that: nine is no id of tickets" in said
    assert rooms(desk)[9] == "!twin"
    assert "Written: 1 row repaired." in said


def test_a_pick_of_an_id_that_a_joined_room_has_settles_nothing(
    desk: Desk, settle: Callable[[str], Done]
) -> None:
    before = desk.dump()
    said = own(settle("t2\nq"))
    assert "Not settled by that: its row names !two, which the account is in" in said
    assert desk.dump() == before


def test_a_snapshot_holds_the_mapping_and_gives_the_same_plan(
    md: Md, desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = md("check", "--json").json
    assert md("snapshot", "file").code == 0
    (tmp_path / "matrix-drift.toml").unlink()
    for name in ("MATRIX_HOMESERVER", "MATRIX_ACCESS_TOKEN", "BOT_DATABASE"):
        monkeypatch.delenv(name)
    assert md("check", "--snapshot", "file", "--json").json == live
    assert "tickets 3 of 2" in own(md("plan", "--snapshot", "file"))
    assert md("ignore", "!twin", "--reason", "known", "--snapshot", "file").code == 0


def test_an_anonymised_snapshot_has_the_same_drift_and_nobodys_data(
    md: Md, desk: Desk, tmp_path: Path
) -> None:
    live = md("check", "--json").json
    done = md("snapshot", "file", "--anonymise")
    assert done.code == 0 and "chat" not in done.out + done.err
    for word in ("Anna", "Ticket", "tickets", "user_room_id", "!four", "hs"):
        assert word not in (tmp_path / "file").read_text(), word
    told = md("check", "--snapshot", "file", "--json").json
    assert sorted(map(_shape, told["units"])) == sorted(map(_shape, live["units"]))
    assert len(told["skipped_rooms"]) == len(live["skipped_rooms"])


def _shape(unit: dict[str, Any]) -> tuple[Any, ...]:
    codes = [finding["code"] for finding in unit["findings"]]
    return unit["status"], codes, unit["change"] is not None, unit["evidence"]["rung"]


def test_a_snapshot_names_no_code_to_be_run(md: Md, desk: Desk, tmp_path: Path) -> None:
    file = tmp_path / "matrix-drift.toml"
    head, _, _ = file.read_text().partition("[[evidence]]")
    file.write_text('evidence = "tests.link_code:claim"\n' + head)
    assert md("snapshot", "file").code == 0
    assert md("check", "--snapshot", "file").code == 0
    assert md("snapshot", "other", "--anonymise").said("what it reads isn't known")
    file.unlink()
    assert md("check", "--snapshot", "file").said("tests.link_code:claim", "names it as well")


def test_a_damaged_mapping_in_a_snapshot_is_told(md: Md, desk: Desk, tmp_path: Path) -> None:
    md("snapshot", "file")
    taken = tmp_path / "file"
    taken.write_text(taken.read_text().replace('"kind":"links"', '"kind":"lynx"'))
    assert md("check", "--snapshot", "file").said("is damaged")
