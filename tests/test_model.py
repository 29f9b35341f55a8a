"""Values of the plan: ids that stay, fingerprints that fit one change only."""

import hashlib
import json
import string

import msgspec
import pytest

from tests.scenario import right_rows
from toolkit.homeserver.room_state import decode_room
from toolkit.model import Change, Code, Finding, Plan, RemoteState, RowWrite, Status, Unit, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.records import encode_row, load_records
from toolkit.testing import World


def finding(**over: str) -> Finding:
    base = Finding(
        unit="!r",
        code=Code.WRONG_SURFACE_REF,
        key="chat:@a:hs:C1",
        field="surface_ref",
        cause="why",
    )
    return msgspec.structs.replace(base, **over)


def change(before: str | bytes | None = "{}", after: str | bytes = "[]") -> Change:
    return Change((RowWrite("matrix_room:!r", before, after),))


def test_a_finding_keeps_its_id_while_the_same_thing_is_wrong_with_the_same_field() -> None:
    assert finding().id == finding(cause="in other words").id
    assert len({finding().id, finding(unit="!q").id, finding(field="chat_id").id}) == 3
    assert len(finding().id) == 12
    assert set(finding().id) <= set(string.hexdigits)


@pytest.mark.parametrize("unit", ["!p", 'чат"\\\n\x7f', "\udcff"])
def test_ids_and_fingerprints_are_those_of_the_json_as_ever(unit: str) -> None:
    found = finding(unit=unit)
    names = json.dumps([unit, found.code, found.key, found.field])
    assert found.id == hashlib.sha256(names.encode()).hexdigest()[:12]
    for before, packed in ((unit, unit), (None, None), (7, 7), (b"\xff", {"blob": "ff"})):
        names = json.dumps([[unit, packed, "{}"]])
        fingerprint = Change((RowWrite(unit, before, "{}"),)).fingerprint
        assert fingerprint == hashlib.sha256(names.encode()).hexdigest()[:16]


def test_an_approval_fits_no_other_change() -> None:
    changes = [change(), change(None), change(b"{}"), change("{}", "[0]"), change("\udcff")]
    assert len({c.fingerprint for c in changes}) == len(changes)
    assert change().fingerprint == change().fingerprint


def test_the_same_rows_agreed_to_over_a_conflict_are_another_change() -> None:
    write = RowWrite("matrix_room:!r", None, "{}")
    left = Change((write,), doubts=(Code.OWNER_LEFT,))
    ambiguous = Change((write,), doubts=(Code.OWNER_AMBIGUOUS,))
    certain = Change((write,))
    assert len({certain.fingerprint, left.fingerprint, ambiguous.fingerprint}) == 3
    assert certain.agreed_in(left.fingerprint) and left.agreed_in(left.fingerprint)
    assert not left.agreed_in(certain.fingerprint) and not left.agreed_in(ambiguous.fingerprint)
    assert not certain.agreed_in(None) and not certain.agreed_in(change().fingerprint)


def test_what_a_change_relies_on_is_no_part_of_what_was_approved() -> None:
    write = RowWrite("matrix_room:!r", None, "{}")
    assert Change((write,), ("a",)).fingerprint == Change((write,), ("b",)).fingerprint


def test_a_plan_finds_its_units() -> None:
    unit = Unit(id="!r", kind=UnitKind.ROOM, status=Status.CONFLICT, findings=())
    plan = Plan(account="@bot:hs", joined=("!r",), units=(unit,))
    assert plan.unit("!r") is unit
    assert plan.unit("!q") is None


def test_a_room_finds_the_user_row_that_it_takes_along() -> None:
    world = World(bot="@bot:hs")
    world.space("!s", owner="@a:hs")
    world.chat("!r", "!s", "Чат 1")
    rooms = {room_id: decode_room(room_id, world.state(room_id)) for room_id in world.joined()}
    rows = right_rows("@a:hs", "!s", {"C1": "!r"})
    for lost in (set(rows), {"matrix_room:!r"}):
        left = {key: encode_row(row) for key, row in rows.items() if key not in lost}
        plan = plan_repairs(RemoteState(world.bot, rooms), load_records(left.items()))
        room = plan.unit("!r")
        assert room
        assert plan.user_unit(room) is plan.unit("@a:hs")
