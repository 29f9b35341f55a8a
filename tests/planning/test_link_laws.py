"""Laws of the planner of links: what holds in every world, however broken (rules 4, 6)."""

import copy
import json
import os

import msgspec
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from tests.link_worlds import (
    BOT,
    GHOST,
    LinkSides,
    certain,
    link_worlds,
    readable_link_worlds,
    with_strangers,
)
from toolkit.model import Choices, Code, Plan, Reason, Status, Unit

laws = settings(
    max_examples=int(os.environ.get("LAW_EXAMPLES", "200")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@laws
@given(link_worlds())
def test_again_is_nothing(sides: LinkSides) -> None:
    plan = sides.plan()
    done = certain(plan)
    again = sides.written(*done).plan()
    assert certain(again) == []
    assert {unit.id for unit in done} <= set(again.in_sync_rooms)
    event(f"{min(len(done), 3)} written")


@laws
@given(link_worlds(), st.data())
def test_order_is_nothing(sides: LinkSides, data: st.DataObject) -> None:
    rooms = {
        room_id: data.draw(st.permutations(sides.rooms[room_id]))
        for room_id in data.draw(st.permutations(list(sides.rooms)))
    }
    rows = {key: sides.rows[key] for key in data.draw(st.permutations(list(sides.rows)))}
    unreadable = frozenset(data.draw(st.permutations(sorted(sides.unreadable))))
    other = LinkSides(sides.layout, rooms, rows, unreadable, sides.facts).plan()
    plan = sides.plan()
    assert plan == other and repr(plan) == repr(other)
    assert msgspec.json.encode(plan) == msgspec.json.encode(other)


@laws
@given(link_worlds())
def test_planning_writes_nothing_and_repeats_itself(sides: LinkSides) -> None:
    before = copy.deepcopy(sides)
    plan = sides.plan()
    assert sides == before
    assert repr(sides.plan()) == repr(plan)


@laws
@given(link_worlds())
def test_never(sides: LinkSides) -> None:
    plan = sides.plan()
    _check_units(plan)
    for unit in plan.units:
        _check_writes(unit, sides)
    rows = [write.key for unit in certain(plan) for write in unit.writes]
    assert len(rows) == len(set(rows))  # one id, one room


def _check_units(plan: Plan) -> None:
    for unit in plan.units:
        assert unit.findings
        assert (unit.status is Status.CONFLICT) == bool(unit.conflicts)
        if unit.status is Status.CONFLICT:
            assert unit.change is None or unit.needs_human
    places = [*plan.in_sync_rooms, *(s.room_id for s in plan.skipped), *(u.id for u in plan.units)]
    assert sorted(places) == list(plan.joined)


def _check_writes(unit: Unit, sides: LinkSides) -> None:
    """The column of the room and nothing else; never a row that names another joined room."""
    remote, link = sides.remote(), sides.layout.link
    for write in unit.writes:
        assert write.key == unit.row and write.before == sides.rows.get(write.key)
        after = json.loads(str(write.after))
        assert after[link.room] == unit.id
        if write.before is None:
            assert link.insert is True and sides.facts and not sides.facts.why_no_insert
            assert set(after) == {*link.ids, link.room}
            assert all(type(after["id"]) is int for _ in after)
            continue
        before = json.loads(str(write.before))
        assert {**before, link.room: unit.id} == after != before
        named = before[link.room]
        assert not named or not remote.joined(named) or named in unit.room_ids[1:]


@laws
@given(with_strangers())
def test_a_stranger_changes_nothing_for_others(worlds: tuple[LinkSides, LinkSides]) -> None:
    before, after = worlds[0].plan(), worlds[1].plan()
    rooms = set(worlds[0].rooms)
    assert [unit for unit in after.units if unit.id in rooms] == list(before.units)
    assert [room for room in after.in_sync_rooms if room in rooms] == list(before.in_sync_rooms)
    assert [skip for skip in after.skipped if skip.room_id in rooms] == list(before.skipped)
    assert (after.orphans, after.loose) == (before.orphans, before.loose)
    hers = {skip.room_id: skip.reason for skip in after.skipped if skip.room_id not in rooms}
    assert set(hers) == set(worlds[1].rooms) - rooms
    assert set(hers.values()) == {Reason.NOT_CREATED_BY_BOT}


@laws
@given(readable_link_worlds(), st.data())
def test_unknown_does_nothing(sides: LinkSides, data: st.DataObject) -> None:
    unread = data.draw(st.sampled_from(sorted(sides.rooms)))
    known = sides.plan()
    unknown = LinkSides(
        sides.layout, sides.rooms, sides.rows, frozenset({unread}), sides.facts
    ).plan()
    assert unread not in {skip.room_id for skip in unknown.skipped}
    assert unread in {unit.id for unit in unknown.units}
    held = [unit for unit in known.units if unread in unit.room_ids]
    for key in set(unknown.orphans) - set(known.orphans):
        assert held, key  # the unread room, or what replaced it, would claim the row
    named = {key for key, raw in sides.rows.items() if json.dumps(unread) in str(raw)}
    before = {unit.id: unit.change for unit in certain(known)}
    for unit in certain(unknown):
        assert unit.row not in named, unit
        if before.get(unit.id) != unit.change:
            # Only what a rival for the same id, unread, no longer says against it: that nobody could know.
            rivals = [u for u in known.units if u.id == unit.id and u.status is Status.CONFLICT]
            assert rivals or held or unread in unit.room_ids or _was_hidden(sides, unread, unit)


def _was_hidden(sides: LinkSides, unread: str, unit: Unit) -> bool:
    """Whether a room was upgraded to the unread one, or from it: its versions are other ones then."""
    room = sides.remote().rooms[unread]
    near = {room.predecessor, room.replacement}
    return bool(near & {*unit.room_ids})


@laws
@given(link_worlds(), st.data())
def test_a_pick_settles_a_conflict_and_touches_no_other_row(
    sides: LinkSides, data: st.DataObject
) -> None:
    plan = sides.plan()
    stuck = [unit for unit in plan.units if unit.status is Status.CONFLICT and unit.chat_id]
    assume(stuck)
    unit = data.draw(st.sampled_from(stuck), label="unit")
    picked = {unit.id: Choices(chat_id=unit.chat_id, overwrite=True)}
    chosen = sides.plan(picked)
    _check_units(chosen)
    for settled in [u for u in chosen.units if u.id == unit.id and u.change]:
        event(f"settled {min(f.code for f in unit.conflicts)}")
        assert settled.needs_human
        _check_picked(settled, sides)
        again = sides.written(settled).plan(picked)
        assert not [u for u in again.units if u.id == unit.id and u.change]


def _check_picked(unit: Unit, sides: LinkSides) -> None:
    codes = {finding.code for finding in unit.findings}
    if Code.UNREADABLE_ROW not in codes:
        _check_writes(unit, sides)


@laws
@given(link_worlds())
def test_only_what_the_bot_or_a_ghost_sent_is_a_proof(sides: LinkSides) -> None:
    senders = {e["event_id"]: e["sender"] for events in sides.rooms.values() for e in events}
    for unit in sides.plan().units:
        told = unit.evidence.events
        ours = [event_id for event_id in told if senders[event_id] in (BOT, GHOST)]
        # What users made counts by the bot's event; the only member's own event is a proposal's.
        assert set(told) - set(ours) <= {
            e["event_id"]
            for room_id in unit.room_ids
            for e in sides.rooms.get(room_id, ())
            if e["type"] in ("m.room.create", "m.room.member")
        }
