"""Plans and reports as a person reads them: true, whole, and harmless."""

import io
import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import msgspec
import pytest
from rich.console import RenderableType

from tests.bench import ALICE, BOB, BOT, small_rows, small_world, text
from tests.scenario import Scenario, load_scenarios
from toolkit.cli.json_forms import history_json, plan_json
from toolkit.cli.look import exit_code
from toolkit.cli.output import show
from toolkit.cli.past import render_history
from toolkit.cli.render import render_check, render_plan, render_undo
from toolkit.cli.render_written import render_report
from toolkit.convention import Convention
from toolkit.database.journal import Entry, Run
from toolkit.layout import Layout
from toolkit.model import Choices, Code, Finding, Plan, RowWrite, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.records import Raw, load_records, room_key, user_key
from toolkit.sources.snapshot import Snapshot
from toolkit.testing import World
from toolkit.writing.report import build_report
from toolkit.writing.undo import plan_reversal

HOSTILE = "[bold]x[/bold] :smile: \x1b[31m\u202e\u200b\u2028e" + "\u0301" * 50
V12 = "!" + "x" * 43


class WithOthers(Plan, frozen=True, kw_only=True):
    """A plan of a table that serves others as well."""

    others: int = 0


def with_others(plan: Plan, count: int) -> Plan:
    values = {name: getattr(plan, name) for name in Plan.__struct_fields__}
    return WithOthers(**values | {"others": count})


Render = Callable[[Plan], Iterable[RenderableType]]


def plan_of(world: World, rows: dict[str, Raw], **choices: Choices) -> Plan:
    rooms = {room_id: json.dumps(state).encode() for room_id, state in world.rooms.items()}
    remote = Snapshot(BOT, rooms, {}, rows).remote(Convention())
    return plan_repairs(remote, load_records(rows.items()), choices=choices)


def broken(world: World | None = None) -> Plan:
    """One of each: missing, mismatched, conflict, orphan, note, skipped."""
    rows: dict[str, Raw] = {key: text(row) for key, row in small_rows().items()}
    del rows[user_key(ALICE)], rows[room_key("!a1")]
    rows[room_key("!b1")] = b"\xff{"
    rows["chat:@zoe:hs:C1"] = '{"surface_ref":"!gone"}'
    rows[room_key("!alice")] = "{}"
    if world is None:
        world = small_world()
        world.name("!a2", "Отпуск")
    return plan_of(world, rows)


