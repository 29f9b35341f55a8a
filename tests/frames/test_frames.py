"""Frames: fixed columns and dtypes, true to the plan, copies, and harmless to look at."""

import io
import itertools
import json
import re
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings

from tests.bench import ALICE, BOB, BOT, small_rows, small_world, text
from tests.scenario import Scenario, backwards, load_scenarios
from tests.worlds import CONVENTION, Sides, worlds
from toolkit.convention import Convention
from toolkit.database.journal import Entry, Run
from toolkit.decisions.case import Casebook
from toolkit.decisions.ledger import Vote
from toolkit.frames import (
    COLUMNS,
    DECISIONS,
    Frame,
    changes_frame,
    drift_frame,
    history_frame,
    plan_frame,
    rooms_frame,
    rows_frame,
)
from toolkit.model import Choices, Code, Finding, Plan, RemoteState, RowWrite, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.records import LocalState, Raw, load_records, room_key, user_key
from toolkit.sources.snapshot import Snapshot
from toolkit.testing import World

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "$x^2$ $$y$$",
    r"\(x\) \[y\] \begin{align}z\end{align}",
    "admin \u202egnp.exe",
    "\x1b[31mred\x1b[2J",
    "nul\0nul",
    "lone\udcff",
    "two\nlines\r\tand tab",
    "x" * 400,
    "y" * 100_000,
)
"""Names that execute, typeset, deceive, or break what isn't careful with them."""

Look = tuple[RemoteState, LocalState, Plan]


def look(world: World, rows: dict[str, Raw], **choices: Choices) -> Look:
    rooms = {room_id: json.dumps(state).encode() for room_id, state in world.rooms.items()}
    remote = Snapshot(BOT, rooms, {}, rows).remote(Convention())
    local = load_records(rows.items())
    return remote, local, plan_repairs(remote, local, choices=choices)


def right() -> dict[str, Raw]:
    return {key: text(row) for key, row in small_rows().items()}


def broken(world: World | None = None) -> Look:
    """One of each: missing, mismatched, conflict, orphaned, skipped, a row of no unit."""
    rows = right()
    del rows[user_key(ALICE)], rows[room_key("!a1")]
    rows[room_key("!b1")] = b"\xff{"
    rows["chat:@zoe:hs:C1"] = '{"surface_ref":"!gone"}'
    rows[room_key("!alice")] = "{}"
    if world is None:
        world = small_world()
        world.name("!a2", "Отпуск")
    return look(world, rows)


def a_run(name: str, **kw: Any) -> Run:
    write = (RowWrite(user_key(BOB), None, "{}"),)
    entry = Entry(BOB, UnitKind.USER, write, "eva", (), "applied")
    time = "2026-11-22T10:00:00+02:00"
    values: dict[str, Any] = {"backup": "/home/eva/secret/bot.db.backup", "finished": True} | kw
    return Run(name, time, "notebook", (entry,), **values)


def frames(looked: Look, runs: Sequence[Run] = ()) -> dict[str, Any]:
    # Any: the stubs take a frame's cell for anything at all.
    remote, local, plan = looked
    return {
        "rooms": rooms_frame(remote, plan, local),
        "rows": rows_frame(local, plan),
        "drift": drift_frame(plan, Casebook(plan, remote, local, Convention())),
        "plan": plan_frame(plan),
        "changes": changes_frame(plan),
        "history": history_frame(runs),
    }


def empty() -> Look:
    remote, local = RemoteState(BOT, {}), load_records([])
    return remote, local, plan_repairs(remote, local)


def of_scenario(
    scenario: Scenario, order: Callable[[Any], list[Any]] = list
) -> tuple[dict[str, Any], Look]:
    remote = scenario.remote(order)
    local = load_records(order(scenario.rows().items()))
    plan = plan_repairs(
        remote,
        local,
        scenario.convention,
        scenario.choices,
        lower_counters=bool(scenario.data.get("lower_counters")),
    )
    return frames((remote, local, plan)), (remote, local, plan)


