"""Links on a real Synapse: record to room by UPDATE, room to row by INSERT, and what a stranger can't do (rules 6)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.link_bots import Support, taken_back
from tests.tables import CONVERSATIONS, PORTALS, TICKETS, Desk, conversations, portals, tickets
from toolkit import Layout
from toolkit.testing import ApiUser, Synapse


def mapping(layout: Layout, evidence: Any, **shape: Any) -> Layout:
    """The same table, with evidence and grounds."""
    link = msgspec.to_builtins(layout.link)
    return Layout.of({"kind": "links", **shape}, {"link": link}, evidence)


async def test_a_support_bots_tickets_find_their_rooms_again(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "tickets")
    layout = mapping(tickets(owner="user_id"), [{"name": r"Ticket #{id} \(.+\)"}])
    desk = Desk(tmp_path / "bot.db", TICKETS, layout)
    one = support.room(name="Ticket #1 (Anna)", invite=[support.eva.user_id])
    two = support.room(name="Ticket #2 (Anna)")
    desk.sql("UPDATE tickets SET user_room_id = ? WHERE id = 2", two)
    newer = support.bot.upgrade(two)
    twins = [support.room(name="Ticket #3 (Ben)") for _ in range(2)]
    lobby = support.room(name="Lobby")
    hers = support.room(support.eva, name="Ticket #1 (Eva)")
    before = desk.dump()
    report, _ = await support.reconcile(desk)
    assert {link["id"]: link["room_id"] for link in report["repaired_links"]} == {
        "1": one,
        "2": newer,
    }
    assert {(c["code"], c["room_id"]) for c in report["conflicts"]} == {
        ("duplicate_id", room) for room in twins
    }
    assert {(s["room_id"], s["reason"]) for s in report["skipped_rooms"]} == {
        (two, "tombstoned"),
        (lobby, "no_evidence"),
        (hers, "not_created_by_bot"),
    }
    again, _ = await support.reconcile(desk)
    assert again["repaired_links"] == [] and set(again["unchanged_rooms"]) == {one, newer}
    await taken_back(desk)
    assert desk.dump() == before


async def test_a_help_desks_rooms_get_their_rows_and_a_forged_event_none(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "desk")
    evidence = [{"event": "desk.case", "id": "conversation_id"}]
    layout = mapping(conversations(insert=True), evidence, rooms="bot-event")
    desk = Desk(tmp_path / "bot.db", CONVERSATIONS, layout)
    desk.sql("DELETE FROM conversation_to_room")
    powers = {"power_level_content_override": {"users_default": 50}}
    old = support.room(support.eva, room_version="11", **powers)
    forged = support.room(support.eva, **powers)
    gone = support.room(support.eva, **powers)
    support.bot.put_state(old, "desk.case", {"conversation_id": 3})
    support.eva.put_state(forged, "desk.case", {"conversation_id": 4})
    event = support.bot.put_state(gone, "desk.case", {"conversation_id": 5})
    support.bot.redact(gone, event)
    before = desk.dump()
    report, asked = await support.reconcile(desk, old)
    assert report["restored_links"] == [{"id": "3", "room_id": old}]
    assert len([path for path in asked if path.endswith("/state")]) == 1
    await taken_back(desk)
    report, _ = await support.reconcile(desk)
    assert report["restored_links"] == [{"id": "3", "room_id": old}]
    assert {(s["room_id"], s["reason"]) for s in report["skipped_rooms"]} == {
        (forged, "not_created_by_bot"),
        (gone, "no_evidence"),
    }
    await taken_back(desk)
    assert desk.dump() == before


@pytest.mark.parametrize("room_version", ["11", "12"])
async def test_a_bridges_portals_with_composite_ids_of_a_ghosts_rooms(
    synapse: Synapse, tmp_path: Path, room_version: str
) -> None:
    support = Support(synapse, f"bridge{room_version}")
    evidence = [{"event": "m.bridge", "state_key": "*", "id": ["channel.id", "channel.receiver"]}]
    layout = mapping(portals(insert=True), evidence, rooms=[f"@ghost\\.bridge{room_version}:.+"])
    desk = Desk(tmp_path / "bot.db", PORTALS, layout)
    desk.sql("DELETE FROM portal WHERE mxid IS NOT NULL")

    def portal(by: ApiUser, gcid: str, receiver: str | None = None) -> str:
        channel = {"id": gcid} | ({} if receiver is None else {"receiver": receiver})
        bridge = {
            "type": "m.bridge",
            "state_key": f"chat://{gcid}",
            "content": {"channel": channel},
        }
        return support.room(by, room_version=room_version, initial_state=[bridge])

    group = portal(support.bot, "space:b")
    direct = portal(support.ghost, "dm:x", "eva")
    new = portal(support.bot, "space:new")
    portal(support.eva, "space:evil")
    before = desk.dump()
    report, _ = await support.reconcile(desk)
    assert report["repaired_links"] == [
        {"id": '["space:b",""]', "room_id": group, "previous_room": None}
    ]
    assert sorted((link["id"], link["room_id"]) for link in report["restored_links"]) == [
        ('["dm:x","eva"]', direct),
        ('["space:new",""]', new),
    ]
    assert [s["reason"] for s in report["skipped_rooms"]] == ["not_created_by_bot"]
    await taken_back(desk)
    assert desk.dump() == before


async def test_spaces_of_users_are_proposed_by_who_is_in_them(
    synapse: Synapse, tmp_path: Path
) -> None:
    support = Support(synapse, "spaces")
    made = """CREATE TABLE user_spaces (space_id TEXT NOT NULL, user_id TEXT NOT NULL,
        active BOOLEAN NOT NULL DEFAULT TRUE, PRIMARY KEY (space_id, user_id))"""
    table = {"table": "user_spaces", "id": "user_id", "room": "space_id", "where": {"active": True}}
    shape = {"kind": "links", "type": "space"}
    layout = Layout.of(shape, {"link": {**table, "insert": True}}, [{"sole_member": True}])
    desk = Desk(tmp_path / "bot.db", made, layout)
    eva = support.eva.user_id
    space = support.room(creation_content={"type": "m.space"}, invite=[eva], name="GPTBot")
    plain = support.room(invite=[eva])
    report, _ = await support.reconcile(desk)
    assert report["skipped_rooms"] == [{"room_id": plain, "reason": "not_a_space"}]
    [proposal] = report["conflicts"]
    assert (proposal["room_id"], proposal["proposal"]) == (space, eva)
    report, _ = await support.reconcile(desk, decisions={space: {}})
    assert report["restored_links"] == [{"id": eva, "room_id": space}]
    assert desk.sql("SELECT * FROM user_spaces") == [(space, eva, 1)]
