"""The report of the bot's two functions (rules 5)."""

import json
from typing import Any, cast

import pytest

from toolkit.model import (
    Change,
    Code,
    Finding,
    Plan,
    Reason,
    RowWrite,
    Skip,
    Status,
    Unit,
    UnitKind,
)
from toolkit.records import chat_key, room_key, user_key
from toolkit.writing.report import Report, build_report, stale_units

ALICE = "@alice:hs"


def finding(unit: str, code: Code, key: str | None = None, **more: Any) -> Finding:
    """As the planner says it of a room or user row as a whole, unless a row is named."""
    if key is None:
        key = user_key(unit) if unit.startswith("@") else room_key(unit)
    return Finding(unit=unit, code=code, key=key, cause=f"cause of {code}", **more)


def unit(id: str, *writes: RowWrite, findings: tuple[Finding, ...] = (), **more: Any) -> Unit:
    kind = UnitKind.USER if more.get("owner") == id else UnitKind.ROOM
    more = {"kind": kind, "status": Status.MISSING, "owner": ALICE} | more
    change = Change(writes) if writes else None
    return Unit(id=id, findings=findings, change=change, **more)


def plan(*units: Unit, **more: Any) -> Plan:
    return Plan(account="@bot:hs", **({"joined": (), "units": units} | more))


def only(report: Report, *keys: str) -> dict[str, list[Any]]:
    """The named lists; the others must be empty."""
    assert [key for key, found in report.items() if found and key not in keys] == []
    return {key: cast("list[Any]", found) for key, found in report.items() if key in keys}


def test_every_key_is_there_in_one_order_and_empty_without_news() -> None:
    report = build_report(plan(), {})
    assert list(report.items()) == [(key, []) for key in Report.__annotations__]
    assert len(Report.__annotations__) == 12


def test_restored_and_repaired_rows_are_told_apart_by_family() -> None:
    new = unit(
        "!a",
        RowWrite("matrix_room:!a", None, "{}"),
        RowWrite(f"chat:{ALICE}:C1", None, "{}"),
    )
    old = unit(
        "!b",
        RowWrite("matrix_room:!b", "{}", "{ }"),
        RowWrite(f"chat:{ALICE}:C2", '{"surface_ref": "!gone"}', "{}"),
    )
    row = unit(ALICE, RowWrite(f"matrix_user:{ALICE}", None, "{}"), owner=ALICE)
    report = build_report(plan(row, new, old), {"!a": None, "!b": None, ALICE: None})
    assert {key: found for key, found in report.items() if found} == {
        "restored_user_meta": [ALICE],
        "restored_room_meta": ["!a"],
        "repaired_room_meta": ["!b"],
        "restored_chat_rows": [{"user_id": ALICE, "chat_id": "C1", "room_id": "!a"}],
        "repaired_chat_rows": [
            {"user_id": ALICE, "chat_id": "C2", "room_id": "!b", "previous_surface_ref": "!gone"}
        ],
    }


@pytest.mark.parametrize("before", ["{not json", b"\xff", '{"other": 1}'])
def test_a_chat_row_that_pointed_nowhere_has_no_previous_room(before: Any) -> None:
    chat = unit("!a", RowWrite(f"chat:{ALICE}:C1", before, "{}"))
    report = build_report(plan(chat), {"!a": None})
    assert report["repaired_chat_rows"][0]["previous_surface_ref"] is None


def test_a_repaired_user_row_is_named_by_its_user() -> None:
    row = unit(ALICE, RowWrite(f"matrix_user:{ALICE}", "{}", "{ }"), owner=ALICE)
    assert only(build_report(plan(row), {ALICE: None}), "repaired_user_meta") == {
        "repaired_user_meta": [ALICE]
    }


def test_what_went_stale_is_a_conflict_and_not_restored() -> None:
    lost = unit("!a", RowWrite("matrix_room:!a", None, "{}"))
    row = unit(ALICE, RowWrite(f"matrix_user:{ALICE}", None, "{}"), owner=ALICE)
    report = build_report(plan(lost, row), {"!a": "moved", ALICE: ""})
    assert only(report, "conflicts")["conflicts"] == [
        {"code": "stale_plan", "room_id": "!a", "user_id": ALICE, "detail": "moved"},
        {"code": "stale_plan", "key": f"matrix_user:{ALICE}", "user_id": ALICE, "detail": ""},
    ]