# What they are


@pytest.mark.parametrize("looked", [empty, broken])
def test_columns_order_and_dtypes_are_those_documented(looked: Callable[[], Look]) -> None:
    runs = [a_run("run-1")] if looked is broken else []
    found = frames(looked(), runs)
    assert found.keys() == COLUMNS.keys()
    for name, frame in found.items():
        first, *rest = COLUMNS[name]
        assert (frame.index.name, list(frame.columns)) == (first, rest)
        assert frame.index.dtype == COLUMNS[name][first].dtype
        dtypes = [COLUMNS[name][column].dtype for column in rest]
        assert frame.dtypes.tolist() == dtypes
        assert (len(frame) > 0) == (looked is broken)


def test_every_column_is_documented_in_one_sentence() -> None:
    for field in itertools.chain.from_iterable(map(dict.values, COLUMNS.values())):
        assert re.fullmatch(r"[A-Z][^\n]{10,}\.", field.says)


def test_texts_are_kept_in_python_whether_pyarrow_is_there_or_not() -> None:
    for name, column in ((n, c) for n, columns in COLUMNS.items() for c in columns.values()):
        if isinstance(column.dtype, pd.StringDtype):
            assert (name, column.dtype.storage) == (name, "python")


def test_decisions_are_those_of_the_ledger() -> None:
    assert tuple(Vote) == DECISIONS


def test_frames_are_fresh_each_time() -> None:
    looked = broken()
    for name, frame in frames(looked, [a_run("run-1")]).items():
        for column in frame.columns:
            frame[column] = None
        again = frames(looked, [a_run("run-1")])[name]
        assert again.dtypes.tolist() == [field.dtype for field in COLUMNS[name].values()][1:]
        assert again.notna().any().any()


def test_what_is_taken_from_a_frame_is_as_harmless_as_the_frame() -> None:
    drift = frames(broken())["drift"]
    assert type(drift[drift["approvable"]]) is Frame
    assert type(drift.groupby("owner").first()) is Frame
    assert type(drift["cause"].to_frame()) is Frame
    assert "harmless" in (type(drift["cause"]).__doc__ or "")


# What they say


def test_every_joined_room_has_a_line() -> None:
    rooms = frames(broken())["rooms"]
    assert rooms.index.tolist() == ["!a1", "!a2", "!alice", "!b1", "!bob"]
    assert rooms["kind"].tolist() == ["chat", "chat", "space", "chat", "space"]
    assert rooms["status"].tolist() == ["missing", "mismatched", "skipped", "conflict", "skipped"]
    assert rooms["owner"].tolist() == [ALICE, ALICE, ALICE, BOB, BOB]
    assert rooms["members"].tolist() == [2] * 5
    assert rooms.loc["!a2", "name"] == "Отпуск"
    assert rooms.loc["!bob", "reason"] == "space"
    assert str(rooms.loc["!a1", "created"]).startswith("2023-11-14 ")


def test_a_room_in_sync_says_what_its_rows_say() -> None:
    room = frames(look(small_world(), right()))["rooms"].loc["!a2"]
    said = ["status", "owner", "chat_id", "space_id", "evidence"]
    assert room[said].tolist() == ["in_sync", ALICE, "C2", "!alice", "room_row"]


def test_an_unreadable_room_has_a_line_without_a_kind() -> None:
    remote, local, _ = broken()
    rooms = {room: state for room, state in remote.rooms.items() if room != "!a1"}
    remote = RemoteState(BOT, rooms, {"!a1": "forbidden"})
    frame = rooms_frame(remote, plan_repairs(remote, local), local)
    assert frame.loc["!a1"].dropna().to_dict() == {"status": "conflict"}
    assert len(frame) == 5


