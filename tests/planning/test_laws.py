"""Laws of the planner: what holds in every world, however broken (rules 2.9, 3, 4)."""

import copy
import json
import os
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from tests.attacks import Attacked, View, attacks
from tests.worlds import BOT, CONVENTION, USERS, Sides, certain, readable_worlds, worlds
from toolkit.convention import HIGHEST_NUMBER, chat_number
from toolkit.model import Choices, Code, Plan, Status, Unit, UnitKind
from toolkit.planning.plan import plan_repairs
from toolkit.records import CHAT, FAMILIES, ROOM, USER, Raw, decode_object

laws = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "150")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def look(sides: Sides, *, lower: bool = False, choices: Any = None) -> Plan:
    return plan_repairs(sides.remote(), sides.local(), CONVENTION, choices, lower_counters=lower)


@laws
@given(worlds(), st.booleans())
def test_again_is_nothing(sides: Sides, lower: bool) -> None:
    plan = look(sides, lower=lower)
    done = certain(plan)
    again = look(sides.written(*done), lower=lower)
    assert certain(again) == []
    left = {unit.id: unit for unit in again.units}
    for unit in done:
        after = left.get(unit.id)
        assert after is None or (
            not lower and {f.code for f in after.findings} == {Code.COUNTER_TOO_HIGH}
        ), (unit, after)


@laws
@given(worlds(), st.data())
def test_order_is_nothing(sides: Sides, data: st.DataObject) -> None:
    rooms = {
        room_id: data.draw(st.permutations(sides.rooms[room_id]))
        for room_id in data.draw(st.permutations(list(sides.rooms)))
    }
    rows = {key: sides.rows[key] for key in data.draw(st.permutations(list(sides.rows)))}
    unreadable = frozenset(data.draw(st.permutations(sorted(sides.unreadable))))
    plan, other = look(sides), look(Sides(rooms, rows, unreadable))
    assert plan == other
    assert repr(plan) == repr(other)
    assert _encoded(plan) == _encoded(other)


@laws
@given(worlds())
def test_planning_writes_nothing_and_repeats_itself(sides: Sides) -> None:
    remote, local = sides.remote(), sides.local()
    before = copy.deepcopy((remote, local))
    plan = plan_repairs(remote, local, CONVENTION)
    assert (remote, local) == before
    assert repr((remote, local)) == repr(before)
    assert repr(plan_repairs(remote, local, CONVENTION)) == repr(plan)


@laws
@given(worlds(), st.booleans())
def test_never(sides: Sides, lower: bool) -> None:
    plan = look(sides, lower=lower)
    _check_units(plan)
    _check_writes(plan, sides)
    _check_pairs(plan, sides)
    _check_counters(plan, sides)


@laws
@given(attacks(), st.booleans())
def test_an_attacker_changes_nothing_for_others(attacked: Attacked, lower: bool) -> None:
    for kind in sorted(attacked.kinds):
        event(kind)
    without = View(look(attacked.before, lower=lower), attacked.rooms)
    beside = View(look(attacked.after, lower=lower), attacked.rooms)
    assert beside.facts() == without.facts()
    assert not beside.foreign_writes


@laws
@given(readable_worlds(), st.data())
def test_unknown_does_nothing(sides: Sides, data: st.DataObject) -> None:
    assume(sides.rooms)
    unread = data.draw(st.sampled_from(sorted(sides.rooms)))
    known, unknown = look(sides), look(sides.without(unread))
    assert unread not in {skip.room_id for skip in unknown.skipped}
    # A room that only says itself whose it is, unread, says nothing (rules 2.9: nobody is held
    # back); nor does a Space tell from below that another one lists it.
    for key in set(unknown.orphans) - set(known.orphans):
        assert not any(sides.rows_name(unread, user) for user in USERS if user in key), key
    room = sides.remote().rooms[unread]
    assume(not any(link.target in _spaces(sides) for link in room.children))
    before = {unit.id: unit.change for unit in certain(known)}
    for unit in certain(unknown):
        if before.get(unit.id) == unit.change:
            continue
        if sides.heard_of(unread, unit.owner or "", unit.space_id):
            assert unit.kind is UnitKind.ROOM
            assert _told_by_rows(unit, sides), unit  # the id isn't new


def _spaces(sides: Sides) -> set[str]:
    return {room_id for room_id, room in sides.remote().rooms.items() if room.is_space}