def test_the_units_that_went_stale_are_found_by_room_or_user_if_asked_for() -> None:
    lost = [unit(room, RowWrite(room_key(room), None, "{}")) for room in ("!a", "!b")]
    row = unit(ALICE, RowWrite(user_key(ALICE), None, "{}"), owner=ALICE)
    stuck = unit("!c", findings=(finding("!c", Code.OWNER_LEFT),), status=Status.CONFLICT)
    report = build_report(plan(*lost, row, stuck), {"!a": "moved", "!b": "too", ALICE: "late"})
    assert stale_units(report, ["!a", "!c", ALICE]) == {"!a": "moved", ALICE: "late"}


def test_what_was_not_to_be_written_is_in_no_list() -> None:
    lost = unit("!a", RowWrite("matrix_room:!a", None, "{}"))
    only(build_report(plan(lost), {}))


def test_conflicts_name_room_row_or_space_and_have_their_proposal() -> None:
    conflict = {"status": Status.CONFLICT}
    room = unit("!a", findings=(finding("!a", Code.OWNER_LEFT, proposal=ALICE),), **conflict)
    row = unit(ALICE, findings=(finding(ALICE, Code.MULTIPLE_SPACES),), owner=ALICE, **conflict)
    space = unit(
        "!s",
        findings=(finding("!s", Code.OWNER_UNKNOWN, ""), finding("!s", Code.MISSING_ROW, "")),
        owner=None,
        kind=UnitKind.USER,
        **conflict,
    )
    loose = finding("chat:x", Code.UNREADABLE_ROW, "chat:x")
    report = build_report(plan(room, row, space, loose=(loose,)), {})
    assert only(report, "conflicts")["conflicts"] == [
        {
            "code": "owner_left",
            "room_id": "!a",
            "user_id": ALICE,
            "detail": "cause of owner_left",
            "proposal": ALICE,
        },
        {"code": "owner_unknown", "room_id": "!s", "detail": "cause of owner_unknown"},
        {"code": "unreadable_row", "key": "chat:x", "detail": "cause of unreadable_row"},
        {
            "code": "multiple_spaces",
            "key": f"matrix_user:{ALICE}",
            "user_id": ALICE,
            "detail": "cause of multiple_spaces",
        },
    ]


def test_a_conflict_names_the_user_if_the_unit_or_the_key_does() -> None:
    stuck = finding("!a", Code.CHAT_ID_UNKNOWN)
    for owner in (ALICE, None):
        report = build_report(
            plan(unit("!a", findings=(stuck,), status=Status.CONFLICT, owner=owner)), {}
        )
        assert report["conflicts"][0].get("user_id") == owner
    for key, user in ((chat_key(ALICE, "C9"), ALICE), (room_key("!a"), None)):
        report = build_report(plan(loose=(finding(key, Code.UNREADABLE_ROW, key),)), {})
        assert report["conflicts"][0].get("user_id") == user


def told(report: Report) -> list[dict[str, Any]]:
    """The conflicts by what they are about, once it is sure that they have words."""
    assert all(conflict["detail"] for conflict in report["conflicts"])
    return [
        {name: value for name, value in conflict.items() if name not in ("detail", "user_id")}
        for conflict in report["conflicts"]
    ]


def test_a_conflict_about_a_row_of_a_room_names_both() -> None:
    room, chat = room_key("!a"), chat_key(ALICE, "C1")
    findings = (
        finding("!a", Code.UNREADABLE_ROW, room),
        finding("!a", Code.UNREADABLE_ROW, chat),
        finding("!a", Code.DUPLICATE_CHAT_ID, chat),
        finding("!a", Code.CHAT_ID_UNKNOWN),
    )
    for order in (findings, findings[::-1]):
        conflict = unit("!a", findings=order, status=Status.CONFLICT)
        assert told(build_report(plan(conflict), {})) == [
            {"code": "chat_id_unknown", "room_id": "!a"},
            {"code": "duplicate_chat_id", "room_id": "!a", "key": chat},
            {"code": "unreadable_row", "room_id": "!a", "key": chat},
            {"code": "unreadable_row", "room_id": "!a", "key": room},
        ]


def test_a_conflict_about_the_row_of_a_user_who_is_only_guessed_names_the_space_and_that_row() -> (
    None
):
    findings = (
        finding("!s", Code.OWNER_LEFT, user_key(ALICE), proposal=ALICE),
        finding("!s", Code.UNREADABLE_ROW, user_key(ALICE)),
    )
    space = unit("!s", findings=findings, kind=UnitKind.USER, status=Status.CONFLICT)
    assert told(build_report(plan(space), {})) == [
        {"code": "owner_left", "room_id": "!s", "proposal": ALICE},
        {"code": "unreadable_row", "room_id": "!s", "key": user_key(ALICE)},
    ]