@pytest.mark.parametrize("time", [2**70, -1, -(2**63), 253_402_300_800_000])
def test_a_time_that_is_none_is_unknown(time: int) -> None:
    world = small_world()
    create = next(e for e in world.rooms["!a1"] if e["type"] == "m.room.create")
    create["origin_server_ts"] = time
    rooms = frames(broken(world))["rooms"]
    assert rooms["created"].isna().tolist() == [True, False, False, False, False]


def test_every_row_has_a_line_and_its_problem() -> None:
    rows = frames(broken())["rows"]
    assert rows.index.is_monotonic_increasing
    b1 = rows.loc[room_key("!b1")]
    assert (b1["readable"], b1["problem"], b1["unit"]) == (False, "it is not UTF-8", "!b1")
    assert rows.index[rows["orphaned"]].tolist() == ["chat:@zoe:hs:C1"]
    assert rows.loc[user_key(BOB), ["user", "space_id"]].tolist() == [BOB, "!bob"]
    assert rows.loc[user_key(BOB), "next_chat_index"] == 2
    c1 = rows.loc[f"chat:{ALICE}:C1"]
    assert c1[["user", "chat_id", "room_id", "unit"]].tolist() == [ALICE, "C1", "!a1", "!a1"]
    assert pd.isna(rows.loc[f"chat:{BOB}:C1", "display_name"])


def test_a_counter_beyond_64_bits_is_no_number_of_a_frame() -> None:
    rows = right()
    rows[user_key(BOB)] = '{"space_id":"!bob","next_chat_index":99999999999999999999}'
    frame = frames(look(small_world(), rows))["rows"]
    assert pd.isna(frame.loc[user_key(BOB), "next_chat_index"])
    assert frame.loc[user_key(BOB), "readable"]


def test_drift_has_a_line_per_finding_and_per_orphaned_row() -> None:
    _, _, plan = looked = broken()
    drift = frames(looked)["drift"]
    ids = [f.id for unit in plan.units for f in unit.findings] + [f.id for f in plan.loose]
    assert drift.index.tolist()[:-1] == ids
    assert drift["status"].tolist()[-2:] == ["conflict", "orphaned"]
    assert drift[drift["room_id"].isna()]["key"].tolist() == [
        user_key(ALICE),
        room_key("!alice"),
        "chat:@zoe:hs:C1",
    ]
    a2 = drift[drift["unit"] == "!a2"].iloc[0]
    assert a2[["field", "local", "remote"]].tolist() == ["display_name", '"Чат 2"', '"Отпуск"']
    assert drift["approvable"].tolist() == [True, True, True, False, False, False]


def test_notes_stand_in_drift_with_the_status_of_their_room() -> None:
    rows = right()
    rows[f"chat:{ALICE}:C9"] = '{"surface_ref":"!a1"}'
    rows[user_key(ALICE)] = '{"space_id":"!alice","next_chat_index":10}'
    drift = frames(look(small_world(), rows))["drift"]
    [note] = drift[drift["code"] == "surplus_chat_row"].to_dict("records")
    assert (note["room_id"], note["status"], note["chat_id"]) == ("!a1", "in_sync", "C9")
    assert note["approvable"] is False


def test_facts_stand_beside_the_findings_of_conflicts_alone() -> None:
    world = small_world()
    for room in ("!t1", "!t2"):
        world.chat(room, "!bob", "Чат 7", owner=BOB)
    looked = look(world, {**right(), user_key(ALICE): "{}"})
    drift = frames(looked)["drift"]
    told = drift[drift["facts"].notna()]
    assert set(told["unit"]) == set(drift["unit"][drift["status"] == "conflict"])
    [twin] = told["facts"][told["unit"] == "!t1"]
    assert twin.startswith('this room !t1: name "Чат 7"; ')
    assert f"; joined {BOB}; named " in twin
    assert "; link https://matrix.to/#/!t1?via=hs | its twin !t2: " in twin
    assert twin.endswith("C8 (the next free number), C9 (free as well), C10 (free as well)")
    assert drift_frame(looked[2])["facts"].isna().all()