def shown(parts: Iterable[RenderableType], columns: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", columns)
    stream = io.StringIO()
    show(parts, stream)
    return stream.getvalue()


def test_check_says_what_is_wrong_why_and_what_next(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(render_check(broken()), "160", monkeypatch).splitlines()
    assert lines[0] == f"{BOT} is in 5 rooms."
    assert "Chats:      1 missing, 1 mismatched, 1 conflict" in lines
    assert "User rows:  1 in sync, 1 missing" in lines
    assert "+ missing     !a1  C1 of @alice:hs" in lines
    assert "              room row is missing" in lines
    assert "              → apply would insert the room row" in lines
    assert '              room row: display_name is "Чат 2", should be "Отпуск"' in lines
    assert "              → look at the row, then replace it with --overwrite" in lines
    assert "  chat:@zoe:hs:C1" in lines
    assert "Skipped rooms, which are no chats: 2 space." in lines


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda s: s.rule)
def test_in_sync_is_said_and_0_returned_only_where_nothing_at_all_is_the_matter(
    scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = scenario.plan()
    last = shown(render_check(plan), "160", monkeypatch).splitlines()[-1]
    troubled = not plan.in_sync
    assert last.startswith("In sync") is not troubled
    assert exit_code(plan, strict=False) == (2 if troubled else 0)
    assert last != ""  # it says what to do


def test_a_row_that_belongs_to_no_unit_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, Raw] = {key: text(row) for key, row in small_rows().items()}
    rows["chat:@zoe:hs:C1"] = "{"
    out = shown(render_check(plan_of(small_world(), rows)), "160", monkeypatch)
    assert "  → look at the row, then mend or delete it by hand" in out
    assert out.splitlines()[-2:] == [
        "1 row belongs to no unit: mend it by hand, as the arrow in `matrix-drift check` says.",
        "`matrix-drift explain CODE` says more of each: unreadable_row.",
    ]


@pytest.mark.parametrize("render", [render_check, render_plan])
@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda s: s.rule)
def test_the_last_line_names_the_codes_of_all_conflicts_and_is_there_only_with_one(
    render: Render, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = scenario.plan()
    codes = {finding.code.value for unit in plan.units for finding in unit.conflicts}
    codes |= {finding.code.value for finding in plan.loose}
    last = shown(render(plan), "300", monkeypatch).splitlines()[-1]
    told = last.removesuffix(".").partition("`matrix-drift explain CODE` says more of each: ")[2]
    assert set(filter(None, told.split(", "))) == codes


def test_rows_of_other_platforms_are_counted_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = broken()
    assert "Other rows" not in shown(render_check(plan), "160", monkeypatch)
    assert plan_json(plan)["other_rows"] == 0
    some = with_others(plan, 1_004)
    lines = shown(render_check(some), "160", monkeypatch).splitlines()
    assert "Other rows: 1,004 (of other platforms or kinds of room; left alone)" in lines
    assert plan_json(some)["other_rows"] == 1_004


def test_the_note_that_forbids_in_sync_is_among_those_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plan = plan_of(World(bot=BOT), {room_key("!far"): text({"chat_id": "C1"})})
    calm = [Finding(unit="", code=Code.SURPLUS_CHAT_ROW, key=f"a{n}", cause="") for n in range(30)]
    said = Finding(unit="", code=Code.NO_ROOM_JOINED, key="", cause="in none of the rooms")
    plan = msgspec.structs.replace(plan, notes=(*calm, said), orphans=(), loose=())
    out = shown(render_check(plan), "160", monkeypatch)
    assert "\n  in none of the rooms\n" in out and "… and 11 more" in out


def test_in_sync_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_of(small_world(), {key: text(row) for key, row in small_rows().items()})
    out = shown(render_check(plan), "80", monkeypatch)
    assert "In sync: every chat has its rows, and they are right." in out
    assert "STATUS" not in out


@pytest.mark.parametrize("columns", ["40", "80", "160", "", "nonsense"])
@pytest.mark.parametrize("render", [render_check, render_plan])
def test_no_id_is_cut_and_no_line_too_wide(
    columns: str, render: Render, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = small_world()
    world.chat(V12, "!alice", "Чат 7", owner=ALICE)
    out = shown(render(broken(world)), columns, monkeypatch)
    width = int(columns) if columns.isdigit() else 160
    assert max(map(len, out.splitlines())) <= width
    assert V12 in out if width > 60 else V12 in "".join(out.split())
    assert not [line for line in out.splitlines() if line != line.rstrip()]


@pytest.mark.parametrize("render", [render_check, render_plan])
def test_a_hostile_name_reaches_nobody(render: Render, monkeypatch: pytest.MonkeyPatch) -> None:
    world = small_world()
    world.name("!a2", HOSTILE)
    out = shown(render(broken(world)), "80", monkeypatch)
    assert "[bold]x[/bold] :smile:" in " ".join(out.split())
    assert "\\u{202e}" in out
    assert not set(out) & set("\x1b\u202e\u200b\u2028")
    assert "\u0301" * 4 not in out


def test_a_lone_surrogate_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, Raw] = {"chat:@zoe\udcff:hs:C1": '{"surface_ref":"!\udcfe"}'}
    out = shown(render_check(plan_of(small_world(), rows)), "80", monkeypatch)
    assert out.encode()
    assert "@zoe\\u{dcff}" in out


def test_the_plan_shows_every_field_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown(render_plan(broken()), "120", monkeypatch).splitlines()
    assert f"  + insert user row {user_key(ALICE)}" in lines
    assert "    next_chat_index  3" in lines
    assert f"  ~ change room row {room_key('!a2')}" in lines
    assert '    display_name  "Чат 2" → "Отпуск"' in lines


def test_an_approved_overwrite_shows_what_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    rows: dict[str, Raw] = {key: text(row) for key, row in small_rows().items()}
    rows[room_key("!b1")] = b"\xff{"
    plan = plan_of(small_world(), rows, **{"!b1": Choices(overwrite=True)})
    out = shown(render_plan(plan), "160", monkeypatch)
    assert "(the whole row)  2 bytes ff7b → {" in out


def test_the_report_says_what_was_written_and_what_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = broken()
    report = build_report(plan, {ALICE: None, "!a1": None, "!a2": "row x was written meanwhile"})
    out = shown(render_report(report, [ALICE, "!a1", "!a2"]), "160", monkeypatch)
    assert out.splitlines() == [
        "Written: 1 user row restored, 1 room row restored.",
        "Not written: !a2: row x was written meanwhile",
    ]


def a_run(name: str, **kw: object) -> Run:
    entry = Entry(BOB, UnitKind.USER, (RowWrite(user_key(BOB), None, "{}"),), "eva", (), "applied")
    time = datetime(2026, 11, 22, tzinfo=UTC).isoformat()
    return Run(name, time, "start-up", (entry,), "bot.db.backup", finished=True, **kw)  # type: ignore[arg-type]


def test_history_tells_who_did_what_and_what_was_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    runs = [a_run("run-1"), a_run("run-2", undoes="run-1")]
    out = shown(render_history(runs), "160", monkeypatch)
    assert "start-up: 1 applied, by eva, taken back by run-2" in out
    assert "takes back run-1" in out
    assert json.dumps(history_json(runs))
    assert "No run of matrix-drift is known" in shown(render_history([]), "160", monkeypatch)


def test_history_tells_when_only_a_part_was_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(name: str, undoes: str | None = None, **outcomes: str) -> Run:
        entries = tuple(Entry(u, UnitKind.ROOM, (), "", outcome=o) for u, o in outcomes.items())
        return Run(name, "2026", "test", entries, undoes=undoes, finished=True)

    def told(*undos: Run) -> str:
        first = run("run-1", a="applied", b="applied", c="stale")
        return shown(render_history([first, *undos]), "160", monkeypatch).splitlines()[1]

    part, rest = run("run-2", "run-1", a="applied", b="stale"), run("run-3", "run-1", b="applied")
    assert told(part).endswith(", partly taken back by run-2")
    assert told(part, rest).endswith("stale, taken back by run-2, run-3")
    assert "taken back" not in told(run("run-2", "run-1", a="stale"))


def test_an_undo_shows_what_goes_and_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    goes = plan_reversal(a_run("run-1"), {user_key(BOB): "{}"}, Layout())
    assert f"delete user row {user_key(BOB)}" in shown(render_undo(goes), "160", monkeypatch)
    stays = plan_reversal(a_run("run-1"), {user_key(BOB): '{"x":1}'}, Layout())
    assert f"Stays: {user_key(BOB)}: " in shown(render_undo(stays), "160", monkeypatch)


def test_the_plan_is_json_with_everything_in_it() -> None:
    world = small_world()
    world.name("!a2", HOSTILE)
    plan = broken(world)
    dumped = json.dumps(plan_json(plan))
    assert dumped.isascii()
    found = json.loads(dumped)
    assert [unit["unit"] for unit in found["units"]] == [unit.id for unit in plan.units]
    assert found["orphaned_rows"] == ["chat:@zoe:hs:C1"]
    [a2] = [unit for unit in found["units"] if unit["unit"] == "!a2"]
    [write] = a2["change"]["writes"]
    assert json.loads(write["after"])["display_name"] == HOSTILE
    assert a2["findings"][0]["code"] == "wrong_field"
