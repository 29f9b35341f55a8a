"""A name that is near a unit's: which unit was meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import A1, ALICE, BOT, CB, UA, UB, Bench, small_rows, text
from toolkit.model import Code, Finding, Plan, Reason, Skip, Status, Unit, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.records import load_records
from toolkit.text.near import find_near, say_no_unit

ROOMS = ("!abcDefGhi:example.org", "!abcXyz:example.org", "!zzz")


def plan() -> Plan:
    """Erin's user row is called by her Space; three rooms, two of them the first chat of somebody."""
    owners = ("@alice:example.org", "@bob:example.org", "@bob:example.org")
    chats = [
        Unit(
            id=room,
            kind=UnitKind.ROOM,
            status=Status.MISSING,
            findings=(),
            owner=owner,
            chat_id=chat,
            room_ids=(room, f"{room}-old"),
        )
        for room, owner, chat in zip(ROOMS, owners, ("C1", "C1", "C2"), strict=True)
    ]
    users = [
        Unit(id=i, kind=UnitKind.USER, status=Status.MISSING, findings=(), owner=o, space_id="!s")
        for i, o in (("@alice:example.org", "@alice:example.org"), ("!erins", "@erin:example.org"))
    ]
    loose = Finding(unit="", code=Code.UNREADABLE_ROW, key="chat:@zoe:hs:C1", cause="it is {")
    return Plan(
        account=BOT,
        joined=(),
        units=(*users, *chats),
        in_sync_users=("@carol:example.org",),
        skipped=(Skip("!lobby:example.org", Reason.NO_SPACE),),
        orphans=("matrix_room:!gone",),
        loose=(loose,),
    )


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("alice", ["@alice:example.org"]),
        ("Alice", ["@alice:example.org"]),
        ("@alice", ["@alice:example.org"]),
        ("@alice:example.com", ["@alice:example.org"]),
        ("@alcie:example.org", ["@alice:example.org"]),
        ("al", ["@alice:example.org"]),
        ("erin", ["!erins"]),
        ("@erin:example.org", ["!erins"]),
        ("!abcDefGhi", ["!abcDefGhi:example.org"]),
        ("abcdefghi", ["!abcDefGhi:example.org"]),
        ("!abc", ["!abcDefGhi:example.org", "!abcXyz:example.org"]),
        ("!abcDefGhj:example.org", ["!abcDefGhi:example.org"]),
        ("!zzz-ol", ["!zzz"]),
        ("C1", ["!abcDefGhi:example.org", "!abcXyz:example.org"]),
        ("c2", ["!zzz"]),
        ("C1 of @bob:example.org", ["!abcXyz:example.org"]),
        ("alice c1", ["!abcDefGhi:example.org"]),
        ("carol", ["@carol:example.org"]),
        ("!lobby", ["!lobby:example.org"]),
        ("@lobby", []),
        ("C9", []),
        ("C1 C2", []),
        ("", []),
        ("@", []),
        ("nobody", []),
    ],
)
def test_which_unit_was_meant(name: str, meant: list[str]) -> None:
    assert find_near(plan(), name) == meant


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("alice", "There is no unit 'alice'. Did you mean '@alice:example.org'?"),
        (
            "C1",
            "There is no unit 'C1'. Did you mean '!abcDefGhi:example.org' (C1 of @alice:example.org) or "
            "'!abcXyz:example.org' (C1 of @bob:example.org)?",
        ),
        (
            "erin",
            "There is no unit 'erin'. Did you mean '!erins' (user row of @erin:example.org)?",
        ),
        (
            "nobody",
            "There is no unit 'nobody'; `session.drift` and `matrix-drift check` name those that there are.",
        ),
        (
            "matrix_room:!gone",
            "'matrix_room:!gone' is no unit but an orphaned row, which is no drift: there is nothing to "
            "decide.",
        ),
        (
            "chat:@zoe:hs:C1",
            "'chat:@zoe:hs:C1' is no unit but a row of none: mend or delete it by hand.",
        ),
    ],
)
def test_what_is_said(name: str, said: str) -> None:
    assert say_no_unit(plan(), name) == said


def test_of_a_planned_world_too() -> None:
    rows = {k: text(row) for k, row in small_rows().items() if k not in (A1, UA, UB, CB)}
    found = plan_repairs(Bench(Path("none")).remote(), load_records(rows.items()))
    assert find_near(found, "alice") == [ALICE] and find_near(found, "C1") == ["!a1", "!b1"]
