"""Which planned changes a row that moved makes stale (rules 4)."""

import json
from typing import Any

import pytest

from toolkit.model import Change, Plan, RowWrite, Status, Unit, UnitKind
from toolkit.records import Raw, chat_key, room_key, user_key
from toolkit.writing.staleness import compare_rows, why_stale

ALICE, BOB = "@alice:hs", "@bob:hs"
PLAN = Plan(account="@bot:hs", joined=(), spaces={"!s": ("!s", "!a", "!a old", "!sibling")})
CHANGE = Change((RowWrite("written", "1", "2"),), ("relied",))
ROOM = Unit(
    id="!a",
    kind=UnitKind.ROOM,
    status=Status.MISSING,
    findings=(),
    owner=ALICE,
    chat_id="C1",
    space_id="!s",
    room_ids=("!a", "!a old"),
    change=CHANGE,
)
USER = Unit(
    id=ALICE,
    kind=UnitKind.USER,
    status=Status.MISSING,
    findings=(),
    owner=ALICE,
    space_id="!s",
    room_ids=("!s",),
    change=CHANGE,
)
FOREIGN = Plan(account="@bot:hs", joined=(), foreign=True)
UNDO = Unit(id="!a", kind=UnitKind.ROOM, status=Status.MISMATCHED, findings=(), change=CHANGE)


def user_row(space: str) -> str:
    return json.dumps({"space_id": space, "next_chat_index": 1})


def room_row(owner: str, chat_id: str = "C9") -> str:
    return json.dumps({"chat_id": chat_id, "matrix_user_id": owner, "space_id": "!s"})


def chat_row(room_id: str) -> str:
    return json.dumps({"surface_ref": room_id})


def stale(unit: Unit, key: str, before: Raw, after: Raw) -> bool:
    rows = [{} if raw is None else {key: raw} for raw in (before, after)]
    return why_stale(unit, PLAN, compare_rows(*rows)) is not None


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        ({"k": "1"}, {"k": "1"}, set()),
        ({"k": "1"}, {"k": "2"}, {"k"}),
        ({"k": "1"}, {"k": b"1"}, {"k"}),
        ({"k": "1"}, {}, {"k"}),
        ({}, {"k": "1"}, {"k"}),
        ({}, {"own": "1"}, set()),
        ({"k": "caf\udce9"}, {"k": "café"}, {"k"}),
    ],
)
def test_a_row_moves_when_it_comes_goes_or_changes(
    before: Any, after: Any, moved: set[str]
) -> None:
    found = compare_rows(before, after, own=["own"])
    assert found.keys == moved
    assert found.before.rows.keys() | found.after.rows.keys() == moved


@pytest.mark.parametrize("unit", [ROOM, USER, UNDO])
def test_every_unit_rests_on_the_rows_that_it_writes_and_names(unit: Unit) -> None:
    assert stale(unit, "written", "1", "3")
    assert stale(unit, "relied", None, "1")
    assert not stale(unit, "other", None, "1")


def test_a_unit_without_a_change_rests_on_nothing() -> None:
    bare = Unit(id="!a", kind=UnitKind.ROOM, status=Status.CONFLICT, findings=())
    assert not stale(bare, room_key("!a"), None, room_row(BOB))


@pytest.mark.parametrize("before", [None, "{", room_row(ALICE)])
@pytest.mark.parametrize("after", [None, "[", room_row(ALICE)])
@pytest.mark.parametrize("version", ["!a", "!a old"])
def test_a_room_rests_on_the_room_rows_of_all_its_versions(
    version: str, before: Raw, after: Raw
) -> None:
    assert stale(ROOM, room_key(version), before, after) == (before != after)


@pytest.mark.parametrize(
    ("key", "before", "after", "expected"),
    [
        (chat_key(ALICE, "C3"), None, chat_row("!a"), True),
        (chat_key(ALICE, "C3"), chat_row("!a"), None, True),
        (chat_key(ALICE, "C3"), chat_row("!sibling"), chat_row("!elsewhere"), False),
        (chat_key(ALICE, "C3"), chat_row("!sibling"), None, True),
        (chat_key(BOB, "C3"), None, chat_row("!sibling"), True),
        (chat_key(BOB, "C3"), None, chat_row("!elsewhere"), False),
        (chat_key(ALICE, "unregistered:!a"), None, chat_row("!a"), False),
        (room_key("!sibling"), room_row(ALICE), room_row(ALICE, "C8"), False),
        (room_key("!sibling"), room_row(ALICE), room_row(BOB), True),
        (room_key("!sibling"), None, room_row(ALICE), False),
        (room_key("!sibling"), None, room_row(ALICE, "C1"), True),
        (room_key("!new"), None, room_row(ALICE, "C1"), True),
        (room_key("!new"), None, room_row(BOB, "C1"), False),
        (room_key("!sibling"), room_row(ALICE), "{", True),
        (user_key(ALICE), user_row("!s"), user_row("!s") + " ", False),
        (user_key(BOB), None, user_row("!s"), True),
        (user_key(BOB), user_row("!s"), user_row("!t"), True),
        (user_key(BOB), None, user_row("!t"), False),
    ],
)
def test_a_room_rests_on_what_names_the_owner_of_its_space(
    key: str, before: Raw, after: Raw, expected: bool
) -> None:
    assert stale(ROOM, key, before, after) == expected


