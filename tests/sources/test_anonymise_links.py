"""Anonymised snapshots of bots of shape links: the same plan up to names, for every small world."""

import json
from typing import Any

from hypothesis import given

from tests.link_worlds import BOT, LinkSides, link_worlds
from tests.sources.renamed import laws
from toolkit.convention import Convention
from toolkit.layout import Layout, TableFacts
from toolkit.model import Plan
from toolkit.planning.links.plan import plan_links
from toolkit.planning.links.rows import load_links
from toolkit.records import encode_row, link_key
from toolkit.sources.anonymise import anonymise, listen, translate
from toolkit.sources.pseudonyms import Pseudonyms
from toolkit.sources.snapshot import Snapshot
from toolkit.testing import World


def taken(sides: LinkSides) -> Snapshot:
    rooms = {
        room: json.dumps(events).encode()
        for room, events in sides.rooms.items()
        if room not in sides.unreadable
    }
    shut = dict.fromkeys(sides.unreadable, "it failed")
    rows = dict(sides.rows)
    return Snapshot(BOT, rooms, shut, rows, layout=sides.layout, facts=sides.facts)


def plan_of(snapshot: Snapshot) -> Plan:
    assert snapshot.layout
    links = load_links(snapshot.rows, snapshot.layout, snapshot.facts)
    return plan_links(snapshot.remote(Convention()), links, snapshot.layout)


def shape(plan: Plan, names: Pseudonyms | None = None) -> Any:
    say = names.text if names else str
    return {
        "units": sorted(
            (
                say(unit.id),
                unit.status,
                [(finding.code, bool(finding.key)) for finding in unit.findings],
                unit.evidence.rung,
                unit.needs_human,
                [write.before is None for write in unit.writes],
                len(unit.candidates),
            )
            for unit in plan.units
        ),
        "in_sync": sorted(map(say, plan.in_sync_rooms)),
        "skipped": sorted((say(skip.room_id), skip.reason) for skip in plan.skipped),
        "notes": sorted(note.code for note in plan.notes),
        "loose": sorted(finding.code for finding in plan.loose),
        "orphans": len(plan.orphans),
    }


@laws
@given(link_worlds())
def test_the_same_plan_comes_out_of_every_world(sides: LinkSides) -> None:
    snapshot = taken(sides)
    names = listen(snapshot)
    assert shape(plan_of(translate(snapshot, names))) == shape(plan_of(snapshot), names)


def test_nothing_of_the_bots_own_is_left() -> None:
    world = World(BOT)
    world.room("!zqroom:zqhs", name="Zqticket #777 (Zqanna)")
    world.event("!zqroom:zqhs", "zq.bridge", {"zqkey": {"id": "zqid"}}, state_key="zqkey")
    alias = {"alias": "#zq_777:zqhs"}
    world.event("!zqroom:zqhs", "m.room.canonical_alias", alias, state_key="")
    link = {
        "table": "zqtickets",
        "id": ["zqid", "zqpart"],
        "room": "zqroom",
        "owner": "zqowner",
        "show": ["zqshown"],
        "where": {"zqwhere": "zq"},
        "insert": {"zqother": "zq"},
    }
    layout = Layout.of(
        {"kind": "links", "rooms": ["@zq.+"]},
        {"link": link},
        [
            {"event": "zq.bridge", "state_key": "zqkey", "id": ["zqkey.id", "zqkey.zq"]},
            {"name": "Zqticket #{zqid} .{zqpart}."},
            {"alias": "#zq_{zqid}{zqpart}:.+"},
        ],
    )
    cells = {"zqid": "zqid", "zqpart": 7.5, "zqroom": {"blob": "777"}, "zqowner": 777}
    row = encode_row({**cells, "zqshown": None})
    facts = TableFacts("zqwhy", frozenset({"zqpart"}))
    rooms = {room: json.dumps(events).encode() for room, events in world.rooms.items()}
    rows = {link_key("zqtickets", ["zqid", "7"]): row}
    told = repr(anonymise(Snapshot(BOT, rooms, {}, dict(rows), layout=layout, facts=facts)))
    for word in ("zq", "Zq", "777"):
        assert word not in told, word


def test_facts_that_nobody_asked_for_stay_unknown() -> None:
    link = {"table": "t", "id": "id", "room": "room"}
    layout = Layout.of({"kind": "links"}, {"link": link})
    assert anonymise(Snapshot(BOT, {}, {}, {}, layout=layout)).facts is None


def test_events_that_are_odd_tell_nothing_and_stop_nothing() -> None:
    deep: Any = 7
    for _ in range(900):
        deep = {"id": deep}
    layout = Layout.of(
        {"kind": "links"},
        {"link": {"table": "t", "id": "id", "room": "room"}},
        [{"event": "e", "id": "id"}],
    )
    world = World(BOT)
    world.room("!r")
    odd = [deep, {"id": 1.5}, {"id": [1]}, {"id": {"id": 1}}, []]
    events: list[Any] = [
        {"type": "e", "state_key": "", "sender": BOT, "event_id": f"$odd{n}", "content": content}
        for n, content in enumerate(odd)
    ]
    events.append({**events[0], "type": ["e"]})
    body = json.dumps([*world.rooms["!r"], *events]).encode()
    told = anonymise(Snapshot(BOT, {"!r": body}, {}, {}, layout=layout))
    assert len(json.loads(told.rooms["!r0001"])) == len(world.rooms["!r"]) + len(events)
    assert plan_of(told).skipped[0].reason == "no_evidence"