def test_a_finding_id_stands_once_even_for_twice_the_same() -> None:
    twin = Finding(unit="!x", code=Code.ROW_OF_NO_CHAT, key="matrix_room:!x", cause="")
    drift = drift_frame(Plan(account=BOT, joined=(), notes=(twin, twin)))
    assert drift.index.tolist() == [twin.id, f"{twin.id}-2"]


def test_values_too_deep_for_json_are_told_and_not_raised() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    finding = Finding(unit="!x", code=Code.WRONG_FIELD, key="matrix_room:!x", cause="", local=deep)
    drift = drift_frame(Plan(account=BOT, joined=(), notes=(finding,)))
    assert drift["local"].tolist() == ["nested too deeply to show"]
    while deep:
        deep = deep.pop()  # freed level by level


def test_the_plan_has_a_line_per_unit() -> None:
    _, _, plan = broken()
    frame = plan_frame(plan, {"!a1": "approved", "!b1": Vote.DEFERRED})
    assert frame.index.tolist() == [ALICE, "!a1", "!a2", "!b1"]
    assert frame["decision"].tolist() == ["pending", "approved", "pending", "deferred"]
    assert frame["rows"].tolist() == [1, 1, 1, 0]
    assert frame["needs_human"].tolist() == [False, False, False, True]
    changes = [unit.change and unit.change.fingerprint for unit in plan.units]
    assert frame["change"].dropna().tolist() == changes[:3]


def test_changes_have_a_line_per_field_before_and_after_as_json() -> None:
    changes = frames(broken())["changes"]
    [renamed] = changes[changes["unit"] == "!a2"].to_dict("records")
    assert (renamed["verb"], renamed["field"]) == ("change", "display_name")
    assert (json.loads(renamed["before"]), json.loads(renamed["after"])) == ("Чат 2", "Отпуск")
    inserted = changes[changes["key"] == user_key(ALICE)]
    assert inserted["before"].isna().all()
    after = {line.field: json.loads(str(line.after)) for line in inserted.itertuples()}
    assert after == {"space_id": "!alice", "next_chat_index": 3}


def test_an_overwritten_row_shows_what_is_lost() -> None:
    rows = right()
    rows[room_key("!b1")] = ""
    looked = look(small_world(), rows, **{"!b1": Choices(overwrite=True)})
    [line] = frames(looked)["changes"].to_dict("records")
    assert (line["verb"], line["before"]) == ("overwrite", "")
    assert pd.isna(line["field"])
    assert json.loads(line["after"])["chat_id"] == "C1"


def test_history_tells_who_did_what_and_where_nothing_lies() -> None:
    runs = [a_run("run-1"), a_run("run-2", undoes="run-1", finished=False, backup=None)]
    first, second = history_frame(runs).to_dict("records")
    assert first["time"] == pd.Timestamp("2026-11-22T08:00", tz="UTC")
    assert (first["applied"], first["by"], first["undone_by"]) == (1, "eva", "run-2")
    assert first["backup"] == "bot.db.backup"
    assert (second["undoes"], second["finished"]) == ("run-1", False)


@pytest.mark.parametrize("time", ["", "yesterday", "9999-12-31T23:59:59-23:00", "0001-01-01"])
def test_a_journal_with_a_time_of_its_own_is_shown_all_the_same(time: str) -> None:
    run = Run("run-1", time, "x", ())
    assert history_frame([run])["time"].isna().all()
    assert repr(history_frame([run]))


# Questions, each in one line


def test_which_users_lost_rooms() -> None:
    rooms = frames(broken())["rooms"]
    assert rooms[rooms["status"] == "missing"].groupby("owner").size().to_dict() == {ALICE: 1}


def test_what_would_be_written() -> None:
    changes = frames(broken())["changes"]
    written = changes.groupby(["unit", "key"], sort=False)["verb"].first()
    assert written.tolist() == ["insert", "insert", "change"]