def _told_by_rows(unit: Unit, sides: Sides) -> bool:
    local = sides.local()
    rows = [row for room_id in unit.room_ids if (row := local.rooms.get(room_id))]
    record = local.chats.get((unit.owner or "", unit.chat_id or ""))
    return any((row.matrix_user_id, row.chat_id) == (unit.owner, unit.chat_id) for row in rows) or (
        record is not None and record.surface_ref in unit.room_ids
    )


def _encoded(plan: Plan) -> bytes | None:
    try:
        return msgspec.json.encode(plan)
    except UnicodeError:  # a lone surrogate in a stored value
        return None


def _check_units(plan: Plan) -> None:
    ids = [unit.id for unit in plan.units]
    assert len(ids) == len(set(ids))
    assert not set(ids) & {*plan.in_sync_rooms, *plan.in_sync_users}
    for unit in plan.units:
        assert unit.findings
        if unit.status is Status.CONFLICT:
            assert unit.change is None or unit.needs_human
        assert (unit.status is Status.CONFLICT) == bool(unit.conflicts)
    places = [*plan.in_sync_rooms, *(s.room_id for s in plan.skipped)]
    places += [unit.id for unit in plan.units if unit.kind is UnitKind.ROOM]
    assert sorted(places) == list(plan.joined)  # every joined room has one status


def _check_writes(plan: Plan, sides: Sides) -> None:
    seen: set[str] = set()
    for unit in plan.units:
        for write in unit.change.writes if unit.change else ():
            assert write.key.startswith(FAMILIES)
            assert write.after is not None
            assert write.before == sides.rows.get(write.key)
            assert write.after != write.before
            if not unit.needs_human:
                assert write.key not in seen
                seen.add(write.key)
            if write.before is not None and write.key not in sides.local().unreadable:
                _check_kept(write.key, write.before, write.after)


KNOWN = {
    USER: {"space_id", "next_chat_index"},
    ROOM: {"room_type", "chat_id", "display_name", "matrix_user_id", "space_id"},
    CHAT: {"user_id", "chat_id", "platform", "surface_ref"},
}


def _check_kept(key: str, before: Raw, after: Raw) -> None:
    known = next(fields for family, fields in KNOWN.items() if key.startswith(family))
    assert isinstance(before, str | bytes)
    assert isinstance(after, str | bytes)
    old, new = (dict(_fields(decode_text(raw))) for raw in (before, after))
    assert [f for f in new if f in old] == list(old)
    for field, value in old.items():
        if field not in known:
            assert new[field] == value
    assert type(before) is type(after)


def decode_text(raw: str | bytes) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Each field of an object and its value's text, found by parsing longer and longer beginnings."""
    found = json.loads(text)
    decode = json.JSONDecoder().raw_decode
    at = text.index("{") + 1
    for _ in found:
        name, at = decode(text, text.index('"', at))
        start = text.index(":", at) + 1
        while text[start] in " \t\r\n":
            start += 1
        _, at = decode(text, start)
        yield name, text[start:at]


def _check_pairs(plan: Plan, sides: Sides) -> None:
    done = certain(plan)
    after = sides.written(*done).local()
    owners = {unit.id: unit.owner for unit in plan.units if unit.kind is UnitKind.ROOM}
    owners |= {room_id: after.rooms[room_id].matrix_user_id for room_id in plan.in_sync_rooms}
    holders: dict[tuple[str, str], list[str]] = {}
    for room_id, owner in sorted(owners.items()):
        row = after.rooms.get(room_id)
        if row and row.matrix_user_id == owner:
            holders.setdefault((owner, row.chat_id), []).append(room_id)
    for unit in done:
        if unit.kind is UnitKind.USER:
            continue
        row = after.rooms[unit.id]
        record = after.chats[row.matrix_user_id, row.chat_id]
        assert (row.matrix_user_id, row.chat_id) == (unit.owner, unit.chat_id)
        assert chat_number(row.chat_id)
        assert record.surface_ref == unit.id and record.chat_id == row.chat_id
        kept = sides.local().rooms.get(unit.id)
        in_archive = kept and kept.space_id in _inside(unit.space_id or "", sides)
        assert row.space_id == (kept.space_id if kept and in_archive else unit.space_id)
        assert holders[row.matrix_user_id, row.chat_id] == [unit.id]
    for room_id in plan.in_sync_rooms:
        row = after.rooms[room_id]
        assert after.chats[row.matrix_user_id, row.chat_id].surface_ref == room_id


