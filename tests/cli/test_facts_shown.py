"""The facts that settle a conflict, where a terminal shows it: once for the same rooms, and harmless."""

from __future__ import annotations

import io

import pytest

from tests.bench import BOB, Bench
from tests.cli.command import Md
from toolkit.cli.case_tables import CaseTables
from toolkit.cli.output import show

HOSTILE = "[bold]x[/bold] \x1b[31m\u202e"


@pytest.fixture
def twins(bench: Bench) -> Bench:
    """Two chats of Bob's that claim to be one; he has left the second."""
    for room in ("!t1", "!t2"):
        bench.world.chat(room, "!bob", "Чат 7", owner=BOB)
    bench.world.member("!t2", BOB, "leave")
    return bench


def below(out: str, unit: str) -> list[str]:
    """What is said of a unit, without the column of the status."""
    lines = iter(out.splitlines())
    for line in lines:
        if line.split()[-4:] == [unit, "C7", "of", BOB]:
            break
    told = []
    for line in lines:
        told.append(line.strip())
        if told[-1].startswith("→"):
            return told
    raise AssertionError(unit)


@pytest.mark.parametrize("command", ["check", "plan"])
def test_twins_stand_side_by_side_below_the_first_of_them(
    md: Md, twins: Bench, command: str
) -> None:
    out = md(command).out
    told = below(out, "!t1")
    assert [line.split() for line in told if line.split()[:1] in (["room"], ["joined"])] == [
        ["room", "!t1", "!t2"],
        ["joined", BOB, "nobody"],
    ]
    assert any(line.split() == ["left", "nobody", BOB] for line in told)
    assert "this room: https://matrix.to/#/!t1?via=hs" in told
    assert "its twin: https://matrix.to/#/!t2?via=hs" in told
    offered = "C7 (the room's name says it), C8 (the next free number), C9 (free as well)"
    assert any(line.startswith(f"chat ids offered: {offered}") for line in told)
    said = f"{BOB} is joined to this room and has left !t2: they can write in this room alone"
    assert said in " ".join(out.split())
    second = below(out, "!t2")
    assert "the same rooms as of !t1 above" in second
    assert not any(line.startswith("room ") for line in second)
    assert any(line.startswith("chat ids offered: C7") for line in second)


@pytest.mark.parametrize("command", ["check", "plan"])
def test_what_is_no_conflict_and_a_summary_show_no_facts(
    md: Md, twins: Bench, command: str
) -> None:
    for words in (["--status", "missing"], ["--summary"]):
        out = md(command, *words).out
        assert "matrix.to" not in out and "chat ids offered" not in out


@pytest.mark.parametrize("command", ["check", "plan"])
def test_json_has_the_facts_of_conflicts_and_null_for_others(
    md: Md, twins: Bench, command: str
) -> None:
    units = {unit["unit"]: unit for unit in md(command, "--json").json["units"]}
    rooms = {room["room_id"]: room for room in units["!t1"]["facts"]["rooms"]}
    assert list(rooms) == ["!t1", "!t2"]
    assert rooms["!t1"]["joined"] == {"users": [BOB], "count": 1}
    assert rooms["!t2"]["left"] == {"users": [BOB], "count": 1}
    assert units["!t1"]["facts"]["chat_ids_offered"][0]["why"] == "the room's name says it"
    [finding] = units["!t1"]["findings"]
    assert finding["rivals"] == ["!t2"]
    assert units["!a1"]["status"] == "missing" and units["!a1"]["facts"] is None


def test_more_than_two_rooms_come_two_at_a_time(md: Md, twins: Bench) -> None:
    for number in range(3, 9):
        twins.world.chat(f"!t{number}", "!bob", "Чат 7", owner=BOB)
    told = below(md("check").out, "!t1")
    assert [line.split() for line in told if line.startswith("room ")] == [
        ["room", "!t1", "!t2"],
        ["room", "!t3", "!t4"],
        ["room", "!t5", "!t6"],
    ]
    assert "and 2 more rooms" in told


def test_names_in_facts_do_nothing_to_a_terminal(
    md: Md, twins: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    twins.world.name("!t1", f"Чат 7 {HOSTILE}")
    twins.world.chat("!\x1b[2J", "!bob", "Чат 7", owner=BOB)
    twins.world.member("!t2", "@\u202ex:hs", "join")
    for columns in ("40", "160"):
        monkeypatch.setenv("COLUMNS", columns)
        done = md("check")
        assert not {"\x1b", "\u202e"} & set(done.out)
    assert "https://matrix.to/#/!%1B%5B2J?via=hs" in done.out
    assert "@\\u{202e}x:hs" in done.out


def test_without_a_casebook_nothing_is_told() -> None:
    from toolkit.model import Status, Unit, UnitKind

    unit = Unit(id="!a", kind=UnitKind.ROOM, status=Status.CONFLICT, findings=())
    stream = io.StringIO()
    show(CaseTables(None).of(unit), stream)
    assert stream.getvalue() == ""
