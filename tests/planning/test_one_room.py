"""One room out of a plan: everything that is about it, and nothing that is about another."""

from typing import Any

from tests.scenario import Scenario, load
from toolkit.model import Code, Plan, Reason, Skip, Status, UnitKind
from toolkit.planning.one_room import narrow_plan

ALICE, BOB = "@alice:hs", "@bob:hs"
UNREADABLE = "[]"


def narrowed(room_id: str, user_id: str, **world: Any) -> Plan:
    scenario = Scenario({"rule": "", **world})
    return narrow_plan(scenario.plan(), load(scenario.rows()), room_id, user_id)


TWO_USERS: dict[str, Any] = {
    "remote": {
        "!s": {"space": ALICE, "chats": {"!r1": "Чат 1", "!r2": "Чат 2"}},
        "!t": {"space": BOB, "chats": {"!b1": "Чат 999999999"}},
        "!loose": {},
        "!far": {},
    },
    "right": {f"{ALICE} in !s": {"C1": "!r1"}, f"{BOB} in !t": {"C999999999": "!b1"}},
    "rows": {
        "matrix_room:!loose": UNREADABLE,
        "matrix_room:!far": UNREADABLE,
        f"matrix_user:{ALICE}": "absent",
        f"matrix_user:{BOB}": {"next_chat_index": 5},
        f"chat:{ALICE}:C1": "absent",
        f"chat:{BOB}:C7": {"surface_ref": "!gone"},
        f"chat:{BOB}:C8": {"surface_ref": "!further"},
        f"chat:{ALICE}:C5": {"surface_ref": "!far"},
        f"chat:{ALICE}:C6": {"surface_ref": "!loose"},
        f"chat:{ALICE}:unregistered:!r1": {"surface_ref": "!r1"},
        f"chat:{ALICE}:unregistered:!r2": {"surface_ref": "!r2"},
        "matrix_room:!gone": {"chat_id": "C7", "matrix_user_id": BOB, "space_id": "!t"},
        "matrix_room:!further": {"chat_id": "C8", "matrix_user_id": BOB, "space_id": "!t"},
    },
}


def test_a_room_comes_with_its_user_row_and_its_own_leftovers() -> None:
    plan = narrowed("!r1", ALICE, **TWO_USERS)
    assert plan.joined == ("!r1",)
    assert [unit.id for unit in plan.units] == [ALICE, "!r1"]
    assert plan.orphans == (f"chat:{ALICE}:unregistered:!r1",)
    assert not (
        plan.in_sync_rooms or plan.in_sync_users or plan.skipped or plan.notes or plan.loose
    )


def test_a_room_in_sync_comes_with_its_user_and_what_is_noted_about_that_user() -> None:
    plan = narrowed("!b1", BOB, **TWO_USERS)
    assert (plan.joined, plan.in_sync_rooms, plan.in_sync_users) == (("!b1",), ("!b1",), (BOB,))
    assert [(note.unit, note.code) for note in plan.notes] == [(BOB, Code.IDS_EXHAUSTED)]
    assert not (plan.units or plan.orphans or plan.skipped or plan.loose)


def test_a_room_that_is_no_chat_comes_with_its_unreadable_row_and_its_notes() -> None:
    plan = narrowed("!loose", ALICE, **TWO_USERS)
    assert plan.skipped == (Skip("!loose", Reason.NO_SPACE),)
    assert [conflict.key for conflict in plan.loose] == ["matrix_room:!loose"]
    assert [note.key for note in plan.notes] == [f"chat:{ALICE}:C6"]
    assert not (plan.units or plan.orphans or plan.in_sync_users)


def test_a_room_that_is_not_joined_comes_with_its_orphaned_rows() -> None:
    plan = narrowed("!gone", BOB, **TWO_USERS)
    assert (plan.joined, plan.skipped) == ((), (Skip("!gone", Reason.NOT_JOINED),))
    assert plan.orphans == (f"chat:{BOB}:C7", "matrix_room:!gone")
    assert not (plan.units or plan.in_sync_users or plan.notes or plan.loose)


def test_an_unreadable_user_row_goes_with_the_room_of_a_user_who_is_only_proposed() -> None:
    rooms = {
        "!s": {"space": None, "members": {ALICE: "leave"}, "chats": {"!r1": "Чат 1"}},
        "!t": {"space": None, "members": {BOB: "leave"}, "chats": {"!b1": "Чат 1"}},
    }
    rows = {f"matrix_user:{user}": UNREADABLE for user in (ALICE, BOB)}
    plan = narrowed("!r1", ALICE, remote=rooms, rows=rows)
    assert [unit.id for unit in plan.units] == ["!s", "!r1"]
    assert [conflict.key for conflict in plan.loose] == [f"matrix_user:{ALICE}"]


def test_a_room_met_through_another_user_is_a_conflict_beside_its_own() -> None:
    rows = {**TWO_USERS["rows"], "matrix_room:!r2": UNREADABLE}
    plan = narrowed("!r2", BOB, **{**TWO_USERS, "rows": rows})
    [unit] = plan.units
    assert (unit.id, unit.kind, unit.status) == ("!r2", UnitKind.ROOM, Status.CONFLICT)
    assert (unit.owner, unit.room_ids, unit.change) == (ALICE, ("!r2",), None)
    assert unit.needs_human
    mismatch, unreadable = unit.findings
    assert (mismatch.unit, mismatch.code) == ("!r2", Code.OWNER_MISMATCH)
    assert (mismatch.key, mismatch.local, mismatch.remote) == ("matrix_room:!r2", BOB, ALICE)
    assert mismatch.proposal == ALICE
    assert mismatch.cause == f"the room was met through {BOB}, but it is a chat of {ALICE}"
    assert unreadable.code is Code.UNREADABLE_ROW
    assert not (plan.in_sync_rooms or plan.in_sync_users)


def test_a_room_in_sync_that_was_met_through_another_user_is_in_sync_no_longer() -> None:
    plan = narrowed("!b1", ALICE, **TWO_USERS)
    [unit] = plan.units
    assert [finding.code for finding in unit.findings] == [Code.OWNER_MISMATCH]
    assert not (plan.in_sync_rooms or plan.in_sync_users or plan.notes)
