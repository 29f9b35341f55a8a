"""What notes and the plan's other lists say of rows and Spaces."""

from tests.scenario import Scenario


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
            },
        }
    ).plan()
    said = {note.key: note.cause for note in plan.notes}
    assert "a joined room that is no Space;" in said["matrix_user:@m:hs"]
    assert "a joined room that is no chat (not_created_by_bot);" in said["chat:@m:hs:C3"]


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
