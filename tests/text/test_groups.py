"""Units with the same thing the matter stand together, and users are told apart by as little as will do."""

from tests.text.test_view import UNITS, finding, room, user_row
from toolkit.model import Code, Status, Unit, UnitKind
from toolkit.text.groups import Group, find_groups
from toolkit.text.localparts import short_names

CONFLICT, MISSING, WRONG = Status.CONFLICT, Status.MISSING, Status.MISMATCHED


def test_each_unit_is_in_one_group_conflicts_first_and_then_the_largest() -> None:
    groups, places = find_groups(UNITS)
    assert [(group.status, group.words) for group in groups] == [
        (CONFLICT, "its owner has left"),
        (CONFLICT, "nobody is known to own it"),
        (MISSING, "room row is missing"),
        (WRONG, "a chat row points at another room"),
        (MISSING, "user row is missing"),
    ]
    assert [groups[place].words for place in places] == [
        "its owner has left",
        "nobody is known to own it",
        "user row is missing",
        "room row is missing",
        "a chat row points at another room",
        "room row is missing",
        "room row is missing",
    ]


def test_all_that_is_the_matter_is_said_and_rows_that_are_gone_in_one_breath() -> None:
    both = room("!b", "@a:hs", "C1")
    gone = (*both.findings, finding("!b", Code.MISSING_ROW, "chat:@a:hs:C1"))
    more = (*gone, finding("!b", Code.COUNTER_TOO_LOW))
    said = [
        find_groups([Unit(id="!b", kind=UnitKind.ROOM, status=MISSING, findings=found)])[0][0]
        for found in ((), both.findings, gone, more)
    ]
    assert [group.words for group in said] == [
        "something else would be written",
        "room row is missing",
        "room row and chat row are missing",
        "room row and chat row are missing; the next chat would take a used number",
    ]
    assert said[1].name == " missing: room row is missing"


def test_of_a_conflict_only_what_makes_it_one_counts() -> None:
    one = room("!x", "@a:hs", "C1", CONFLICT, Code.MISSING_ROW, Code.OWNER_LEFT)
    other = room("!y", "@a:hs", "C2", CONFLICT, Code.OWNER_LEFT)
    assert find_groups([one, other]) == ([Group(CONFLICT, "its owner has left")], [0, 0])
    assert find_groups([user_row("@a:hs", "!s"), other])[1] == [1, 0]


def test_users_of_two_servers_with_one_localpart_keep_their_servers() -> None:
    users = ["@alice:hs", "@bob:hs", "@bob:other", "@bob:hs", "odd", "@:hs", "@no"]
    assert short_names(users) == {
        "@alice:hs": "alice",
        "@bob:hs": "@bob:hs",
        "@bob:other": "@bob:other",
        "odd": "odd",
        "@:hs": "@:hs",
        "@no": "@no",
    }