def test_who_is_in_conflict_and_why() -> None:
    drift = frames(broken())["drift"]
    found = drift.query("status == 'conflict'")[["owner", "room_id", "cause"]].dropna()
    assert found["owner"].tolist() == [BOB]
    assert "can't be read" in found["cause"].iloc[0]


# Laws


@pytest.mark.parametrize("scenario", load_scenarios(), ids=lambda s: s.rule)
def test_frames_are_true_to_the_plan_in_any_order(scenario: Scenario) -> None:
    found, (remote, local, plan) = of_scenario(scenario)
    check(found, remote, local, plan)
    other, _ = of_scenario(scenario, backwards)
    for name, frame in found.items():
        pd.testing.assert_frame_equal(frame, other[name])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(worlds())
def test_frames_are_true_to_the_plan_of_any_world(sides: Sides) -> None:
    remote, local = sides.remote(), sides.local()
    plan = plan_repairs(remote, local, CONVENTION)
    found = frames((remote, local, plan))
    check(found, remote, local, plan)
    assert all(map(shown, found.values()))


def test_whatever_stands_in_a_frame_of_a_scenario_is_shown() -> None:
    """All scenarios' lines in one frame, since to show a frame takes long however few they are."""
    found = [of_scenario(scenario)[0] for scenario in load_scenarios()]
    for name, first in found[0].items():
        lines = [each[name] for each in found if len(each[name])] or [first]
        whole = pd.concat(lines)
        assert type(whole) is type(first) and whole.dtypes.equals(first.dtypes)
        assert shown(whole)


def check(found: dict[str, Any], remote: RemoteState, local: LocalState, plan: Plan) -> None:
    rooms, rows, drift = found["rooms"], found["rows"], found["drift"]
    assert tuple(rooms.index) == plan.joined
    assert tuple(rooms.index[rooms["status"] == "in_sync"]) == plan.in_sync_rooms
    status = {unit.id: unit.status for unit in plan.units if unit.kind is UnitKind.ROOM}
    status |= {skip.room_id: "skipped" for skip in plan.skipped}  # type: ignore[misc]
    assert {room: rooms.loc[room, "status"] for room in status} == status
    assert rooms["reason"].notna().sum() == len(plan.skipped)
    assert set(remote.unreadable) <= set(rooms.index[rooms["kind"].isna()])
    assert list(rows.index) == sorted(local.rows)
    assert set(rows.index[~rows["readable"]]) == set(local.unreadable)
    assert set(rows.index[rows["orphaned"]]) == set(plan.orphans)
    assert set(rows["unit"].dropna()) <= {unit.id for unit in plan.units}
    told = [f for unit in plan.units for f in unit.findings] + [*plan.loose, *plan.notes]
    assert len(drift) == len(told) + len(plan.orphans)
    assert drift.index.is_unique
    assert drift["status"].notna().all()
    assert list(found["plan"].index) == [unit.id for unit in plan.units]


# Strangers' texts


def hostile_look() -> Look:
    """Every hostile text as the name of a room, of a row's user and in a row's value."""
    world = small_world()
    rows = right()
    for number, name in enumerate(HOSTILE):
        world.chat(f"!h{number}", "!alice", name, owner=ALICE)
        rows[f"chat:@{name}:hs:C1"] = json.dumps({"surface_ref": "!gone"})
        rows[room_key(f"!h{number}")] = json.dumps(
            {"chat_id": f"C{number + 3}", "matrix_user_id": ALICE, "space_id": name}
        )
    return look(world, rows)


def shown(frame: Any) -> str:
    """All that a person may come to see of a frame."""
    parts = [repr(frame), frame._repr_html_(), frame.to_html(), frame.to_string()]
    return "\n".join([*parts, *(repr(frame[column]) for column in frame.columns)])