def _inside(space_id: str, sides: Sides) -> set[str]:
    """The Spaces that the bot put into this one, however deep, over all versions of each."""
    rooms = sides.remote().rooms
    links = {(r, link.target) for r in rooms for link in rooms[r].children if link.sender == BOT}
    links |= {(link.target, r) for r in rooms for link in rooms[r].parents if link.sender == BOT}
    links |= {(r, room.predecessor) for r, room in rooms.items() if room.predecessor}
    found, waiting = set[str](), {space_id}
    while waiting:
        found |= waiting
        waiting = {below for above, below in links if above in waiting} - found
    return {r for r in found - {space_id} if r in rooms and rooms[r].is_space}


def _check_counters(plan: Plan, sides: Sides) -> None:
    local = sides.local()
    for unit in plan.units:
        if unit.kind is not UnitKind.USER or not unit.change or not unit.owner:
            continue
        (write,) = unit.change.writes
        counter = decode_object(write.after)["next_chat_index"]
        known = [c for user, c in local.chats if user == unit.owner]
        known += [r.chat_id for r in local.rooms.values() if r.matrix_user_id == unit.owner]
        # A guess about one Space knows nothing of a guess about another.
        near = [u for u in plan.units if unit.id == unit.owner or u.space_id == unit.space_id]
        known += [u.chat_id or "" for u in near if u.owner == unit.owner]
        highest = max(chat_number(chat_id) or 0 for chat_id in ["", *known])
        assert counter > highest or highest == HIGHEST_NUMBER


@laws
@given(worlds(), st.data())
def test_a_choice_settles_a_conflict_and_touches_nobody_else(
    sides: Sides, data: st.DataObject
) -> None:
    plan = look(sides, lower=True)
    stuck = [unit for unit in plan.units if unit.status is Status.CONFLICT]
    assume(stuck)
    unit = data.draw(st.sampled_from(stuck), label="unit")
    choices = {unit.id: data.draw(_choices(unit, plan), label="choices")}
    chosen = look(sides, lower=True, choices=choices)
    _check_units(chosen)
    owners = {
        unit.owner,
        choices[unit.id].owner,
        *_owners_near(unit, plan),
        *_owners_near(unit, chosen),
    }
    assert _others(chosen, owners) == _others(plan, owners)
    for settled in [u for u in chosen.units if u.choices == choices[unit.id] and u.change]:
        event(f"settled {min(f.code for f in unit.conflicts)}")
        after = look(sides.written(settled), lower=True, choices=choices)
        left = next((u for u in after.units if (u.id, u.kind) == (settled.id, settled.kind)), None)
        assert left is None or (left.status is Status.CONFLICT and not left.change), (settled, left)


def _choices(unit: Unit, plan: Plan) -> st.SearchStrategy[Choices]:
    """What the conflicts of a unit ask for, answered."""
    taken = {u.chat_id for u in plan.units} | {f"C{n}" for n in range(1, 10)}
    ids = [unit.chat_id, *(f"C{n}" for n in range(1, 100) if f"C{n}" not in taken)][:3]
    users: list[str | None] = [c for c in unit.candidates if c.startswith("@")]
    spaces: list[str | None] = [c for c in unit.candidates if c.startswith("!")]
    return st.builds(
        Choices,
        owner=st.sampled_from(users or [None]),
        space_id=st.sampled_from(spaces or [None]),
        chat_id=st.sampled_from(ids) if unit.kind is UnitKind.ROOM else st.none(),
        overwrite=st.just(True),
    )


def _owners_near(unit: Unit, plan: Plan) -> set[str | None]:
    """Owners of the Spaces that the choice is about, and of rooms in the same conflict."""
    spaces = {unit.space_id, *unit.candidates, *unit.room_ids}
    near = {u.owner for u in plan.units if u.space_id in spaces} | {*unit.candidates}
    rooms = {u.id for u in plan.units if u.owner in near or u.space_id in spaces} | {unit.id}
    causes = [(u.owner, f.cause) for u in plan.units for f in u.findings]
    return near | {owner for owner, cause in causes if any(room_id in cause for room_id in rooms)}


def _others(plan: Plan, owners: set[str | None]) -> list[Unit]:
    return [unit for unit in plan.units if unit.owner and unit.owner not in owners]