def test_a_row_of_a_joined_room_that_belongs_to_no_unit_names_that_room() -> None:
    loose = [
        Finding(unit=key, code=Code.UNREADABLE_ROW, key=key, cause="it is broken")
        for key in (room_key("!lobby"), chat_key(ALICE, "C1"), user_key(ALICE))
    ]
    assert told(build_report(plan(loose=tuple(loose)), {})) == [
        {"code": "unreadable_row", "room_id": "!lobby", "key": room_key("!lobby")},
        {"code": "unreadable_row", "key": chat_key(ALICE, "C1")},
        {"code": "unreadable_row", "key": user_key(ALICE)},
    ]


def test_a_row_of_a_room_that_is_no_chat_names_both() -> None:
    no_chat = unit("!a", findings=(finding("!a", Code.NOT_A_CHAT),), status=Status.CONFLICT)
    assert told(build_report(plan(no_chat), {})) == [
        {"code": "not_a_chat", "room_id": "!a", "key": room_key("!a")}
    ]


def test_a_moved_chat_and_a_lowered_counter_are_noted_with_both_values() -> None:
    told = (
        finding("!a", Code.WRONG_SURFACE_REF, "chat:1", local="!x", remote="!a"),
        finding("!a", Code.WRONG_FIELD),
    )
    note = finding(ALICE, Code.IDS_EXHAUSTED, "matrix_user:1")
    report = build_report(plan(unit("!a", findings=told), notes=(note,)), {})
    assert only(report, "notes")["notes"] == [
        {
            "code": "wrong_surface_ref",
            "key": "chat:1",
            "detail": "cause of wrong_surface_ref (was !x, should be !a)",
        },
        {"code": "ids_exhausted", "key": "matrix_user:1", "detail": "cause of ids_exhausted"},
    ]


def test_each_units_notes_are_told() -> None:
    told = [unit(r, findings=(finding(r, Code.WRONG_SURFACE_REF),)) for r in ("!a", "!b")]
    notes = build_report(plan(*told), {})["notes"]
    assert [note["key"] for note in notes] == [room_key("!a"), room_key("!b")]


@pytest.mark.parametrize("order", [1, -1])
def test_what_is_about_one_room_is_sorted_by_all_that_is_said_of_it(order: int) -> None:
    chats = [(ALICE, "C2"), ("@bob:hs", "C1"), ("@bob:hs", "C3")]
    writes = [RowWrite(chat_key(*chat), None, "{}") for chat in chats][::order]
    said = [(Code.CHAT_ID_UNKNOWN, "z"), (Code.OWNER_LEFT, "a"), (Code.OWNER_LEFT, "b")]
    causes = [
        Finding(unit="!b", code=code, key=room_key("!b"), cause=cause) for code, cause in said
    ][::order]
    stuck = unit("!b", findings=tuple(causes), status=Status.CONFLICT)
    report = build_report(plan(unit("!a", *writes), stuck), {"!a": None})
    assert [(r["user_id"], r["chat_id"]) for r in report["restored_chat_rows"]] == chats
    assert [(c["code"], c["detail"]) for c in report["conflicts"]] == said


def test_lists_are_sorted_and_json_can_hold_them() -> None:
    units = [
        unit(
            room,
            status=Status.CONFLICT,
            findings=(finding(room, Code.ROOM_UNREADABLE), finding(room, Code.CHAT_ID_UNKNOWN)),
        )
        for room in ("!b", "!a")
    ]
    skips = (Skip("!z", Reason.SPACE), Skip("!y", Reason.TOMBSTONED))
    report = build_report(
        plan(
            *units,
            joined=("!z", "!y"),
            skipped=skips,
            orphans=("k2", "k\udce9"),
            in_sync_rooms=("!c",),
        ),
        {},
    )
    assert [(c["room_id"], c["code"]) for c in report["conflicts"]] == [
        ("!a", "chat_id_unknown"),
        ("!a", "room_unreadable"),
        ("!b", "chat_id_unknown"),
        ("!b", "room_unreadable"),
    ]
    assert report["joined_rooms"] == ["!y", "!z"]
    assert report["skipped_rooms"] == [
        {"room_id": "!y", "reason": "tombstoned"},
        {"room_id": "!z", "reason": "space"},
    ]
    assert report["unchanged_rooms"] == ["!c"]
    assert report["orphaned_rows"] == ["k2", "k\udce9"]
    assert json.loads(json.dumps(report)) == report