def harmless(markup: str) -> bool:
    bare = markup.replace("<span>$</span>", "").replace("<span>\\</span>", "")
    return "<img" not in bare and "$" not in bare and "\\" not in bare


def test_hostile_texts_are_data_to_the_letter() -> None:
    remote, local, plan = hostile_look()
    rooms = remote.rooms | {"!h6": msgspec.structs.replace(remote.rooms["!h6"], name=HOSTILE[6])}
    found = frames((RemoteState(BOT, rooms), local, plan))
    assert set(HOSTILE) <= set(found["rooms"]["name"])
    users = found["rows"]["user"].tolist()
    assert {f"@{name}:hs" for name in HOSTILE} <= set(users)
    key = f"chat:@{HOSTILE[6]}:hs:C1"
    assert found["rows"].loc[key, "orphaned"]
    assert found["rooms"].groupby("name").size()[HOSTILE[5]] == 1


@pytest.mark.parametrize("width", [20, 50, None])
def test_nothing_in_a_frames_html_executes_or_typesets(width: int | None) -> None:
    with pd.option_context("display.max_colwidth", width, "display.max_columns", None):
        for frame in frames(hostile_look()).values():
            assert harmless(frame._repr_html_() or "")
            assert harmless(frame.to_html())
            assert "<img" not in frame.head().style.to_html()


def test_nothing_invisible_reaches_a_screen() -> None:
    for frame in frames(hostile_look()).values():
        out = shown(frame)
        assert not set(out) & set("\x1b\u202e\0\r\t\udcff")
        assert out.encode()
    out = shown(frames(hostile_look())["rooms"][["name"]])
    assert all(part in out for part in ("\\u{202e}gnp.exe", "\\u{1b}[31m", "two\\u{a}lines"))
    assert "<span>\\</span>u{202e}gnp.exe" in out


def test_a_key_with_a_space_at_its_end_is_told_from_the_right_one() -> None:
    frame = Frame({"key": ["chat:@a:hs:C1", "chat:@a:hs:C1 ", "chat:@a:hs:C  1"]})
    for out in (repr(frame), repr(frame["key"]), frame._repr_html_() or ""):
        out = out.replace("<span>\\</span>", "\\")
        assert "C1\\u{20}" in out and "C \\u{20}1" in out
    assert frame["key"][1] == "chat:@a:hs:C1 "


def test_index_header_and_lists_are_made_visible_too() -> None:
    rooms = frames(hostile_look())["rooms"].reset_index()
    rooms["owner"] = rooms["owner"].fillna("nobody")
    derived: list[Any] = [
        rooms.set_index("name"),
        rooms.set_index(["owner", "name"]),
        rooms.pivot_table(index="owner", columns="name", values="members", observed=True),
        rooms.groupby("owner")["name"].agg(list).to_frame(),
        rooms.astype({"name": "category"})[["name"]],
        rooms.astype({"name": object})[["name"]],
    ]
    for frame in derived:
        assert harmless(frame._repr_html_())
        assert not set(shown(frame)) & set("\x1b\u202e\0\r\t\udcff")


def test_a_long_frame_shows_its_ends_and_its_height() -> None:
    rooms = {"name": [f"room {number}" for number in range(5_000)]}
    frame, plain = Frame(rooms), pd.DataFrame(rooms)
    assert repr(frame) == repr(plain)
    assert repr(frame["name"]) == repr(plain["name"])
    assert "<p>5000 rows × 1 columns</p>" in (frame._repr_html_() or "")
    assert "room 4999" in (frame._repr_html_() or "")


def test_pandas_own_switches_still_count() -> None:
    frame = frames(broken())["rooms"]
    with pd.option_context("display.notebook_repr_html", False):
        assert frame._repr_html_() is None
    with pd.option_context("display.large_repr", "info", "display.max_rows", 1):
        assert "5 entries" in repr(frame)
    buffer = io.StringIO()
    assert frame.to_html(buffer) is None
    assert buffer.getvalue() == frame.to_html()
