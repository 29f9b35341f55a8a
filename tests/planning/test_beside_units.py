"""What the plan says beside its units: notes, other rows, and what each Space reaches."""

import pytest

from tests.scenario import Scenario, load
from toolkit.model import Code
from toolkit.planning.plan import plan_repairs


def test_a_note_says_what_the_joined_room_is_that_the_row_is_about() -> None:
    plan = Scenario(
        {
            "rule": "",
            "remote": {
                "!s": {"space": "@alice:hs", "chats": {"!r1": "Чат 1"}},
                "!evil": {"by": "@m:hs"},
            },
            "right": {"@alice:hs in !s": {"C1": "!r1"}},
            "rows": {
                "matrix_user:@m:hs": {"space_id": "!r1", "next_chat_index": 1},
                "chat:@m:hs:C3": {"surface_ref": "!evil"},
                "matrix_room:!s": {"chat_id": "C9", "matrix_user_id": "@m:hs", "space_id": "!s"},
            },
        }
    ).plan()
    said = {note.key: note.cause for note in plan.notes}
    assert "a joined room that is no Space;" in said["matrix_user:@m:hs"]
    assert "a joined room that is no chat (not_created_by_bot);" in said["chat:@m:hs:C3"]
    assert "a joined room that is no chat (space);" in said["matrix_room:!s"]
    assert not plan.in_sync  # of what a stranger's room is, nothing was compared


def test_other_rows_are_counted_over_both_kinds() -> None:
    plan = Scenario(
        {
            "rule": "",
            "remote": {"!s": {"space": "@alice:hs"}},
            "right": {"@alice:hs in !s": {}},
            "rows": {
                "chat:1:C3": {"platform": "telegram", "surface_ref": "-1"},
                "chat:1:C4": {"platform": "telegram", "surface_ref": -1},
                "matrix_room:!far": {
                    "room_type": "lobby",
                    "chat_id": "C1",
                    "matrix_user_id": "@bob:hs",
                    "space_id": "!s",
                },
            },
        }
    ).plan()
    assert plan.others == 3
    assert plan.in_sync


def test_without_being_told_to_nobody_lowers_a_counter() -> None:
    scenario = Scenario(
        {
            "rule": "",
            "remote": {"!s": {"space": "@alice:hs"}},
            "right": {"@alice:hs in !s": {}},
            "rows": {"matrix_user:@alice:hs": {"next_chat_index": 9}},
        }
    )
    [unit] = plan_repairs(scenario.remote(), load(scenario.rows())).units
    assert not unit.change


def test_a_space_reaches_its_chats_versions_and_archives_and_no_other_users() -> None:
    child = {"type": "m.space.child", "content": {"via": ["hs"]}}
    plan = Scenario(
        {
            "rule": "",
            "remote": {
                "!s": {"space": "@alice:hs", "chats": {"!r1": "Чат 1"}},
                "!in": {"space": None, "chats": {"!r2": "Чат 2"}},
                "!t": {"space": "@bob:hs", "chats": {"!b1": "Чат 1"}},
                "!bin": {"space": None, "members": {"@bob:hs": "leave"}},
                "events": {
                    "!s": [{**child, "key": "!in"}],
                    "!t": [{**child, "key": "!bin"}],
                },
                "upgrades": ["!r1 -> !r1b"],
            },
        }
    ).plan()
    assert plan.spaces == {"!s": ("!in", "!r1", "!r1b", "!r2", "!s"), "!t": ("!b1", "!bin", "!t")}


@pytest.mark.parametrize("unreadable", [{}, {"!dark": "timeout"}])
def test_a_chat_of_a_space_that_only_a_row_vouches_for_keeps_its_id(
    unreadable: dict[str, str],
) -> None:
    """Until its owner is settled; also where another room couldn't be read."""
    plan = Scenario(
        {
            "rule": "",
            "remote": {
                "!a": {"space": "@alice:hs", "chats": {"!new": "Чат 1"}},
                "!b": {
                    "space": None,
                    "members": {"@alice:hs": "knock"},
                    "chats": {"!old": "Чат 1"},
                },
                "!dark": {"by": "@m:hs"},
                "unreadable": unreadable,
            },
            "rows": {"matrix_user:@alice:hs": {"space_id": "!b", "next_chat_index": 2}},
        }
    ).plan()
    unit = plan.unit("!new")
    assert unit
    assert Code.DUPLICATE_CHAT_ID in {finding.code for finding in unit.findings}
    assert unit.change is None