@pytest.mark.parametrize(
    ("key", "before", "after", "expected"),
    [
        (user_key(ALICE), None, user_row("!x"), True),
        (chat_key(ALICE, "C3"), None, chat_row("!x"), True),
        (chat_key(ALICE, "C3"), chat_row("!x"), "{", True),
        (room_key("!x"), None, room_row(ALICE), True),
        (room_key("!x"), room_row(ALICE), room_row(BOB), True),
        (room_key("!x"), None, room_row(BOB), False),
        (user_key(BOB), None, user_row("!s"), True),
        (user_key(BOB), None, user_row("!t"), False),
        (chat_key(BOB, "C3"), None, chat_row("!x"), False),
    ],
)
def test_a_user_row_rests_on_all_rows_of_that_user(
    key: str, before: Raw, after: Raw, expected: bool
) -> None:
    assert stale(USER, key, before, after) == expected


def test_an_undo_rests_on_nothing_but_what_it_puts_back() -> None:
    for key in (room_key("!a"), chat_key(ALICE, "C1"), user_key(ALICE), room_key("!new")):
        assert not stale(UNDO, key, None, "{")


def foreign(key: str, before: Raw, after: Raw) -> Unit:
    """A room that a bot's own function would write, without an owner that anybody is sure of."""
    return Unit(
        id="!a",
        kind=UnitKind.ROOM,
        status=Status.MISSING,
        findings=(),
        change=Change((RowWrite(key, before, after),)),
    )


def foreign_stale(unit: Unit, key: str, before: Raw, after: Raw) -> bool:
    rows = [{} if raw is None else {key: raw} for raw in (before, after)]
    return why_stale(unit, FOREIGN, compare_rows(*rows)) is not None


@pytest.mark.parametrize(
    ("key", "before", "after", "expected"),
    [
        (user_key(ALICE), user_row("!s"), user_row("!new"), True),
        (user_key(ALICE), user_row("!new"), None, True),
        (chat_key(ALICE, "C3"), None, chat_row("!x"), True),
        (room_key("!x"), None, room_row(ALICE), True),
        (room_key("!x"), None, room_row(BOB), True),  # names the Space
        (chat_key(BOB, "C3"), None, chat_row("!a"), True),
        (user_key(BOB), None, user_row("!s"), True),
        (user_key(BOB), None, user_row("!t"), False),
        (chat_key(BOB, "C3"), None, chat_row("!x"), False),
        (f"settings:{ALICE}", None, "{}", True),
        (f"settings:{BOB}", None, "{}", False),
    ],
)
def test_what_a_function_made_rests_on_all_that_its_rows_name(
    key: str, before: Raw, after: Raw, expected: bool
) -> None:
    assert foreign_stale(foreign(room_key("!a"), None, room_row(ALICE)), key, before, after) == (
        expected
    )
    assert foreign_stale(foreign(room_key("!a"), room_row(ALICE), "{}"), key, before, after) == (
        expected
    )


def test_what_names_no_user_rests_on_every_row() -> None:
    unit = foreign(room_key("!a"), None, '{"chat_id": "C1"}')
    assert foreign_stale(unit, user_key(BOB), None, user_row("!t"))
    assert not foreign_stale(unit, user_key(BOB), user_row("!t"), user_row("!t"))


def test_a_user_row_without_a_space_rests_on_that_users_rows() -> None:
    unit = foreign(user_key(ALICE), None, '{"next_chat_index": 4}')
    assert foreign_stale(unit, chat_key(ALICE, "C4"), None, chat_row("!a4"))
    assert not foreign_stale(unit, chat_key(BOB, "C4"), None, chat_row("!b4"))


LINK = Unit(
    id="!new",
    kind=UnitKind.ROOM,
    status=Status.MISMATCHED,
    findings=(),
    owner="5",
    chat_id="7",
    room_ids=("!new", "!old"),
    change=Change((RowWrite("link:tickets:7", "1", "2"),)),
    row="link:tickets:7",
)


@pytest.mark.parametrize(
    ("before", "after", "moved"),
    [
        (None, '{"id":9,"room":"!new"}', True),
        ('{"id":9,"room":"!old"}', '{"id":9,"room":null}', True),
        ('{"id":9,"room":"!x"}', '[{"id":9,"room":"!x"},{"id":9,"room":"!new"}]', True),
        ('{"id":9,"room":"!x"}', '{"id":9,"room":"!y"}', False),
        ('{"id":9,"room":"!x"}', None, False),
        ('{"id":9,"n":7}', '{"id":9,"n":{"blob":"ff"}}', False),
    ],
)
def test_a_link_rests_on_the_rows_that_name_its_room(before: Raw, after: Raw, moved: bool) -> None:
    assert stale(LINK, "link:tickets:9", before, after) is moved
    assert stale(LINK, "link:tickets:7", before, after)
